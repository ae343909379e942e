-- The tables of one segment; {s} is its number. Small columns first: the body lies in overflow pages that nobody reads
-- unless it is asked for.

CREATE TABLE message_{s} (
  sequence INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  owed TEXT NOT NULL,                  -- numbers of the endpoints that matched at accept, with commas
  random BLOB NOT NULL,
  nonce INTEGER NOT NULL,
  type TEXT NOT NULL,
  source INTEGER,
  hop INTEGER NOT NULL,
  event_id TEXT,
  channels TEXT,
  not_sent TEXT,
  content_type TEXT NOT NULL,
  headers TEXT,
  body BLOB NOT NULL
) STRICT;

-- Written when the first result comes or the first lease is lost; the first attempt stands inside.
CREATE TABLE delivery_{s} (
  endpoint INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  state INTEGER NOT NULL,              -- 0 delivered, 1 waiting, 2 failed, 3 cancelled
  attempts INTEGER NOT NULL,           -- recorded attempts of the plan
  updated_at INTEGER NOT NULL,
  next_at INTEGER,                     -- of the next try, while it waits
  numbers TEXT,                        -- of the attempts that stand in attempt_{s}
  number INTEGER,                      -- the first attempt, from here on
  time INTEGER,
  ok INTEGER,
  status INTEGER,
  duration INTEGER,
  cause TEXT,
  url TEXT,
  response BLOB,
  PRIMARY KEY (endpoint, sequence)
) STRICT, WITHOUT ROWID;

-- serves: the list of what failed for good, and its redrive
CREATE INDEX failed_{s} ON delivery_{s} (endpoint, sequence) WHERE state = 2;

-- Every later, late or manual try.
CREATE TABLE attempt_{s} (
  endpoint INTEGER NOT NULL,
  number INTEGER NOT NULL,             -- of the hand-out: a time
  sequence INTEGER NOT NULL,
  kind INTEGER NOT NULL,               -- 0 scheduled, 1 manual, 2 late: changed nothing
  time INTEGER NOT NULL,
  ok INTEGER NOT NULL,
  status INTEGER,
  duration INTEGER NOT NULL,
  cause TEXT,
  url TEXT NOT NULL,
  response BLOB NOT NULL,
  PRIMARY KEY (endpoint, number, sequence)
) STRICT, WITHOUT ROWID;
