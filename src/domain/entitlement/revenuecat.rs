//! `RevenueCat`: "Event Types and Fields" of its documentation.
//!
//! A customer is `original_app_user_id`, and every other id of the event is another name of the same; ids that
//! `RevenueCat` made up for somebody who had not signed in are nobody's name. A purchase is its first transaction, so that
//! a renewal as another product replaces the product.
//!
//! A cancellation ends no access: it says that no period follows. A refund is a cancellation by customer support, and
//! ends it. A pause takes effect at the end of the period, as the expiration that follows says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Facts, Known, MOST_ALIASES, Order, Reading, Seen, Status, Told, name};
use crate::id::MAX_48;
use crate::time::Millis;

/// What the vendor puts before an id that it made up.
const ANONYMOUS: &str = "$RCAnonymousID:";

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
