-- Whom a tenant's owner wants to have told when its endpoints fail. The object keeps a copy, for operational messages.
ALTER TABLE application ADD COLUMN alert_email TEXT;

-- What a broadcast publishes, while its task runs. Progress stands in background_task, so that it can be written often
-- without the body.
CREATE TABLE broadcast (
  task         TEXT    NOT NULL PRIMARY KEY,
  event_type   TEXT    NOT NULL,
  event_id     TEXT,
  channels     TEXT,                     -- a JSON list
  hop          INTEGER NOT NULL,
  payload      TEXT    NOT NULL
) STRICT;
