-- What was erased, and when. Of the tenant it keeps the SHA-256 of its id and nothing else: whoever knows the id can
-- prove with it that the tenant is gone, and nobody learns from it who it was.
CREATE TABLE erasure (
  tenant       TEXT    NOT NULL PRIMARY KEY,
  organisation TEXT    NOT NULL,
  told         TEXT,                     -- JSON: what there was; NULL: under way
  asked_at     INTEGER NOT NULL,
  erased_at    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX erasure_asked ON erasure (organisation, asked_at, tenant);

-- What an erasure has to find in the directory, by key.
CREATE INDEX background_task_application ON background_task (application) WHERE application IS NOT NULL;
ALTER TABLE idempotency ADD COLUMN made TEXT GENERATED ALWAYS AS
  (iif(json_valid(answer), CAST(json_extract(answer, '$.id') AS TEXT), NULL)) VIRTUAL;
CREATE INDEX idempotency_made ON idempotency (made) WHERE made IS NOT NULL;
