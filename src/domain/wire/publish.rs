//! Publishing several messages at once, and one that needs what a plain accept does not carry.
//!
//! A release that does not know this call refuses it, so that a message which shall wait is never sent at once.

use serde::{Deserialize, Serialize};

use super::call::Idempotency;
use super::message::MessageView;
use crate::id::EndpointId;
use crate::time::Millis;

/// Messages in one call at the most.
pub const MAX_BATCH: usize = 100;

/// See [`super::call::Call::AcceptBatch`]. The bodies stand beside it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptBatch {
    /// Random, the same in a repeat.
    pub nonce: u64,
    /// The edge's clock at the first try.
    pub sent_at: Millis,
    /// An earlier try may have stood: look for its nonce first.
    #[serde(default)]
    pub repeat: bool,
    /// The hop counter that came with the request.
    #[serde(default)]
    pub hop: u8,
    /// `Idempotency-Key` of the request: of all messages together.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
    /// One message that was published alone: what is wrong with it is told without its place in a list.
    #[serde(default)]
    pub alone: bool,
    /// At most [`MAX_BATCH`].
    pub messages: Vec<NewMessage>,
}

/// One message of an [`AcceptBatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMessage {
    /// The event's type.
    pub event_type: String,
    /// The publisher's id of the event: unique.
    #[serde(default)]
    pub event_id: Option<String>,
    /// Channels that it is published to.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// The publisher's labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Of the body.
    pub content_type: String,
    /// Its deliveries leave then; none, or not in the future: at once.
    #[serde(default)]
    pub deliver_at: Option<Millis>,
    /// See [`super::call::Accept::payload_hours`].
    #[serde(default)]
    pub payload_hours: Option<u16>,
}

/// The answer to [`AcceptBatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchAccepted {
    /// In the order of the call.
    pub messages: Vec<MessageView>,
    /// They were there already, all of them.
    #[serde(default)]
    pub duplicate: bool,
}

/// An endpoint that a message did not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub endpoint: EndpointId,
    /// Why not.
    pub reason: SkipReason,
}

/// Why a message is not for an endpoint. Decided when it was accepted; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// It came through too many gateways.
    Hop,
    /// The endpoint was disabled.
    Disabled,
    /// The endpoint does not want its event type.
    Type,
    /// The endpoint listens on channels that it was not published to.
    Channel,
    /// The endpoint's filter does not match.
    Filter,
    /// Written by a release that knows more.
    #[serde(other)]
    Unknown,
}

impl SkipReason {
    /// For people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Hop => "The message came through too many gateways; two that point at each other stop here",
            Self::Disabled => "The endpoint was disabled when the message was accepted",
            Self::Type => "The endpoint does not want this event type",
            Self::Channel => "The endpoint listens on channels that the message was not published to",
            Self::Filter => "The endpoint's filter does not match the message",
            Self::Unknown => "For a reason that a newer release knows",
        }
    }

    /// In a sum: "2 by event type".
    #[must_use]
    pub const fn counted(self) -> &'static str {
        match self {
            Self::Hop => "by the number of gateways",
            Self::Disabled => "disabled",
            Self::Type => "by event type",
            Self::Channel => "by channel",
            Self::Filter => "by filter",
            Self::Unknown => "for another reason",
        }
    }
}
