//! A bound on how long something may take.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use worker::Delay;

/// What `work` gives, or none when `ms` have passed first. The work is dropped then: whatever it had asked of others may
/// still happen.
pub async fn within<T>(ms: u64, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(pause(ms))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(((), _)) => None,
    }
}

/// Nothing, for `ms`.
pub async fn pause(ms: u64) {
    Delay::from(Duration::from_millis(ms)).await;
}
