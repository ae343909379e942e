-- The first schema of a connection's object. Never edited: what changes is a new number, additive, so that the release
-- before still runs on it.

CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

-- One row: how the connection stands. What a list needs is copied to the directory by the outbox.
CREATE TABLE connection (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  id BLOB NOT NULL,
  organisation BLOB NOT NULL,
  tenant BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  before_block TEXT,                 -- the state that a block interrupted
  enabled INTEGER NOT NULL,
  uid TEXT,
  label TEXT,
  app BLOB NOT NULL,
  provider TEXT NOT NULL,            -- the entry as pinned by the last success, or by the first session: JSON
  account_key TEXT,
  account TEXT,
  scopes TEXT NOT NULL,              -- granted, JSON
  missing_scopes TEXT NOT NULL,      -- asked for and not granted, JSON
  variables TEXT NOT NULL,           -- JSON
  revoked TEXT,                      -- what came of revoking
  version INTEGER NOT NULL           -- raised by every change: the directory keeps the newest
) STRICT;

-- One row: what can be spent. Gone when disconnected or reset.
CREATE TABLE credential (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  kind TEXT NOT NULL,                -- tokens, key, service_account
  generation INTEGER NOT NULL,       -- binds the blobs of one write together
  access BLOB,                       -- sealed: access token or API key
  refresh BLOB,                      -- sealed: refresh token, or the service account's private key
  client_id TEXT,                    -- the client that the grant belongs to
  app_generation INTEGER NOT NULL,   -- of the app's credentials with which it was last refreshed
  user TEXT,                         -- the key's user name; a service account's e-mail
  subject TEXT,
  key_id TEXT,
  last_four TEXT,
  granted_at INTEGER NOT NULL,       -- when a person or an import gave it
  obtained_at INTEGER NOT NULL,      -- this access token
  expires_at INTEGER,                -- this access token
  refresh_expires_at INTEGER,        -- told by the provider
  used_at INTEGER NOT NULL,
  failures INTEGER NOT NULL,         -- refreshes that failed in a row
  refused INTEGER NOT NULL,          -- fresh tokens that the API refused in a row
  next_refresh_at INTEGER,
  not_before INTEGER                 -- no refresh before this: backoff, Retry-After
) STRICT;

-- One row while a refresh is under way: written before the request leaves. One that is found at waking is a lost answer.
CREATE TABLE intent (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  number INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,         -- of the refresh token: HMAC, 8 bytes
  started_at INTEGER NOT NULL,
  lost_at INTEGER,                   -- its answer is known to be lost
  probed_at INTEGER                  -- the one more try that a strict provider gets
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

-- What the tenant is to be told, until its ledger has it.
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  payload TEXT NOT NULL,
  tries INTEGER NOT NULL
) STRICT;

-- What happened, newest kept.
CREATE TABLE history (
  number INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  entry TEXT NOT NULL
) STRICT;

-- Uses by hour.
CREATE TABLE usage (hour INTEGER PRIMARY KEY, used INTEGER NOT NULL) STRICT;
