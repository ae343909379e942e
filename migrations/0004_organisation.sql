-- What an organisation decides of its event types, a copy of each tenant's retention, and revoked tokens.

-- group_name: where catalogues show it. feature_flags: JSON, all of them; feature_flag is the first, which the release
-- before reads and writes. retry_schedule: JSON, seconds between tries; NULL: the tenant's, else the default.
ALTER TABLE event_type ADD COLUMN group_name TEXT;
ALTER TABLE event_type ADD COLUMN feature_flags TEXT;
ALTER TABLE event_type ADD COLUMN retry_schedule TEXT;

-- serves: the consumer, which asks after a failed delivery
CREATE INDEX event_type_scheduled ON event_type (organisation, name) WHERE retry_schedule IS NOT NULL;

-- A copy, for lists, of what the tenant's object owns: days; NULL: as the deployment says.
ALTER TABLE application ADD COLUMN retention_days INTEGER;

-- Tokens of one tenant that are not believed any more. kind: `all`, `session` (name: the session's) or `token` (name: a
-- digest of what is signed). It counts from effective_at on for tokens issued at issued_until or before. Rows go at
-- expires_at, when no such token can be left.
CREATE TABLE revocation (
  application  TEXT    NOT NULL,
  kind         TEXT    NOT NULL CHECK (kind IN ('all', 'session', 'token')),
  name         TEXT    NOT NULL,
  issued_until INTEGER NOT NULL,
  effective_at INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  PRIMARY KEY (application, kind, name, issued_until)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocation_expires ON revocation (expires_at);
