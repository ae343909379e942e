-- How far the objects of tenants were asked to seal anew under the active master key. One row, written by the clock.
CREATE TABLE resealing (
  one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  key_version INTEGER NOT NULL,          -- the active one, as it was seen last
  since       INTEGER NOT NULL,          -- when it was seen first
  behind_at   INTEGER NOT NULL,          -- the last tenant that was asked, in the order they were made
  behind_id   TEXT    NOT NULL
) STRICT;

-- Objects that were asked and still hold something that another master key sealed.
CREATE TABLE tenant_key (
  tenant       TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  key_version  INTEGER NOT NULL          -- the oldest; 0: it is not known, the object did not answer
) STRICT, WITHOUT ROWID;

-- serves: how many are left
CREATE INDEX tenant_key_version ON tenant_key (key_version, organisation);

-- serves: sealing anew, in the order that tenants were made in
CREATE INDEX application_by_age ON application (created_at, id);
