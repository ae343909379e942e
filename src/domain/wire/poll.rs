//! Endpoints that are polled: what they have next, who stands where, and the tokens of those who ask.

use serde::{Deserialize, Serialize};

use super::follow::LogPage;
use crate::id::{EndpointId, OrganisationId};
use crate::time::Millis;

/// Authority over one poller, as its token says: the object compares all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerKey {
    /// Whose tenant it is.
    pub organisation: OrganisationId,
    /// The endpoint's number.
    pub endpoint: u32,
    /// Half of the SHA-256 of the token's random part.
    pub hash: [u8; 16],
}

/// See [`super::call::Call::Poll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// Id or `uid` of the endpoint, as it stood in the path.
    pub sink: String,
    /// 1 to 250.
    pub limit: u16,
    /// From an answer before; none: from the endpoint's beginning.
    #[serde(default)]
    pub iterator: Option<String>,
    /// Of this type only.
    #[serde(default)]
    pub event_type: Option<String>,
    /// Of this channel only.
    #[serde(default)]
    pub channel: Option<String>,
    /// Later than.
    #[serde(default)]
    pub after: Option<Millis>,
}

/// See [`super::call::Call::ConsumerPoll`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerPoll {
    /// Id or `uid` of the endpoint, as it stood in the path.
    pub sink: String,
    /// The consumer's own name.
    pub consumer: String,
    /// 1 to 250.
    pub limit: u16,
    /// From the last answer: what that brought is done with, and the consumer moves on. None: it stays where it stands.
    #[serde(default)]
    pub iterator: Option<String>,
}

/// See [`super::call::Call::ConsumerSeek`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerSeek {
    /// Id or `uid` of the endpoint, as it stood in the path.
    pub sink: String,
    /// The consumer's own name.
    pub consumer: String,
    /// It goes on with what is later than.
    pub after: Millis,
}

/// The answer to a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// What there is.
    pub page: LogPage,
    /// Where the next poll begins: always there.
    pub iterator: String,
}

/// The answer to [`ConsumerSeek`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// Where the consumer stands now.
    pub iterator: String,
}

/// See [`super::call::Call::PollerTokenGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerTokenGet {
    /// Id or `uid` of the endpoint, as it stood in the path.
    pub endpoint: String,
}

/// See [`super::call::Call::PollerTokenRotate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerTokenRotate {
    /// Id or `uid` of the endpoint, as it stood in the path.
    pub endpoint: String,
    /// The new one ends then; none: when it is replaced.
    #[serde(default)]
    pub expiry_seconds: Option<u32>,
    /// The old one ends then.
    pub old_expiry_seconds: u32,
}

/// A token in clear, on its way to its owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollerTokenView {
    /// `sk_poll_…`.
    pub token: String,
    /// The endpoint that it polls.
    pub endpoint: EndpointId,
    /// Which of the endpoint's tokens it is, from 1.
    pub generation: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    #[serde(default)]
    pub not_after: Option<Millis>,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for PollerTokenView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PollerTokenView({}, {}, …)", self.endpoint, self.generation)
    }
}
