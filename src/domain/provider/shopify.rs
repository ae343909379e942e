//! Shopify: `X-Shopify-Hmac-Sha256: <base64>` over the body, in the newer family `Shopify-Hmac-Sha256`.
//!
//! Everything that names the event stands in headers that no signature covers, the shop among them: with the secret of an
//! app, whoever captured one shop's request can send it in another shop's name. The edge compares it with what else it
//! knows.

use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::table::{Encoding, Form, Piece, Scheme, Tell, refuse_prefixes};
use super::verdict::Otherwise;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "shopify",
    title: "Shopify",
    level: Level::Both,
    secret: "the app's client secret; for a webhook made in the shop's settings, the secret shown there",
    deadline_ms: Some(5_000),
    retry_horizon_s: Some(14_400),
    retry_count: Some(8),
    disables_on: "eight failures in a row remove a subscription that was made through the Admin API",
    checked: Checked::Vectors,
    sources: &[
        "HTTPS webhook delivery",
        "Verify webhook deliveries",
        "Ignore duplicate webhooks",
        "Shopify/shopify-app-js",
    ],
    signature_headers: &["x-shopify-hmac-sha256", "shopify-hmac-sha256"],
    kept_headers: &[
        "x-shopify-topic",
        "x-shopify-webhook-id",
        "x-shopify-event-id",
        "x-shopify-shop-domain",
        "x-shopify-triggered-at",
        "x-shopify-api-version",
        "shopify-topic",
        "shopify-webhook-id",
        "shopify-event-id",
        "shopify-shop-domain",
        "shopify-triggered-at",
    ],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Shopify-Hmac-Sha256", "Shopify-Hmac-Sha256"],
    form: Form::Bare,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 2] = [
            ("shpat_", "is an access token: give the app's client secret"),
            ("shpca_", "is an access token: give the app's client secret"),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Names(Names {
        id: &[
            Place::Header("X-Shopify-Webhook-Id"),
            Place::Header("Shopify-Webhook-Id"),
            Place::Header("Shopify-Event-Id"),
        ],
        event_type: &[Place::Header("X-Shopify-Topic"), Place::Header("Shopify-Topic")],
        time: &[
            (Place::Header("X-Shopify-Triggered-At"), Unit::Rfc3339),
            (Place::Header("Shopify-Triggered-At"), Unit::Rfc3339),
        ],
        tenant_key: &[
            Place::Header("X-Shopify-Shop-Domain"),
            Place::Header("Shopify-Shop-Domain"),
        ],
        ..UNNAMED
    }),
    once: Some(Otherwise::Mark),
    secret_comes_later: false,
};
