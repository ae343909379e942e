-- OAuth apps whose connections claim routing keys of an app-level source, each for its tenant. The operator's apps alone.
CREATE TABLE route_feed (
  organisation TEXT    NOT NULL,
  source       TEXT    NOT NULL,
  app          TEXT    NOT NULL,
  PRIMARY KEY (organisation, source, app)
) STRICT, WITHOUT ROWID;

-- serves: whose caches a changed claim is in, and the deletion of an app
CREATE INDEX route_feed_app ON route_feed (app);

-- What a provider's webhooks call the account of a connection, as its object told it with its row. A claim for every
-- source that the connection's app feeds.
CREATE TABLE connection_route (
  app          TEXT    NOT NULL,
  key          TEXT    NOT NULL,
  application  TEXT    NOT NULL,
  connection   TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (app, key, application, connection)
) STRICT, WITHOUT ROWID;

-- serves: a connection that changes or ends, and the deletion of a tenant
CREATE INDEX connection_route_connection ON connection_route (connection);
CREATE INDEX connection_route_application ON connection_route (application);
