-- What dispatch, replays and operations need. Additive: the release before still runs on it.

-- How an endpoint is doing: one row for each that failed since its last success. The way of a success writes nothing
-- here unless there is something to take back.
CREATE TABLE health (
  endpoint INTEGER PRIMARY KEY,
  failing_since INTEGER NOT NULL,      -- the first failure since the last success
  attempts INTEGER NOT NULL,           -- failed attempts since then
  failed INTEGER NOT NULL,             -- deliveries that failed for good since then, one after another
  warned INTEGER NOT NULL,             -- half way to being disabled was told
  opened INTEGER NOT NULL,             -- how often the breaker opened since the last success
  opens_at INTEGER NOT NULL,           -- the gate is closed until then; 0: open
  reason TEXT NOT NULL,                -- why: breaker_open, paused
  paused_until INTEGER NOT NULL        -- it asked to be left alone until then, whatever the breaker says; 0: it did not
) STRICT;

-- What the organisation is to be told, written with the change that it is about. Emptied as soon as its operational
-- tenant has it. Numbers are never reused, emptied or not: the last one stands in `meta`.
CREATE TABLE outbox (
  number INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  payload TEXT NOT NULL,
  tries INTEGER NOT NULL               -- that failed; of the oldest row it is what the next one waits by
) STRICT;

-- Messages whose payload goes before they do.
CREATE TABLE payload_end (
  time INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (time, sequence)
) STRICT, WITHOUT ROWID;

-- Where the consumers of an endpoint that is polled stand; at most a hundred each.
CREATE TABLE consumer (
  endpoint INTEGER NOT NULL,
  name TEXT NOT NULL,
  cursor INTEGER NOT NULL,             -- all up to this message is done with
  seeks INTEGER NOT NULL,              -- how often it was put somewhere else: iterators of before hold no more
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (endpoint, name)
) STRICT, WITHOUT ROWID;

-- Tokens of pollers: found by their endpoint, judged by their hash, shown again from their sealed form. At most two.
CREATE TABLE poller_token (
  endpoint INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  hash BLOB NOT NULL,
  sealed TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  not_after INTEGER,
  PRIMARY KEY (endpoint, generation)
) STRICT, WITHOUT ROWID;

-- What is counted of messages, deliveries and attempts, by hour. Messages and deliveries stand in the hour of the
-- message, attempts in their own. Messages after the number `counted` of `meta` are not in here yet.
CREATE TABLE stat (
  endpoint INTEGER NOT NULL,           -- 0: all of the tenant together
  hour INTEGER NOT NULL,               -- since 1970
  type TEXT NOT NULL,                  -- of the event
  messages INTEGER NOT NULL,           -- accepted; of endpoint 0 only
  pending INTEGER NOT NULL,            -- deliveries by where they stand
  waiting INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  attempts_succeeded INTEGER NOT NULL,
  attempts_failed INTEGER NOT NULL,
  PRIMARY KEY (endpoint, hour, type)
) STRICT, WITHOUT ROWID;

-- Asymmetric signing keys, sealed, newest first: [{sealed, generation, public, notAfter?}]. Beside `keys`, which the
-- release before reads as symmetric ones.
ALTER TABLE endpoint ADD COLUMN asymmetric TEXT;

-- A signature of an older kind beside the standard ones: {header, algorithm, …, sealed, generation, hint}.
ALTER TABLE endpoint ADD COLUMN legacy TEXT;

-- Long jobs: many manual tries, made due slice by slice. What a job did and where it stands move in one transaction.
CREATE TABLE task (
  id TEXT NOT NULL PRIMARY KEY,        -- chosen by the edge
  kind TEXT NOT NULL,
  state TEXT NOT NULL,                 -- running, finished, failed, cancelled
  work TEXT NOT NULL,                  -- JSON: what is chosen, resolved when it was started
  progress TEXT NOT NULL,              -- JSON: where it stands, and its counts
  error TEXT,
  next_at INTEGER NOT NULL,            -- of the next slice
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- serves: the alarm
CREATE INDEX task_running ON task (next_at) WHERE state = 'running';

-- serves: how many manual tries wait. Retries do not pay for it.
CREATE INDEX due_manual ON due (endpoint, sequence) WHERE kind = 1;
