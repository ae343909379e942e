//! Microsoft Graph change notifications: no signature. Each item has the `clientState` that its subscription was opened
//! with; an item with another one is dropped, and a request without a single good one is rejected.
//!
//! Subscriptions come from a connection ([`super::Standing::channels`]), or are opened by hand with a secret of the source
//! as `clientState`. Rich notifications (encrypted content, `validationTokens`) are handed on as they are: their tokens
//! are not checked.

use serde_json::{Value, json};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Level, PLAIN, Proof, Reply, SecretOrigin};
use super::event::{usable_id, usable_type};
use super::handshake::echo;
use super::mac::is_same;
use super::names::{check_size, fields, range_in};
use super::pick::{pick, text_of};
use super::public_url::query_value;
use super::secret::Key;
use super::settings::Settings;
use super::verdict::{Accepted, Effect, Event, Part, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

const MAX_CLIENT_STATE: usize = 128;

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
    sources: &["Receive change notifications through webhooks"],
    unsure: &["The tokens of rich notifications are not checked."],
    ..PLAIN
};

/// The preset, which has no settings.
pub(super) struct MicrosoftGraph;

impl MicrosoftGraph {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        Settings::new(DESCRIPTOR.name, config)?.finish(Self)
    }
}

impl Preset for MicrosoftGraph {
    fn to_value(&self) -> Value {
        json!({})
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
        let items: Vec<&serde_json::value::RawValue> = list
            .and_then(|list| serde_json::from_str(list).ok())
            .ok_or_else(|| Rejection::missing("The body has no list `value`, and so no clientState"))?;
        check_size(items.len())?;
        let mut matched = None;
        let mut events = Vec::new();
        for item in items {
            if let Some(by) = proven(keys, asked, item.get().as_bytes()) {
                if let By::Secret(index) = by {
                    matched = matched.or(Some(index));
                }
                let mut event = name(item.get().as_bytes());
                event.part = Part::Bytes(range_in(request.body, item.get()));
                events.push(event);
            }
        }
        if events.is_empty() {
            let detail = "No item has the clientState of its subscription";
            return Err(Rejection::new(Reason::Mismatch, detail));
        }
        Ok(Accepted::new(events, matched).into())
    }
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
