//! Zendesk: `X-Zendesk-Webhook-Signature: <base64>` over the time's text and the body, with nothing between them. The key
//! is the secret's text, although it looks like base64.
//!
//! The secret of Zendesk's test button is the same for everybody and published: with it, everybody could sign. It is
//! refused when a source is saved, and never matches, unless the source says `allowTestSecret`.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, OK, PLAIN, Reply};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::secret::Key;
use super::settings::Settings;
use super::table::{Encoding, Form, Piece, Scheme, SignedTime, Table, Tell};
use super::timestamp::DEFAULT_TOLERANCE;
use super::verdict::{Otherwise, Rejection, Verdict};
use crate::problem::Fault;

/// Zendesk's page prints it.
const TEST_SECRET: &str = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "zendesk",
    title: "Zendesk",
    level: Level::Both,
    secret: "the webhook's signing secret, used as it is shown",
    signed: "{timestamp}{body}",
    ack: OK,
    // 500 and 503 are not in its contract without a short Retry-After; 409 is.
    retry_please: Reply::status(409),
    deadline_ms: Some(12_000),
    retry_count: Some(3),
    disables_on: "70 % errors, or 1000 of them, within 5 minutes pause it",
    checked: Checked::Vectors,
    sources: &["Verifying webhook authenticity", "Anatomy of a webhook request"],
    unsure: &[
        "The deadline is 12 seconds by the page; one integrator measured 10.",
        "Over which time the three retries are spread.",
    ],
    signature_headers: &[
        "x-zendesk-webhook-signature",
        "x-zendesk-webhook-signature-timestamp",
    ],
    kept_headers: &[
        "x-zendesk-webhook-id",
        "x-zendesk-webhook-invocation-id",
        "x-zendesk-account-id",
    ],
    ..PLAIN
};

static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Zendesk-Webhook-Signature"],
    form: Form::Bare,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: &[Piece::Time, Piece::Body],
    time: Some(SignedTime {
        header: Some("X-Zendesk-Webhook-Signature-Timestamp"),
        unit: Unit::Rfc3339,
        tolerance: DEFAULT_TOLERANCE,
    }),
    check_secret: None,
    handshake: None,
    tell: Tell::Names(Names {
        id: &[
            Place::Header("X-Zendesk-Webhook-Invocation-Id"),
            Place::Body("/id"),
        ],
        event_type: &[Place::Body("/type")],
        time: &[(Place::Body("/time"), Unit::Rfc3339)],
        tenant_key: &[Place::Body("/account_id"), Place::Header("X-Zendesk-Account-Id")],
        ..UNNAMED
    }),
    // A trigger's body is free-form: two of one second may well be the same.
    once: Some(Otherwise::Mark),
    secret_comes_later: false,
};

/// The preset's settings.
pub(super) struct Zendesk {
    table: Table,
    allow_test_secret: bool,
}

impl Zendesk {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let allow_test_secret = settings.flag("allowTestSecret", false);
        // 0 is off here: some senders that imitate Zendesk write another kind of time.
        let off = settings.any("tolerance").and_then(Value::as_u64) == Some(0);
        let tolerance = if off { 0 } else { settings.tolerance() };
        let mut table = Table::default_of(&SCHEME);
        table.tolerance = tolerance;
        settings.finish(Self {
            table,
            allow_test_secret,
        })
    }
}

impl Preset for Zendesk {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.table.write(&mut settings);
        settings.insert("allowTestSecret".to_owned(), self.allow_test_secret.into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        self.table.wants_secret()
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret == TEST_SECRET && !self.allow_test_secret {
            return Err(
                "is the secret of Zendesk's test button, which is published: give the webhook's own"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        let is_public = secret == TEST_SECRET && !self.allow_test_secret;
        (!is_public && !secret.is_empty()).then(|| secret.as_bytes().to_vec())
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let matched = self.table.check(keys, asked)?;
        self.table.tell(&matched, asked)
    }
}
