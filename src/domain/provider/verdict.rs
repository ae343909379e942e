//! What is said of a request.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::check::Check;
use crate::problem::Code;
use crate::time::Millis;

/// What a preset says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Genuine and fresh.
    Accept(Accepted),
    /// No event: a handshake that wants an answer, and perhaps leaves something behind.
    Challenge(Challenge),
    /// Not believed.
    Reject(Rejection),
    /// Cannot be said without RSA or P-256, which this code does not have: check these, in this order, and ask
    /// [`super::conclude`] with what came of it. Never empty.
    NeedsSignature(Vec<Check>),
}

impl From<Accepted> for Verdict {
    fn from(accepted: Accepted) -> Self {
        Self::Accept(accepted)
    }
}

impl From<Challenge> for Verdict {
    fn from(challenge: Challenge) -> Self {
        Self::Challenge(challenge)
    }
}

/// A request that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What the request tells of, in its order; several for a batch. None: genuine, and to be acknowledged without a
    /// message (Slack's `ssl_check`, an empty batch).
    pub events: Vec<Event>,
    /// Which of the secrets that were passed in matched; none: something in the settings or the standing did.
    pub matched_secret: Option<usize>,
    /// What may be used for one event only; none: the scheme has no such thing.
    pub once: Option<Once>,
    /// The answer that this very request wants instead of the descriptor's `ack`.
    pub answer: Option<Answer>,
}

impl Accepted {
    pub(super) fn new(events: Vec<Event>, matched_secret: Option<usize>) -> Self {
        Self {
            events,
            matched_secret,
            once: None,
            answer: None,
        }
    }
}

/// A value that a provider uses for one event. Seen with another event id, somebody sent a captured request again under
/// a new name. To be kept as long as event ids are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The value: a token of the provider's, or a digest of the signature. Never a secret.
    pub key: String,
    /// What to do when it comes with another event id.
    pub otherwise: Otherwise,
}

/// What to do with a second use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// [`Reason::Replayed`]: the provider never does that.
    Refuse,
    /// Take it, and mark it: the provider may have two subscriptions with the same bytes.
    Mark,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "`type` is a keyword, and the API says eventType"
)]
pub struct Event {
    /// The provider's id of it, never empty. None: nothing to deduplicate by.
    pub id: Option<String>,
    /// Whether the signature covers the id.
    pub id_trust: Trust,
    /// Always 1 to 256 of `A–Z a–z 0–9 - _ . / :`.
    pub event_type: String,
    /// When it happened, if the provider says so.
    pub time: Option<Millis>,
    /// Whose it is where one address serves many accounts: the provider's name of the account.
    pub tenant_key: Option<String>,
    /// Whether the signature covers `tenant_key`. Unsigned: compare it with what else is known before it routes anything.
    pub tenant_key_trust: Trust,
    /// Sent to try the address out: to be shown, not to be acted upon.
    pub is_test: bool,
    /// What of the body is this event's.
    pub part: Part,
}

impl Event {
    /// An event that is the whole body and names nothing but its type.
    pub(super) fn of_type(event_type: String) -> Self {
        Self {
            id: None,
            id_trust: Trust::Signed,
            event_type,
            time: None,
            tenant_key: None,
            tenant_key_trust: Trust::Signed,
            is_test: false,
            part: Part::Whole,
        }
    }
}

/// Whether a signature stands behind a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Inside the signed bytes.
    Signed,
    /// Beside them: whoever captured one request can change it.
    Unsigned,
}

/// What of a request's body belongs to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes of it: an element of a batch, as it was sent.
    Bytes(Range<usize>),
    /// JSON that was put together from pieces of it: a batch of one, in the provider's own shape.
    Own(Vec<u8>),
}

impl Part {
    /// The event's bytes. A range that is none of this body's is nothing.
    #[must_use]
    pub fn of<'a>(&'a self, body: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Whole => body,
            Self::Bytes(range) => body.get(range.clone()).unwrap_or_default(),
            Self::Own(bytes) => bytes,
        }
    }
}

/// A handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// What the provider wants to hear.
    pub answer: Answer,
    /// What is to be done before it hears it.
    pub effect: Effect,
}

/// What a handshake leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// The provider knows the address: the source is active.
    Activate,
    /// The provider made the secret and sent it: keep it sealed as the source's only one, and show it to the owner once.
    /// Only ever said of a pending source; store it only if it still is one, in one step.
    Capture(Captured),
    /// A channel or subscription began: the source is active, and the channel may be renewed before its end.
    OpenChannel(ChannelOpened),
}

/// A secret out of a handshake. Not shown to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Captured(pub String);

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Captured(…)")
    }
}

/// A channel that said its first word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOpened {
    /// Its id.
    pub id: String,
    /// The provider's id of what is watched.
    pub resource_id: Option<String>,
    /// When it ends.
    pub expires_at: Option<Millis>,
}

/// An answer with these very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, for a body that is not empty.
    pub content_type: Option<String>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 and nothing.
    pub(super) fn empty() -> Self {
        Self {
            status: 200,
            content_type: None,
            body: Vec::new(),
        }
    }

    /// 200 and a text.
    pub(super) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::of("text/plain", body)
    }

    /// 200 and JSON.
    pub(super) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/json", body)
    }

    fn of(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type: Some(content_type.to_owned()),
            body: body.into(),
        }
    }
}

/// Why a request is not believed: a reason to count and a sentence for the tenant's log. Neither goes to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Which of the closed set.
    pub reason: Reason,
    /// What was seen and what was wanted. Never a secret, never anything computed from one.
    pub detail: String,
}

impl Rejection {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    pub(super) fn missing(detail: impl Into<String>) -> Self {
        Self::new(Reason::MissingSignature, detail)
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Reason::MalformedSignature, detail)
    }

    pub(super) fn mismatch() -> Self {
        Self::new(
            Reason::Mismatch,
            "No signature in the request was made over these bytes with a secret of this source: another secret, or a \
             body that was changed on its way",
        )
    }

    pub(super) fn no_active_secret() -> Self {
        Self::new(
            Reason::NoActiveSecret,
            "This source has no secret that is valid now: add one",
        )
    }
}

/// The closed set of reasons for a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A header that the preset needs is not there.
    MissingSignature,
    /// A header is there and cannot be read.
    MalformedSignature,
    /// Signed in a way that this source does not believe.
    UnknownScheme,
    /// Readable, and made with another secret or over other bytes.
    Mismatch,
    /// Genuine, and too old.
    Stale,
    /// Genuine, and too far ahead of our clock.
    Future,
    /// The time is no plain decimal number.
    BadTimestamp,
    /// None of the source's secrets is valid now.
    NoActiveSecret,
    /// A token for somebody else.
    WrongAudience,
    /// A token by somebody else.
    WrongIssuer,
    /// Genuine, but for a channel or subscription that is not ours.
    WrongState,
    /// A handshake that this source does not answer.
    HandshakeRefused,
    /// The signed digest is not the body's.
    BodyHash,
    /// Seen before.
    Replayed,
    /// From an address that is not on the list.
    IpDenied,
    /// More than a preset splits.
    TooLarge,
    /// A method that the preset does not know.
    Method,
    /// Needs a newer key set than the one passed in: fetch it once and ask again.
    StaleKeys,
}

impl Reason {
    /// The reason as it stands in the tenant's log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingSignature => "missing_signature",
            Self::MalformedSignature => "malformed_signature",
            Self::UnknownScheme => "unknown_scheme",
            Self::Mismatch => "mismatch",
            Self::Stale => "stale",
            Self::Future => "future",
            Self::BadTimestamp => "bad_timestamp",
            Self::NoActiveSecret => "no_active_secret",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongState => "wrong_state",
            Self::HandshakeRefused => "handshake_refused",
            Self::BodyHash => "body_hash",
            Self::Replayed => "replayed",
            Self::IpDenied => "ip_denied",
            Self::TooLarge => "too_large",
            Self::Method => "method",
            Self::StaleKeys => "stale_keys",
        }
    }

    /// What the sender may learn: that there was no signature, or that it did not hold. Everything finer would help
    /// whoever tries to forge one.
    #[must_use]
    pub const fn public_code(self) -> Code {
        match self {
            Self::MissingSignature => Code::SignatureMissing,
            _ => Code::SignatureInvalid,
        }
    }
}
