//! What the consumer tells a tenant's object, and what it hears back.

use serde::{Deserialize, Serialize};

use super::message::Trigger;
use crate::id::MessageId;
use crate::outcome::Cause;
use crate::schedule::Schedule;
use crate::time::Millis;

/// Results of one lane. Partial reports come as results come; the last one is `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The endpoint's number.
    pub endpoint: u32,
    /// Each with its response's body beside the head, in this order.
    pub results: Vec<SendResult>,
    /// Nothing more comes of this lane. A partial report ends no lane.
    #[serde(default)]
    pub last: bool,
}

/// See [`super::call::Call::Stalled`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stalled {
    /// Their numbers.
    pub endpoints: Vec<u32>,
}

/// How one hand-out ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendResult {
    /// Of which message.
    pub message: MessageId,
    /// Of which hand-out.
    pub number: u64,
    /// The hand-out's lease: together with the number it says whether this result is of the current one.
    pub until: Millis,
    /// Who asked for the attempt.
    #[serde(default)]
    pub trigger: Trigger,
    /// When the request was begun.
    pub started_at: Millis,
    /// From opening the connection to the end of the body.
    pub duration_ms: u32,
    /// Waited for a permit before that.
    #[serde(default)]
    pub waited_ms: u32,
    /// The URL that was called, without the values of its query.
    pub url: String,
    /// The answer's status, if there was one.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why it failed; none: it succeeded.
    #[serde(flatten, with = "crate::outcome::on_the_wire")]
    pub cause: Option<Cause>,
    /// `Retry-After`, as milliseconds from the answer.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// The event type's own waits between tries, of a failure: the consumer looks them up in the directory, which the
    /// object never asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Headers that were sent; without a value: it is a secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent_headers: Vec<SentHeader>,
    /// Headers of the answer, without cookies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<(String, String)>,
}

/// Name and value of a header that was sent; no value: it is a secret.
pub type SentHeader = (String, Option<String>);
