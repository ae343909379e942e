//! Entitlements, as they are read.

use postern_domain::entitlement::{Item, Judged, PastDue, Plan, Provider, State};
use postern_domain::time::Millis;
use postern_domain::wire::entitlement::{Difference, EntitlementConfigView, ObjectView, Refetch};
use serde::Serialize;
use serde_json::Value;

/// What a customer may use now.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EntitlementOut {
    /// By the name that was asked for; in a list the provider's id.
    customer: String,
    /// The greatest plan that the customer has now; null: none.
    plan: Option<String>,
    /// Whether the customer has a plan now.
    active: bool,
    /// When access ends if nothing more is heard; null: never, or there is none.
    until: Option<String>,
    /// `none`, `incomplete`, `trialing`, `active`, `grace`, `past_due`, `unpaid`, `paused`, `expired`, `cancelled`.
    state: &'static str,
    /// `stripe` or `revenuecat`; null: no provider told of this customer.
    source: Option<&'static str>,
    /// The provider's time of the latest word on it.
    observed_at: Option<String>,
    /// When the provider's API was last asked.
    fetched_at: Option<String>,
    /// All purchases, the one that decides first.
    items: Vec<ItemOut>,
}

/// One purchase.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ItemOut {
    source: &'static str,
    /// Whose it is at the provider.
    customer: String,
    /// The provider's id of it.
    id: String,
    /// The plan that it buys by the rules of now; null: none.
    plan: Option<String>,
    /// Whether it gives access by its state and time, whatever it buys.
    active: bool,
    until: Option<String>,
    state: &'static str,
    period_end: Option<String>,
    will_renew: bool,
    /// Of a sandbox or test mode.
    sandbox: bool,
    /// What was bought, by every name of it: what `ids` of a plan are compared with.
    products: Vec<String>,
    observed_at: String,
    fetched_at: Option<String>,
    /// The provider's id of the event that said so; null: its API did.
    event_id: Option<String>,
}

/// The rules.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigOut {
    enabled: bool,
    /// From the smallest to the greatest.
    plans: Vec<PlanOut>,
    /// `deny`, `grace` or `grant`.
    past_due: &'static str,
    grace_days: u16,
    renewal_leeway_minutes: u16,
    allow_sandbox: bool,
    user_id_keys: Vec<String>,
    billing_owner: Option<String>,
    /// The last characters of the key; null: there is none. The key itself is never shown.
    stripe_api_key_hint: Option<String>,
    /// The same of the key of version 1 of `RevenueCat`'s API.
    revenuecat_api_key_hint: Option<String>,
    /// The same of version 2, which lists customers.
    revenuecat_v2_api_key_hint: Option<String>,
    /// The project at `RevenueCat` that is listed.
    revenuecat_project_id: Option<String>,
    /// The connection whose key stands in the place of `stripeApiKey`.
    stripe_connection_id: Option<String>,
    /// The same of `revenuecatApiKey`.
    revenuecat_connection_id: Option<String>,
    /// The same of `revenuecatV2ApiKey`.
    revenuecat_v2_connection_id: Option<String>,
    refetch: RefetchOut,
}

/// A plan, and what buys it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PlanOut {
    plan: String,
    ids: Vec<String>,
}

/// How asking the provider again goes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct RefetchOut {
    /// Customers that are to be asked for, a thousand at the most.
    waiting: u64,
    /// Those of them that could not be asked for the last time.
    failing: u64,
    /// Why one of those could not.
    error: Option<String>,
}

/// A provider's object, as it was last seen.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectOut {
    source: &'static str,
    customer: String,
    /// `customer` or `subscription`; of `RevenueCat` the latest event of a purchase.
    kind: String,
    id: String,
    /// The provider's time of it.
    at: String,
    /// As it was; null: it was too large to be kept.
    object: Option<Value>,
}

/// A customer whose plan at the provider is not the one in the table.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DifferenceOut {
    /// By the name in the table; of one who does not stand there by the provider's id.
    customer: String,
    /// The plan in the table; null: none, or not in it.
    expected: Option<String>,
    /// The plan that the customer would have; null: none.
    found: Option<String>,
    /// All that decides.
    entitlement: EntitlementOut,
}

impl DifferenceOut {
    /// Of what the object says.
    pub(super) fn new(difference: Difference) -> Self {
        Self {
            customer: difference.customer,
            expected: difference.expected,
            found: difference.found.plan.clone(),
            entitlement: EntitlementOut::new(difference.found),
        }
    }
}

impl EntitlementOut {
    /// Of what the object says.
    pub(super) fn new(judged: Judged) -> Self {
        Self {
            customer: judged.customer,
            plan: judged.plan,
            active: judged.active,
            until: judged.until.map(Millis::to_rfc3339),
            state: state(judged.state),
            source: judged.source.map(Provider::as_str),
            observed_at: judged.observed_at.map(Millis::to_rfc3339),
            fetched_at: judged.fetched_at.map(Millis::to_rfc3339),
            items: judged.items.into_iter().map(ItemOut::new).collect(),
        }
    }
}

impl ItemOut {
    fn new(item: Item) -> Self {
        Self {
            source: item.provider.as_str(),
            customer: item.customer,
            id: item.id,
            plan: item.plan,
            active: item.active,
            until: item.until.map(Millis::to_rfc3339),
            state: state(item.state),
            period_end: item.period_end.map(Millis::to_rfc3339),
            will_renew: item.will_renew,
            sandbox: item.sandbox,
            products: item.products,
            observed_at: item.observed_at.to_rfc3339(),
            fetched_at: item.fetched_at.map(Millis::to_rfc3339),
            event_id: Some(item.event).filter(|event| !event.is_empty()),
        }
    }
}

impl ConfigOut {
    /// Of what the object says.
    pub(super) fn new(view: EntitlementConfigView) -> Self {
        let EntitlementConfigView {
            config,
            stripe_api_key_hint,
            revenuecat_api_key_hint,
            revenuecat_v2_api_key_hint,
            revenuecat_project_id,
            connections,
            refetch:
                Refetch {
                    waiting,
                    failing,
                    error,
                },
        } = view;
        let plans = config
            .plans
            .into_iter()
            .map(|Plan { plan, ids }| PlanOut { plan, ids });
        Self {
            enabled: config.enabled,
            plans: plans.collect(),
            past_due: match config.past_due {
                PastDue::Deny => "deny",
                PastDue::Grace => "grace",
                PastDue::Grant => "grant",
            },
            grace_days: config.grace_days,
            renewal_leeway_minutes: config.renewal_leeway_minutes,
            allow_sandbox: config.allow_sandbox,
            user_id_keys: config.user_id_keys,
            billing_owner: config.billing_owner,
            stripe_api_key_hint,
            revenuecat_api_key_hint,
            revenuecat_v2_api_key_hint,
            revenuecat_project_id,
            stripe_connection_id: connections.stripe.map(|id| id.to_string()),
            revenuecat_connection_id: connections.revenuecat.map(|id| id.to_string()),
            revenuecat_v2_connection_id: connections.revenuecat_v2.map(|id| id.to_string()),
            refetch: RefetchOut {
                waiting,
                failing,
                error,
            },
        }
    }
}

impl ObjectOut {
    /// Of what the object says.
    pub(super) fn new(view: ObjectView) -> Self {
        Self {
            source: view.provider.as_str(),
            customer: view.customer,
            kind: view.kind,
            id: view.id,
            at: view.at.to_rfc3339(),
            object: view.object,
        }
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::None => "none",
        State::Incomplete => "incomplete",
        State::Trialing => "trialing",
        State::Active => "active",
        State::Grace => "grace",
        State::PastDue => "past_due",
        State::Unpaid => "unpaid",
        State::Paused => "paused",
        State::Expired => "expired",
        State::Cancelled => "cancelled",
    }
}
