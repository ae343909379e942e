-- Clients at providers' authorization servers, and the connections made with them, as lists show them.

-- application: the tenant whose own it is; NULL: the operator's, for all tenants. entry: JSON, a provider that its owner
-- configured; NULL: the catalogue's of that name. variables, scopes, return_urls: JSON. secret: sealed, base64; NULL: a
-- public client, or an app without a client. generation: raised whenever id or secret change; the secret is bound to it.
-- key_version: of the master key that the secret is sealed with. changed: the last connection that was told of a change,
-- '' before the first; NULL: all know. broken_at: since when the provider refuses id or secret (broken_words: its own words);
-- probe_at: when one connection may ask it again; NULL: all may, since it is not broken, or was edited since. alert: JSON,
-- what is yet to be told of it.
CREATE TABLE oauth_app (
  id           TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  application  TEXT,
  uid          TEXT,
  name         TEXT    NOT NULL,
  provider     TEXT    NOT NULL,
  entry        TEXT,
  variables    TEXT    NOT NULL,
  scopes       TEXT    NOT NULL,
  all_scopes   INTEGER NOT NULL,
  return_urls  TEXT    NOT NULL,
  client_id    TEXT,
  secret       TEXT,
  key_version  INTEGER,
  generation   INTEGER NOT NULL,
  enabled      INTEGER NOT NULL,
  changed      TEXT,
  broken_at    INTEGER,
  broken_words TEXT,
  probe_at     INTEGER,
  alert        TEXT,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX oauth_app_uid ON oauth_app (organisation, ifnull(application, ''), uid) WHERE uid IS NOT NULL;
CREATE INDEX oauth_app_made ON oauth_app (organisation, ifnull(application, ''), created_at, id);

-- serves: the erasure of a tenant
CREATE INDEX oauth_app_application ON oauth_app (application) WHERE application IS NOT NULL;

-- serves: sealing anew under a new master key, and what has to be told
CREATE INDEX oauth_app_key ON oauth_app (key_version) WHERE key_version IS NOT NULL;
CREATE INDEX oauth_app_changed ON oauth_app (updated_at) WHERE changed IS NOT NULL;
CREATE INDEX oauth_app_alert ON oauth_app (id) WHERE alert IS NOT NULL;

-- A row about a connection. Its object owns what is in view (JSON; NULL: the object may not be there yet) and brings it
-- with its version; the newest wins. uid is owned here, where no two may have one. look_at: when the row is compared with
-- its object: it may be made by halves, or given up; NULL: never.
CREATE TABLE connection (
  id           TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  application  TEXT    NOT NULL,
  app          TEXT    NOT NULL,
  provider     TEXT    NOT NULL,
  uid          TEXT,
  state        TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  view         TEXT,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  look_at      INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX connection_uid ON connection (application, uid) WHERE uid IS NOT NULL;
CREATE INDEX connection_made ON connection (application, created_at, id);

-- serves: what happens to an app's connections when the app is changed
CREATE INDEX connection_app ON connection (app, id) WHERE state <> 'revoked';
CREATE INDEX connection_look ON connection (look_at) WHERE look_at IS NOT NULL;
