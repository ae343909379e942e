//! Stripe: "Subscription webhooks" and "How subscriptions work" at docs.stripe.com, and the objects of its API.
//!
//! `created` and `updated` come in either order and within the same second, which their time (whole seconds) cannot tell
//! apart: kinds break the tie, and asking the API settles it. A subscription that was deleted never comes back under its
//! id. Newer versions of the API keep the period at the items of a subscription, older ones at the subscription itself.
//!
//! While a subscription is past due its period is the one that was not paid: what was paid ended where it begins.

use serde_json::Value;

use super::{Config, Facts, Known, MOST_ALIASES, Order, Reading, Seen, Status, Told, WHOLE, name};
use crate::id::MAX_48;
use crate::time::Millis;

/// Subscriptions of one customer that are asked for: Stripe's largest page.
pub const MOST_FETCHED: usize = 100;

/// The item that holds what Stripe's own Entitlements say.
const FEATURES: &str = "features";

/// Events that say that something of a customer is another now, and not what.
const HINTS: [&str; 12] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.finalization_failed",
    "charge.refunded",
    "customer.created",
    "customer.updated",
    "entitlements.active_entitlement_summary.updated",
];

pub(super) fn read(event: &Value, config: &Config) -> Option<Reading> {
    let id = event.get("id")?.as_str()?;
    let kind = event.get("type")?.as_str()?;
    let at = seconds(event.get("created"))?;
    let object = event.pointer("/data/object")?;
    let subscription = kind.strip_prefix("customer.subscription.");
    if subscription.is_none() && kind != "customer.deleted" && !HINTS.contains(&kind) {
        return None;
    }
    let own = kind.starts_with("customer.") && subscription.is_none();
    let customer = if own {
        name(object.get("id"))
    } else {
        reference(object.get("customer"))
    }?;
    let order = |rank| Order {
        at,
        rank,
        event: id.to_owned(),
    };
    let mut reading = Reading {
        event: id.to_owned(),
        ..Reading::default()
    };
    match (subscription, kind) {
        (Some(verb), _) => {
            let deleted = verb == "deleted";
            let item = name(object.get("id"))?;
            let mut facts = facts_of(object)?;
            if deleted {
                facts.status = Status::Cancelled;
                facts.is_final = true;
            }
            let before = event.pointer("/data/previous_attributes/status");
            if facts.status == Status::PastDue && before.is_some() {
                facts.past_due_since = Some(at);
            }
            let known = Known::seen(facts, order(rank(verb)));
            reading.changes.push(Told::Item {
                customer: customer.clone(),
                item: item.clone(),
                known,
            });
            reading
                .objects
                .push(seen(&customer, "subscription", item, at, object));
        }
        (None, "customer.deleted") => {
            let facts = Facts {
                is_final: true,
                ..Facts::of(Status::Cancelled)
            };
            reading
                .changes
                .push(whole(&customer, Known::seen(facts, order(u8::MAX - 1))));
        }
        (None, "customer.created" | "customer.updated") => {
            reading
                .objects
                .push(seen(&customer, "customer", customer.clone(), at, object));
        }
        (None, "entitlements.active_entitlement_summary.updated") => {
            let known = Known::seen(features(object), order(1));
            reading.changes.push(Told::Item {
                customer: customer.clone(),
                item: FEATURES.to_owned(),
                known,
            });
        }
        (None, _) => {}
    }
    link(&mut reading, &customer, object, config);
    if kind != "customer.deleted" {
        reading.stale.insert(customer);
    }
    Some(reading)
}

/// What Stripe's API said of a customer: the customer, and a list of subscriptions of every status, as they came.
///
/// # Errors
/// A sentence for the operator when an answer is none of Stripe's.
pub fn fetched(
    customer: &Value,
    subscriptions: &Value,
    at: Millis,
    config: &Config,
) -> Result<Reading, &'static str> {
    let id = name(customer.get("id")).ok_or("The customer that Stripe answered has no id")?;
    let list = subscriptions.get("data").and_then(Value::as_array);
    let list = list.ok_or("What Stripe answered is no list of subscriptions")?;
    let mut reading = Reading::default();
    if customer.get("deleted") == Some(&Value::Bool(true)) {
        let facts = Facts {
            is_final: true,
            ..Facts::of(Status::Cancelled)
        };
        reading.changes.push(whole(&id, Known::fetched(facts, at)));
    } else {
        link(&mut reading, &id, customer, config);
        reading
            .objects
            .push(seen(&id, "customer", id.clone(), at, customer));
    }
    for subscription in list {
        let item = name(subscription.get("id")).ok_or("A subscription that Stripe answered has no id")?;
        if reference(subscription.get("customer")).is_some_and(|whose| whose != id) {
            return Err("Stripe answered with a subscription of another customer");
        }
        let facts = facts_of(subscription).ok_or("A subscription that Stripe answered has no status")?;
        link(&mut reading, &id, subscription, config);
        reading.changes.push(Told::Item {
            customer: id.clone(),
            item: item.clone(),
            known: Known::fetched(facts, at),
        });
        reading
            .objects
            .push(seen(&id, "subscription", item, at, subscription));
    }
    Ok(reading)
}

/// A page of Stripe's list of all subscriptions, each with its customer expanded; and behind which one the list goes on,
/// if it does.
///
/// # Errors
/// A sentence for the operator when the answer is none of Stripe's.
pub fn fetched_page(
    list: &Value,
    at: Millis,
    config: &Config,
) -> Result<(Reading, Option<String>), &'static str> {
    let none = "What Stripe answered is no list of subscriptions";
    let data = list.get("data").and_then(Value::as_array).ok_or(none)?;
    let more = list.get("has_more").and_then(Value::as_bool).ok_or(none)?;
    let (mut reading, mut end) = (Reading::default(), None);
    for subscription in data {
        let item = name(subscription.get("id")).ok_or("A subscription that Stripe answered has no id")?;
        let customer = subscription.get("customer");
        let id = reference(customer).ok_or("A subscription that Stripe answered has no customer")?;
        let facts = facts_of(subscription).ok_or("A subscription that Stripe answered has no status")?;
        if let Some(customer) = customer.filter(|customer| customer.is_object()) {
            link(&mut reading, &id, customer, config);
            reading
                .objects
                .push(seen(&id, "customer", id.clone(), at, customer));
        }
        link(&mut reading, &id, subscription, config);
        let mut object = subscription.clone();
        object["customer"] = Value::from(id.as_str());
        reading
            .objects
            .push(seen(&id, "subscription", item.clone(), at, &object));
        end = Some(item.clone());
        reading.changes.push(Told::Item {
            customer: id,
            item,
            known: Known::fetched(facts, at),
        });
    }
    // A list that goes on behind nothing would never end.
    if more && end.is_none() {
        return Err(none);
    }
    Ok((reading, end.filter(|_| more)))
}

fn whole(customer: &str, known: Known) -> Told {
    Told::Item {
        customer: customer.to_owned(),
        item: WHOLE.to_owned(),
        known,
    }
}

fn seen(customer: &str, kind: &'static str, id: String, at: Millis, object: &Value) -> Seen {
    Seen {
        customer: customer.to_owned(),
        kind,
        id,
        at,
        object: object.clone(),
    }
}

/// Of two events within a second the later one, by what their kinds say.
fn rank(verb: &str) -> u8 {
    match verb {
        "created" => 1,
        "updated" => 3,
        "paused" | "resumed" => 4,
        "deleted" => 6,
        _ => 2, // notices beside a change
    }
}

fn facts_of(subscription: &Value) -> Option<Facts> {
    let text = subscription.get("status")?.as_str()?;
    let status = match text {
        "trialing" => Status::Trialing,
        "active" => Status::Active,
        "past_due" => Status::PastDue,
        "unpaid" => Status::Unpaid,
        "paused" => Status::Paused,
        "canceled" | "incomplete_expired" => Status::Cancelled,
        // One that is not known gives nothing, until it is.
        _ => Status::Incomplete,
    };
    let items = || {
        let list = subscription.pointer("/items/data").and_then(Value::as_array);
        list.into_iter().flatten()
    };
    let time = |field: &str| {
        let of_items = || items().filter_map(|item| seconds(item.get(field))).max();
        seconds(subscription.get(field)).or_else(of_items)
    };
    let end = time("current_period_end").or_else(|| seconds(subscription.get("trial_end")));
    let cancels = seconds(subscription.get("cancel_at"));
    let cancels_within = cancels.filter(|cancels| end.is_none_or(|end| *cancels <= end));
    let stops = subscription.get("cancel_at_period_end") == Some(&Value::Bool(true));
    let mut products: Vec<String> = items().flat_map(products_of).collect();
    products.sort_unstable();
    products.dedup();
    Some(Facts {
        products,
        paid_until: time("current_period_start").filter(|_| status == Status::PastDue),
        period_end: cancels_within.or(end),
        will_renew: !stops && cancels_within.is_none() && status != Status::Cancelled,
        sandbox: is_test(subscription),
        is_final: status == Status::Cancelled,
        ..Facts::of(status)
    })
}

/// A price, its lookup key, its product; older versions call the price a plan.
fn products_of(item: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for field in ["price", "plan"] {
        let Some(price) = item.get(field) else { continue };
        names.extend(reference(Some(price)));
        names.extend(name(price.get("lookup_key")));
        names.extend(reference(price.get("product")));
    }
    names
}

/// Everything that the customer may use now, by Stripe's own Entitlements: it has no end, and each event replaces the one
/// before.
fn features(summary: &Value) -> Facts {
    let list = summary.pointer("/entitlements/data").and_then(Value::as_array);
    let mut products: Vec<String> = list
        .into_iter()
        .flatten()
        .flat_map(|one| [name(one.get("lookup_key")), reference(one.get("feature"))])
        .flatten()
        .collect();
    products.sort_unstable();
    products.dedup();
    let status = if products.is_empty() {
        Status::Cancelled
    } else {
        Status::Active
    };
    Facts {
        products,
        sandbox: is_test(summary),
        ..Facts::of(status)
    }
}

/// The tenant's own names of the customer: what it gave to the checkout, and what stands in the metadata.
fn link(reading: &mut Reading, customer: &str, object: &Value, config: &Config) {
    let metadata = config
        .user_id_keys
        .iter()
        .filter_map(|key| object.get("metadata")?.get(key));
    let names = object.get("client_reference_id").into_iter().chain(metadata);
    let names = names
        .filter_map(|value| name(Some(value)))
        .filter(|alias| alias != customer);
    let aliases = names.take(MOST_ALIASES).map(|alias| (alias, customer.to_owned()));
    reading.aliases.extend(aliases);
}

/// An object, by its id or in full.
fn reference(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Object(object) => name(object.get("id")),
        value => name(Some(value)),
    }
}

fn is_test(object: &Value) -> bool {
    object.get("livemode") == Some(&Value::Bool(false))
}

fn seconds(value: Option<&Value>) -> Option<Millis> {
    let ms = value?.as_u64()?.checked_mul(Millis::SECOND)?;
    (ms <= MAX_48).then_some(Millis(ms))
}
