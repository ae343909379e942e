-- What 0002 adds to the tables of a segment; {s} is its number. Only columns of `delivery` and `attempt`, whose writers
-- name them, and tables of their own.

-- Which line a message stands in at an endpoint with an ordering key.
CREATE TABLE ordered_{s} (
  endpoint INTEGER NOT NULL,
  line TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (endpoint, line, sequence)
) STRICT, WITHOUT ROWID;
-- Headers of an attempt, up to 2 KiB each: sent as [[name, value or null for a secret]], answered as [[name, value]].
ALTER TABLE delivery_{s} ADD COLUMN sent_headers TEXT;
ALTER TABLE delivery_{s} ADD COLUMN response_headers TEXT;
ALTER TABLE attempt_{s} ADD COLUMN sent_headers TEXT;
ALTER TABLE attempt_{s} ADD COLUMN response_headers TEXT;

-- Manual tries where no delivery row says so: of an endpoint that the message was not owed to, and those that ended before
-- the first try of the plan did. endpoint 0: the message is for the endpoints that are named alone, and nobody missed it.
CREATE TABLE extra_{s} (
  sequence INTEGER NOT NULL,
  endpoint INTEGER NOT NULL,
  numbers TEXT,                        -- of attempts in attempt_{s} that no delivery row names
  PRIMARY KEY (sequence, endpoint)
) STRICT, WITHOUT ROWID;
