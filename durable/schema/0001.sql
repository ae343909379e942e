-- The first schema of a tenant's object. Never edited: what changes is a new number, additive, so that the release
-- before still runs on it.

-- Whose object this is, what its owner set, and the low-water mark.
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;

-- Messages, deliveries and attempts stand in numbered segments; retention drops whole ones.
CREATE TABLE segment (
  number INTEGER PRIMARY KEY,
  first INTEGER NOT NULL,           -- the first sequence number that belongs to it
  opened_at INTEGER NOT NULL,
  size_before INTEGER NOT NULL,     -- bytes of the storage when it was opened, less what was dropped since
  closed_at INTEGER                 -- no hand-outs from then on; dropped when the last lease is over
) STRICT;

-- Dedupe keys stand in generations of their own, kept longer than the messages where retention is short.
CREATE TABLE key_generation (number INTEGER PRIMARY KEY, opened_at INTEGER NOT NULL) STRICT;

-- Numbers are never reused; a deleted endpoint stays as a tombstone until its last message is gone.
CREATE TABLE endpoint (
  number INTEGER PRIMARY KEY,
  random BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  generation INTEGER NOT NULL,         -- raised by disable and delete: cancels manual tries of before
  cancelled_through INTEGER NOT NULL,  -- what is owed at or below it is cancelled
  config TEXT NOT NULL,
  keys TEXT NOT NULL,                  -- signing keys, sealed, newest first: [{sealed, generation, notAfter?}]
  headers TEXT                         -- its own headers, sealed: {sealed, generation}
) STRICT;

CREATE TABLE source (
  number INTEGER PRIMARY KEY,
  random BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  state TEXT NOT NULL,
  generation INTEGER NOT NULL,
  name TEXT NOT NULL,
  provider TEXT NOT NULL,
  uid TEXT,
  config TEXT NOT NULL,
  secrets TEXT NOT NULL,               -- sealed, newest first
  tokens TEXT NOT NULL                 -- [{hash, sealed, generation, notAfter?}], newest first, at most two
) STRICT;

-- Why requests to a source were refused: a ring of 100 each.
CREATE TABLE rejected (
  source INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  time INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (source, slot)
) STRICT, WITHOUT ROWID;

-- Deliveries that wait for a retry or are handed out again: only the failure path pays for this index.
CREATE TABLE due (
  time INTEGER NOT NULL,               -- of the retry; while it is handed out: the end of its lease
  endpoint INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  kind INTEGER NOT NULL,               -- 0 scheduled, 1 manual
  number INTEGER,                      -- of the hand-out that is out; NULL: it waits
  generation INTEGER,                  -- of the endpoint; manual tries only
  PRIMARY KEY (time, endpoint, sequence, kind)
) STRICT, WITHOUT ROWID;

-- Lines that are behind: one row per endpoint (and ordering key) that is held back.
CREATE TABLE backlog (
  endpoint INTEGER NOT NULL,
  line TEXT NOT NULL,                  -- ordering key; '' where there is none
  cursor INTEGER NOT NULL,             -- all before it has a delivery row, is cancelled or gone
  handed INTEGER NOT NULL,             -- end of what was handed out
  until INTEGER NOT NULL,              -- the latest lease over its lanes out; 0: none
  opens_at INTEGER NOT NULL,           -- when the gate opens
  reason TEXT NOT NULL,
  PRIMARY KEY (endpoint, line)
) STRICT, WITHOUT ROWID;

-- Answers of POSTs that make no message, for 24 hours.
CREATE TABLE idempotency (
  hash BLOB NOT NULL PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  noun TEXT NOT NULL,
  number INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
