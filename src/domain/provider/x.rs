//! X (Account Activity): `x-twitter-webhooks-signature: sha256=<base64>` over the body, with the consumer secret as key.
//!
//! The challenge-response check asks for an HMAC of a token, unsigned and again and again. What is signed for it can never
//! be an event: those are JSON objects.

use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::handshake::{refused, token};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED};
use super::public_url::query_value;
use super::secret::Key;
use super::table::{Encoding, Form, Piece, Scheme, Tell};
use super::verdict::{Answer, Challenge, Effect, Rejection};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "x",
    title: "X",
    methods: &["POST", "GET"],
    level: Level::App,
    secret: "the app's consumer secret (API key secret)",
    deadline_ms: Some(3_000),
    disables_on: "a failed challenge-response check",
    checked: Checked::Page,
    sources: &[
        "Account Activity API: securing webhooks",
        "Webhooks quickstart (X)",
    ],
    unsure: &[
        "How often the check is repeated: one page says hourly in one place and daily in another.",
        "Retries and their horizon.",
    ],
    signature_headers: &["x-twitter-webhooks-signature"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["x-twitter-webhooks-signature"],
    form: Form::Prefixed("sha256="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: &[Piece::Body],
    time: None,
    check_secret: None,
    handshake: Some(|keys, asked| {
        let is_get = asked.request.method == "GET";
        is_get.then(|| match query_value(asked.request, "crc_token") {
            Some(crc) => answer(keys, &crc),
            None => Err(refused("A GET without a single crc_token is no check of X's")),
        })
    }),
    tell: Tell::Names(Names {
        tenant_key: &[Place::Body("/for_user_id")],
        ..UNNAMED
    }),
    once: None,
    secret_comes_later: false,
};

fn answer(keys: &[Key], crc: &str) -> Result<Challenge, Rejection> {
    let crc = token(crc)?;
    let key = keys.first().ok_or_else(Rejection::no_active_secret)?;
    let mac = Algorithm::Sha256
        .mac(&key.bytes, &[crc.as_bytes()])
        .unwrap_or_default();
    let body = serde_json::json!({"response_token": format!("sha256={}", BASE64_STANDARD.encode(mac))});
    Ok(Challenge {
        answer: Answer::json(body.to_string()),
        effect: Effect::Nothing,
    })
}
