//! A delivery's standing, as it is shown.

use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::reads::{WaitReason, WaitsFor};
use serde::Serialize;

/// Svix's number and word. What was cancelled is what failed, to its clients.
pub(crate) const fn status(status: DeliveryStatus) -> (u8, &'static str) {
    match status {
        DeliveryStatus::Delivered => (0, "success"),
        DeliveryStatus::Pending => (1, "pending"),
        DeliveryStatus::Failed | DeliveryStatus::Cancelled => (2, "fail"),
        DeliveryStatus::Waiting => (3, "sending"),
    }
}

/// Why a delivery waits.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct WaitsForOut {
    /// `schedule`, `retry_after`, `rate_limited`, `breaker_open`, `paused`, `ordering` or `capacity`.
    #[cfg_attr(test, schemars(with = "String"))]
    reason: WaitReason,
    /// Null: it is not known.
    until: Option<String>,
}

impl WaitsForOut {
    /// Of what the object says.
    pub(crate) fn new(waits: WaitsFor) -> Self {
        Self {
            reason: waits.reason,
            until: waits.until.map(Millis::to_rfc3339),
        }
    }
}
