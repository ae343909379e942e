//! The state machine of one connection.
//!
//! Actors: *browsers* begin attempts and come back from the provider; the *edge* leases tokens and asks how it stands; the
//! *alarm* refreshes ahead of time, renews watches, checks health and tells what is to be told. Whatever needs the network,
//! the directory or `WebCrypto` is an [`Errand`]: the machine hands it out, the shell does it and brings its end back.
//! Anything between them can be lost.
//!
//! Guaranteed, after every step:
//! 1. A state is claimed once; a code is sent at most once.
//! 2. At most one refresh is in the air. Its intent is stored before it leaves, its tokens before anybody sees them.
//! 3. A refresh token that may be spent is not shown again to a provider that would end the grant for it, but for the one
//!    time that is written down.
//! 4. Every change of state is told to the tenant once.
//! 5. No secret stands in storage unsealed, and none at all after a disconnect or a reset.
//!
//! Nothing here knows the platform: SQL, time and randomness come in, errands go out as values.
#![forbid(unsafe_code)]

mod errand;

pub use errand::{AppRow, Done, Errand, RowOut, Task};
