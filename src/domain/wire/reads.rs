//! What is read back beyond the plain lists: deliveries from both of their ends, what failed for good, statistics; and
//! taking contents away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{AttemptFilter, MessageFilter, PageOf};
use super::endpoint::EndpointView;
use super::message::{DeliveryStatus, MessageView};
use crate::id::EndpointId;
use crate::outcome::Cause;
use crate::time::Millis;

/// See [`super::call::Call::AttemptGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptGet {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Id, as it stood in the path.
    pub attempt: String,
}

/// See [`super::call::Call::AttemptExpunge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExpunge {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Id, as it stood in the path.
    pub attempt: String,
}

/// See [`super::call::Call::AttemptCount`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCount {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// With these bounds and filters.
    pub filter: AttemptFilter,
}

/// The answer to [`AttemptCount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many there are.
    pub count: u64,
    /// There are too many to look at each.
    pub approximated: bool,
}

/// See [`super::call::Call::MessageExpunge`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageExpunge {
    /// Ids, or the publisher's event ids.
    pub messages: Vec<String>,
}

/// The answer to [`MessageExpunge`]: of each, in order, whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expunged {
    /// False: there is no such message.
    pub found: Vec<bool>,
}

/// Why a delivery that is not settled is not on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The plan says when it is tried again.
    Schedule,
    /// The endpoint said when it wants to be asked again.
    RetryAfter,
    /// The endpoint's or the tenant's rate.
    RateLimited,
    /// The endpoint failed too often, and is asked rarely until it answers.
    BreakerOpen,
    /// Nothing is sent to the endpoint for a while.
    Paused,
    /// One before it in its line is not settled.
    Ordering,
    /// As much as may be is on its way to the endpoint.
    Capacity,
}

/// Why a delivery waits, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitsFor {
    /// Why.
    pub reason: WaitReason,
    /// When that ends; none: it is not known.
    #[serde(default)]
    pub until: Option<Millis>,
}

/// What a list of deliveries may be narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeliveryFilter {
    /// Of messages with these.
    #[serde(flatten)]
    pub message: MessageFilter,
    /// That stand so; [`DeliveryStatus::Failed`] means those that were cancelled, too, as Svix has one number for both.
    #[serde(default)]
    pub status: Option<DeliveryStatus>,
}

/// See [`super::call::Call::MessagesOfEndpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagesOfEndpoint {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// Which part.
    pub page: PageOf,
    /// With these bounds and filters.
    pub filter: DeliveryFilter,
    /// The bodies too.
    pub with_content: bool,
}

/// A message as one endpoint has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointMessageView {
    /// What.
    pub message: MessageView,
    /// Where its delivery stands.
    pub status: DeliveryStatus,
    /// When it is tried next, if it waits.
    #[serde(default)]
    pub next_attempt: Option<Millis>,
    /// Why it waits.
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
}

/// See [`super::call::Call::EndpointsOfMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsOfMessage {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Which part.
    pub page: PageOf,
}

/// An endpoint that a message was decided for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEndpointView {
    /// Where to.
    pub endpoint: EndpointView,
    /// It was deleted since.
    #[serde(default)]
    pub deleted: bool,
    /// Where the delivery stands.
    pub status: DeliveryStatus,
    /// When it is tried next, if it waits.
    #[serde(default)]
    pub next_attempt: Option<Millis>,
    /// Why it waits.
    #[serde(default)]
    pub waits_for: Option<WaitsFor>,
}

/// See [`super::call::Call::FailedList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedList {
    /// Id or `uid` of one endpoint; none: all of the tenant's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Which part.
    pub page: PageOf,
    /// Of messages with these.
    pub filter: MessageFilter,
    /// The bodies too.
    pub with_content: bool,
}

/// A delivery that failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedView {
    /// What.
    pub message: MessageView,
    /// Where to.
    pub endpoint: EndpointId,
    /// Recorded attempts of the plan.
    pub attempts: u32,
    /// Why the latest attempt failed.
    #[serde(default)]
    pub cause: Option<Cause>,
    /// The status of the latest answer; none: no answer came.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// When its delivery was last written to.
    pub failed_at: Millis,
}

/// See [`super::call::Call::EndpointStats`]. Counted in whole hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// Of messages that came since the beginning of this hour.
    #[serde(default)]
    pub since: Option<Millis>,
    /// And until the end of this one.
    #[serde(default)]
    pub until: Option<Millis>,
}

/// Deliveries by where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// Never tried yet.
    pub pending: u64,
    /// Tried, and waiting for the next try.
    pub waiting: u64,
    /// Delivered.
    pub delivered: u64,
    /// Failed for good.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}

/// See [`super::call::Call::AttemptStats`]. Counted in whole hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStats {
    /// From the beginning of this hour.
    pub since: Millis,
    /// To the end of this one.
    pub until: Millis,
    /// Of these types only.
    #[serde(default)]
    pub event_types: Option<Vec<String>>,
}

/// Attempts by how they ended, and deliveries that were cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// Answered with 2xx, by the time of the attempt.
    pub succeeded: u64,
    /// Anything else, by the time of the attempt.
    pub failed: u64,
    /// Cancelled, by the time of the message.
    pub cancelled: u64,
}

/// The answer to [`AttemptStats`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptsCounted {
    /// By event type.
    pub types: BTreeMap<String, AttemptCounts>,
    /// What was counted, in whole hours.
    pub since: Millis,
    /// Its end.
    pub until: Millis,
}

/// See [`super::call::Call::Usage`]. Counted in whole hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From the beginning of this hour.
    pub since: Millis,
    /// To the end of this one.
    pub until: Millis,
}

/// What a tenant used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    /// Messages that were accepted.
    pub messages: u64,
    /// Attempts that succeeded.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries of these messages.
    pub deliveries: DeliveryCounts,
}

/// See [`super::call::Call::RateLimitStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimitStatus {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// The answer to [`RateLimitStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimited {
    /// The time of the oldest message that its rate holds back; none: nothing is held back.
    #[serde(default)]
    pub since: Option<Millis>,
}

/// See [`super::call::Call::Precheck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precheck {
    /// The event's type.
    pub event_type: String,
    /// Channels that it would be published to.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
}

/// The answer to [`Precheck`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prechecked {
    /// An endpoint would get such a message now.
    pub active: bool,
}
