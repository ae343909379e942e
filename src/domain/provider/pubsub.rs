//! Google Pub/Sub push, with which Gmail's watch tells of new mail: a JSON Web Token by Google in `Authorization`, for
//! this source's audience and by the push subscription's service account.
//!
//! The token does not cover the body: whoever captures a request can send another body with its token for an hour.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN, Proof, Reply, SecretOrigin};
use super::event::{usable_id, usable_type};
use super::jwt::{Keys, required};
use super::names::{Unit, header, time_of};
use super::pick::{pick, text_of};
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::DEFAULT_TOLERANCE;
use super::token::Token;
use super::verdict::{Accepted, Event, Reason, Rejection, Trust, Verdict};
use super::{Asked, Request};
use crate::problem::Fault;

/// Google's key set.
const GOOGLE: &str = "https://www.googleapis.com/oauth2/v3/certs";

const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Whom Gmail publishes as. It never pushes.
const GMAIL: &str = "gmail-api-push@system.gserviceaccount.com";

/// Bytes of a message's data, in base64, that are looked into for Gmail's two fields.
const MAX_DATA: usize = 4096;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "pubsub",
    title: "Google Pub/Sub push (Gmail)",
    level: Level::Both,
    secret_origin: SecretOrigin::None,
    proof: Proof::Token,
    signed: "the token; the body is not covered",
    ack: Reply::status(204),
    deadline_ms: Some(10_000),
    retry_horizon_s: Some(604_800),
    disables_on: "nothing; what is not acknowledged comes again until its retention ends",
    checked: Checked::Page,
    sources: &[
        "Authentication for push subscriptions",
        "Push notifications in Gmail",
        "googleapis/google-auth-library-nodejs",
    ],
    credential_headers: &["authorization"],
    kept_headers: &[
        "x-goog-pubsub-message-id",
        "x-goog-pubsub-subscription-name",
        "x-goog-pubsub-publish-time",
    ],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct PubSub {
    audience: String,
    email: String,
    keys: Keys,
}

impl PubSub {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const EMAIL: &str = "email";
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let audience = required(
            &mut settings,
            "audience",
            "give the audience of the push subscription: this source's address, if nothing else was set there",
        );
        let email = required(
            &mut settings,
            EMAIL,
            "give the service account of the push subscription, which ends in .iam.gserviceaccount.com",
        );
        if email == GMAIL {
            settings.fault(
                EMAIL,
                "is the account that Gmail publishes with; give the one that the subscription pushes with",
            );
        } else if !email.is_empty() && !email.ends_with(".gserviceaccount.com") {
            settings.fault(
                EMAIL,
                "must be a service account, which ends in .iam.gserviceaccount.com",
            );
        }
        // What `to_value` wrote comes back as `jwksUrl`.
        let is_ours = settings.text("jwksUrl").is_none_or(|url| url == GOOGLE);
        if !is_ours {
            settings.fault("jwksUrl", format!("is always {GOOGLE}"));
        }
        let keys = Keys::read(&mut settings, Some(GOOGLE));
        let preset = keys.map(|keys| Self {
            audience,
            email,
            keys,
        });
        settings.finish_some(preset)
    }
}

impl Preset for PubSub {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("audience".to_owned(), self.audience.clone().into());
        settings.insert("email".to_owned(), self.email.clone().into());
        self.keys.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: Google's keys are public"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not needed: Google's keys are public".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn key_set_url(&self) -> Option<&str> {
        self.keys.url()
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let token = Token::read(asked.request.headers, "Authorization")?;
        let claims = match token.claims(self.keys.set(asked), &["RS256"], asked) {
            Ok(claims) => claims,
            Err(not_proven) => return not_proven.into_verdict(),
        };
        claims.check_issuer(&ISSUERS)?;
        claims.check_audience(&self.audience)?;
        if claims.text("email") != Some(&self.email) || !claims.flag("email_verified") {
            let detail = "Genuine, but the token is of another service account than this source's, or its mail address \
                          is not verified";
            return Err(Rejection::new(Reason::WrongIssuer, detail));
        }
        claims.check_times(true, DEFAULT_TOLERANCE, asked.now)?;
        Ok(Accepted::new(vec![name(asked.request)], None).into())
    }
}

fn name(request: &Request<'_>) -> Event {
    let places = [
        "/message/messageId",
        "/subscription",
        "/message/publishTime",
        "/message/data",
        "/message/attributes/eventType",
    ];
    let [id, subscription, time, data, attribute] = pick(request.body, places);
    let of_header = |name| header(request.headers, name).map(Value::from);
    let id = text_of(id.or_else(|| of_header("x-goog-pubsub-message-id")).as_ref());
    let subscription = text_of(
        subscription
            .or_else(|| of_header("x-goog-pubsub-subscription-name"))
            .as_ref(),
    );
    let time = time.or_else(|| of_header("x-goog-pubsub-publish-time"));
    let gmail = data.as_ref().and_then(Value::as_str).and_then(gmail);
    let event_type = match (&gmail, text_of(attribute.as_ref())) {
        (Some(_), _) => "gmail.history".to_owned(),
        (None, Some(attribute)) => attribute,
        (None, None) => "pubsub.message".to_owned(),
    };
    Event {
        // Message ids are unique in a topic; two subscriptions of one may push here.
        id: usable_id(id.filter(|id| !id.is_empty()).map(|id| match subscription {
            Some(subscription) => format!("{subscription}:{id}"),
            None => id,
        })),
        id_trust: Trust::Unsigned,
        time: time_of(time.as_ref(), Unit::Rfc3339),
        tenant_key: usable_id(gmail),
        tenant_key_trust: Trust::Unsigned,
        ..Event::of_type(usable_type(Some(&event_type)))
    }
}

/// The mailbox, if these are Gmail's two fields.
fn gmail(data: &str) -> Option<String> {
    if data.len() > MAX_DATA {
        return None;
    }
    let data = BASE64_STANDARD.decode(data).ok()?;
    let [mailbox, history] = pick(&data, ["/emailAddress", "/historyId"]);
    text_of(history.as_ref())?;
    text_of(mailbox.as_ref())
}
