//! Telegram: `X-Telegram-Bot-Api-Secret-Token` is the value that was given to `setWebhook`. No signature: it proves that
//! the sender knows the token, and nothing about the body.
//!
//! An answer with a JSON body would be run as a call of the bot's: it stays empty.

use serde_json::{Value, json};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::{usable_id, usable_type};
use super::mac::is_same;
use super::names::{Unit, fields, time_of};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Event, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

const HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "telegram",
    title: "Telegram",
    secret_origin: SecretOrigin::Ours,
    secret: "the secret_token that was given to setWebhook: 1 to 256 of A–Z a–z 0–9 _ -",
    proof: Proof::Token,
    signed: "",
    retry_horizon_s: Some(86_400),
    checked: Checked::Page,
    sources: &["Bot API: setWebhook"],
    unsure: &["Retries are a \"reasonable number\" by the page; updates are kept for 24 hours."],
    credential_headers: &["x-telegram-bot-api-secret-token"],
    ..PLAIN
};

/// The preset, which has no settings.
pub(super) struct Telegram;

impl Telegram {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        Settings::new(DESCRIPTOR.name, config)?.finish(Self)
    }
}

impl Preset for Telegram {
    fn to_value(&self) -> Value {
        json!({})
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret.contains(':') {
            return Err("looks like the bot's token: give the secret_token of setWebhook".to_owned());
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if secret.len() > 256 || !secret.bytes().all(allowed) {
            return Err("must have 1 to 256 of A–Z a–z 0–9 _ -, as setWebhook takes it".to_owned());
        }
        Ok(())
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let given = asked.request.headers.single(HEADER)?;
        if keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let matched = keys.iter().find(|key| is_same(&key.bytes, given.as_bytes()));
        let key = matched.ok_or_else(|| {
            let detail = format!("The header {HEADER} has another token");
            Rejection::new(Reason::Mismatch, detail)
        })?;
        Ok(Accepted::new(vec![name(asked.request.body)], Some(key.index)).into())
    }
}

/// An update has its number and one more field, which says what it is.
fn name(body: &[u8]) -> Event {
    let [id] = pick(body, ["/update_id"]);
    let text = std::str::from_utf8(body).unwrap_or_default();
    let kind = fields(text)
        .into_iter()
        .map(|(key, _)| key)
        .find(|key| key != "update_id");
    let date = kind.as_ref().and_then(|kind| {
        let [date] = pick(body, [format!("/{kind}/date").as_str()]);
        time_of(date.as_ref(), Unit::Seconds)
    });
    Event {
        id: usable_id(text_of(id.as_ref())),
        id_trust: Trust::Unsigned,
        time: date,
        ..Event::of_type(usable_type(kind.as_deref()))
    }
}
