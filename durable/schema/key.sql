-- One generation of dedupe keys; {g} is its number. A duplicate is answered after its message is gone, so the row keeps
-- all that the message's id is made of.

CREATE TABLE key_{g} (
  scope INTEGER NOT NULL,              -- a source's number; 0: eventId; -1: Idempotency-Key; -2: nonce of a repeat
  hash BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  time INTEGER NOT NULL,
  random BLOB NOT NULL,
  fingerprint BLOB,                    -- of the request's body; Idempotency-Key only
  PRIMARY KEY (scope, hash)
) STRICT, WITHOUT ROWID;
