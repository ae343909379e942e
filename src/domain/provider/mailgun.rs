//! Mailgun: the signature stands in the body, `signature.{timestamp, token, signature}` of a JSON event or fields of the
//! same names of a form (inbound routes): hex HMAC-SHA256 over `{timestamp}{token}`.
//!
//! The event itself is not covered: whoever has seen one request can write another event under its signature. A token is
//! therefore good for one event only ([`Once`]), and its id is never called signed.

use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof};
use super::event::usable_type;
use super::mac::{Algorithm, from_hex, is_among};
use super::multipart;
use super::names::{Names, Place, UNNAMED, Unit};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::settings::Settings;
use super::table::refuse_prefixes;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Once, Otherwise, Rejection, Trust, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

/// Seconds: a retry may carry the time of its first try.
const TOLERANCE: u64 = 86_400;

/// Bytes of a signed field at the most; a token has 50.
const MAX_FIELD: usize = 256;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "mailgun",
    title: "Mailgun",
    secret: "the HTTP webhook signing key, which is not the API key",
    proof: Proof::Token,
    signed: "{timestamp}{token}: the event is not covered",
    retry_horizon_s: Some(28_800),
    retry_count: Some(6),
    disables_on: "one answer of 406 ends the tries for that event",
    checked: Checked::Page,
    sources: &["Securing webhooks", "Automatic retries", "mailgun/mailgun-go"],
    unsure: &[
        "Whether a retry carries the time and token of its first try; a day is taken for fresh.",
        "The deadline for an answer.",
        "Subaccounts add a parent-signature, which is not looked at.",
    ],
    ..PLAIN
};

const NAMES: Names = Names {
    id: &[Place::Body("/event-data/id")],
    event_type: &[Place::Body("/event-data/event")],
    time: &[(Place::Body("/event-data/timestamp"), Unit::Seconds)],
    tenant_key: &[
        Place::Body("/event-data/domain/name"),
        Place::Body("/event-data/domain"),
    ],
    body: Trust::Unsigned,
    ..UNNAMED
};

/// The preset's settings.
pub(super) struct Mailgun {
    tolerance: u64,
}

impl Mailgun {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let tolerance = settings.tolerance_of(TOLERANCE);
        settings.finish(Self { tolerance })
    }
}

impl Preset for Mailgun {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("tolerance".to_owned(), self.tolerance.into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        const TOKENS: [(&str, &str); 2] = [
            ("key-", "is an API key: give the HTTP webhook signing key"),
            (
                "pubkey-",
                "is the public validation key: give the HTTP webhook signing key",
            ),
        ];
        refuse_prefixes(secret, &TOKENS)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let signed = Signed::read(asked.request)?;
        let time = Timestamp::parse(&signed.timestamp)?;
        let signature = from_hex(&signed.signature)
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| Rejection::malformed("The field signature is no hex"))?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let signatures = [signature];
        let holds = |key: &&Key| {
            let parts = [signed.timestamp.as_bytes(), signed.token.as_bytes()];
            let mac = Algorithm::Sha256.mac(&key.bytes, &parts);
            mac.is_some_and(|mac| is_among(&mac, &signatures))
        };
        let key = keys.iter().find(holds).ok_or_else(Rejection::mismatch)?;
        time.check_fresh(self.tolerance, asked.now)?;
        let event = if signed.form {
            of_form(asked.request)
        } else {
            NAMES.event(asked.request)
        };
        Ok(Accepted {
            once: Some(Once {
                key: signed.token,
                otherwise: Otherwise::Refuse,
            }),
            ..Accepted::new(vec![event], Some(key.index))
        }
        .into())
    }
}

/// The three fields, wherever they stand.
struct Signed {
    timestamp: String,
    token: String,
    signature: String,
    form: bool,
}

impl Signed {
    fn read(request: &Request<'_>) -> Result<Self, Rejection> {
        let missing = || {
            let detail = "The body does not have all of timestamp, token and signature";
            Rejection::missing(detail)
        };
        let form = !request.body.starts_with(b"{");
        let fields = if form {
            form_fields(request, ["timestamp", "token", "signature"])
        } else {
            let places = ["/signature/timestamp", "/signature/token", "/signature/signature"];
            pick(request.body, places).map(|value| text_of(value.as_ref()))
        };
        let usable = |text: &String| !text.is_empty() && text.len() <= MAX_FIELD;
        let [Some(timestamp), Some(token), Some(signature)] = fields.map(|text| text.filter(usable)) else {
            return Err(missing());
        };
        Ok(Self {
            timestamp,
            token,
            signature,
            form,
        })
    }
}

/// Mail that was received by a route, or an event of the older kind.
fn of_form(request: &Request<'_>) -> Event {
    let [event, domain] = form_fields(request, ["event", "domain"]);
    Event {
        id_trust: Trust::Unsigned,
        tenant_key: super::event::usable_id(domain),
        tenant_key_trust: Trust::Unsigned,
        ..Event::of_type(usable_type(Some(event.as_deref().unwrap_or("message.received"))))
    }
}

/// Fields of a form, of those that stand there once.
fn form_fields<const N: usize>(request: &Request<'_>, names: [&str; N]) -> [Option<String>; N] {
    let content_type = request.headers.get("content-type").unwrap_or_default();
    if let Some(boundary) = multipart::boundary(content_type) {
        return names.map(|name| multipart::field(request.body, boundary, name, MAX_FIELD));
    }
    names.map(|name| {
        let mut values = url::form_urlencoded::parse(request.body).filter(|(key, _)| key == name);
        let value = values.next()?.1.into_owned();
        values.next().is_none().then_some(value)
    })
}
