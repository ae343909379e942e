//! Who posted this? One file per preset; each answers from the raw bytes alone.
//!
//! A preset is asked with the source's settings, its secrets, its standing, the request as it came, and the time, and
//! answers [`Verdict::Accept`], [`Verdict::Challenge`] or [`Verdict::Reject`]. It has no clock, no network and no
//! randomness, so that the same code runs in the worker, in tests and over a file of vectors. RSA and P-256 are not in
//! here: a preset that meets them answers [`Verdict::NeedsSignature`], and [`conclude`] takes the result.
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
//! A provider's facts (methods, answers, deadlines, retries) are data: [`descriptor()`], [`catalogue()`].
//!
//! Deliberately absent: the cap on the body, and everything that remembers. The edge and the ledger have them.

mod api_key;
mod basic;
mod catalogue;
mod check;
mod config;
mod descriptor;
mod discord;
mod doctor;
mod dropbox;
mod ed25519;
mod event;
mod github;
mod google_calendar;
mod handshake;
mod headers;
mod hmac;
mod hubspot;
mod ip_allow;
mod jwt;
mod keys;
mod linear;
pub(crate) mod mac;
mod mailgun;
mod meta;
mod microsoft_graph;
mod multipart;
mod names;
mod notion;
mod openai;
mod paddle;
mod pick;
mod public_url;
mod pubsub;
mod resend;
mod revenuecat;
mod secret;
mod sendgrid;
mod settings;
mod shopify;
mod slack;
mod square;
mod standard_webhooks;
mod standing;
mod stripe;
mod supabase;
mod table;
mod telegram;
mod timestamp;
mod token;
mod twilio;
mod typeform;
mod unverified;
mod verdict;
mod x;
mod zendesk;
mod zoom;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod pages;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod traps;
#[cfg(test)]
mod vector;

use crate::time::Millis;

pub use catalogue::{catalogue, descriptor};
pub use check::{Check, PublicKey};
pub use config::SourceConfig;
pub use descriptor::{Checked, Descriptor, Level, Proof, Reply, SecretOrigin};
pub use doctor::{Finding, Other, Outside, Step, diagnose};
pub use event::Renamed;
pub use headers::Headers;
pub use keys::KeySet;
pub use secret::{MAX_SECRETS, Secret};
pub use standing::{Channel, Standing, State};
pub use verdict::{
    Accepted, Answer, Captured, Challenge, ChannelOpened, Effect, Event, Once, Otherwise, Part, Reason,
    Rejection, Trust, Verdict,
};

use check::Held;

/// How many entries of a signature header are looked at. Providers send one for each live secret; the bound keeps a
/// stranger's header from buying work.
const MAX_SIGNATURES: usize = 32;

/// Judges a request: the signature against every secret that is valid at `now`, then freshness, then the event's name.
#[must_use]
pub fn verify(
    config: &SourceConfig,
    secrets: &[Secret],
    standing: &Standing<'_>,
    request: &Request<'_>,
    now: Millis,
) -> Verdict {
    config.judge(secrets, standing, request, now, None)
}

/// Judges a request whose signatures were checked outside: everything as it was for [`verify`], and for each
/// [`Check`] of its answer whether it holds. Never [`Verdict::NeedsSignature`]; other results than were asked for are a
/// rejection.
#[must_use]
pub fn conclude(
    config: &SourceConfig,
    secrets: &[Secret],
    standing: &Standing<'_>,
    request: &Request<'_>,
    now: Millis,
    held: &[bool],
) -> Verdict {
    match config.judge(secrets, standing, request, now, Some(held)) {
        Verdict::NeedsSignature(_) => Verdict::Reject(Rejection::mismatch()),
        verdict => verdict,
    }
}

/// A request as the provider made it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// In capitals, as it came. One that the preset's descriptor does not list is rejected.
    pub method: &'a str,
    /// The address that was registered with the provider, with the query of the request: configuration, never the `Host`
    /// header. None: not known, and a preset that signs it rejects.
    pub url: Option<&'a str>,
    /// All headers.
    pub headers: &'a Headers,
    /// The body before anything touched it, compressed if it came so.
    pub body: &'a [u8],
}

/// What a preset is asked with.
struct Asked<'a> {
    request: &'a Request<'a>,
    standing: &'a Standing<'a>,
    now: Millis,
    held: Held<'a>,
}
