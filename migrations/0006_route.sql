-- Who gets what comes through an organisation's app-level sources: which tenants claim which routing key. Several may
-- claim one. Read by the organisation's own object behind an accept, never on its way.
CREATE TABLE route (
  organisation TEXT    NOT NULL,
  source       TEXT    NOT NULL,
  key          TEXT    NOT NULL,         -- the provider's name of an account: a team, a shop, an installation
  application  TEXT    NOT NULL,
  origin       TEXT    NOT NULL,         -- hand, or the connection that claims it
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (organisation, source, key, application)
) STRICT, WITHOUT ROWID;

-- serves: the deletion of a tenant
CREATE INDEX route_application ON route (application);
