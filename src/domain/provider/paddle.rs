//! Paddle Billing: `Paddle-Signature: ts=<seconds>;h1=<hex>[;h1=<hex>…]` over `{ts}:{body}`. Keys that are not known, such
//! as `h2`, are passed over.

use super::descriptor::{Checked, Descriptor, PLAIN};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::table::{Encoding, Form, Piece, Scheme, SignedTime, Tell, refuse_prefixes};
use super::timestamp::DEFAULT_TOLERANCE;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "paddle",
    title: "Paddle Billing",
    secret: "the notification destination's secret key: pdl_ntfset_ and more, used as it is shown",
    signed: "{timestamp}:{body}",
    deadline_ms: Some(5_000),
    retry_horizon_s: Some(259_200),
    retry_count: Some(60),
    checked: Checked::Vectors,
    sources: &[
        "Verify webhook signatures",
        "Handle webhook delivery",
        "PaddleHQ/paddle-node-sdk",
        "PaddleHQ/paddle-go-sdk",
    ],
    signature_headers: &["paddle-signature"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["Paddle-Signature"],
    form: Form::Pairs {
        separator: ';',
        time: "ts",
        signature: "h1",
    },
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Time, Piece::Text(":"), Piece::Body],
    time: Some(SignedTime {
        header: None,
        unit: Unit::Seconds,
        // The provider's own library takes 5 s, which no queue in between survives.
        tolerance: DEFAULT_TOLERANCE,
    }),
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 3] = [
            (
                "pdl_live_apikey_",
                "is an API key: give the destination's secret key, pdl_ntfset_…",
            ),
            (
                "pdl_sdbx_apikey_",
                "is an API key: give the destination's secret key, pdl_ntfset_…",
            ),
            (
                "apikey_",
                "is an API key: give the destination's secret key, pdl_ntfset_…",
            ),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Names(Names {
        id: &[Place::Body("/event_id")],
        event_type: &[Place::Body("/event_type")],
        time: &[(Place::Body("/occurred_at"), Unit::Rfc3339)],
        ..UNNAMED
    }),
    once: None,
    secret_comes_later: false,
};
