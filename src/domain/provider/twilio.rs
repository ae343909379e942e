//! Twilio: `X-Twilio-Signature` is the base64 HMAC-SHA1 over the address and, for a form, every parameter behind it; for
//! any other body the address has its SHA-256 (`bodySHA256`), and without that nothing vouches for the body.
//!
//! Twilio signs the address with and without its port, and some of its libraries write the query anew: four forms are
//! tried. There is no time: only the event's id tells a captured request.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Reply};
use super::event::{usable_id, usable_type};
use super::mac::{Algorithm, from_base64, from_hex, is_among, is_same};
use super::names::{Names, Place, UNNAMED, Unit, elements, header, item};
use super::public_url::{PublicUrl, query, query_value};
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Event, Reason, Rejection, Trust, Verdict};
use super::{Asked, MAX_SIGNATURES, Request};
use crate::problem::Fault;

const HEADER: &str = "X-Twilio-Signature";
const BODY_HASH: &str = "bodySHA256";

/// Parameters of a form at the most; Twilio sends a few dozen.
const MAX_PARAMETERS: usize = 1000;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "twilio",
    title: "Twilio",
    methods: &["POST", "GET"],
    secret: "the account's auth token: 32 hexadecimal characters; a subaccount has its own",
    signed: "{url} and each parameter's name and value in order, or {url} with bodySHA256",
    signs_url: true,
    // A text is read aloud or sent to the customer; an empty document is silence.
    ack: Reply::with(200, "text/xml", "<Response/>"),
    bad_signature: Reply::status(403),
    deadline_ms: Some(15_000),
    retry_horizon_s: Some(0),
    retry_count: Some(1),
    checked: Checked::Vectors,
    sources: &[
        "Webhooks security",
        "Webhook connection overrides",
        "twilio/twilio-node",
    ],
    unsure: &[
        "Whether a fragment (connection overrides) is part of the signed address; it is left out.",
        "Only a failed connection is tried again, once; Event Streams retry for 4 hours.",
    ],
    signature_headers: &["x-twilio-signature"],
    kept_headers: &["i-twilio-idempotency-token"],
    ..PLAIN
};

/// Event Streams: `CloudEvents`, in a list.
const STREAM: Names = Names {
    id: &[Place::Body("/id")],
    event_type: &[Place::Body("/type")],
    time: &[(Place::Body("/time"), Unit::Rfc3339)],
    tenant_key: &[Place::Body("/data/accountSid"), Place::Body("/data/AccountSid")],
    ..UNNAMED
};

/// The preset's settings.
pub(super) struct Twilio {
    public_url: PublicUrl,
}

impl Twilio {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let public_url = PublicUrl::read(&mut settings);
        settings.finish(Self { public_url })
    }
}

impl Preset for Twilio {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.public_url.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret.starts_with("AC") || secret.starts_with("SK") {
            return Err("is an account's or an API key's id: give the auth token".to_owned());
        }
        let is_token = secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_token {
            Ok(())
        } else {
            Err("must be the auth token: 32 hexadecimal characters".to_owned())
        }
    }

    fn signs_url(&self) -> bool {
        true
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let entries = request.headers.several(HEADER)?;
        let signatures: Vec<Vec<u8>> = entries
            .into_iter()
            .flat_map(|value| value.split(", "))
            .take(MAX_SIGNATURES)
            .filter_map(from_base64)
            .filter(|signature| !signature.is_empty())
            .collect();
        if signatures.is_empty() {
            return Err(Rejection::malformed(format!(
                "The header {HEADER} holds no base64"
            )));
        }
        let url = self.public_url.of(request)?;
        let url = Url::parse(&url).map_err(|_| {
            let detail = "The public URL of this source is no URL";
            Rejection::new(Reason::Mismatch, detail)
        })?;
        let hash = query_value(request, BODY_HASH);
        let parameters = match kind(request) {
            Kind::Form => parameters(request.body)?,
            Kind::Nothing => String::new(),
            Kind::Other if hash.is_some() => String::new(),
            Kind::Other => {
                let detail =
                    "The body is no form, and the address has no bodySHA256: nothing vouches for the body";
                return Err(Rejection::new(Reason::BodyHash, detail));
            }
        };
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let forms = forms(url);
        let holds = |key: &&Key| {
            forms.iter().any(|url| {
                let mac = Algorithm::Sha1.mac(&key.bytes, &[url.as_bytes(), parameters.as_bytes()]);
                mac.is_some_and(|mac| is_among(&mac, &signatures))
            })
        };
        let key = keys.iter().find(holds).ok_or_else(Rejection::mismatch)?;
        if let (Kind::Other, Some(hash)) = (kind(request), hash) {
            let own = Sha256::digest(request.body);
            if !from_hex(&hash).is_some_and(|hash| is_same(&own, &hash)) {
                let detail = "The address is genuine, and its bodySHA256 is that of another body";
                return Err(Rejection::new(Reason::BodyHash, detail));
            }
        }
        Ok(Accepted::new(split(request)?, Some(key.index)).into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Form,
    Other,
    Nothing,
}

fn kind(request: &Request<'_>) -> Kind {
    let content_type = request.headers.get("content-type").unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if request.body.is_empty() && query_value(request, BODY_HASH).is_none() {
        Kind::Nothing
    } else if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Kind::Form
    } else {
        Kind::Other
    }
}

/// Each name and value, sorted by name; of a name that stands there several times each value once, sorted.
fn parameters(body: &[u8]) -> Result<String, Rejection> {
    let mut sorted: BTreeMap<_, std::collections::BTreeSet<_>> = BTreeMap::new();
    for (count, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
        if count >= MAX_PARAMETERS {
            let detail = format!("A form of more than {MAX_PARAMETERS} parameters");
            return Err(Rejection::new(Reason::TooLarge, detail));
        }
        sorted.entry(name).or_default().insert(value);
    }
    let mut text = String::with_capacity(body.len());
    for (name, values) in &sorted {
        for value in values {
            text.push_str(name);
            text.push_str(value);
        }
    }
    Ok(text)
}

/// The address without a port, with its own or the scheme's, and both with the query written anew.
fn forms(mut url: Url) -> Vec<String> {
    url.set_fragment(None);
    let port = url.port_or_known_default();
    let mut without = url.clone();
    // Only addresses without a host refuse a port, and those have none to take away.
    let _ = without.set_port(None);
    let mut forms = vec![without.to_string()];
    if let (Some(port), Some(host)) = (port, url.host_str()) {
        let user = match (url.username(), url.password()) {
            ("", None) => String::new(),
            (name, None) => format!("{name}@"),
            (name, Some(password)) => format!("{name}:{password}@"),
        };
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        forms.push(format!(
            "{}://{user}{host}:{port}{}{query}",
            url.scheme(),
            url.path()
        ));
    }
    if url.query().is_some_and(|query| !query.is_empty()) {
        let anew = rewritten(&url);
        let again: Vec<String> = forms
            .iter()
            .filter_map(|form| form.split_once('?'))
            .map(|(before, _)| format!("{before}?{anew}"))
            .filter(|form| !forms.contains(form))
            .collect();
        forms.extend(again);
    }
    forms
}

/// The query as Node's `querystring` writes what it has read: equal names side by side, everything else escaped.
fn rewritten(url: &Url) -> String {
    let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in url.query_pairs() {
        match grouped.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value.into_owned()),
            None => grouped.push((name.into_owned(), vec![value.into_owned()])),
        }
    }
    let pairs = grouped.iter().flat_map(|(name, values)| {
        let name = escaped(name);
        values
            .iter()
            .map(move |value| format!("{name}={}", escaped(value)))
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn split(request: &Request<'_>) -> Result<Vec<Event>, Rejection> {
    if kind(request) == Kind::Other {
        let name = |bytes: &[u8]| STREAM.event_in(request.headers, bytes);
        return Ok(match elements(request.body)? {
            Some(ranges) => ranges
                .into_iter()
                .map(|range| item(request.body, range, name))
                .collect(),
            None => vec![name(request.body)],
        });
    }
    let body: Vec<(String, String)> = match request.method {
        "GET" => query(request).map(owned).collect(),
        _ => url::form_urlencoded::parse(request.body).map(owned).collect(),
    };
    let field = |name: &str| {
        let found = body.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    let message = field("MessageSid").or_else(|| field("SmsSid"));
    let status = field("MessageStatus").or_else(|| field("SmsStatus"));
    let call = field("CallSid");
    let event_type = match (message, call) {
        (Some(_), _) => format!("message.{}", status.unwrap_or("received")),
        (None, Some(_)) => format!("call.{}", field("CallStatus").unwrap_or("received")),
        (None, None) => String::new(),
    };
    let token = header(request.headers, "I-Twilio-Idempotency-Token");
    let by_status = |sid: &str, status: Option<&str>| format!("{sid}:{}", status.unwrap_or_default());
    let (id, id_trust) = match (token, message, call) {
        (Some(token), _, _) => (Some(token.to_owned()), Trust::Unsigned),
        (None, Some(sid), _) => (Some(by_status(sid, status)), Trust::Signed),
        (None, None, Some(sid)) => (Some(by_status(sid, field("CallStatus"))), Trust::Signed),
        (None, None, None) => (None, Trust::Signed),
    };
    Ok(vec![Event {
        id: usable_id(id),
        id_trust,
        tenant_key: usable_id(field("AccountSid").map(str::to_owned)),
        ..Event::of_type(usable_type(Some(&event_type)))
    }])
}

fn owned((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}
