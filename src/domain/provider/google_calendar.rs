//! Google's channels (Calendar, Drive): no signature and no body. What proves the sender is the token that the channel was
//! opened with, and it counts for that channel only.
//!
//! Channels come from a connection ([`super::Standing::channels`]), or are opened by hand: then a secret is the channel's
//! id, a colon and its token, so that a new channel beside an old one is a rotation.

use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN, Proof, SecretOrigin};
use super::event::{usable_id, usable_type};
use super::mac::is_same;
use super::names::header;
use super::secret::{Key, MAX_SECRETS};
use super::settings::Settings;
use super::verdict::{
    Accepted, Answer, Challenge, ChannelOpened, Effect, Event, Reason, Rejection, Trust, Verdict,
};
use super::{Asked, Request};
use crate::id::MAX_48;
use crate::problem::Fault;
use crate::time::Millis;

const CHANNEL: &str = "X-Goog-Channel-ID";
const TOKEN: &str = "X-Goog-Channel-Token";
const RESOURCE: &str = "X-Goog-Resource-ID";
const STATE: &str = "X-Goog-Resource-State";

const MIN_TOKEN: usize = 24;

const MAX_TOKEN: usize = 256;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "google-calendar",
    title: "Google Calendar and Drive channels",
    level: Level::Both,
    secret_origin: SecretOrigin::Ours,
    secret: "the channel's id, a colon and its token; none where a connection opens the channels",
    proof: Proof::Token,
    signed: "",
    disables_on: "the channel's end, which cannot be put off: a new one is opened beside it",
    checked: Checked::Page,
    sources: &["Push notifications (Calendar)", "Push notifications (Drive)"],
    unsure: &["How long and how often 500, 502, 503 and 504 are tried again; other answers are not."],
    credential_headers: &["x-goog-channel-token"],
    kept_headers: &[
        "x-goog-channel-id",
        "x-goog-channel-expiration",
        "x-goog-resource-id",
        "x-goog-resource-uri",
        "x-goog-resource-state",
        "x-goog-message-number",
        "x-goog-changed",
    ],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct GoogleCalendar {
    /// If there are some, a request must be about one of them.
    resource_ids: Vec<String>,
}

impl GoogleCalendar {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const IDS: &str = "resourceIds";
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let ids = settings.texts(IDS);
        if ids.len() > MAX_SECRETS || ids.iter().any(|id| id.is_empty() || id.len() > MAX_TOKEN) {
            settings.fault(
                IDS,
                format!("must hold up to {MAX_SECRETS} ids, none of them empty"),
            );
        }
        let resource_ids = ids.into_iter().map(str::to_owned).collect();
        settings.finish(Self { resource_ids })
    }

    /// The secret that matched, if it is one of the source's.
    fn check(&self, keys: &[Key], channel: &str, asked: &Asked<'_>) -> Result<Option<usize>, Rejection> {
        let headers = asked.request.headers;
        let token = headers.single(TOKEN)?;
        let mismatch = || {
            let detail = "The channel's token is another one";
            Rejection::new(Reason::Mismatch, detail)
        };
        if let Some(known) = asked.standing.channels.iter().find(|known| known.id == channel) {
            if !is_same(known.token.as_bytes(), token.as_bytes()) {
                return Err(mismatch());
            }
            return match &known.resource_id {
                Some(resource) if header(headers, RESOURCE) != Some(resource) => Err(other_resource()),
                _ => Ok(None),
            };
        }
        if keys.is_empty() && asked.standing.channels.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let of_channel = |key: &&Key| {
            key.bytes
                .strip_prefix(channel.as_bytes())
                .is_some_and(|rest| rest.starts_with(b":"))
        };
        let mut own = keys.iter().filter(of_channel).peekable();
        if own.peek().is_none() {
            let detail = "The channel is none of this source's";
            return Err(Rejection::new(Reason::WrongState, detail));
        }
        let wanted = format!("{channel}:{token}");
        let key = own
            .find(|key| is_same(&key.bytes, wanted.as_bytes()))
            .ok_or_else(mismatch)?;
        let resource = header(headers, RESOURCE).unwrap_or_default();
        if !self.resource_ids.is_empty() && !self.resource_ids.iter().any(|own| own == resource) {
            return Err(other_resource());
        }
        Ok(Some(key.index))
    }
}

impl Preset for GoogleCalendar {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        if !self.resource_ids.is_empty() {
            settings.insert("resourceIds".to_owned(), self.resource_ids.clone().into());
        }
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        let (channel, token) = secret
            .split_once(':')
            .ok_or("must be the channel's id, a colon and its token")?;
        let visible = |text: &str| text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        if channel.is_empty() || channel.len() > 64 || !visible(secret) {
            return Err(
                "must begin with the channel's id (up to 64 characters), and hold visible ASCII only"
                    .to_owned(),
            );
        }
        if (MIN_TOKEN..=MAX_TOKEN).contains(&token.len()) {
            Ok(())
        } else {
            Err(format!(
                "has a token of {} characters; it must have {MIN_TOKEN} to {MAX_TOKEN}, at random",
                token.len()
            ))
        }
    }

    /// A connection may open the channels.
    fn works_without_secret(&self) -> bool {
        true
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let channel = request.headers.single(CHANNEL)?;
        let matched = self.check(keys, channel, asked)?;
        let state = request.headers.single(STATE)?;
        if state == "sync" {
            let opened = ChannelOpened {
                id: channel.to_owned(),
                resource_id: header(request.headers, RESOURCE).map(str::to_owned),
                expires_at: header(request.headers, "X-Goog-Channel-Expiration").and_then(http_date),
            };
            return Ok(Challenge {
                answer: Answer::empty(),
                effect: Effect::OpenChannel(opened),
            }
            .into());
        }
        Ok(Accepted::new(vec![name(request, channel, state)], matched).into())
    }
}

fn name(request: &Request<'_>, channel: &str, state: &str) -> Event {
    let number = header(request.headers, "X-Goog-Message-Number");
    let uri = header(request.headers, "X-Goog-Resource-URI").unwrap_or_default();
    let product = if uri.contains("/drive/") {
        "drive"
    } else {
        "calendar"
    };
    Event {
        id: usable_id(number.map(|number| format!("{channel}:{number}"))),
        id_trust: Trust::Unsigned,
        tenant_key: usable_id(Some(channel.to_owned())),
        // The token is the channel's own: nobody but who knows it can name this channel.
        tenant_key_trust: Trust::Signed,
        ..Event::of_type(usable_type(Some(&format!("{product}.{state}"))))
    }
}

fn other_resource() -> Rejection {
    let detail = "The channel is ours, and the resource is another one";
    Rejection::new(Reason::WrongState, detail)
}

fn http_date(text: &str) -> Option<Millis> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    let ms = u64::try_from(since.as_millis()).ok()?;
    (ms <= MAX_48).then_some(Millis(ms))
}
