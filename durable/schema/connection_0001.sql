-- The first schema of a connection's object. Never edited once released: what changes is a new number, additive, so that
-- the release before still runs on it.
--
-- What no statement looks for stands as JSON in `facts`; members that a release does not know it keeps.

CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

-- One row: how the connection stands. What a list needs is copied to the directory by an errand.
CREATE TABLE connection (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  facts TEXT NOT NULL
) STRICT;

-- One row: what can be spent, and the refresh that is under way. Gone when disconnected or reset.
CREATE TABLE credential (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  access BLOB,                       -- sealed: access token or API key
  refresh BLOB,                      -- sealed: refresh token, or the service account's private key
  older BLOB,                        -- sealed: the refresh token before, while the new one is not proven
  facts TEXT NOT NULL
) STRICT;

-- Links that begin attempts, by SHA-256 of their random part.
CREATE TABLE session (
  hash BLOB NOT NULL PRIMARY KEY,
  number INTEGER NOT NULL,           -- never reused; the row of what is sealed
  made_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  terms TEXT NOT NULL,               -- all that is pinned, without secrets: JSON
  secret BLOB,                       -- sealed: the client's secret, pinned
  done_at INTEGER
) STRICT, WITHOUT ROWID;

-- Attempts of browsers, by SHA-256 of the random part of their `state`.
CREATE TABLE attempt (
  hash BLOB NOT NULL PRIMARY KEY,
  number INTEGER NOT NULL,
  session BLOB NOT NULL,
  cookie_name TEXT NOT NULL,
  cookie BLOB NOT NULL,              -- SHA-256
  verifier BLOB,                     -- sealed
  nonce BLOB,                        -- sealed
  made_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,                   -- set once: the state is spent
  code BLOB,                         -- SHA-256
  result BLOB NOT NULL,              -- names its result page
  outcome TEXT,
  detail TEXT                        -- what the result page shows beside: JSON
) STRICT, WITHOUT ROWID;

CREATE INDEX attempt_session ON attempt (session);
CREATE UNIQUE INDEX attempt_result ON attempt (result);

-- What the tenant is to be told, until its ledger has it. Numbers are the connection's versions: never reused.
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  payload TEXT NOT NULL
) STRICT;

-- What happened: a ring of slots, so that a line costs one row for ever.
CREATE TABLE history (
  slot INTEGER PRIMARY KEY,
  number INTEGER NOT NULL,
  line TEXT NOT NULL
) STRICT;

-- Who was shown the token, by minute since 1970.
CREATE TABLE token_read (
  minute INTEGER NOT NULL,
  reader TEXT NOT NULL,
  reads INTEGER NOT NULL,
  PRIMARY KEY (minute, reader)
) STRICT, WITHOUT ROWID;

-- What is watched at the provider: how each watch stands, its cursor included.
CREATE TABLE watch (
  number INTEGER PRIMARY KEY,
  facts TEXT NOT NULL                -- JSON; no secret: of a channel's token its digest
) STRICT;

-- What watches found, until the tenant's ledger has it: one after another, in its order.
CREATE TABLE watch_event (
  number INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  event_id TEXT NOT NULL,            -- the same whenever the change is read again
  payload TEXT NOT NULL
) STRICT;
