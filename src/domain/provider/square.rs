//! Square: `x-square-hmacsha256-signature: <base64>` over the address and the body. The older SHA-1 header is never
//! believed. The address is the one that was registered, to the byte.

use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::table::{Encoding, Form, Piece, Scheme, Tell, refuse_prefixes};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "square",
    title: "Square",
    level: Level::Both,
    secret: "the subscription's signature key",
    signed: "{url}{body}",
    signs_url: true,
    deadline_ms: Some(10_000),
    retry_horizon_s: Some(259_200),
    disables_on: "three weeks without a 2xx",
    checked: Checked::Vectors,
    sources: &[
        "Validate and verify webhooks",
        "Troubleshoot Webhooks",
        "square/square-nodejs-sdk",
    ],
    unsure: &[
        "Retries end after 24 hours by the current page and after 72 by older ones; 72 are assumed.",
        "The deadline of 10 seconds stands in an older page only.",
    ],
    signature_headers: &["x-square-hmacsha256-signature", "x-square-signature"],
    kept_headers: &["square-retry-number", "square-retry-reason", "square-environment"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["x-square-hmacsha256-signature"],
    form: Form::Bare,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: &[Piece::Url, Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 2] = [
            (
                "EAAA",
                "is an access token: give the signature key of the subscription",
            ),
            (
                "sq0",
                "is an application's id or secret: give the signature key of the subscription",
            ),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Names(Names {
        id: &[Place::Body("/event_id")],
        event_type: &[Place::Body("/type")],
        time: &[(Place::Body("/created_at"), Unit::Rfc3339)],
        tenant_key: &[Place::Body("/merchant_id")],
        test: Some((Place::Body("/type"), "webhooks.test_notification")),
        ..UNNAMED
    }),
    once: None,
    secret_comes_later: false,
};
