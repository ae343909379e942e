//! Postern's Durable Objects: thin shells. What they do is decided in the state machines of their own packages, which see
//! SQL, time and randomness only through traits.

mod clock;
mod random;
mod storage;
mod tenant;

pub use tenant::Tenant;
