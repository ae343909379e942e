//! Discord: Ed25519 over the time's text and the body, hex in `X-Signature-Ed25519`.
//!
//! Discord sends bad signatures on purpose, at save and later, and takes the address away from whoever answers them with
//! anything but 401. Interactions want an answer with content within three seconds, which a gateway does not have: they
//! are answered as deferred, and the tenant follows up with the interaction's token.

use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN, Reply, SecretOrigin};
use super::ed25519::{HexKey, signatures};
use super::event::{usable_id, usable_type};
use super::names::{Unit, fields, time_of};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Answer, Challenge, Effect, Event, Rejection, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

const HEADER: &str = "X-Signature-Ed25519";
const TIME: &str = "X-Signature-Timestamp";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "discord",
    title: "Discord",
    level: Level::App,
    secret_origin: SecretOrigin::None,
    signed: "{timestamp}{body}",
    ack: Reply::status(204),
    deadline_ms: Some(3_000),
    retry_horizon_s: Some(600),
    disables_on: "anything but 401 to a bad signature; many failures",
    checked: Checked::Page,
    sources: &[
        "Webhook Events",
        "Interactions overview",
        "discord/discord-interactions-js",
    ],
    unsure: &["No tolerance is documented for the time; 300 seconds are applied."],
    signature_headers: &["x-signature-ed25519", "x-signature-timestamp"],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct Discord {
    key: HexKey,
    tolerance: u64,
}

impl Discord {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let key = HexKey::read(&mut settings);
        let tolerance = settings.tolerance();
        settings.finish_some(key.map(|key| Self { key, tolerance }))
    }
}

impl Preset for Discord {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.key.write(&mut settings);
        settings.insert("tolerance".to_owned(), self.tolerance.into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: the application's public key stands in config.publicKey"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not needed: the application's public key stands in config.publicKey".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let signatures = signatures(request.headers, HEADER)?;
        let time = Timestamp::parse(request.headers.single(TIME)?)?;
        self.key
            .check(&[time.text.as_bytes(), request.body], &signatures)?;
        time.check_fresh(self.tolerance, asked.now)?;
        Ok(tell(request))
    }
}

/// Interactions and webhook events share the numbers of their types and nothing else.
fn tell(request: &Request<'_>) -> Verdict {
    let body = request.body;
    let [kind] = pick(body, ["/type"]);
    let kind = kind.as_ref().and_then(Value::as_u64);
    let text = std::str::from_utf8(body).unwrap_or_default();
    let is_webhook = fields(text).iter().any(|(key, _)| key == "event");
    match kind {
        Some(0) => Challenge {
            answer: Answer {
                status: 204,
                content_type: Some("application/json".to_owned()),
                body: Vec::new(),
            },
            effect: Effect::Activate,
        }
        .into(),
        Some(1) if !is_webhook => Challenge {
            answer: Answer::json(r#"{"type":1}"#),
            effect: Effect::Activate,
        }
        .into(),
        _ if is_webhook => Accepted::new(vec![webhook_event(body)], None).into(),
        _ => Accepted {
            answer: deferred(kind),
            ..Accepted::new(vec![interaction(body, kind)], None)
        }
        .into(),
    }
}

/// Has no id: nothing to deduplicate by.
fn webhook_event(body: &[u8]) -> Event {
    let [event_type, time, app] = pick(body, ["/event/type", "/event/timestamp", "/application_id"]);
    Event {
        time: time_of(time.as_ref(), Unit::Rfc3339),
        tenant_key: usable_id(text_of(app.as_ref())),
        ..Event::of_type(usable_type(text_of(event_type.as_ref()).as_deref()))
    }
}

fn interaction(body: &[u8], kind: Option<u64>) -> Event {
    let [id, guild, app] = pick(body, ["/id", "/guild_id", "/application_id"]);
    let event_type = match kind {
        Some(2) => "interaction.application_command",
        Some(3) => "interaction.message_component",
        Some(4) => "interaction.autocomplete",
        Some(5) => "interaction.modal_submit",
        _ => "interaction.unknown",
    };
    Event {
        id: usable_id(text_of(id.as_ref())),
        tenant_key: usable_id(text_of(guild.as_ref())).or_else(|| usable_id(text_of(app.as_ref()))),
        ..Event::of_type(event_type.to_owned())
    }
}

/// "Somebody is working on it", in the words of each kind.
fn deferred(kind: Option<u64>) -> Option<Answer> {
    let body = match kind? {
        2 | 5 => r#"{"type":5}"#,
        3 => r#"{"type":6}"#,
        4 => r#"{"type":8,"data":{"choices":[]}}"#,
        _ => return None,
    };
    Some(Answer::json(body))
}
