-- The directory over the objects: what is listed across tenants, and what has no object of its own.

-- A row about a tenant. Name, uid and metadata live here; throttle_rate and retry_schedule are copies, for lists, of what
-- the tenant's object owns. state: creating (its object may not be set up yet), active, deleting (its object may not be
-- wiped yet).
CREATE TABLE application (
  id             TEXT    NOT NULL PRIMARY KEY,
  organisation   TEXT    NOT NULL,
  uid            TEXT,
  name           TEXT    NOT NULL,
  metadata       TEXT    NOT NULL,
  throttle_rate  INTEGER,
  retry_schedule TEXT,
  state          TEXT    NOT NULL CHECK (state IN ('creating', 'active', 'deleting')),
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX application_uid ON application (organisation, uid) WHERE uid IS NOT NULL;
CREATE INDEX application_made ON application (organisation, created_at, id);
CREATE INDEX application_half ON application (updated_at) WHERE state <> 'active';

CREATE TABLE event_type (
  organisation TEXT    NOT NULL,
  name         TEXT    NOT NULL,
  description  TEXT    NOT NULL,
  archived     INTEGER NOT NULL,
  deprecated   INTEGER NOT NULL,
  schemas      TEXT,
  feature_flag TEXT,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  PRIMARY KEY (organisation, name)
) STRICT, WITHOUT ROWID;

-- Answers of POSTs that make something in the directory. status NULL: in flight since started_at.
CREATE TABLE idempotency (
  key         TEXT    NOT NULL PRIMARY KEY,
  fingerprint TEXT    NOT NULL,
  status      INTEGER,
  answer      TEXT,
  started_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_expires ON idempotency (expires_at);
