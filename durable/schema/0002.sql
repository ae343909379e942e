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
