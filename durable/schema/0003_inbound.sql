-- What receiving needs. Additive: the release before still runs on it. Tables of the object and not of a segment, because
-- that release opens segments without them.

-- Of a source, beside its row: what its owner chose, and what is seen of it. The release before rewrites `source` without
-- knowing of this.
CREATE TABLE source_more (
  number INTEGER PRIMARY KEY,
  options TEXT NOT NULL,               -- JSON
  seen TEXT NOT NULL                   -- JSON; lags by up to an hour
) STRICT;

-- Requests that were refused: a ring of 100 for each source, without credentials, up to 4 KiB of the body.
CREATE TABLE refused (
  source INTEGER NOT NULL,
  slot INTEGER NOT NULL,               -- number modulo 100
  number INTEGER NOT NULL,
  time INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  request TEXT NOT NULL,               -- JSON: {method, url, headers, size}
  body BLOB NOT NULL,
  PRIMARY KEY (source, slot)
) STRICT, WITHOUT ROWID;

-- How many were refused, by hour and reason: also those that the ring has no room for.
CREATE TABLE refusal_count (
  source INTEGER NOT NULL,
  hour INTEGER NOT NULL,               -- since 1970
  reason TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (source, hour, reason)
) STRICT, WITHOUT ROWID;

-- Messages that their provider sent again. Goes with the message.
CREATE TABLE duplicate (
  sequence INTEGER PRIMARY KEY,        -- of the first
  count INTEGER NOT NULL,
  changed INTEGER NOT NULL,            -- of these, how many had another body
  retry INTEGER NOT NULL,              -- the provider's own count, as far as it says one
  last_at INTEGER NOT NULL
) STRICT;

-- A request of several events, as it came: its messages hold their parts. Goes with the messages.
CREATE TABLE request (
  sequence INTEGER PRIMARY KEY,        -- of the first message that it made
  count INTEGER NOT NULL,
  content_type TEXT NOT NULL,
  body BLOB NOT NULL
) STRICT;
