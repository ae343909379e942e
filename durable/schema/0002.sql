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
  reason TEXT NOT NULL                 -- why: breaker_open, paused
) STRICT;

-- Asymmetric signing keys, sealed, newest first: [{sealed, generation, public, notAfter?}]. Beside `keys`, which the
-- release before reads as symmetric ones.
ALTER TABLE endpoint ADD COLUMN asymmetric TEXT;

-- A signature of an older kind beside the standard ones: {header, algorithm, …, sealed, generation, hint}.
ALTER TABLE endpoint ADD COLUMN legacy TEXT;
