//! What can go wrong, in one closed set: every error that leaves Postern has one of these codes.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// The closed set of codes. Text and status of each are part of the API; a code is never reused for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: the request cannot be read at all.
    BadRequest,
    /// 400: an iterator that this list did not hand out.
    InvalidIterator,
    /// 401: no token, or one that is not valid (any more).
    AuthenticationFailed,
    /// 401 at `/in/`: the provider's signature is not there.
    SignatureMissing,
    /// 401 at `/in/`: the provider's signature does not hold.
    SignatureInvalid,
    /// 403: a good token that may not do this.
    Forbidden,
    /// 404: nothing there, or another tenant's.
    NotFound,
    /// 405: the path knows other methods.
    MethodNotAllowed,
    /// 408: the request did not come to its end in time.
    RequestTimeout,
    /// 409: it exists already, or is being made.
    Conflict,
    /// 413: larger than what is taken here.
    PayloadTooLarge,
    /// 422: an `Idempotency-Key` that came with another body before.
    IdempotencyKeyReused,
    /// 422: the body or a parameter does not hold; the faults say where.
    Validation,
    /// 429: too fast.
    RateLimited,
    /// 500: our fault; the cause is in our log and nowhere else.
    Internal,
    /// 501: Svix's clients know this operation, Postern does not have it.
    NotImplemented,
    /// 502: a provider that was asked on somebody's behalf gave no answer.
    UpstreamFailed,
    /// 503: too much at once; `Retry-After` says when.
    Overloaded,
    /// 503: the tenant's ledger is full; old messages must go first.
    LedgerFull,
    /// 503: a sealed value names a master key that this deployment does not have.
    SealingUnavailable,
}

impl Code {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::InvalidIterator => 400,
            Self::AuthenticationFailed | Self::SignatureMissing | Self::SignatureInvalid => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict => 409,
            Self::PayloadTooLarge => 413,
            Self::IdempotencyKeyReused | Self::Validation => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::UpstreamFailed => 502,
            Self::Overloaded | Self::LedgerFull | Self::SealingUnavailable => 503,
        }
    }

    /// The code as it stands in an answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidIterator => "invalid_iterator",
            Self::AuthenticationFailed => "authentication_failed",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureInvalid => "signature_invalid",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::Conflict => "conflict",
            Self::PayloadTooLarge => "payload_too_large",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Validation => "validation",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::NotImplemented => "not_implemented",
            Self::UpstreamFailed => "upstream_failed",
            Self::Overloaded => "overloaded",
            Self::LedgerFull => "ledger_full",
            Self::SealingUnavailable => "sealing_unavailable",
        }
    }
}

/// One thing wrong with a request, in the form that Svix's clients read: where, what, of which kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The way to it: `["body", "url"]`, `["query", "limit"]`.
    pub loc: Vec<String>,
    /// A sentence that says what is wrong and what would be right.
    pub msg: String,
    /// The kind: `value_error`, `type_error`, `missing`, `json`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An error with two audiences: `detail` is for whoever asked, `cause` for our log.
///
/// In a box: nearly everything can fail, and what a `Result` weighs is moved at every step of its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem(Box<Parts>);

/// What a [`Problem`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Which of the closed set.
    pub code: Code,
    /// One sentence for the caller: what is wrong, what to do. Never computed from a secret.
    pub detail: String,
    /// The places of each fault, for [`Code::Validation`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What happened inside. Logged once, never sent to a caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Problem {
    /// A problem with its public sentence.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            cause: None,
        }))
    }

    /// What it says, to be taken apart.
    #[must_use]
    pub fn into_parts(self) -> Parts {
        *self.0
    }

    /// 404, the same for what never was, is gone, or is another tenant's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "Entity not found")
    }

    /// 500: the caller learns nothing, the log gets `cause`.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut problem = Self::new(
            Code::Internal,
            "Something went wrong on our side; try again, with an Idempotency-Key",
        );
        problem.cause = Some(cause.to_string());
        problem
    }

    /// 422 with the place of each fault.
    #[must_use]
    pub fn validation(faults: Vec<Fault>) -> Self {
        let mut problem = Self::new(Code::Validation, "The request does not hold: see each place");
        problem.faults = faults;
        problem
    }

    /// 422 with one fault.
    #[must_use]
    pub fn fault(loc: &[&str], msg: impl Into<String>) -> Self {
        Self::validation(vec![Fault {
            loc: loc.iter().map(|part| (*part).to_owned()).collect(),
            msg: msg.into(),
            kind: "value_error".to_owned(),
        }])
    }
}

impl Deref for Problem {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.0
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)?;
        self.cause
            .as_ref()
            .map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for Problem {}
