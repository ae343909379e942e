//! RevenueCat: a fixed `Authorization` header, compared whole, and since 2026 optionally
//! `X-RevenueCat-Webhook-Signature: t=<seconds>,v1=<hex>[,v1=<hex>…]` over `{t}.{body}`.
//!
//! A source says which of the two it wants; where it wants both, both must hold. The signature is never optional for a
//! source that asks for it: whoever has seen one request knows the fixed header.
//!
//! A secret that begins with `signing_secret:` is the key of the signature, any other the header's value.

use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof};
use super::mac::{Algorithm, is_same};
use super::names::{Names, Place, UNNAMED, Unit};
use super::secret::Key;
use super::settings::Settings;
use super::table::{Encoding, Form, Piece, Scheme, SignedTime, Table, Tell};
use super::timestamp::DEFAULT_TOLERANCE;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

const HEADER: &str = "Authorization";

/// What marks a signing secret among the secrets.
pub(super) const SIGNING: &str = "signing_secret:";

const MIN_VALUE: usize = 20;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "revenuecat",
    title: "RevenueCat",
    secret: "the Authorization header's value as it was typed into RevenueCat; signing_secret: and the integration's \
             signing secret for a source that asks for the signature",
    proof: Proof::Token,
    signed: "nothing, or {timestamp}.{body} with config.signature",
    deadline_ms: Some(60_000),
    retry_horizon_s: Some(9_300),
    retry_count: Some(5),
    checked: Checked::Page,
    sources: &["Webhooks", "Event Types and Fields", "RevenueCat/docs"],
    unsure: &[
        "The signature's header: many receivers agree on this one, the page of early 2026 lacked it, and one guide \
         says X-RevenueCat-Signature.",
        "How a signing secret is rotated.",
    ],
    credential_headers: &["authorization"],
    signature_headers: &["x-revenuecat-webhook-signature"],
    ..PLAIN
};

static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-RevenueCat-Webhook-Signature"],
    form: Form::Pairs {
        separator: ',',
        time: "t",
        signature: "v1",
    },
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Time, Piece::Text("."), Piece::Body],
    time: Some(SignedTime {
        header: None,
        unit: Unit::Seconds,
        tolerance: DEFAULT_TOLERANCE,
    }),
    check_secret: None,
    handshake: None,
    tell: Tell::Names(NAMES),
    once: None,
    secret_comes_later: false,
};

const NAMES: Names = Names {
    id: &[Place::Body("/event/id")],
    event_type: &[Place::Body("/event/type")],
    time: &[(Place::Body("/event/event_timestamp_ms"), Unit::Millis)],
    tenant_key: &[Place::Body("/event/app_id")],
    test: Some((Place::Body("/event/type"), "TEST")),
    ..UNNAMED
};

/// The preset's settings. One of the two at least.
pub(super) struct RevenueCat {
    table: Table,
    authorization: bool,
    signature: bool,
}

impl RevenueCat {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let signature = settings.flag("signature", false);
        let authorization = settings.flag("authorization", !signature);
        if !signature && !authorization {
            settings.fault(
                "authorization",
                "is off, and so is the signature: then anybody could post",
            );
        }
        let table = Table::read(&SCHEME, &mut settings);
        settings.finish(Self {
            table,
            authorization,
            signature,
        })
    }
}

impl Preset for RevenueCat {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.table.write(&mut settings);
        settings.insert("authorization".to_owned(), self.authorization.into());
        settings.insert("signature".to_owned(), self.signature.into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "give the Authorization header's value as it was typed into RevenueCat"
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        match secret.strip_prefix(SIGNING) {
            Some("") => Err("has nothing behind signing_secret:".to_owned()),
            Some(_) if !self.signature => {
                Err("is a signing secret, and config.signature is not on: switch it on, or the signature is not looked at".to_owned())
            }
            Some(_) => Ok(()),
            None if !self.authorization => {
                Err("must begin with signing_secret: because config.authorization is off".to_owned())
            }
            None if secret.len() < MIN_VALUE => {
                Err(format!("is shorter than {MIN_VALUE} characters: anybody may try to guess it"))
            }
            None if secret.is_ascii() => Ok(()),
            None => Err("holds something else than ASCII, which no header carries unchanged".to_owned()),
        }
    }

    fn check_list(&self, secrets: &[String]) -> Result<(), String> {
        let signing = secrets
            .iter()
            .filter(|secret| secret.starts_with(SIGNING))
            .count();
        if self.signature && signing == 0 {
            return Err(
                "has no signing secret (signing_secret: in front), and config.signature is on".to_owned(),
            );
        }
        if self.authorization && signing == secrets.len() {
            return Err(
                "has no value of the Authorization header, and config.authorization is on".to_owned(),
            );
        }
        Ok(())
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let by_header = if self.authorization {
            Some(check_header(keys, asked)?)
        } else {
            None
        };
        if self.signature {
            let signing: Vec<Key> = keys
                .iter()
                .filter_map(|key| {
                    let bytes = key.bytes.strip_prefix(SIGNING.as_bytes())?;
                    (!bytes.is_empty()).then(|| Key {
                        index: key.index,
                        bytes: bytes.to_vec(),
                    })
                })
                .collect();
            let matched = self.table.check(&signing, asked)?;
            return self.table.tell(&matched, asked);
        }
        let unsigned = Names {
            body: Trust::Unsigned,
            ..NAMES
        };
        Ok(Accepted::new(vec![unsigned.event(asked.request)], by_header).into())
    }
}

/// The header's value against every live one.
fn check_header(keys: &[Key], asked: &Asked<'_>) -> Result<usize, Rejection> {
    let given = asked.request.headers.single(HEADER)?;
    let values = keys
        .iter()
        .filter(|key| !key.bytes.starts_with(SIGNING.as_bytes()));
    let values: Vec<&Key> = values.collect();
    if values.is_empty() {
        return Err(Rejection::no_active_secret());
    }
    let matched = values.iter().find(|key| is_same(&key.bytes, given.as_bytes()));
    let key = matched.ok_or_else(|| {
        let detail = "The header Authorization has another value";
        Rejection::new(Reason::Mismatch, detail)
    })?;
    Ok(key.index)
}
