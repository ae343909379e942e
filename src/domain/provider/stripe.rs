//! Stripe, snapshot and thin events: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 over
//! `{t}.{body}`.
//!
//! The key is the whole text `whsec_…` as it is shown, prefix included and not decoded: the opposite of Standard
//! Webhooks, which writes its secrets with the same prefix. Only `v1` counts; `v0` is a decoy of the test mode.

use serde::Deserialize;
use serde_json::{Value, json};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::event::{usable_id, usable_time, usable_type};
use super::mac::{Algorithm, from_hex, is_among};
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Reason, Rejection, Verdict};
use super::{Asked, Headers, MAX_SIGNATURES};
use crate::problem::Fault;

pub(super) const NAME: &str = "stripe";

const HEADER: &str = "Stripe-Signature";

/// Each time in the header costs a pass over the body; a header that was sent twice has two.
const MAX_TIMES: usize = 4;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    title: "Stripe",
    level: Level::Both,
    secret: "the endpoint's signing secret: whsec_ and more, used as it is shown",
    signed: "{timestamp}.{body}",
    retry_horizon_s: Some(259_200),
    disables_on: "days without a 2xx, after a mail to the account's owner",
    checked: Checked::Vectors,
    sources: &[
        "Receive Stripe events in your webhook endpoint",
        "stripe/stripe-node",
        "stripe/stripe-python",
    ],
    unsure: &["The deadline for an answer is not published."],
    signature_headers: &["stripe-signature"],
    ..PLAIN
};

/// The preset's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stripe {
    tolerance: u64,
}

impl Stripe {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(NAME, config)?;
        let tolerance = settings.tolerance();
        settings.finish(Self { tolerance })
    }
}

impl Preset for Stripe {
    fn to_value(&self) -> Value {
        json!({ "tolerance": self.tolerance })
    }

    fn wants_secret(&self) -> &'static str {
        "give the signing secret of the Stripe endpoint; it begins with whsec_"
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if ["sk_", "rk_", "pk_"]
            .iter()
            .any(|prefix| secret.starts_with(prefix))
        {
            return Err(
                "is an API key of Stripe, not a signing secret: give the one of the endpoint, which begins with whsec_"
                    .to_owned(),
            );
        }
        if secret.strip_prefix("whsec_").is_none_or(str::is_empty) {
            return Err(
                "must be the signing secret of the Stripe endpoint, which begins with whsec_".to_owned(),
            );
        }
        if secret.contains(char::is_whitespace) {
            return Err("has white space in it: copy it again".to_owned());
        }
        Ok(())
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let signed = Signed::parse(request.headers)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let mut rejection = Rejection::mismatch();
        for time in signed.times {
            for key in keys {
                let mac = Algorithm::Sha256.mac(&key.bytes, &[time.text.as_bytes(), b".", request.body]);
                if !mac.is_some_and(|mac| is_among(&mac, &signed.signatures)) {
                    continue;
                }
                match time.check_fresh(self.tolerance, asked.now) {
                    Ok(()) => {
                        return Ok(Accepted::new(vec![name(request.body)], Some(key.index)).into());
                    }
                    Err(not_fresh) => rejection = not_fresh,
                }
            }
        }
        Err(rejection)
    }
}

/// What the header says. A header that was sent twice has two times; each is tried with all signatures, and the
/// signature binds the right one.
struct Signed<'a> {
    times: Vec<Timestamp<'a>>,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    fn parse(headers: &'a Headers) -> Result<Self, Rejection> {
        let malformed = |detail| Rejection::new(Reason::MalformedSignature, detail);
        let mut times = Vec::new();
        let mut entries = Vec::new();
        let mut other_schemes = false;
        for item in headers
            .several(HEADER)?
            .into_iter()
            .flat_map(|value| value.split(','))
        {
            // Blanks stand where values were joined, in front of an item; inside one they are a fault.
            match item.trim_start_matches(' ').split_once('=') {
                Some(("t", time)) => times.push(Timestamp::parse(time)),
                Some(("v1", signature)) => entries.push(signature),
                Some(_) => other_schemes = true,
                None => {}
            }
        }
        if times.is_empty() {
            return Err(malformed("The header Stripe-Signature has no time (t=…)"));
        }
        if times.len() > MAX_TIMES {
            return Err(malformed("The header Stripe-Signature has too many times"));
        }
        if times.iter().all(Result::is_err) {
            times.truncate(1);
        } else {
            times.retain(Result::is_ok);
        }
        let times = times.into_iter().collect::<Result<_, _>>()?;
        if entries.is_empty() && other_schemes {
            let detail = "The header Stripe-Signature has no v1 signature, the only scheme that is believed";
            return Err(Rejection::new(Reason::UnknownScheme, detail));
        }
        let signatures: Vec<Vec<u8>> = entries
            .into_iter()
            .take(MAX_SIGNATURES)
            .filter_map(from_hex)
            .collect();
        if signatures.is_empty() {
            return Err(malformed(
                "The header Stripe-Signature has no v1 signature in hex",
            ));
        }
        Ok(Self { times, signatures })
    }
}

/// The name in the body, which the signature covers. Only these fields are read of a body of any size.
fn name(body: &[u8]) -> Event {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        id: Option<Value>,
        r#type: Option<Value>,
        created: Option<Value>,
        account: Option<Value>,
        context: Option<Value>,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    Event {
        id: usable_id(body.id.as_ref().and_then(Value::as_str).map(str::to_owned)),
        time: usable_time(body.created.as_ref()),
        // Connect says `account`, organisations say `context`; both are inside the signed bytes.
        tenant_key: [&body.account, &body.context]
            .into_iter()
            .flatten()
            .find_map(|value| usable_id(value.as_str().map(str::to_owned))),
        ..Event::of_type(usable_type(body.r#type.as_ref().and_then(Value::as_str)))
    }
}
