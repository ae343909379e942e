//! Microsoft Graph change notifications: no signature. Each item has the `clientState` that its subscription was opened
//! with; an item with another one is dropped, and a request without a single good one is rejected.
//!
//! Subscriptions come from a connection ([`super::Standing::channels`]), or are opened by hand with a secret of the source
//! as `clientState`.
//!
//! Rich notifications (encrypted content) come with `validationTokens` beside them, one for each app and tenant. With
//! `appIds` in the settings all of them must be genuine, by Microsoft's publisher of change notifications, for one of those
//! apps, and an item with content must be of a tenant that one of them is about. Without, they are handed on unchecked, and
//! the `clientState` is all that proves them. The content stays encrypted: its key is the owner's.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Asked;
use super::check::NotProven;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN, Proof, Reply, SecretOrigin};
use super::event::{usable_id, usable_type};
use super::handshake::echo;
use super::jwt::Keys;
use super::mac::is_same;
use super::names::{check_size, fields, range_in};
use super::pick::{pick, text_of};
use super::public_url::query_value;
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::DEFAULT_TOLERANCE;
use super::token::Token;
use super::verdict::{Accepted, Effect, Event, Part, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

const MAX_CLIENT_STATE: usize = 128;

/// Where the keys of Microsoft's identity platform are.
const MICROSOFT: &str = "https://login.microsoftonline.com/common/discovery/v2.0/keys";

/// The app that publishes change notifications: who a token of theirs is issued to.
const PUBLISHER: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";

/// Apps that one source serves, and tokens that one request may have.
const MAX_APPS: usize = 8;
const MAX_TOKENS: usize = 16;

const APPS: &str = "appIds";

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "microsoft-graph",
    title: "Microsoft Graph",
    level: Level::Both,
    secret_origin: SecretOrigin::Ours,
    secret: "the clientState of the subscription, up to 128 characters; none where a connection opens it",
    proof: Proof::Token,
    signed: "",
    ack: Reply::status(202),
    deadline_ms: Some(3_000),
    retry_horizon_s: Some(14_400),
    disables_on: "the subscription's end; slow answers are throttled",
    checked: Checked::Page,
    sources: &[
        "Receive change notifications through webhooks",
        "Set up change notifications that include resource data",
    ],
    unsure: &["Whether tokens are of version 1 or 2: both forms of issuer and publisher are taken."],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct MicrosoftGraph {
    /// Whose tokens are believed; empty: tokens are not looked at.
    apps: Vec<String>,
    keys: Option<Keys>,
}

impl MicrosoftGraph {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let apps: Vec<String> = settings.texts(APPS).into_iter().map(str::to_owned).collect();
        if apps.len() > MAX_APPS || apps.iter().any(|app| !is_guid(app)) {
            let msg = format!("must hold up to {MAX_APPS} application (client) ids, such as {PUBLISHER}");
            settings.fault(APPS, msg);
        }
        if apps.iter().any(|app| app.eq_ignore_ascii_case(PUBLISHER)) {
            settings.fault(APPS, "holds Microsoft's publisher: give the ids of your own apps");
        }
        // What `to_value` wrote comes back as `jwksUrl`.
        if settings.text("jwksUrl").is_some_and(|url| url != MICROSOFT) {
            settings.fault("jwksUrl", format!("is always {MICROSOFT}"));
        }
        if apps.is_empty() && (settings.has("jwks") || settings.has("jwksUrl")) {
            settings.fault(
                APPS,
                "is missing: without it no token is looked at, and keys are for tokens",
            );
        }
        let keys = Keys::read(&mut settings, Some(MICROSOFT)).filter(|_| !apps.is_empty());
        settings.finish(Self { apps, keys })
    }

    /// The tenants that the request's tokens are about, once all of them have held.
    fn tenants(&self, tokens: &[String], asked: &Asked<'_>) -> Result<Vec<String>, NotProven> {
        if tokens.len() > MAX_TOKENS {
            let detail = format!("More than {MAX_TOKENS} validationTokens");
            return Err(Rejection::malformed(detail).into());
        }
        let tokens: Result<Vec<Token<'_>>, Rejection> =
            tokens.iter().map(|text| Token::of_text(text)).collect();
        let set = self.keys.as_ref().and_then(|keys| keys.set(asked));
        let mut tenants = Vec::new();
        for claims in Token::claims_of_all(&tokens?, set, &["RS256"], asked)? {
            let tenant = claims.text("tid").unwrap_or_default().to_owned();
            let issuers = [
                format!("https://sts.windows.net/{tenant}/"),
                format!("https://login.microsoftonline.com/{tenant}/v2.0"),
            ];
            claims.check_issuer(&[&issuers[0], &issuers[1]])?;
            let ours = |app: &String| claims.check_audience(app).is_ok();
            if !self.apps.iter().any(ours) {
                let detail = "Genuine, but the token is for another app than those of config.appIds";
                return Err(Rejection::new(Reason::WrongAudience, detail).into());
            }
            let publisher = claims.text("azp").or_else(|| claims.text("appid"));
            if publisher != Some(PUBLISHER) {
                let detail =
                    "Genuine, but the token was issued to another app than the publisher of notifications";
                return Err(Rejection::new(Reason::WrongIssuer, detail).into());
            }
            claims.check_times(true, DEFAULT_TOLERANCE, asked.now)?;
            tenants.push(tenant);
        }
        Ok(tenants)
    }
}

impl Preset for MicrosoftGraph {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        if let Some(keys) = &self.keys {
            settings.insert(APPS.to_owned(), self.apps.clone().into());
            keys.write(&mut settings);
        }
        settings.into()
    }

    fn key_set_url(&self) -> Option<&str> {
        self.keys.as_ref()?.url()
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if (24..=MAX_CLIENT_STATE).contains(&secret.len()) {
            Ok(())
        } else {
            Err(format!(
                "must have 24 to {MAX_CLIENT_STATE} characters, at random: it is all that proves the sender"
            ))
        }
    }

    /// A connection may open the subscriptions.
    fn works_without_secret(&self) -> bool {
        true
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        // Graph asks this of every address before it opens or renews a subscription. The answer proves nothing and leaves
        // nothing behind.
        if let Some(token) = query_value(request, "validationToken") {
            return echo(&token, Effect::Nothing).map(Verdict::Challenge);
        }
        if keys.is_empty() && asked.standing.channels.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let body = fields(std::str::from_utf8(request.body).unwrap_or_default());
        let list = body
            .iter()
            .rev()
            .find(|(key, _)| key == "value")
            .map(|(_, value)| value.get());
        let items: Vec<&RawValue> = list
            .and_then(|list| serde_json::from_str(list).ok())
            .ok_or_else(|| Rejection::missing("The body has no list `value`, and so no clientState"))?;
        check_size(items.len())?;
        let tokens = body.iter().rev().find(|(key, _)| key == "validationTokens");
        let tokens: Vec<String> = tokens
            .and_then(|(_, list)| serde_json::from_str(list.get()).ok())
            .unwrap_or_default();
        let vouched = if self.apps.is_empty() {
            None
        } else {
            match self.tenants(&tokens, asked) {
                Ok(tenants) => Some(tenants),
                Err(not_proven) => return not_proven.into_verdict(),
            }
        };
        let mut matched = None;
        let mut events = Vec::new();
        let mut unvouched = false;
        for item in items {
            if let Some(tenants) = &vouched
                && !is_vouched(tenants, item.get())
            {
                unvouched = true;
                continue;
            }
            if let Some(by) = proven(keys, asked, item.get().as_bytes()) {
                if let By::Secret(index) = by {
                    matched = matched.or(Some(index));
                }
                let mut event = name(item.get().as_bytes());
                event.part = Part::Bytes(range_in(request.body, item.get()));
                events.push(event);
            }
        }
        if events.is_empty() && unvouched {
            let detail = "The content is of a tenant that no validationToken in the request is about";
            return Err(Rejection::missing(detail));
        }
        if events.is_empty() {
            let detail = "No item has the clientState of its subscription";
            return Err(Rejection::new(Reason::Mismatch, detail));
        }
        Ok(Accepted::new(events, matched).into())
    }
}

/// Whether an item has no content, or a token is about its tenant.
fn is_vouched(tenants: &[String], item: &str) -> bool {
    let content = |(key, value): &(String, &RawValue)| key == "encryptedContent" && value.get() != "null";
    if !fields(item).iter().any(content) {
        return true;
    }
    let [tenant] = pick(item.as_bytes(), ["/tenantId"]);
    text_of(tenant.as_ref()).is_some_and(|tenant| tenants.contains(&tenant))
}

/// Whether a text is a GUID as Microsoft writes one.
fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What proved an item.
enum By {
    Channel,
    Secret(usize),
}

/// Whether an item has its subscription's `clientState`.
fn proven(keys: &[Key], asked: &Asked<'_>, item: &[u8]) -> Option<By> {
    let [subscription, state] = pick(item, ["/subscriptionId", "/clientState"]);
    let subscription = text_of(subscription.as_ref())?;
    let state = text_of(state.as_ref())?;
    let known = asked
        .standing
        .channels
        .iter()
        .find(|known| known.id == subscription);
    if let Some(known) = known {
        return is_same(known.token.as_bytes(), state.as_bytes()).then_some(By::Channel);
    }
    let key = keys.iter().find(|key| is_same(&key.bytes, state.as_bytes()))?;
    Some(By::Secret(key.index))
}

fn name(item: &[u8]) -> Event {
    let [id, change, lifecycle, tenant] = pick(item, ["/id", "/changeType", "/lifecycleEvent", "/tenantId"]);
    let event_type = match text_of(lifecycle.as_ref()) {
        Some(lifecycle) => format!("lifecycle.{lifecycle}"),
        None => text_of(change.as_ref()).unwrap_or_default(),
    };
    Event {
        id: usable_id(text_of(id.as_ref())),
        id_trust: Trust::Unsigned,
        tenant_key: usable_id(text_of(tenant.as_ref())),
        tenant_key_trust: Trust::Unsigned,
        ..Event::of_type(usable_type(Some(&event_type)))
    }
}
