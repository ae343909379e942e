-- Who may use what, of tenants that asked for it: nothing stands here of the others. The rules stand in `meta`.

-- What is known of each purchase; of what was bought nothing is judged before somebody asks.
CREATE TABLE entitlement (
  customer TEXT NOT NULL,              -- the provider's id
  provider TEXT NOT NULL,
  item TEXT NOT NULL,                  -- the provider's id of the purchase; '': of the customer as a whole
  known TEXT NOT NULL,                 -- JSON: facts, and how new they are
  PRIMARY KEY (customer, provider, item)
) STRICT, WITHOUT ROWID;

-- Other names of customers.
CREATE TABLE entitlement_alias (
  alias TEXT NOT NULL,
  provider TEXT NOT NULL,
  customer TEXT NOT NULL,
  PRIMARY KEY (alias, provider, customer)
) STRICT, WITHOUT ROWID;

-- serves: the names of a customer, for what is told of it
CREATE INDEX entitlement_alias_of ON entitlement_alias (customer, provider);

-- Providers' own objects, as they were last seen.
CREATE TABLE entitlement_object (
  customer TEXT NOT NULL,
  provider TEXT NOT NULL,
  kind TEXT NOT NULL,                  -- customer, subscription
  id TEXT NOT NULL,
  at INTEGER NOT NULL,                 -- the provider's time of it
  object TEXT,                         -- JSON; NULL: it was too large to be kept
  PRIMARY KEY (customer, provider, kind, id)
) STRICT, WITHOUT ROWID;

-- Customers whose provider is to be asked again.
CREATE TABLE entitlement_stale (
  customer TEXT NOT NULL,
  provider TEXT NOT NULL,
  since INTEGER NOT NULL,              -- of the latest event: an answer that was asked for before it is not the last word
  next_at INTEGER NOT NULL,            -- when it is asked; while somebody asks: the end of the lease
  tries INTEGER NOT NULL,              -- that failed
  error TEXT,                          -- of the last one
  PRIMARY KEY (customer, provider)
) STRICT, WITHOUT ROWID;

-- serves: the alarm
CREATE INDEX entitlement_stale_at ON entitlement_stale (next_at);

-- What a dry run of a backfill found, until the next one.
CREATE TABLE entitlement_found (
  task TEXT NOT NULL,
  customer TEXT NOT NULL,              -- by the name in the table, else the provider's id
  item TEXT NOT NULL,
  known TEXT NOT NULL,
  PRIMARY KEY (task, customer, item)
) STRICT, WITHOUT ROWID;

-- The table that it is compared with.
CREATE TABLE entitlement_expected (
  task TEXT NOT NULL,
  customer TEXT NOT NULL,
  plan TEXT,                           -- NULL: none
  PRIMARY KEY (task, customer)
) STRICT, WITHOUT ROWID;
