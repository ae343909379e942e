//! Who posted this? One file per preset; each answers from the raw bytes alone.
//!
//! A preset is asked with the source's settings, its secrets, the request as it came, and the time, and answers
//! [`Verdict::Accept`], [`Verdict::Challenge`] or [`Verdict::Reject`]. It has no clock, no network and no randomness, so
//! that the same code runs in the worker, in tests and over a file of vectors.
//!
//! What holds for every preset:
//! - The body is verified as bytes, and parsed only after the signature held.
//! - Whatever is missing, malformed or unknown is a rejection. No input makes a preset panic or accept.
//! - Any secret that is valid now, with any signature in the header, accepts; an empty secret matches nothing.
//! - Freshness is looked at after the signature, so that the tenant's log can tell "genuine but late" from "forged".
//!   [`Reason::public_code`] makes the two look alike to the sender.
//! - What is accepted is never lost for want of a name: an event without a usable type is `webhook.received`, one
//!   without a usable id is not deduplicated.
//!
//! Deliberately absent: methods other than POST, the cap on the body and the answer to the provider. The edge has them.

mod api_key;
mod basic;
mod event;
mod headers;
mod hmac;
pub(crate) mod mac;
mod secret;
mod settings;
mod standard_webhooks;
mod stripe;
mod timestamp;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
#[cfg(test)]
mod vector;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::{Code, Fault};
use crate::time::Millis;

pub use headers::Headers;
pub use secret::{MAX_SECRETS, Secret};

use secret::Key;
use settings::fault;

/// The presets that are built, by the names that the API and the vectors use.
pub const PROVIDERS: [&str; 5] = [
    stripe::NAME,
    standard_webhooks::NAME,
    hmac::NAME,
    basic::NAME,
    api_key::NAME,
];

/// Headers that carry somebody's credentials whatever the preset: never stored, never a name of an event.
const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// How many entries of a signature header are looked at. Providers send one for each live secret; the bound keeps a
/// stranger's header from buying work.
const MAX_SIGNATURES: usize = 32;

/// Judges a request: the signature against every secret that is valid at `now`, then freshness, then the event's name.
#[must_use]
pub fn verify(config: &SourceConfig, secrets: &[Secret], request: &Request<'_>, now: Millis) -> Verdict {
    let preset = config.preset();
    let keys = secret::live_keys(secrets, now, |text| preset.key(text));
    match preset.verify(&keys, request, now) {
        Ok(accepted) => Verdict::Accept(accepted),
        Err(rejection) => Verdict::Reject(rejection),
    }
}

/// A request as the provider made it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `POST`, as it came.
    pub method: &'a str,
    /// The address that was registered with the provider: configuration, never the `Host` header. None: not known, and a
    /// preset that signs it rejects.
    pub url: Option<&'a str>,
    /// All headers.
    pub headers: &'a Headers,
    /// The body before anything touched it.
    pub body: &'a [u8],
}

/// What a preset says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Genuine and fresh.
    Accept(Accepted),
    /// No event: a handshake that wants this answer. None of the presets here has one.
    Challenge(Answer),
    /// Not believed.
    Reject(Rejection),
}

/// A request that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// What the request tells of: one event, for all presets here.
    pub events: Vec<Event>,
    /// Which of the secrets that were passed in matched; none: a public key of the settings did.
    pub matched_secret: Option<usize>,
}

/// The name of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "`type` is a keyword, and the API says eventType"
)]
pub struct Event {
    /// The provider's id of it, never empty. None: nothing to deduplicate by.
    pub id: Option<String>,
    /// Always 1 to 256 of `A–Z a–z 0–9 - _ . / :`.
    pub event_type: String,
    /// When it happened, if the provider says so under its signature.
    pub time: Option<Millis>,
}

/// The answer that a handshake wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, for a body that is not empty.
    pub content_type: Option<String>,
    /// The exact bytes.
    pub body: Vec<u8>,
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
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    fn mismatch() -> Self {
        Self::new(
            Reason::Mismatch,
            "No signature in the request was made over these bytes with a secret of this source: another secret, or a \
             body that was changed on its way",
        )
    }

    fn no_active_secret() -> Self {
        Self::new(
            Reason::NoActiveSecret,
            "This source has no secret that is valid now: add one",
        )
    }
}

/// The closed set of reasons for a rejection. Some are for presets that are yet to come.
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

/// A preset with its settings, checked: what cannot be verified with cannot be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Stripe(stripe::Stripe),
    StandardWebhooks(standard_webhooks::StandardWebhooks),
    Hmac(hmac::Hmac),
    Basic(basic::Basic),
    ApiKey(api_key::ApiKey),
}

impl SourceConfig {
    /// Reads what a person posts as `provider` and `config`, or what [`Self::to_value`] stored. All faults at once.
    pub fn parse(provider: &str, config: &Value) -> Result<Self, Vec<Fault>> {
        match provider {
            stripe::NAME => stripe::Stripe::parse(config).map(Kind::Stripe),
            standard_webhooks::NAME => {
                standard_webhooks::StandardWebhooks::parse(config).map(Kind::StandardWebhooks)
            }
            hmac::NAME => hmac::Hmac::parse(config).map(Kind::Hmac),
            basic::NAME => basic::Basic::parse(config).map(Kind::Basic),
            api_key::NAME => api_key::ApiKey::parse(config).map(Kind::ApiKey),
            _ => Err(vec![fault(
                &["body", "provider"],
                "value_error",
                format!("no provider of that name; there are {}", PROVIDERS.join(", ")),
            )]),
        }
        .map(Self)
    }

    /// What is stored, in the API's names; defaults are written out, so that a later default changes no source.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.preset().to_value()
    }

    /// The preset's name.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self.0 {
            Kind::Stripe(_) => stripe::NAME,
            Kind::StandardWebhooks(_) => standard_webhooks::NAME,
            Kind::Hmac(_) => hmac::NAME,
            Kind::Basic(_) => basic::NAME,
            Kind::ApiKey(_) => api_key::NAME,
        }
    }

    /// Checks a whole list of secrets before it is sealed. Verification does not repeat this: a secret that was stored
    /// stays good when the rules for new ones grow.
    #[must_use]
    pub fn check_secrets(&self, secrets: &[String]) -> Vec<Fault> {
        const LIST: [&str; 2] = ["body", "secrets"];
        if secrets.is_empty() && !self.preset().works_without_secret() {
            return vec![fault(&LIST, "missing", self.preset().wants_secret())];
        }
        if secrets.len() > MAX_SECRETS {
            let msg = format!(
                "holds {} secrets; a source has at most {MAX_SECRETS} at a time",
                secrets.len()
            );
            return vec![fault(&LIST, "value_error", msg)];
        }
        let mut faults = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let key = self.preset().key(secret);
            let stands_before = |earlier: &String| self.preset().key(earlier) == key;
            let checked = self.check_secret(secret).and_then(|()| {
                if secrets.iter().take(index).any(stands_before) {
                    return Err("is the same as one before it: give each secret once".to_owned());
                }
                Ok(())
            });
            if let Err(msg) = checked {
                faults.push(fault(
                    &["body", "secrets", &index.to_string()],
                    "value_error",
                    msg,
                ));
            }
        }
        faults
    }

    /// Checks one secret. The sentence never repeats it.
    pub fn check_secret(&self, secret: &str) -> Result<(), String> {
        secret::check_text(secret)?;
        self.preset().check_secret(secret)
    }

    /// The headers, in lower case, whose values must never be stored, logged or forwarded.
    #[must_use]
    pub fn credential_headers(&self) -> Vec<String> {
        let mut names: Vec<String> = CREDENTIAL_HEADERS.iter().map(|name| (*name).to_owned()).collect();
        let own = self.preset().credential_header().map(str::to_ascii_lowercase);
        names.extend(own.filter(|own| !CREDENTIAL_HEADERS.contains(&own.as_str())));
        names
    }

    fn preset(&self) -> &dyn Preset {
        match &self.0 {
            Kind::Stripe(preset) => preset,
            Kind::StandardWebhooks(preset) => preset,
            Kind::Hmac(preset) => preset,
            Kind::Basic(preset) => preset,
            Kind::ApiKey(preset) => preset,
        }
    }
}

/// What a preset's file offers.
trait Preset {
    /// The settings in the API's names, such that parsing them gives the same preset.
    fn to_value(&self) -> Value;

    /// The sentence for a source without a secret: what the secret is.
    fn wants_secret(&self) -> &'static str;

    /// Checks a new secret whose text is not empty, not too long and without stray white space.
    fn check_secret(&self, secret: &str) -> Result<(), String>;

    /// Whether the settings alone can verify.
    fn works_without_secret(&self) -> bool {
        false
    }

    /// The header that carries the secret itself, if the scheme has one.
    fn credential_header(&self) -> Option<&str> {
        None
    }

    /// The key bytes that a secret's text stands for; none: it can be no key and matches nothing.
    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        (!secret.is_empty()).then(|| secret.as_bytes().to_vec())
    }

    /// Judges a request with the keys that are valid now.
    fn verify(&self, keys: &[Key], request: &Request<'_>, now: Millis) -> Result<Accepted, Rejection>;
}
