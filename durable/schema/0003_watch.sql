-- Connections that watch what events of a source are about: such an event is handed to them, too. Additive: the release
-- before still runs on it. Numbers of sources are never used again, so rows of one that is gone mean nothing.
CREATE TABLE watch_wire (
  source INTEGER NOT NULL,
  key TEXT NOT NULL,                   -- what the event is about: of Gmail the mailbox, lower case
  connection TEXT NOT NULL,
  PRIMARY KEY (source, key, connection)
) STRICT, WITHOUT ROWID;
