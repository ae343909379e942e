//! Zoom: `x-zm-signature: v0=<hex>` over `v0:{timestamp}:{body}`, the time in `x-zm-request-timestamp`.
//!
//! The handshake `endpoint.url_validation` wants an HMAC of a token. It is verified where it is signed, and answered where
//! it is not, because Zoom repeats it and was seen to send it unsigned; what is signed for it can never be an event.

use super::Request;
use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::handshake::token;
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::pick::pick;
use super::secret::Key;
use super::table::{Encoding, Form, Piece, Scheme, SignedTime, Tell, Told};
use super::timestamp::DEFAULT_TOLERANCE;
use super::verdict::{Answer, Challenge, Effect, Rejection};

const HEADER: &str = "x-zm-signature";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "zoom",
    title: "Zoom",
    level: Level::App,
    secret: "the app's secret token, from the page of its event subscription",
    signed: "v0:{timestamp}:{body}",
    deadline_ms: Some(3_000),
    checked: Checked::Page,
    sources: &[
        "Using webhooks (Zoom)",
        "Webhook validation and verification changes (Zoom)",
    ],
    unsure: &[
        "Whether the validation request is always signed.",
        "Retries and their horizon.",
    ],
    signature_headers: &["x-zm-signature", "x-zm-request-timestamp"],
    kept_headers: &["x-zm-trackingid"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &[HEADER],
    form: Form::Prefixed("v0="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Text("v0:"), Piece::Time, Piece::Text(":"), Piece::Body],
    time: Some(SignedTime {
        header: Some("x-zm-request-timestamp"),
        unit: Unit::Seconds,
        tolerance: DEFAULT_TOLERANCE,
    }),
    check_secret: None,
    handshake: Some(|keys, asked| {
        let signed = asked.request.headers.get(HEADER).is_some();
        let plain = plain_token(asked.request).filter(|_| !signed)?;
        let key = keys.first().ok_or_else(Rejection::no_active_secret);
        Some(key.and_then(|key| answer(key, &plain, Effect::Nothing)))
    }),
    tell: Tell::Code(|asked, key| match plain_token(asked.request) {
        Some(plain) => answer(key, &plain, Effect::Activate).map(Told::Challenge),
        None => Ok(Told::Events(vec![NAMES.event(asked.request)])),
    }),
    once: None,
    secret_comes_later: false,
};

const NAMES: Names = Names {
    event_type: &[Place::Body("/event")],
    time: &[(Place::Body("/event_ts"), Unit::Millis)],
    tenant_key: &[Place::Body("/payload/account_id")],
    ..UNNAMED
};

fn plain_token(request: &Request<'_>) -> Option<String> {
    let [event, plain] = pick(request.body, ["/event", "/payload/plainToken"]);
    let is_validation = event.as_ref().and_then(|event| event.as_str()) == Some("endpoint.url_validation");
    plain.filter(|_| is_validation)?.as_str().map(str::to_owned)
}

fn answer(key: &Key, plain: &str, effect: Effect) -> Result<Challenge, Rejection> {
    let plain = token(plain)?;
    let mac = Algorithm::Sha256
        .mac(&key.bytes, &[plain.as_bytes()])
        .unwrap_or_default();
    let body = serde_json::json!({"plainToken": plain, "encryptedToken": hex::encode(mac)});
    Ok(Challenge {
        answer: Answer::json(body.to_string()),
        effect,
    })
}
