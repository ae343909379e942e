//! The state machine of one connection, as its specification reads.
#![expect(clippy::unwrap_used, reason = "a test may")]

mod apps;
mod browser;
mod checks;
mod connect;
mod connect_checks;
mod connect_otherwise;
mod ending;
mod history;
mod keys;
mod leases;
mod limits;
mod lost;
mod outcomes;
mod ownership;
mod refreshes;
mod routing;
mod sealing;
mod simulation;
mod telling;
mod token_reads;
mod watch;
mod watch_calendar;
