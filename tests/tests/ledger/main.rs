//! The state machine of one tenant, as its specification reads.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod accept;
mod connections;
mod entitlement;
mod eviction;
mod gates;
mod handout;
mod keeping;
mod lists;
mod manual;
mod moving;
mod operational;
mod ownership;
mod polling;
mod publish;
mod reads;
mod receiving;
mod reseal;
mod results;
mod retention;
mod routing;
mod schedules;
mod secrets;
mod signing;
mod size;
mod tasks;
mod watching;
