//! Slack: `X-Slack-Signature: v0=<hex>` over `v0:{timestamp}:{body}`, the time in `X-Slack-Request-Timestamp`.
//!
//! The handshake `url_verification` is signed as everything is, and answered only then. `X-Slack-Retry-Num` does not make
//! a duplicate: the first try may never have arrived.

use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::event::{usable_id, usable_type};
use super::handshake::echo;
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::table::{Encoding, Form, Piece, Scheme, SignedTime, Tell, Told, refuse_prefixes};
use super::timestamp::DEFAULT_TOLERANCE;
use super::verdict::{Effect, Event, Rejection, Trust};
use super::{Asked, Request};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "slack",
    title: "Slack",
    level: Level::App,
    secret: "the app's signing secret: 32 hexadecimal characters",
    signed: "v0:{timestamp}:{body}",
    deadline_ms: Some(3_000),
    retry_horizon_s: Some(86_400),
    retry_count: Some(3),
    disables_on: "more than 95 % failed tries in 60 minutes switch off the events of the whole app",
    checked: Checked::Vectors,
    sources: &["Events API", "Verifying requests from Slack", "slackapi/bolt-js"],
    unsure: &[
        "Hourly retries for 24 hours are an option of the app; without it there are three within 6 minutes.",
    ],
    signature_headers: &["x-slack-signature", "x-slack-request-timestamp"],
    kept_headers: &["x-slack-retry-num", "x-slack-retry-reason"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Slack-Signature"],
    form: Form::Prefixed("v0="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Text("v0:"), Piece::Time, Piece::Text(":"), Piece::Body],
    time: Some(SignedTime {
        header: Some("X-Slack-Request-Timestamp"),
        unit: Unit::Seconds,
        tolerance: DEFAULT_TOLERANCE,
    }),
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 3] = [
            ("xoxb-", "is a bot token: give the app's signing secret"),
            ("xoxp-", "is a user token: give the app's signing secret"),
            ("xapp-", "is an app-level token: give the app's signing secret"),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Code(tell),
    once: None,
    secret_comes_later: false,
};

/// Of the envelope `event_callback`, and of what has none.
const NAMES: Names = Names {
    id: &[Place::Body("/event_id"), Place::Body("/trigger_id")],
    event_type: &[Place::Body("/event/type")],
    time: &[(Place::Body("/event_time"), Unit::Seconds)],
    tenant_key: &[
        Place::Body("/team_id"),
        Place::Body("/team/id"),
        Place::Body("/enterprise_id"),
    ],
    ..UNNAMED
};

fn tell(asked: &Asked<'_>, _: &Key) -> Result<Told, Rejection> {
    let request = asked.request;
    if !request.body.starts_with(b"{") {
        return Ok(Told::Events(form(request)));
    }
    let [kind, challenge, event_type] = pick(request.body, ["/type", "/challenge", "/event/type"]);
    let kind = text_of(kind.as_ref());
    if kind.as_deref() == Some("url_verification") {
        let challenge = text_of(challenge.as_ref()).unwrap_or_default();
        return echo(&challenge, Effect::Activate).map(Told::Challenge);
    }
    let mut event = NAMES.event(request);
    if event_type.is_none() {
        event.event_type = usable_type(kind.as_deref());
    }
    Ok(Told::Events(vec![event]))
}

/// Slash commands, interactions (JSON in the field `payload`), and the probe `ssl_check`, which is no event.
fn form(request: &Request<'_>) -> Vec<Event> {
    let field = |name: &str| {
        let mut values = url::form_urlencoded::parse(request.body).filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.into_owned())
    };
    if field("ssl_check").as_deref() == Some("1") {
        return Vec::new();
    }
    if let Some(payload) = field("payload") {
        let event = NAMES.event_in(request.headers, payload.as_bytes());
        let [kind] = pick(payload.as_bytes(), ["/type"]);
        let kind = text_of(kind.as_ref()).unwrap_or_default();
        return vec![Event {
            event_type: usable_type(Some(&format!("interactive.{kind}"))),
            ..event
        }];
    }
    let event_type = if field("command").is_some() {
        "slash_command"
    } else {
        ""
    };
    vec![Event {
        id: usable_id(field("trigger_id")),
        tenant_key: usable_id(field("team_id")),
        tenant_key_trust: Trust::Signed,
        ..Event::of_type(usable_type(Some(event_type)))
    }]
}
