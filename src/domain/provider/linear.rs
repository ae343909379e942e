//! Linear: `Linear-Signature: <hex>` over the body, which has the time in it (`webhookTimestamp`, milliseconds).
//!
//! 60 s are what Linear's own library takes. If a retry carries the time of its first try, which nobody has confirmed,
//! those after a minute are refused: a source may set `tolerance` to 25200, the six hours of the last retry. The header
//! `Linear-Timestamp` is never looked at: no signature covers it, and whoever sends a captured body again would write it
//! anew.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::settings::Settings;
use super::table::{Encoding, Form, Piece, Scheme, Table, Tell, refuse_prefixes};
use super::timestamp::Timestamp;
use super::verdict::{Otherwise, Reason, Rejection, Verdict};
use crate::problem::Fault;

/// Seconds.
const TOLERANCE: u64 = 60;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "linear",
    title: "Linear",
    level: Level::Both,
    secret: "the webhook's signing secret, lin_wh_ and more",
    signed: "{body}, which has the time in webhookTimestamp",
    deadline_ms: Some(5_000),
    retry_horizon_s: Some(25_260),
    retry_count: Some(3),
    disables_on: "failures over a longer time",
    checked: Checked::Page,
    sources: &["Webhooks (Linear developers)", "linear/linear"],
    unsure: &["Whether a retry carries a new time."],
    signature_headers: &["linear-signature", "linear-timestamp"],
    kept_headers: &["linear-delivery", "linear-event"],
    ..PLAIN
};

static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["Linear-Signature"],
    form: Form::Bare,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 2] = [
            ("lin_api_", "is an API key: give the webhook's signing secret"),
            (
                "lin_oauth_",
                "is an OAuth token: give the webhook's signing secret",
            ),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Names(Names {
        id: &[Place::Header("Linear-Delivery")],
        event_type: &[Place::Body("/type"), Place::Body("/action")],
        time: &[(Place::Body("/createdAt"), Unit::Rfc3339)],
        tenant_key: &[Place::Body("/organizationId")],
        ..UNNAMED
    }),
    // Two signatures of Linear's are never the same: each body has its own time.
    once: Some(Otherwise::Refuse),
    secret_comes_later: false,
};

/// The preset's settings.
pub(super) struct Linear {
    table: Table,
    tolerance: u64,
}

impl Linear {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let table = Table::read(&SCHEME, &mut settings);
        let tolerance = settings.tolerance_of(TOLERANCE);
        settings.finish(Self { table, tolerance })
    }
}

impl Preset for Linear {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("tolerance".to_owned(), self.tolerance.into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        self.table.wants_secret()
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        self.table.check_secret(secret)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let matched = self.table.check(keys, asked)?;
        let [in_body] = pick(asked.request.body, ["/webhookTimestamp"]);
        let in_body = text_of(in_body.as_ref());
        let text = in_body
            .as_deref()
            .ok_or_else(|| Rejection::new(Reason::BadTimestamp, "The body has no webhookTimestamp"))?;
        Timestamp::parse_as(text, Unit::Millis)?.check_fresh(self.tolerance, asked.now)?;
        self.table.tell(&matched, asked)
    }
}
