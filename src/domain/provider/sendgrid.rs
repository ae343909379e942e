//! SendGrid's Event Webhook: `X-Twilio-Email-Event-Webhook-Signature` is the base64 of an ECDSA signature on P-256 over
//! the time's text and the body, byte for byte, its last line end included.
//!
//! The signature is checked outside ([`Check`]); here it is only taken out of its DER form, which must be the one and only
//! way to write it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::check::{Check, PublicKey, any_held};
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, SecretOrigin};
use super::event::usable_type;
use super::mac::from_base64;
use super::names::{Names, Place, UNNAMED, Unit, elements, item};
use super::secret::{Key, MAX_SECRETS};
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Rejection, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

const HEADER: &str = "X-Twilio-Email-Event-Webhook-Signature";
const TIME: &str = "X-Twilio-Email-Event-Webhook-Timestamp";
const KEY: &str = "publicKey";
const KEYS: &str = "publicKeys";

/// What stands in front of the point in a `SubjectPublicKeyInfo` of a P-256 key (RFC 5480).
const SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "sendgrid",
    title: "SendGrid Event Webhook",
    secret_origin: SecretOrigin::None,
    secret: "",
    signed: "{timestamp}{body}",
    retry_horizon_s: Some(86_400),
    checked: Checked::Vectors,
    sources: &[
        "Getting started with the Event Webhook security features",
        "sendgrid/sendgrid-nodejs",
        "sendgrid/sendgrid-go",
    ],
    unsure: &[
        "Whether a retry carries a new time: freshness is off unless config.tolerance is set.",
        "The deadline for an answer.",
    ],
    signature_headers: &[
        "x-twilio-email-event-webhook-signature",
        "x-twilio-email-event-webhook-timestamp",
    ],
    ..PLAIN
};

const NAMES: Names = Names {
    id: &[Place::Body("/sg_event_id")],
    event_type: &[Place::Body("/event")],
    time: &[(Place::Body("/timestamp"), Unit::Seconds)],
    ..UNNAMED
};

/// The preset's settings.
pub(super) struct SendGrid {
    keys: Vec<(String, PublicKey)>,
    tolerance: Option<u64>,
}

impl SendGrid {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let tolerance = settings.has("tolerance").then(|| settings.tolerance());
        let one = settings.text(KEY);
        let texts: Vec<&str> = one.into_iter().chain(settings.texts(KEYS)).collect();
        let place = if one.is_some() { KEY } else { KEYS };
        if texts.is_empty() {
            let msg = "is missing: give the verification key that SendGrid shows in the security settings";
            settings.fault(KEY, msg);
        }
        if texts.len() > MAX_SECRETS {
            settings.fault(KEYS, format!("holds more than {MAX_SECRETS} keys"));
        }
        let mut keys: Vec<(String, PublicKey)> = Vec::new();
        for text in texts.into_iter().take(MAX_SECRETS) {
            match public_key(text) {
                Ok(key) if keys.iter().any(|(_, other)| *other == key) => {
                    settings.fault(place, "holds the same key twice: give each once");
                }
                Ok(key) => keys.push((text.to_owned(), key)),
                Err(msg) => settings.fault(place, msg),
            }
        }
        settings.finish(Self { keys, tolerance })
    }
}

impl Preset for SendGrid {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        let texts: Vec<&str> = self.keys.iter().map(|(text, _)| text.as_str()).collect();
        settings.insert(KEYS.to_owned(), texts.into());
        if let Some(tolerance) = self.tolerance {
            settings.insert("tolerance".to_owned(), tolerance.into());
        }
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: SendGrid signs with a key whose public half stands in config.publicKey"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err(
            "is not needed: SendGrid signs with a key whose public half stands in config.publicKey"
                .to_owned(),
        )
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let signature = from_base64(request.headers.single(HEADER)?)
            .and_then(|der| raw_signature(&der))
            .ok_or_else(|| Rejection::malformed(format!("The header {HEADER} holds no ECDSA signature")))?;
        let time = Timestamp::parse(request.headers.single(TIME)?)?;
        let signed = [time.text.as_bytes(), request.body].concat();
        let checks = self.keys.iter().map(|(_, key)| Check {
            key: key.clone(),
            signed: signed.clone(),
            signature: signature.clone(),
        });
        if let Err(not_proven) = any_held(checks.collect(), asked.held) {
            return not_proven.into_verdict();
        }
        if let Some(tolerance) = self.tolerance {
            time.check_fresh(tolerance, asked.now)?;
        }
        Ok(Accepted::new(split(request)?, None).into())
    }
}

fn split(request: &Request<'_>) -> Result<Vec<Event>, Rejection> {
    let Some(ranges) = elements(request.body)? else {
        return Ok(vec![Event::of_type(usable_type(None))]);
    };
    let name = |bytes: &[u8]| NAMES.event_in(request.headers, bytes);
    Ok(ranges
        .into_iter()
        .map(|range| item(request.body, range, name))
        .collect())
}

/// A P-256 key in base64 or PEM.
fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    const WANTS: &str = "must be the verification key: 91 bytes in base64, which begin with MFkw";
    if text.starts_with("SG.") {
        return Err("is an API key: give the verification key");
    }
    let inner = text
        .trim()
        .trim_start_matches("-----BEGIN PUBLIC KEY-----")
        .trim_end_matches("-----END PUBLIC KEY-----");
    let inner: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(inner).map_err(|_| WANTS)?;
    let point = bytes
        .strip_prefix(&SPKI)
        .filter(|point| point.len() == 64)
        .ok_or(WANTS)?;
    let (x, y) = point.split_at(32);
    match (x.try_into(), y.try_into()) {
        (Ok(x), Ok(y)) => Ok(PublicKey::P256 { x, y }),
        _ => Err(WANTS),
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` as 64 bytes. Strict: the shortest form, and nothing behind it.
fn raw_signature(der: &[u8]) -> Option<Vec<u8>> {
    let (&[0x30, length], rest) = der.split_first_chunk::<2>()? else {
        return None;
    };
    if usize::from(length) != rest.len() {
        return None;
    }
    let (r, rest) = integer(rest)?;
    let (s, rest) = integer(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

fn integer(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (&[0x02, length], rest) = bytes.split_first_chunk::<2>()? else {
        return None;
    };
    let (number, rest) = rest.split_at_checked(usize::from(length))?;
    let number = match number {
        [] => return None,
        [0, next, ..] if *next < 0x80 => return None,
        [0, number @ ..] => number,
        [first, ..] if *first >= 0x80 => return None,
        number => number,
    };
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(number.len())?;
    padded.get_mut(start..)?.copy_from_slice(number);
    Some((padded, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_shortest_form_is_a_signature() {
        let good = [0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02];
        assert_eq!(
            raw_signature(&good).map(|raw| (raw.len(), raw[31], raw[63])),
            Some((64, 1, 2))
        );
        for bad in [
            &[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02, 0x00][..],
            &[0x30, 0x07, 0x02, 0x02, 0x00, 0x01, 0x02, 0x01, 0x02],
            &[0x30, 0x06, 0x02, 0x01, 0x81, 0x02, 0x01, 0x02],
            &[0x30, 0x81, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02],
            &[0x30, 0x03, 0x02, 0x01, 0x01],
            &[],
        ] {
            assert_eq!(raw_signature(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(der: Vec<u8>) {
            let _ = raw_signature(&der);
        }
    }
}
