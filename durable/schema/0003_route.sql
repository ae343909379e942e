-- What an organisation's ledger needs to bring events of its app-level sources to tenants. Empty in every other ledger.
-- Additive: the release before still runs on it. What was routed at once leaves no row: the number `routed` of `meta` says
-- through which message all are routed, or stand here.

-- What a tenant shall have and could not be given yet.
CREATE TABLE routing (
  tenant TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (tenant, sequence)
) STRICT, WITHOUT ROWID;

-- Tenants that have rows in `routing`: what comes for them meanwhile queues up behind.
CREATE TABLE routing_behind (
  tenant TEXT NOT NULL PRIMARY KEY,
  tries INTEGER NOT NULL,              -- that failed, one after another
  next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- serves: the alarm
CREATE INDEX routing_behind_next ON routing_behind (next_at);

-- Events that nobody gets. They go with their messages.
CREATE TABLE unrouted (
  sequence INTEGER PRIMARY KEY,
  source INTEGER NOT NULL,
  key TEXT NOT NULL,                   -- empty: it has none
  why INTEGER NOT NULL                 -- 0 unclaimed, 1 no key, 2 the key is not signed, 3 the claimant was deleted
) STRICT;

-- serves: the list of a key, and its replay
CREATE INDEX unrouted_by_key ON unrouted (source, key, sequence);

-- How many of them there are, by key.
CREATE TABLE unrouted_key (
  source INTEGER NOT NULL,
  key TEXT NOT NULL,
  count INTEGER NOT NULL,
  first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL,
  type TEXT NOT NULL,                  -- of the last one
  PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;

-- Sources whose owner trusts keys that their provider does not sign.
CREATE TABLE routing_trust (
  source INTEGER PRIMARY KEY
) STRICT;
