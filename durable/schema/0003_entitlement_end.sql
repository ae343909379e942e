
-- When time alone changes what a customer may use: of those alone whose access has an end, or had one a while ago that
-- nobody spoke of.
CREATE TABLE entitlement_end (
  customer TEXT PRIMARY KEY NOT NULL,  -- the provider's id
  at INTEGER NOT NULL,                 -- the end, or when the provider is asked before or after it
  said TEXT                            -- JSON: what was told last; NULL: that access is over
) STRICT, WITHOUT ROWID;

-- serves: the alarm
CREATE INDEX entitlement_end_at ON entitlement_end (at);
