//! `RevenueCat`: "Event Types and Fields" of its documentation.
//!
//! A customer is `original_app_user_id`, and every other id of the event is another name of the same; ids that
//! `RevenueCat` made up for somebody who had not signed in are nobody's name. A purchase is its first transaction, so that
//! a renewal as another product replaces the product.
//!
//! Its API, version 1, is the one that its documentation advises to ask after every event. It tells of the whole customer
//! and names purchases by their products; of a product that was bought twice it tells the latest. Version 2 is asked for
//! the list of customers alone, which version 1 does not have, and for their other names.
//!
//! A cancellation ends no access: it says that no period follows. A refund is a cancellation by customer support, and
//! ends it. A pause takes effect at the end of the period, as the expiration that follows says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Facts, Known, MOST_ALIASES, MOST_NAME, Order, Reading, Seen, Status, Told, name};
use crate::id::MAX_48;
use crate::time::Millis;

/// What the vendor puts before an id that it made up.
const ANONYMOUS: &str = "$RCAnonymousID:";

/// Customers of one page of a backfill: each is asked for by itself.
pub const MOST_LISTED: usize = 10;

pub(super) fn read(body: &Value) -> Option<Reading> {
    let event = body.get("event")?;
    let kind = event.get("type")?.as_str()?;
    let order = Order {
        at: millis(event.get("event_timestamp_ms"))?,
        rank: rank(kind),
        event: event
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
    };
    let mut reading = Reading {
        event: order.event.clone(),
        ..Reading::default()
    };
    if kind == "TRANSFER" {
        let (from, to) = (names(event, "transferred_from"), names(event, "transferred_to"));
        if from.is_empty() || to.is_empty() {
            return None;
        }
        reading.stale.extend(from.iter().chain(&to).cloned());
        reading.changes.push(Told::Transfer { from, to, order });
        return Some(reading);
    }
    let user = name(event.get("app_user_id"))?;
    let customer = name(event.get("original_app_user_id")).unwrap_or_else(|| user.clone());
    let mut known_as: BTreeSet<String> = names(event, "aliases").into_iter().collect();
    known_as.insert(user);
    known_as.retain(|alias| *alias != customer && !alias.starts_with(ANONYMOUS));
    reading.aliases = known_as
        .into_iter()
        .map(|alias| (alias, customer.clone()))
        .collect();
    let facts = match (kind, facts_of(kind, event)) {
        (_, Some(facts)) => facts,
        // It says what is going to be: somebody who asks the vendor hears what is.
        ("PRODUCT_CHANGE", None) => {
            reading.stale.insert(customer);
            return Some(reading);
        }
        _ => return None,
    };
    let item = ["original_transaction_id", "transaction_id", "product_id"]
        .into_iter()
        .find_map(|field| name(event.get(field)))?;
    reading.objects.push(Seen {
        customer: customer.clone(),
        kind: "subscription",
        id: item.clone(),
        at: order.at,
        object: event.clone(),
    });
    reading.stale.insert(customer.clone());
    let known = Known::seen(facts, order);
    reading.changes.push(Told::Item {
        customer,
        item,
        known,
    });
    Some(reading)
}

/// What `GET /v1/subscribers/{app_user_id}` answered of the customer that was asked for by this name. Who is known by
/// another name first is that one, and what stood under the name that was asked for is theirs.
///
/// # Errors
/// A sentence for the operator when the answer is none of `RevenueCat`'s.
pub fn fetched(asked: &str, answer: &Value, at: Millis) -> Result<Reading, &'static str> {
    let subscriber = answer
        .get("subscriber")
        .filter(|subscriber| subscriber.is_object());
    let subscriber = subscriber.ok_or("What RevenueCat answered is no subscriber")?;
    let customer = name(subscriber.get("original_app_user_id"))
        .ok_or("The subscriber that RevenueCat answered has no original_app_user_id")?;
    let order = Order::of_fetch(at);
    let mut reading = Reading::default();
    if customer != asked {
        reading.changes.push(Told::Transfer {
            from: vec![asked.to_owned()],
            to: vec![customer.clone()],
            order: order.clone(),
        });
        if !asked.starts_with(ANONYMOUS) {
            reading.aliases.insert((asked.to_owned(), customer.clone()));
        }
    }
    let mut items = Vec::new();
    for (product, subscription) in fields(subscriber, "subscriptions") {
        let facts = subscription_of(product, subscription, subscriber, at)
            .ok_or("A subscription that RevenueCat answered has no readable expires_date")?;
        items.push((product.clone(), Known::fetched(facts, at)));
    }
    for (product, bought) in fields(subscriber, "non_subscriptions") {
        let bought = bought.as_array().and_then(|bought| bought.last());
        if let Some(bought) = bought {
            let facts = purchase_of(product, bought, subscriber);
            items.push((product.clone(), Known::fetched(facts, at)));
        }
    }
    items.retain(|(product, _)| !product.is_empty() && product.len() <= MOST_NAME);
    reading.objects.push(Seen {
        customer: customer.clone(),
        kind: "customer",
        id: customer.clone(),
        at,
        object: subscriber.clone(),
    });
    reading.changes.push(Told::Whole {
        customer,
        items,
        order,
    });
    Ok(reading)
}

/// Customers of a page of `GET /v2/projects/{project_id}/customers`, and whether there are more behind it.
///
/// # Errors
/// A sentence for the operator when the answer is none of `RevenueCat`'s.
pub fn listed(list: &Value) -> Result<(Vec<String>, bool), &'static str> {
    let none = "What RevenueCat answered is no list of customers";
    let items = list.get("items").and_then(Value::as_array).ok_or(none)?;
    let names: Option<Vec<String>> = items.iter().map(|item| name(item.get("id"))).collect();
    let names = names.ok_or("A customer that RevenueCat answered has no id")?;
    let more = list.get("next_page").is_some_and(|next| !next.is_null());
    // A list that goes on behind nothing would never end.
    if more && names.is_empty() {
        return Err(none);
    }
    Ok((names, more))
}

/// Whether a subscriber ever bought anything: who did not has no plan, whatever else they are called.
#[must_use]
pub fn has_purchases(answer: &Value) -> bool {
    let some = |field: &str| {
        let bought = answer
            .get("subscriber")
            .and_then(|subscriber| subscriber.get(field));
        bought
            .and_then(Value::as_object)
            .is_some_and(|bought| !bought.is_empty())
    };
    some("subscriptions") || some("non_subscriptions")
}

/// A page of customers, each with what version 1 answered of them and with the list of their names; and behind which one
/// the list goes on, if it does.
///
/// # Errors
/// A sentence for the operator when an answer is none of `RevenueCat`'s.
pub fn fetched_page(
    list: &Value,
    answers: &[(Value, Option<Value>)],
    at: Millis,
) -> Result<(Reading, Option<String>), &'static str> {
    let (customers, more) = listed(list)?;
    if customers.len() != answers.len() {
        return Err("RevenueCat did not answer for each customer of its list");
    }
    let mut page = Reading::default();
    for (asked, (answer, names)) in customers.iter().zip(answers) {
        if !has_purchases(answer) {
            continue;
        }
        let mut reading = fetched(asked, answer, at)?;
        let whose = reading.changes.iter().find_map(|change| match change {
            Told::Whole { customer, .. } => Some(customer.clone()),
            Told::Item { .. } | Told::Transfer { .. } => None,
        });
        let names = names.as_ref().and_then(|names| names.get("items")?.as_array());
        for (alias, customer) in names
            .into_iter()
            .flatten()
            .zip(whose.iter().cycle())
            .take(MOST_ALIASES)
        {
            let alias =
                name(alias.get("id")).filter(|alias| alias != customer && !alias.starts_with(ANONYMOUS));
            reading
                .aliases
                .extend(alias.map(|alias| (alias, customer.clone())));
        }
        page.changes.append(&mut reading.changes);
        page.aliases.append(&mut reading.aliases);
        page.objects.append(&mut reading.objects);
    }
    Ok((page, customers.last().cloned().filter(|_| more)))
}

fn fields<'a>(subscriber: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let fields = subscriber.get(field).and_then(Value::as_object);
    fields.into_iter().flatten()
}

/// `None`: its end cannot be read, and one that is not understood is not one without an end.
fn subscription_of(product: &str, subscription: &Value, subscriber: &Value, at: Millis) -> Option<Facts> {
    subscription.get("expires_date")?;
    let end = date(subscription, "expires_date")?;
    let (refunded, bought) = (
        date(subscription, "refunded_at")?,
        date(subscription, "purchase_date")?,
    );
    // Bought again since: the refund was of an earlier period.
    let refunded = refunded.is_some_and(|refunded| bought.is_none_or(|bought| bought <= refunded));
    let is = |field: &str| subscription.get(field).is_some_and(|value| !value.is_null());
    let over = end.is_some_and(|end| end <= at);
    let status = if refunded {
        Status::Cancelled
    } else if is("billing_issues_detected_at") {
        Status::PastDue
    } else if is("auto_resume_date") && over {
        Status::Paused
    } else if subscription.get("period_type").and_then(Value::as_str) == Some("trial") {
        Status::Trialing
    } else {
        Status::Active
    };
    let stops = is("unsubscribe_detected_at") || is("auto_resume_date") || status == Status::Cancelled;
    let plan = name(subscription.get("product_plan_identifier"));
    Some(Facts {
        products: products_at(product, plan.as_deref(), subscriber),
        paid_until: end.filter(|_| status == Status::PastDue),
        period_end: end,
        grace_until: date(subscription, "grace_period_expires_date").flatten(),
        will_renew: !stops
            && end.is_some()
            && subscription.get("store").and_then(Value::as_str) != Some("promotional"),
        sandbox: subscription.get("is_sandbox") == Some(&Value::Bool(true)),
        ..Facts::of(status)
    })
}

/// Something that was bought once: it lasts as long as the entitlement that it gives.
fn purchase_of(product: &str, bought: &Value, subscriber: &Value) -> Facts {
    let ends =
        entitlements_of(product, subscriber).filter_map(|(_, one)| date(one, "expires_date").flatten());
    Facts {
        products: products_at(product, None, subscriber),
        period_end: ends.max(),
        sandbox: bought.get("is_sandbox") == Some(&Value::Bool(true)),
        ..Facts::of(Status::Active)
    }
}

/// The product, with its base plan at Play, and the entitlements that it gives.
fn products_at(product: &str, plan: Option<&str>, subscriber: &Value) -> Vec<String> {
    let gives = entitlements_of(product, subscriber).map(|(entitlement, _)| entitlement.clone());
    let mut products: Vec<String> = gives.collect();
    products.extend(product.split_once(':').map(|(base, _)| base.to_owned()));
    products.extend(plan.map(|plan| format!("{product}:{plan}")));
    products.push(product.to_owned());
    products.retain(|product| !product.is_empty() && product.len() <= MOST_NAME);
    products.sort_unstable();
    products.dedup();
    products
}

fn entitlements_of<'a>(
    product: &'a str,
    subscriber: &'a Value,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let gives = move |one: &Value| one.get("product_identifier").and_then(Value::as_str) == Some(product);
    fields(subscriber, "entitlements").filter(move |(_, one)| gives(one))
}

/// A field of the API's: null is no time; `None`: it is there and cannot be read.
#[expect(clippy::option_option, reason = "no time is not a time that cannot be read")]
fn date(object: &Value, field: &str) -> Option<Option<Millis>> {
    match object.get(field) {
        None | Some(Value::Null) => Some(None),
        Some(value) => Millis::from_rfc3339(value.as_str()?).map(Some),
    }
}

/// Of two events of one moment the one that follows from the other.
fn rank(kind: &str) -> u8 {
    match kind {
        "INITIAL_PURCHASE" | "TEMPORARY_ENTITLEMENT_GRANT" => 1,
        "CANCELLATION" | "SUBSCRIPTION_PAUSED" => 3,
        "BILLING_ISSUE" => 4,
        "EXPIRATION" => 5,
        "TRANSFER" => 6,
        _ => 2,
    }
}

/// What a purchase is after this event; `None`: the event changes none.
fn facts_of(kind: &str, event: &Value) -> Option<Facts> {
    let reason = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default();
    let paid = if reason("period_type") == "TRIAL" {
        Status::Trialing
    } else {
        Status::Active
    };
    let (status, will_renew) = match kind {
        "INITIAL_PURCHASE" | "RENEWAL" | "UNCANCELLATION" | "SUBSCRIPTION_EXTENDED" | "REFUND_REVERSED" => {
            (paid, true)
        }
        "NON_RENEWING_PURCHASE" | "TEMPORARY_ENTITLEMENT_GRANT" | "SUBSCRIPTION_PAUSED" => (paid, false),
        "CANCELLATION" => match reason("cancel_reason") {
            "CUSTOMER_SUPPORT" => (Status::Cancelled, false),
            "BILLING_ERROR" => (Status::PastDue, false),
            _ => (paid, false),
        },
        "BILLING_ISSUE" => (Status::PastDue, true),
        "EXPIRATION" if reason("expiration_reason") == "SUBSCRIPTION_PAUSED" => (Status::Paused, false),
        "EXPIRATION" => (Status::Cancelled, false),
        _ => return None,
    };
    let end = millis(event.get("expiration_at_ms"));
    Some(Facts {
        products: products_of(event),
        paid_until: end.filter(|_| status == Status::PastDue),
        period_end: end,
        grace_until: millis(event.get("grace_period_expiration_at_ms")),
        // Without an end nothing follows.
        will_renew: will_renew && end.is_some(),
        sandbox: reason("environment") == "SANDBOX",
        ..Facts::of(status)
    })
}

/// The product, without what Play puts behind its colon too, and the vendor's entitlements.
fn products_of(event: &Value) -> Vec<String> {
    let product = name(event.get("product_id"));
    let base = product.as_deref().and_then(|product| product.split_once(':'));
    let base = base.map(|(base, _)| base.to_owned());
    let mut products = names(event, "entitlement_ids");
    products.extend(name(event.get("entitlement_id")));
    products.extend(base);
    products.extend(product);
    products.sort_unstable();
    products.dedup();
    products
}

fn names(event: &Value, field: &str) -> Vec<String> {
    let list = event.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|value| name(Some(value)))
        .take(MOST_ALIASES)
        .collect()
}

fn millis(value: Option<&Value>) -> Option<Millis> {
    value?.as_u64().filter(|ms| *ms <= MAX_48).map(Millis)
}
