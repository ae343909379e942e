-- The version of the master key that a connection's secrets are sealed with, as its object told last; NULL: there are none.
ALTER TABLE connection ADD COLUMN key_version INTEGER;

-- serves: sealing anew under a new master key, and how many are left
CREATE INDEX connection_key ON connection (key_version, id) WHERE key_version IS NOT NULL;
