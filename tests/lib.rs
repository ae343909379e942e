//! What the native tests in `tests/` stand on: a tenant's ledger and a connection's machine with a clock, a queue, a provider
//! and randomness that a test holds.

pub mod connection;
pub mod google;
pub mod peer;
pub mod storage;
pub mod tenant;
