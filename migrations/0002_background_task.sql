-- Long jobs over all that an organisation has. One row a job; what an object works on is told by the object when the
-- row is read, and what stands here of it is a summary. state: running, finished, failed, cancelled.
CREATE TABLE background_task (
  id           TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  application  TEXT,                     -- whose object does it; NULL: it goes over several
  kind         TEXT    NOT NULL,         -- Svix's word: endpoint.recover, message.broadcast …
  state        TEXT    NOT NULL CHECK (state IN ('running', 'finished', 'failed', 'cancelled')),
  data         TEXT    NOT NULL,         -- JSON: what was asked, how far it is, why it failed
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids begin with the time they were made at.
CREATE INDEX background_task_made ON background_task (organisation, id);
CREATE INDEX background_task_running ON background_task (updated_at) WHERE state = 'running';
