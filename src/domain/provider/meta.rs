//! Meta (WhatsApp, Messenger, Instagram, Pages): `X-Hub-Signature-256: sha256=<hex>` over the body, with the app's secret
//! as key. The SHA-1 header beside it is never believed.
//!
//! The handshake is a GET with `hub.verify_token`, which the owner chose. A request holds up to 1000 updates of many
//! accounts in two levels (`entry`, then `changes` or `messaging`); each becomes an event with a body of Meta's own shape
//! that holds this one, so that a handler written for Meta reads it unchanged.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::event::{usable_id, usable_type};
use super::handshake::{echo, refused};
use super::mac::{Algorithm, is_same};
use super::names::{Unit, check_size, fields, time_of};
use super::pick::{pick, text_of};
use super::public_url::query_value;
use super::secret::Key;
use super::settings::Settings;
use super::table::{Encoding, Form, Piece, Scheme, Table, Tell, Told, refuse_prefixes};
use super::verdict::{Challenge, Effect, Event, Part, Rejection, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

const VERIFY_TOKEN: &str = "verifyToken";

const MAX_VERIFY_TOKEN: usize = 256;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "meta",
    title: "Meta (WhatsApp, Messenger, Instagram)",
    methods: &["POST", "GET"],
    level: Level::App,
    secret: "the app's secret: 32 hexadecimal characters",
    retry_horizon_s: Some(604_800),
    disables_on: "Messenger unsubscribes a page after an hour of failures",
    checked: Checked::Page,
    sources: &[
        "Getting started – Webhooks from Meta",
        "Create a webhook endpoint",
    ],
    unsure: &[
        "No deadline for an answer is published; 5 seconds are assumed.",
        "WhatsApp retries for 7 days, other products for 36 hours; Messenger's page differs from the general one.",
    ],
    signature_headers: &["x-hub-signature-256", "x-hub-signature"],
    ..PLAIN
};

static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Hub-Signature-256"],
    form: Form::Prefixed("sha256="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 1] = [("EAA", "is an access token: give the app's secret")];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Code(|asked, _| split(asked.request).map(Told::Events)),
    once: None,
    secret_comes_later: false,
};

/// The preset's settings.
pub(super) struct Meta {
    table: Table,
    verify_token: String,
}

impl Meta {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let table = Table::read(&SCHEME, &mut settings);
        let given = settings.required_text(
            VERIFY_TOKEN,
            "choose a text, and type the same into the app's webhook settings",
        );
        let visible = |text: &str| text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if given.is_some_and(|text| text.is_empty() || text.len() > MAX_VERIFY_TOKEN || !visible(text)) {
            settings.fault(
                VERIFY_TOKEN,
                format!("must have 1 to {MAX_VERIFY_TOKEN} visible ASCII characters and no blank"),
            );
        } else if given.is_some_and(|text| text.starts_with("EAA")) {
            settings.fault(
                VERIFY_TOKEN,
                "is an access token of Meta's: choose a text that is used for nothing else",
            );
        }
        let verify_token = given.unwrap_or_default().to_owned();
        settings.finish(Self { table, verify_token })
    }

    fn handshake(&self, request: &Request<'_>) -> Result<Challenge, Rejection> {
        let mode = query_value(request, "hub.mode");
        let token = query_value(request, "hub.verify_token").unwrap_or_default();
        if mode.as_deref() != Some("subscribe") {
            return Err(refused(
                "A GET without hub.mode=subscribe is no handshake of Meta's",
            ));
        }
        if !is_same(self.verify_token.as_bytes(), token.as_bytes()) {
            return Err(refused("hub.verify_token is not the one of this source"));
        }
        let challenge = query_value(request, "hub.challenge").unwrap_or_default();
        echo(&challenge, Effect::Activate)
    }
}

impl Preset for Meta {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert(VERIFY_TOKEN.to_owned(), self.verify_token.clone().into());
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        self.table.wants_secret()
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret == self.verify_token {
            return Err("is the verify token: give the app's secret, which nobody else may know".to_owned());
        }
        self.table.check_secret(secret)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        if asked.request.method == "GET" {
            return self.handshake(asked.request).map(Verdict::Challenge);
        }
        let matched = self.table.check(keys, asked)?;
        self.table.tell(&matched, asked)
    }
}

/// The updates, each with a body of its own. Every level is read once, whatever it holds.
fn split(request: &Request<'_>) -> Result<Vec<Event>, Rejection> {
    let whole = fields(std::str::from_utf8(request.body).unwrap_or_default());
    let [object] = pick(request.body, ["/object"]);
    let object = text_of(object.as_ref()).unwrap_or_default();
    let Some(entries) = field(&whole, "entry").and_then(list) else {
        return Ok(vec![Event::of_type(usable_type(None))]);
    };
    let mut events = Vec::new();
    for raw in entries {
        let [id, time] = pick(raw.get().as_bytes(), ["/id", "/time"]);
        let entry = Entry {
            whole: &whole,
            object: &object,
            fields: fields(raw.get()),
            id: usable_id(text_of(id.as_ref())),
            time,
        };
        let before = events.len();
        for name in LISTS {
            for update in field(&entry.fields, name).and_then(list).unwrap_or_default() {
                entry.tell(name, update, &mut events);
                check_size(events.len())?;
            }
        }
        if events.len() == before {
            // An entry of a kind that is not known: kept, as a batch of one.
            events.push(Event {
                tenant_key: entry.id.clone(),
                part: Part::Own(with(&whole, &[("entry", &format!("[{}]", raw.get()))], &[]).into_bytes()),
                ..Event::of_type("unknown".to_owned())
            });
            check_size(events.len())?;
        }
    }
    if let [event] = events.as_mut_slice() {
        event.part = Part::Whole;
    }
    Ok(events)
}

/// Where an entry has its updates.
const LISTS: [&str; 3] = ["changes", "messaging", "standby"];

/// An object's fields in their order, as they were sent.
type Fields<'a> = Vec<(String, &'a RawValue)>;

/// One of the first level.
struct Entry<'a> {
    whole: &'a Fields<'a>,
    object: &'a str,
    fields: Fields<'a>,
    id: Option<String>,
    time: Option<Value>,
}

impl Entry<'_> {
    /// WhatsApp puts several messages and statuses into one change; everything else is one event.
    fn tell(&self, list_name: &str, update: &RawValue, events: &mut Vec<Event>) {
        let before = events.len();
        let update_fields = fields(update.get());
        let [name] = pick(update.get().as_bytes(), ["/field"]);
        let name = text_of(name.as_ref());
        if let (Some("messages"), Some(value)) = (name.as_deref(), field(&update_fields, "value")) {
            let [number] = pick(value.get().as_bytes(), ["/metadata/phone_number_id"]);
            let number = usable_id(text_of(number.as_ref())).or_else(|| self.id.clone());
            let value = fields(value.get());
            for kind in ["messages", "statuses"] {
                for one in field(&value, kind).and_then(list).unwrap_or_default() {
                    let value = with(
                        &value,
                        &[(kind, &format!("[{}]", one.get()))],
                        &["messages", "statuses"],
                    );
                    let update = with(&update_fields, &[("value", &value)], &[]);
                    events.push(Event {
                        tenant_key: number.clone(),
                        part: self.part(list_name, &update),
                        ..whatsapp(kind, one.get())
                    });
                }
            }
        }
        if events.len() == before {
            events.push(self.other(list_name, update.get(), &update_fields, name));
        }
    }

    fn other(
        &self,
        list_name: &str,
        update: &str,
        update_fields: &Fields<'_>,
        name: Option<String>,
    ) -> Event {
        let [mid, time] = pick(update.as_bytes(), ["/message/mid", "/timestamp"]);
        // What a `messaging` item tells of is the field that is neither the parties nor the time.
        let tells =
            |(key, _): &&(String, &RawValue)| !matches!(key.as_str(), "sender" | "recipient" | "timestamp");
        let name = name
            .or_else(|| update_fields.iter().find(tells).map(|(key, _)| key.clone()))
            .unwrap_or_else(|| list_name.to_owned());
        // Entries of pages write seconds, those of Messenger and Instagram milliseconds.
        let entry_unit = if list_name == "changes" {
            Unit::Seconds
        } else {
            Unit::Millis
        };
        Event {
            id: usable_id(text_of(mid.as_ref())),
            time: time_of(time.as_ref(), Unit::Millis).or_else(|| time_of(self.time.as_ref(), entry_unit)),
            tenant_key: self.id.clone(),
            part: self.part(list_name, update),
            ..Event::of_type(usable_type(Some(&format!("{}.{name}", self.object))))
        }
    }

    /// The whole request with this one update in it.
    fn part(&self, list_name: &str, update: &str) -> Part {
        let entry = with(&self.fields, &[(list_name, &format!("[{update}]"))], &LISTS);
        Part::Own(with(self.whole, &[("entry", &format!("[{entry}]"))], &[]).into_bytes())
    }
}

/// A message or a status of WhatsApp.
fn whatsapp(kind: &str, one: &str) -> Event {
    let [id, status, message, time] = pick(one.as_bytes(), ["/id", "/status", "/type", "/timestamp"]);
    let id = text_of(id.as_ref()).filter(|id| !id.is_empty());
    let text = |value: Option<Value>| text_of(value.as_ref()).unwrap_or_default();
    let (id, event_type) = if kind == "statuses" {
        let status = text(status);
        // One message is sent, delivered and read: three events under one id.
        let id = id.map(|id| format!("{id}:{status}"));
        (id, format!("messages.statuses.{status}"))
    } else {
        (id, format!("messages.{}", text(message)))
    };
    Event {
        id: usable_id(id),
        time: time_of(time.as_ref(), Unit::Seconds),
        ..Event::of_type(usable_type(Some(&event_type)))
    }
}

fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| *value)
}

fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// An object with some values put in the place of others and some fields left out; all else byte for byte, but for the
/// space between.
fn with(fields: &Fields<'_>, put: &[(&str, &str)], drop: &[&str]) -> String {
    let mut pieces = Vec::new();
    for (key, raw) in fields {
        let value = match put.iter().find(|(name, _)| name == key) {
            Some((_, value)) => value,
            None if drop.contains(&key.as_str()) => continue,
            None => raw.get(),
        };
        pieces.push(format!("{}:{value}", Value::from(key.as_str())));
    }
    format!("{{{}}}", pieces.join(","))
}
