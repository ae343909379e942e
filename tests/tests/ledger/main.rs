//! The state machine of one tenant, as its specification reads.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod accept;
mod eviction;
mod handout;
mod lists;
mod manual;
mod ownership;
mod results;
mod retention;
mod secrets;
mod size;
mod tasks;
