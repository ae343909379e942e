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
