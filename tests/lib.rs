//! What the native tests in `tests/` stand on: a tenant's ledger with a clock, a queue and randomness that a test holds.

pub mod storage;
pub mod tenant;
