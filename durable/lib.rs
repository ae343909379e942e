//! Postern's Durable Objects: thin shells. What they do is decided in the state machines of their own packages, which see
//! SQL, time and randomness only through traits.

#![expect(missing_docs, reason = "the object macro's own functions have none")]

mod app_directory;
mod bodies;
mod connection;
mod connection_directory;
mod directory;
mod errand;
mod random;
mod storage;
mod tenant;
mod watchers;

pub use connection::Connection;
pub use tenant::Tenant;
