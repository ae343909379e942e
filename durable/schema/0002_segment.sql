-- What 0002 adds to the tables of a segment; {s} is its number. Only columns of `delivery` and `attempt`, whose writers
-- name them, and tables of their own.

-- Headers of an attempt, up to 2 KiB each: sent as [[name, value or null for a secret]], answered as [[name, value]].
ALTER TABLE delivery_{s} ADD COLUMN sent_headers TEXT;
ALTER TABLE delivery_{s} ADD COLUMN response_headers TEXT;
ALTER TABLE attempt_{s} ADD COLUMN sent_headers TEXT;
ALTER TABLE attempt_{s} ADD COLUMN response_headers TEXT;
