//! What holds of both providers.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const START: u64 = 1_800_000_000;
const DAY: u64 = 86_400;

fn config() -> Config {
    let plan = |plan: &str, ids: &[&str]| Plan {
        plan: plan.to_owned(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    Config {
        enabled: true,
        plans: vec![
            plan("solo", &["price_solo", "pro_monthly"]),
            plan("team", &["price_team", "prod_team", "team_yearly"]),
            plan("founder", &["feature_founder", "lifetime"]),
        ],
        ..Config::default()
    }
}

/// A Stripe event of a subscription of `price_solo`, a month from the start.
fn subscription(id: &str, verb: &str, at: u64, status: &str, with: &Value) -> Value {
    let mut object = json!({
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": status,
        "livemode": true,
        "current_period_start": START,
        "current_period_end": START + 30 * DAY,
        "cancel_at_period_end": false,
        "items": {"data": [{"price": {"id": "price_solo", "product": "prod_solo"}}]},
    });
    for (key, value) in with.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    json!({
        "id": id,
        "type": format!("customer.subscription.{verb}"),
        "created": at,
        "data": {"object": object},
    })
}

/// A `RevenueCat` event of a monthly purchase.
fn purchase(id: &str, kind: &str, at: u64, with: &Value) -> Value {
    let mut event = json!({
        "id": id,
        "type": kind,
        "app_user_id": "user_1",
        "original_app_user_id": "user_1",
        "product_id": "pro_monthly",
        "original_transaction_id": "tx_1",
        "period_type": "NORMAL",
        "environment": "PRODUCTION",
        "event_timestamp_ms": at * 1000,
        "expiration_at_ms": (START + 30 * DAY) * 1000,
    });
    for (key, value) in with.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    json!({"api_version": "1.0", "event": event})
}

/// What stands after these events, in this order.
#[derive(Default)]
struct Books(BTreeMap<(Provider, String, String), Known>);

impl Books {
    fn of(provider: Provider, events: &[Value]) -> Self {
        let mut books = Self::default();
        for event in events {
            books.hear(provider, event);
        }
        books
    }

    fn hear(&mut self, provider: Provider, event: &Value) {
        let body = serde_json::to_vec(event).unwrap();
        let Some(reading) = read(provider, &body, &config()) else {
            return;
        };
        self.take(provider, reading);
    }

    fn take(&mut self, provider: Provider, reading: Reading) {
        for change in reading.changes {
            if let Told::Item {
                customer,
                item,
                known,
            } = change
            {
                let key = (provider, customer, item);
                let joined = match self.0.remove(&key) {
                    Some(stands) => stands.joined(known),
                    None => known,
                };
                self.0.insert(key, joined);
            }
        }
    }

    fn judged_by(&self, config: &Config, at: u64) -> Judged {
        let known: Vec<_> = self
            .0
            .iter()
            .map(|((provider, customer, item), known)| {
                (*provider, customer.clone(), item.clone(), known.clone())
            })
            .collect();
        judge("somebody", &known, config, Millis(at * 1000))
    }

    fn at(&self, at: u64) -> Judged {
        self.judged_by(&config(), at)
    }
}

fn stripe(events: &[Value]) -> Books {
    Books::of(Provider::Stripe, events)
}

fn revenuecat(events: &[Value]) -> Books {
    Books::of(Provider::RevenueCat, events)
}

fn stands(judged: &Judged) -> (Option<&str>, bool, State) {
    (judged.plan.as_deref(), judged.active, judged.state)
}

const NONE: Value = Value::Null;

#[test]
fn a_provider_is_known_by_its_presets_name() {
    assert_eq!(Provider::of("stripe"), Some(Provider::Stripe));
    assert_eq!(Provider::of("revenuecat"), Some(Provider::RevenueCat));
    assert_eq!(Provider::of("github"), None);
}

#[test]
fn a_paid_subscription_is_its_plan_until_its_period_ends_and_a_little_longer_where_it_renews() {
    let books = stripe(&[subscription("evt_1", "created", START, "active", &NONE)]);
    let end = START + 30 * DAY;
    let judged = books.at(START);
    assert_eq!(stands(&judged), (Some("solo"), true, State::Active));
    assert_eq!(judged.until, Some(Millis((end + 3600) * 1000)));
    assert_eq!(judged.items[0].period_end, Some(Millis(end * 1000)));
    assert_eq!(stands(&books.at(end)), (Some("solo"), true, State::Grace));
    assert_eq!(
        stands(&books.at(end + 3600)),
        (None, false, State::Expired),
        "the last event was lost"
    );
}

#[test]
fn a_subscription_that_was_cancelled_for_later_keeps_its_access_and_not_a_minute_longer() {
    let stops = json!({"cancel_at_period_end": true});
    let books = stripe(&[subscription("evt_1", "updated", START, "active", &stops)]);
    let end = START + 30 * DAY;
    assert_eq!(stands(&books.at(end - 1)), (Some("solo"), true, State::Active));
    assert_eq!(books.at(START).until, Some(Millis(end * 1000)));
    assert!(!books.at(end).active);
    let sooner = json!({"cancel_at": START + DAY});
    let books = stripe(&[subscription("evt_1", "updated", START, "active", &sooner)]);
    assert!(books.at(START + DAY - 1).active && !books.at(START + DAY).active);
}

#[test]
fn no_event_that_comes_late_brings_back_what_was_deleted() {
    let deleted = subscription("evt_2", "deleted", START + 10, "canceled", &NONE);
    for late in [
        subscription("evt_1", "created", START, "active", &NONE),
        subscription("evt_3", "updated", START + 10, "active", &NONE),
        subscription("evt_4", "updated", START + 20, "active", &NONE),
    ] {
        for events in [[deleted.clone(), late.clone()], [late, deleted.clone()]] {
            assert_eq!(
                stands(&stripe(&events).at(START + 30)),
                (None, false, State::Cancelled)
            );
        }
    }
}

#[test]
fn created_and_updated_within_a_second_are_told_apart_by_their_kind() {
    let events = [
        subscription("evt_9", "created", START, "incomplete", &NONE),
        subscription("evt_1", "updated", START, "active", &NONE),
    ];
    assert!(stripe(&events).at(START).active);
    let reversed: Vec<Value> = events.into_iter().rev().collect();
    assert!(stripe(&reversed).at(START).active);
}

#[test]
fn a_trial_gives_access_until_it_ends_and_a_pause_none() {
    let trial = json!({"trial_end": START + 7 * DAY, "current_period_end": START + 7 * DAY});
    let books = stripe(&[subscription("evt_1", "created", START, "trialing", &trial)]);
    assert_eq!(stands(&books.at(START)), (Some("solo"), true, State::Trialing));
    assert!(!books.at(START + 8 * DAY).active);
    for (status, state) in [
        ("paused", State::Paused),
        ("unpaid", State::Unpaid),
        ("incomplete", State::Incomplete),
        ("incomplete_expired", State::Cancelled),
        ("a_status_of_next_year", State::Incomplete),
    ] {
        let books = stripe(&[subscription("evt_1", "updated", START, status, &NONE)]);
        assert_eq!(stands(&books.at(START)), (None, false, state), "{status}");
    }
}

#[test]
fn what_is_past_due_has_grace_from_where_the_unpaid_period_began() {
    let books = stripe(&[subscription("evt_1", "updated", START + 100, "past_due", &NONE)]);
    let judged = books.at(START + 200);
    assert_eq!(stands(&judged), (Some("solo"), true, State::Grace));
    assert_eq!(
        judged.until,
        Some(Millis((START + 14 * DAY) * 1000)),
        "and not to the end of a period that nobody paid"
    );
    assert_eq!(stands(&books.at(START + 14 * DAY)), (None, false, State::PastDue));
    let by = |past_due| {
        books
            .judged_by(&Config { past_due, ..config() }, START + 20 * DAY)
            .active
    };
    assert_eq!(
        [PastDue::Deny, PastDue::Grace, PastDue::Grant].map(by),
        [false, false, true]
    );
}

#[test]
fn what_becomes_past_due_within_a_paid_period_has_grace_from_then() {
    let mut event = subscription("evt_1", "updated", START + 20 * DAY, "past_due", &NONE);
    event["data"]["previous_attributes"] = json!({"status": "active"});
    let later = subscription("evt_2", "updated", START + 21 * DAY, "past_due", &NONE);
    for events in [[event.clone(), later.clone()], [later, event]] {
        let books = stripe(&events);
        assert_eq!(
            books.at(START + 21 * DAY).until,
            Some(Millis((START + 34 * DAY) * 1000))
        );
    }
}

#[test]
fn newer_versions_of_stripes_api_keep_the_period_at_the_items() {
    let item = json!({
        "price": {"id": "price_new", "product": {"id": "prod_team"}, "lookup_key": "k"},
        "current_period_start": START,
        "current_period_end": START + 365 * DAY,
    });
    let with = json!({"current_period_end": null, "current_period_start": null, "items": {"data": [item]}});
    let judged = stripe(&[subscription("evt_1", "created", START, "active", &with)]).at(START);
    assert_eq!(stands(&judged), (Some("team"), true, State::Active));
    assert_eq!(
        judged.items[0].period_end,
        Some(Millis((START + 365 * DAY) * 1000))
    );
    assert_eq!(judged.items[0].products, ["k", "price_new", "prod_team"]);
}

#[test]
fn who_has_two_has_the_greater_and_what_is_mapped_to_no_plan_is_none() {
    let team = json!({"id": "sub_2", "items": {"data": [{"price": {"id": "price_team"}}]}});
    let other = json!({"id": "sub_3", "items": {"data": [{"price": {"id": "price_other"}}]}});
    let books = stripe(&[
        subscription("evt_1", "created", START, "active", &NONE),
        subscription("evt_2", "created", START, "active", &team),
        subscription("evt_3", "created", START, "active", &other),
    ]);
    let judged = books.at(START);
    assert_eq!((judged.plan.as_deref(), judged.items.len()), (Some("team"), 3));
    let judged = stripe(&[subscription("evt_3", "created", START, "active", &other)]).at(START);
    assert_eq!(stands(&judged), (None, false, State::Active));
    assert!(
        judged.items[0].active,
        "it is paid, and the rules do not say for what"
    );
}

#[test]
fn test_mode_and_the_sandbox_give_nothing_unless_they_may() {
    let books = [
        stripe(&[subscription(
            "evt_1",
            "created",
            START,
            "active",
            &json!({"livemode": false}),
        )]),
        revenuecat(&[purchase(
            "1",
            "INITIAL_PURCHASE",
            START,
            &json!({"environment": "SANDBOX"}),
        )]),
    ];
    let allowed = Config {
        allow_sandbox: true,
        ..config()
    };
    for books in books {
        assert_eq!(stands(&books.at(START)), (None, false, State::Active));
        assert!(books.judged_by(&allowed, START).active);
    }
}

#[test]
fn a_customer_who_was_deleted_has_nothing_whatever_comes_late() {
    let gone = json!({"id": "evt_2", "type": "customer.deleted", "created": START + 5,
        "data": {"object": {"id": "cus_1", "object": "customer"}}});
    let made = subscription("evt_1", "created", START, "active", &NONE);
    for events in [[gone.clone(), made.clone()], [made, gone]] {
        assert_eq!(
            stands(&stripe(&events).at(START + 9)),
            (None, false, State::Cancelled)
        );
    }
}

#[test]
fn stripes_own_entitlements_replace_each_other_and_have_no_end() {
    let summary = |id: &str, at: u64, features: Value| {
        json!({"id": id, "type": "entitlements.active_entitlement_summary.updated", "created": at,
            "data": {"object": {"customer": "cus_1", "livemode": true, "entitlements": {"data": features}}}})
    };
    let some = summary(
        "evt_1",
        START,
        json!([{"feature": "feat_1", "lookup_key": "feature_founder"}]),
    );
    let none = summary("evt_2", START + 1, json!([]));
    let judged = stripe(std::slice::from_ref(&some)).at(START + 1000 * DAY);
    assert_eq!(
        (stands(&judged), judged.until),
        ((Some("founder"), true, State::Active), None)
    );
    assert!(!stripe(&[none, some]).at(START + 2).active);
}

#[test]
fn a_checkout_and_metadata_name_the_customer_as_the_tenant_does() {
    let session = json!({"id": "evt_1", "type": "checkout.session.completed", "created": START, "data": {"object": {
        "id": "cs_1", "customer": "cus_1", "client_reference_id": "user_1", "metadata": {"user_id": "u-1", "x": "y"}}}});
    let reading = read(Provider::Stripe, session.to_string().as_bytes(), &config()).unwrap();
    let pair = |name: &str| (name.to_owned(), "cus_1".to_owned());
    assert_eq!(reading.aliases, BTreeSet::from([pair("u-1"), pair("user_1")]));
    assert_eq!(reading.stale, BTreeSet::from(["cus_1".to_owned()]));
    assert!(
        reading.changes.is_empty(),
        "what was bought, the subscription says"
    );
}

#[test]
fn what_was_fetched_replaces_events_of_before_and_yields_to_those_after() {
    let customer = json!({"id": "cus_1", "metadata": {"userId": "user_1"}});
    let said = |status: &str, at: u64| {
        let object = subscription("", "updated", START, status, &NONE)["data"]["object"].clone();
        fetched_from_stripe(
            &customer,
            &json!({"data": [object]}),
            Millis(at * 1000),
            &config(),
        )
        .unwrap()
    };
    let mut books = stripe(&[subscription("evt_1", "updated", START + 10, "active", &NONE)]);
    books.take(Provider::Stripe, said("unpaid", START + 20));
    assert_eq!(books.at(START + 20).state, State::Unpaid);
    books.hear(
        Provider::Stripe,
        &subscription("evt_2", "updated", START + 5, "active", &NONE),
    );
    assert_eq!(
        books.at(START + 20).state,
        State::Unpaid,
        "an older event came late"
    );
    books.hear(
        Provider::Stripe,
        &subscription("evt_3", "deleted", START + 20, "canceled", &NONE),
    );
    assert_eq!(
        books.at(START + 21).state,
        State::Cancelled,
        "within the second that events are cut off to"
    );
    books.take(Provider::Stripe, said("active", START + 40));
    assert_eq!(
        books.at(START + 41).state,
        State::Active,
        "the provider's API is the truth"
    );
    assert!(
        said("active", START)
            .aliases
            .contains(&("user_1".to_owned(), "cus_1".to_owned()))
    );
}

#[test]
fn an_answer_that_is_not_stripes_changes_nothing() {
    let fetch = |customer: Value, list: Value| fetched_from_stripe(&customer, &list, Millis(0), &config());
    let good = json!({"id": "cus_1"});
    assert!(fetch(json!({}), json!({"data": []})).is_err());
    assert!(fetch(good.clone(), json!({"error": {}})).is_err());
    assert!(fetch(good.clone(), json!({"data": [{"id": "sub_1"}]})).is_err());
    let others = json!({"data": [{"id": "sub_1", "status": "active", "customer": "cus_2"}]});
    assert!(fetch(good.clone(), others).is_err());
    let gone = fetch(json!({"id": "cus_1", "deleted": true}), json!({"data": []})).unwrap();
    assert_eq!(gone.changes.len(), 1);
    assert!(fetch(good, json!({"data": []})).is_ok());
}

#[test]
fn a_page_of_all_subscriptions_is_read_with_its_customers() {
    let mut one = subscription("", "updated", START, "active", &NONE)["data"]["object"].clone();
    one["customer"] = json!({"id": "cus_1", "metadata": {"userId": "user_1"}});
    let read = |list: Value| page_from_stripe(&list, Millis(START * 1000), &config());
    let (reading, next) = read(json!({"data": [one], "has_more": true})).unwrap();
    assert_eq!(next.as_deref(), Some("sub_1"));
    assert!(
        reading
            .aliases
            .contains(&("user_1".to_owned(), "cus_1".to_owned()))
    );
    let kinds: Vec<&str> = reading.objects.iter().map(|object| object.kind).collect();
    assert_eq!(kinds, ["customer", "subscription"]);
    let mut books = Books::default();
    books.take(Provider::Stripe, reading);
    assert_eq!(stands(&books.at(START)), (Some("solo"), true, State::Active));
    assert_eq!(read(json!({"data": [], "has_more": false})).unwrap().1, None);
    for bad in [
        json!({}),
        json!({"data": []}),
        json!({"data": [], "has_more": true}),
    ] {
        assert!(read(bad).is_err());
    }
    for bad in [
        json!({"id": "sub_1"}),
        json!({"id": "sub_1", "customer": "cus_1"}),
    ] {
        assert!(read(json!({"data": [bad], "has_more": false})).is_err());
    }
}

#[test]
fn a_purchase_that_is_cancelled_runs_on_and_one_that_is_refunded_does_not() {
    let bought = purchase("1", "INITIAL_PURCHASE", START, &NONE);
    let cancelled =
        |reason: &str| purchase("2", "CANCELLATION", START + 10, &json!({"cancel_reason": reason}));
    let end = START + 30 * DAY;
    let books = revenuecat(&[bought.clone(), cancelled("UNSUBSCRIBE")]);
    assert_eq!(stands(&books.at(end - 1)), (Some("solo"), true, State::Active));
    assert_eq!(books.at(START + 20).until, Some(Millis(end * 1000)));
    let books = revenuecat(&[bought, cancelled("CUSTOMER_SUPPORT")]);
    assert_eq!(stands(&books.at(START + 20)), (None, false, State::Cancelled));
}

#[test]
fn a_billing_issue_gives_the_stores_own_grace_whatever_comes_beside_it() {
    let end = START + 30 * DAY;
    let issue = purchase(
        "1",
        "BILLING_ISSUE",
        end,
        &json!({"grace_period_expiration_at_ms": (end + 6 * DAY) * 1000}),
    );
    let cancel = purchase(
        "2",
        "CANCELLATION",
        end + 1,
        &json!({"cancel_reason": "BILLING_ERROR"}),
    );
    for events in [[issue.clone(), cancel.clone()], [cancel.clone(), issue.clone()]] {
        let books = revenuecat(&events);
        assert_eq!(stands(&books.at(end + DAY)), (Some("solo"), true, State::Grace));
        assert_eq!(stands(&books.at(end + 6 * DAY)), (None, false, State::PastDue));
    }
    let without = revenuecat(&[purchase(
        "1",
        "BILLING_ISSUE",
        end,
        &json!({"grace_period_expiration_at_ms": null}),
    )]);
    assert!(without.at(end - 1).active && !without.at(end).active);
    let renewed = purchase(
        "3",
        "RENEWAL",
        end + 2 * DAY,
        &json!({"expiration_at_ms": (end + 30 * DAY) * 1000}),
    );
    let books = revenuecat(&[renewed, issue, cancel]);
    assert_eq!(
        stands(&books.at(end + 3 * DAY)),
        (Some("solo"), true, State::Active)
    );
}

#[test]
fn a_pause_takes_effect_when_the_period_ends() {
    let paused = purchase(
        "1",
        "SUBSCRIPTION_PAUSED",
        START,
        &json!({"auto_resume_at_ms": 1}),
    );
    assert!(revenuecat(std::slice::from_ref(&paused)).at(START + DAY).active);
    let expired = json!({"expiration_reason": "SUBSCRIPTION_PAUSED"});
    let books = revenuecat(&[paused, purchase("2", "EXPIRATION", START + 30 * DAY, &expired)]);
    assert_eq!(stands(&books.at(START + 30 * DAY)), (None, false, State::Paused));
}

#[test]
fn a_purchase_for_life_has_no_end_and_a_trial_is_one() {
    let life = json!({"product_id": "lifetime", "expiration_at_ms": null});
    let judged = revenuecat(&[purchase("1", "NON_RENEWING_PURCHASE", START, &life)]).at(START + 9999 * DAY);
    assert_eq!(
        (stands(&judged), judged.until),
        ((Some("founder"), true, State::Active), None)
    );
    let trial = revenuecat(&[purchase(
        "1",
        "INITIAL_PURCHASE",
        START,
        &json!({"period_type": "TRIAL"}),
    )]);
    assert_eq!(trial.at(START).state, State::Trialing);
    let play = json!({"product_id": "team_yearly:base", "entitlement_ids": null});
    let play = revenuecat(&[purchase("1", "INITIAL_PURCHASE", START, &play)]);
    assert_eq!(play.at(START).plan.as_deref(), Some("team"));
}

#[test]
fn names_that_the_vendor_made_up_are_nobodys() {
    let with = json!({
        "app_user_id": "user_1",
        "original_app_user_id": "$RCAnonymousID:1",
        "aliases": ["$RCAnonymousID:1", "$RCAnonymousID:2", "user_1", "user_1b"],
    });
    let event = purchase("1", "INITIAL_PURCHASE", START, &with);
    let reading = read(Provider::RevenueCat, event.to_string().as_bytes(), &config()).unwrap();
    let names: Vec<&str> = reading.aliases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["user_1", "user_1b"]);
    assert!(
        reading
            .aliases
            .iter()
            .all(|(_, customer)| customer == "$RCAnonymousID:1")
    );
}

#[test]
fn events_about_something_else_say_nothing() {
    for kind in [
        "TEST",
        "INVOICE_ISSUANCE",
        "VIRTUAL_CURRENCY_TRANSACTION",
        "EXPERIMENT_ENROLLMENT",
        "?",
    ] {
        let event = purchase("1", kind, START, &NONE).to_string();
        assert_eq!(
            read(Provider::RevenueCat, event.as_bytes(), &config()),
            None,
            "{kind}"
        );
    }
    let change = purchase("1", "PRODUCT_CHANGE", START, &NONE).to_string();
    let change = read(Provider::RevenueCat, change.as_bytes(), &config()).unwrap();
    assert!(change.changes.is_empty() && change.stale.contains("user_1"));
    for body in ["", "[]", "{\"id\":1}", "{\"event\":null}", "\u{0}"] {
        for provider in [Provider::Stripe, Provider::RevenueCat] {
            assert_eq!(read(provider, body.as_bytes(), &config()), None);
        }
    }
}

#[test]
fn what_changed_has_a_word() {
    let judged = |active, plan: &str, state| Judged {
        active,
        plan: active.then(|| plan.to_owned()),
        state,
        ..Judged::default()
    };
    let none = Judged::default();
    let solo = judged(true, "solo", State::Active);
    assert_eq!(solo.change_since(&none), Some(Change::Granted));
    assert_eq!(none.change_since(&solo), Some(Change::Revoked));
    assert_eq!(
        judged(true, "team", State::Active).change_since(&solo),
        Some(Change::Changed)
    );
    assert_eq!(
        judged(true, "solo", State::Grace).change_since(&solo),
        Some(Change::Grace)
    );
    assert_eq!(solo.change_since(&solo), None);
    assert_eq!(judged(false, "", State::Unpaid).change_since(&none), None);
}

/// Any event of one subscription: few times, so that many fall into one second.
fn any_subscription_event() -> impl Strategy<Value = Value> {
    let verbs = prop::sample::select(vec![
        "created",
        "updated",
        "updated",
        "paused",
        "resumed",
        "trial_will_end",
    ]);
    let statuses = prop::sample::select(vec![
        "incomplete",
        "trialing",
        "active",
        "past_due",
        "unpaid",
        "paused",
    ]);
    (any::<u64>(), verbs, 0..5_u64, statuses, 1..60_u64, any::<bool>()).prop_map(
        |(id, verb, at, status, days, told)| {
            let with = json!({"current_period_end": START + days * DAY});
            let mut event = subscription(&format!("evt_{id}"), verb, START + at, status, &with);
            if told {
                event["data"]["previous_attributes"] = json!({"status": "active"});
            }
            event
        },
    )
}

fn any_purchase_event() -> impl Strategy<Value = Value> {
    let kinds = prop::sample::select(vec![
        "INITIAL_PURCHASE",
        "RENEWAL",
        "CANCELLATION",
        "BILLING_ISSUE",
        "EXPIRATION",
        "SUBSCRIPTION_PAUSED",
        "UNCANCELLATION",
    ]);
    (
        any::<u64>(),
        kinds,
        0..5_u64,
        1..60_u64,
        prop::option::of(1..60_u64),
    )
        .prop_map(|(id, kind, at, days, grace)| {
            let grace = grace.map(|days| (START + days * DAY) * 1000);
            let end = (START + days * DAY) * 1000;
            let with = json!({"expiration_at_ms": end, "grace_period_expiration_at_ms": grace});
            purchase(&id.to_string(), kind, START + at, &with)
        })
}

fn shuffled(strategy: impl Strategy<Value = Value>) -> impl Strategy<Value = (Vec<Value>, Vec<Value>)> {
    prop::collection::vec(strategy, 1..8).prop_flat_map(|mut events| {
        // Two events never have one id.
        events.dedup_by_key(|event| event["id"].clone());
        let doubled: Vec<Value> = events.iter().chain(events.first()).cloned().collect();
        (Just(events), Just(doubled).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn the_same_events_of_a_subscription_end_the_same_in_any_order((one, other) in shuffled(any_subscription_event())) {
        prop_assert_eq!(stripe(&one).0, stripe(&other).0);
    }

    #[test]
    fn the_same_events_of_a_purchase_end_the_same_in_any_order((one, other) in shuffled(any_purchase_event())) {
        prop_assert_eq!(revenuecat(&one).0, revenuecat(&other).0);
    }

    #[test]
    fn nothing_grants_after_a_deletion_wherever_that_came(
        mut events in prop::collection::vec(any_subscription_event(), 0..8),
        place in any::<prop::sample::Index>(),
        at in 0..5_u64,
    ) {
        let deleted = subscription("evt_deleted", "deleted", START + at, "canceled", &NONE);
        events.insert(place.index(events.len() + 1), deleted);
        for days in [0, 1, 20, 59] {
            prop_assert!(!stripe(&events).at(START + days * DAY).active);
        }
    }

    #[test]
    fn access_ends_by_itself(events in prop::collection::vec(any_subscription_event(), 1..8)) {
        let end = START + 60 * DAY + 3600;
        prop_assert!(!stripe(&events).at(end + 14 * DAY).active);
    }

    #[test]
    fn no_body_makes_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        for provider in [Provider::Stripe, Provider::RevenueCat] {
            let _ = read(provider, &body, &config());
            let _ = read(provider, text.as_bytes(), &config());
        }
    }
}
