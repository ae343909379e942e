//! A lane: deliveries of one endpoint that leave together, with all that is needed to send them.
//!
//! A lane is a [`super::frame`]: this head, then each body once. Nothing in it is usable without the master key: signing
//! keys travel sealed, and so do the endpoint's own headers.

use serde::{Deserialize, Serialize};

use super::endpoint::HeaderNames;
use super::inbound::Forwarded;
use super::message::Trigger;
use super::signing::SealedLegacy;
use crate::id::{ConnectionId, EndpointId, MessageId, OrganisationId, TenantId};
use crate::time::Millis;

/// Deliveries in a lane at the most.
pub const MAX_DELIVERIES: usize = 32;

/// Bytes of a lane at the most: queue operations are billed per 64 KB.
pub const MAX_BYTES: usize = 60_000;

/// The head of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// [`super::VERSION`] of the writer.
    pub v: u8,
    /// Whose.
    pub tenant: TenantId,
    /// Whose tenant: for what the directory alone knows about its event types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// Where to; its sequence is the endpoint's number.
    pub endpoint: EndpointId,
    /// The URL, as the rule judged it when the endpoint was saved; it is judged again before the send.
    pub url: String,
    /// The endpoint's own headers, sealed ([`crate::seal`], base64), with the generation; none: it has none.
    #[serde(default)]
    pub headers: Option<SealedPart>,
    /// Signing keys, sealed, the newest first: each signs.
    pub keys: Vec<SealedPart>,
    /// The same of asymmetric keys. The release before does not know them, and reads every one of `keys` as symmetric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asymmetric_keys: Vec<SealedPart>,
    /// A signature of an older kind beside the standard ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<SealedLegacy>,
    /// The connection whose token the requests carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// Names of the signature's headers.
    #[serde(default)]
    pub header_names: HeaderNames,
    /// Sends at the same time, at the most.
    pub concurrency: u8,
    /// One after another, and none after one that did not arrive.
    #[serde(default)]
    pub ordered: bool,
    /// What to send, in order.
    pub deliveries: Vec<Handout>,
}

/// A sealed value with the generation that it was sealed under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedPart {
    /// Base64 of [`crate::seal`]'s blob.
    pub sealed: String,
    /// The row's generation when it was sealed.
    pub generation: u64,
}

/// One delivery handed out: a number of its own and a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handout {
    /// The message.
    pub message: MessageId,
    /// The hand-out number, unique in the endpoint, new at every hand-out.
    pub number: u64,
    /// The lease: a send begins only if it can end before this.
    pub until: Millis,
    /// Who asked for the attempt.
    #[serde(default)]
    pub trigger: Trigger,
    /// The event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Of the body.
    pub content_type: String,
    /// The hop counter that the request carries.
    #[serde(default)]
    pub hop: u8,
    /// Which of the frame's bodies; none: too large for a queue message, to be fetched from the object.
    #[serde(default)]
    pub body: Option<u16>,
    /// Of a webhook: what is sent beside its body. In a box: most messages are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Box<Forwarded>>,
}
