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
