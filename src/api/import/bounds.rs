//! How much one request of an import may do: the platform bounds what an invocation may ask of others, and nobody waits
//! for ever.

use std::cell::Cell;

use postern_domain::time::Millis;
use postern_platform::clock;

/// Requests to the other server, to objects and to the directory. A page of endpoints that was begun is finished, which
/// is up to a hundred more: together below the platform's thousand.
const REQUESTS: u32 = 700;

/// Applications.
const APPLICATIONS: u32 = 50;

/// From the request's beginning.
const TIME_MS: u64 = 20_000;

/// What is left.
pub(super) struct Bounds {
    requests: Cell<u32>,
    applications: Cell<u32>,
    until: Millis,
}

impl Bounds {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            requests: Cell::new(REQUESTS),
            applications: Cell::new(APPLICATIONS),
            until: now.plus(TIME_MS),
        }
    }

    /// So many requests are made.
    pub(super) fn spend(&self, requests: u32) {
        self.requests.set(self.requests.get().saturating_sub(requests));
    }

    /// An application is begun.
    pub(super) fn begin_application(&self) {
        self.applications.set(self.applications.get().saturating_sub(1));
    }

    /// Whether nothing further may be begun.
    pub(super) fn are_reached(&self) -> bool {
        self.requests.get() == 0 || self.applications.get() == 0 || clock::now() >= self.until
    }
}
