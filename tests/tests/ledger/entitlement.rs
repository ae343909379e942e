//! Entitlements: written with the message that says so, judged when asked, told when they change, and not paid for by
//! those who did not ask.

mod moving;
mod revenuecat;
mod time;

use postern_domain::entitlement::{Config, Judged, Known, OWNER, PastDue, Plan, Provider, State};
use postern_domain::id::{ConnectionId, TaskId};
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Caller, MessageFilter, MessageList, PageOf, SourceCreate};
use postern_domain::wire::entitlement::{
    EntitlementBackfill, EntitlementConfigGet, EntitlementConfigPut, EntitlementConfigView,
    EntitlementDifferences, EntitlementFetched, EntitlementGet, EntitlementList, EntitlementObjects,
    FetchAsk, FetchOrder,
};
use postern_domain::wire::frame;
use postern_domain::wire::inbound::SourceOptions;
use postern_domain::wire::replay::{TaskCancel, TaskGet, TaskState};
use postern_ledger::sql::Sql;
use postern_tests::tenant::{START, Tenant, code};
use serde_json::{Value, json};

const DAY: u64 = Millis::DAY;

fn config() -> Config {
    let plan = |plan: &str, ids: &[&str]| Plan {
        plan: plan.to_owned(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    };
    Config {
        enabled: true,
        plans: vec![
            plan("solo", &["price_solo", "pro"]),
            plan("team", &["price_team"]),
        ],
        ..Config::default()
    }
}

#[expect(clippy::option_option, reason = "left out is not null")]
fn put(tenant: &mut Tenant, config: Config, key: Option<Option<&str>>) -> EntitlementConfigView {
    let stripe_api_key = key.map(|key| key.map(str::to_owned));
    tenant
        .call(EntitlementConfigPut {
            config,
            stripe_api_key,
            ..EntitlementConfigPut::default()
        })
        .unwrap()
}

/// A tenant that turned it on, and its Stripe source.
fn tenant() -> (Tenant, u16) {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    put(&mut tenant, config(), None);
    (tenant, source)
}

fn source_of(tenant: &mut Tenant, provider: &str) -> u16 {
    let call = SourceCreate {
        name: provider.to_owned(),
        provider: provider.to_owned(),
        uid: None,
        config: json!({}),
        secrets: vec!["a_secret_of_the_vendor".to_owned()],
        terms: Vec::new(),
        options: SourceOptions::default(),
        idempotency: None,
    };
    u16::try_from(tenant.call(call).unwrap().id.0.sequence).unwrap()
}

fn seconds(at: Millis) -> u64 {
    at.0 / 1000
}

/// A subscription of `price_solo` for thirty days from the start.
fn subscription(customer: &str, status: &str) -> Value {
    json!({
        "id": format!("sub_of_{customer}"),
        "customer": customer,
        "status": status,
        "current_period_start": seconds(START),
        "current_period_end": seconds(START.plus(30 * DAY)),
        "items": {"data": [{"price": {"id": "price_solo"}}]},
    })
}

fn event(id: &str, verb: &str, at: Millis, object: &Value) -> Value {
    json!({
        "id": id,
        "type": format!("customer.subscription.{verb}"),
        "created": seconds(at),
        "data": {"object": object},
    })
}

fn accept_of(tenant: &mut Tenant, source: u16, event: &Value) -> Accept {
    let id = event["id"]
        .as_str()
        .or_else(|| event["event"]["id"].as_str())
        .unwrap();
    Accept {
        source: Some(source),
        event_id: Some(id.to_owned()),
        ..tenant.publish_call("billing")
    }
}

fn hear(tenant: &mut Tenant, source: u16, event: &Value) {
    let call = accept_of(tenant, source, event);
    tenant.accept(call, event.to_string().as_bytes()).unwrap();
}

fn get(tenant: &mut Tenant, customer: &str) -> Judged {
    let customer = customer.to_owned();
    tenant.call(EntitlementGet { customer }).unwrap()
}

fn stands(tenant: &mut Tenant, customer: &str) -> (Option<String>, bool, State) {
    let judged = get(tenant, customer);
    (judged.plan, judged.active, judged.state)
}

fn all() -> PageOf {
    PageOf {
        limit: 250,
        iterator: None,
        ascending: true,
    }
}

/// What was told, oldest first.
fn told(tenant: &mut Tenant) -> Vec<Value> {
    let filter = MessageFilter {
        event_types: Some(vec!["entitlement.changed".to_owned()]),
        ..MessageFilter::default()
    };
    let call = MessageList {
        page: all(),
        filter,
        with_content: true,
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (_, bodies) = tenant.call_as(caller, call, &[]).unwrap();
    let mut events: Vec<Value> = bodies
        .iter()
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect();
    events.reverse();
    events
}

fn changes(tenant: &mut Tenant) -> Vec<String> {
    let word = |event: &Value| event["data"]["change"].as_str().unwrap().to_owned();
    told(tenant).iter().map(word).collect()
}

#[test]
fn an_event_is_stored_projected_and_told_at_once() {
    let (mut tenant, source) = tenant();
    let endpoint = tenant.endpoint();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "active")),
    );
    assert_eq!(
        stands(&mut tenant, "cus_1"),
        (Some("solo".to_owned()), true, State::Active)
    );
    let events = told(&mut tenant);
    assert_eq!(events.len(), 1);
    let data = &events[0]["data"];
    assert_eq!(events[0]["type"], "entitlement.changed");
    assert_eq!(
        (
            &data["change"],
            &data["customer"],
            &data["plan"],
            &data["eventId"],
            &data["previous"]["active"]
        ),
        (
            &json!("granted"),
            &json!("cus_1"),
            &json!("solo"),
            &json!("evt_1"),
            &json!(false)
        )
    );
    let outs = tenant.outs();
    let sent: Vec<(u32, String)> = outs
        .iter()
        .map(|out| (out.endpoint, out.handout.event_type.clone().unwrap_or_default()))
        .collect();
    assert_eq!(
        sent,
        [
            (endpoint, "billing".to_owned()),
            (endpoint, "entitlement.changed".to_owned())
        ]
    );
    tenant.evict();
    assert!(get(&mut tenant, "cus_1").active, "it stands in the storage");
}

#[test]
fn who_did_not_turn_it_on_pays_for_nothing_and_is_told_so() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "active")),
    );
    for table in [
        "entitlement",
        "entitlement_alias",
        "entitlement_object",
        "entitlement_stale",
    ] {
        assert_eq!(tenant.count(table), 0, "{table}");
    }
    let customer = "cus_1".to_owned();
    assert_eq!(code(tenant.call(EntitlementGet { customer })), Code::Conflict);
    let shown = tenant.call(EntitlementConfigGet {}).unwrap();
    assert!(!shown.config.enabled && shown.stripe_api_key_hint.is_none());
}

#[test]
fn an_event_of_another_provider_or_of_the_api_says_nothing() {
    let (mut tenant, _) = tenant();
    let other = source_of(&mut tenant, "hmac");
    let event = event("evt_1", "created", START, &subscription("cus_1", "active"));
    hear(&mut tenant, other, &event);
    let call = tenant.publish_call("customer.subscription.created");
    tenant.accept(call, event.to_string().as_bytes()).unwrap();
    assert_eq!(tenant.count("entitlement"), 0);
}

#[test]
fn a_customer_of_whom_nothing_is_known_has_no_plan() {
    let (mut tenant, _) = tenant();
    let judged = get(&mut tenant, "nobody");
    assert_eq!((judged.plan, judged.active, judged.source), (None, false, None));
}

#[test]
fn a_body_that_cannot_be_read_is_stored_all_the_same() {
    let (mut tenant, source) = tenant();
    for (at, body) in [&b"not json"[..], b"{\"id\":\"e\"}", b"\xff"].iter().enumerate() {
        let call = Accept {
            source: Some(source),
            event_id: Some(at.to_string()),
            ..tenant.publish_call("billing")
        };
        tenant.accept(call, body).unwrap();
    }
    assert_eq!(tenant.count("message_1"), 3);
}

#[test]
fn a_duplicate_changes_and_tells_nothing_again() {
    let (mut tenant, source) = tenant();
    let created = event("evt_1", "created", START, &subscription("cus_1", "active"));
    hear(&mut tenant, source, &created);
    let first = accept_of(&mut tenant, source, &created);
    let again = Accept {
        repeat: true,
        ..first
    };
    assert!(
        tenant
            .accept(again, created.to_string().as_bytes())
            .unwrap()
            .duplicate
    );
    hear(
        &mut tenant,
        source,
        &event("evt_2", "updated", START, &subscription("cus_1", "active")),
    );
    assert_eq!(changes(&mut tenant), ["granted"]);
    assert_eq!(tenant.count("message_1"), 3);
}

#[test]
fn a_life_is_told_in_words() {
    let (mut tenant, source) = tenant();
    let mut team = subscription("cus_1", "active");
    team["items"]["data"][0]["price"]["id"] = json!("price_team");
    for (at, (verb, object)) in [
        ("created", subscription("cus_1", "incomplete")),
        ("updated", subscription("cus_1", "active")),
        ("updated", team.clone()),
        ("updated", {
            team["status"] = json!("past_due");
            team.clone()
        }),
        ("deleted", {
            team["status"] = json!("canceled");
            team
        }),
        ("updated", subscription("cus_1", "active")),
    ]
    .iter()
    .enumerate()
    {
        tenant.now = tenant.now.plus(1000);
        let at = START.plus(at as u64 * 1000);
        hear(
            &mut tenant,
            source,
            &event(&format!("evt_{}", at.0), verb, at, object),
        );
    }
    assert_eq!(changes(&mut tenant), ["granted", "changed", "grace", "revoked"]);
    assert_eq!(stands(&mut tenant, "cus_1"), (None, false, State::Cancelled));
}

#[test]
fn access_ends_with_its_time_although_the_last_event_was_lost() {
    let (mut tenant, source) = tenant();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "active")),
    );
    tenant.now = START.plus(30 * DAY);
    assert_eq!(
        stands(&mut tenant, "cus_1").2,
        State::Grace,
        "the renewal is on its way"
    );
    tenant.now = START.plus(31 * DAY);
    assert_eq!(stands(&mut tenant, "cus_1"), (None, false, State::Expired));
}

#[test]
fn rules_that_change_count_at_once_for_all_that_is_known() {
    let (mut tenant, source) = tenant();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "past_due")),
    );
    tenant.now = START.plus(1000);
    assert!(get(&mut tenant, "cus_1").active);
    put(
        &mut tenant,
        Config {
            past_due: PastDue::Deny,
            ..config()
        },
        None,
    );
    assert!(!get(&mut tenant, "cus_1").active);
    let mut renamed = config();
    renamed.plans[0].plan = "starter".to_owned();
    put(&mut tenant, renamed, None);
    assert_eq!(get(&mut tenant, "cus_1").plan.as_deref(), Some("starter"));
    tenant.evict();
    assert_eq!(get(&mut tenant, "cus_1").plan.as_deref(), Some("starter"));
}

#[test]
fn a_customer_is_found_by_every_name_and_has_the_best_of_all_providers() {
    let (mut tenant, source) = tenant();
    let session = json!({"id": "evt_0", "type": "checkout.session.completed", "created": seconds(START),
        "data": {"object": {"customer": "cus_1", "client_reference_id": "user_1"}}});
    hear(&mut tenant, source, &session);
    let mut team = subscription("cus_1", "active");
    team["items"]["data"][0]["price"]["id"] = json!("price_team");
    hear(&mut tenant, source, &event("evt_1", "created", START, &team));
    let vendor = source_of(&mut tenant, "revenuecat");
    let bought = json!({"event": {"id": "rc_1", "type": "INITIAL_PURCHASE", "app_user_id": "user_1",
        "original_app_user_id": "$RCAnonymousID:9", "product_id": "pro", "original_transaction_id": "t",
        "event_timestamp_ms": START.0, "expiration_at_ms": START.plus(DAY).0, "environment": "PRODUCTION"}});
    hear(&mut tenant, vendor, &bought);
    let judged = get(&mut tenant, "user_1");
    assert_eq!((judged.plan.as_deref(), judged.items.len()), (Some("team"), 2));
    assert_eq!(
        get(&mut tenant, "$RCAnonymousID:9").source,
        Some(Provider::RevenueCat)
    );
    assert_eq!(told(&mut tenant)[0]["data"]["aliases"], json!(["user_1"]));
}

#[test]
fn a_name_that_a_stranger_gave_away_lends_him_nothing() {
    let (mut tenant, source) = tenant();
    for (id, customer, user) in [
        ("evt_0", "cus_victim", "victim"),
        ("evt_1", "cus_thief", "thief"),
        ("evt_2", "cus_thief", "victim"),
    ] {
        let session = json!({"id": id, "type": "checkout.session.completed", "created": seconds(START),
            "data": {"object": {"customer": customer, "client_reference_id": user}}});
        hear(&mut tenant, source, &session);
    }
    hear(
        &mut tenant,
        source,
        &event("evt_3", "created", START, &subscription("cus_victim", "active")),
    );
    assert!(get(&mut tenant, "victim").active);
    assert!(!get(&mut tenant, "thief").active && !get(&mut tenant, "cus_thief").active);
}

fn purchase(id: &str, kind: &str, user: &str, at: Millis, days: u64) -> Value {
    json!({"event": {"id": id, "type": kind, "app_user_id": user, "original_app_user_id": user,
        "product_id": "pro", "original_transaction_id": "t", "event_timestamp_ms": at.0,
        "expiration_at_ms": START.plus(days * DAY).0, "environment": "PRODUCTION"}})
}

fn transfer(id: &str, from: &[&str], to: &[&str], at: Millis) -> Value {
    json!({"event": {"id": id, "type": "TRANSFER", "transferred_from": from, "transferred_to": to,
        "event_timestamp_ms": at.0}})
}

#[test]
fn what_is_transferred_is_the_others_and_so_is_what_is_heard_of_it_late() {
    let renewal = purchase("2", "RENEWAL", "a", START.plus(10), 60);
    let moved = transfer("3", &["a"], &["b"], START.plus(20));
    for events in [[&renewal, &moved], [&moved, &renewal]] {
        let mut tenant = Tenant::new();
        put(&mut tenant, config(), None);
        let source = source_of(&mut tenant, "revenuecat");
        hear(
            &mut tenant,
            source,
            &purchase("1", "INITIAL_PURCHASE", "a", START, 30),
        );
        for event in events {
            hear(&mut tenant, source, event);
        }
        assert!(!get(&mut tenant, "a").active);
        let heir = get(&mut tenant, "b");
        assert_eq!(
            (heir.plan.as_deref(), heir.items[0].period_end),
            (Some("solo"), Some(START.plus(60 * DAY)))
        );
        let words = changes(&mut tenant);
        assert!(
            words.contains(&"revoked".to_owned()) && words.contains(&"granted".to_owned()),
            "{words:?}"
        );
        // One that came before, heard of late: who inherited then has given it away since.
        hear(
            &mut tenant,
            source,
            &purchase("5", "INITIAL_PURCHASE", "z", START, 90),
        );
        hear(&mut tenant, source, &transfer("6", &["z"], &["a"], START.plus(5)));
        assert!(!get(&mut tenant, "a").active && !get(&mut tenant, "z").active);
        assert_eq!(
            get(&mut tenant, "b").items[0].period_end,
            Some(START.plus(60 * DAY))
        );
        // What the giver buys afterwards is the giver's.
        hear(
            &mut tenant,
            source,
            &purchase("4", "INITIAL_PURCHASE", "a", START.plus(30), 30),
        );
        assert!(get(&mut tenant, "a").active);
    }
}

#[test]
fn a_tenants_own_billing_owner_is_asked_for_by_one_name() {
    let (mut tenant, source) = tenant();
    assert!(!get(&mut tenant, OWNER).active);
    let billing_owner = Some("cus_1".to_owned());
    put(
        &mut tenant,
        Config {
            billing_owner,
            ..config()
        },
        None,
    );
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "active")),
    );
    let judged = get(&mut tenant, OWNER);
    assert_eq!(
        (judged.customer.as_str(), judged.plan.as_deref()),
        ("cus_1", Some("solo"))
    );
}

#[test]
fn the_list_pages_both_ways_and_narrows() {
    let (mut tenant, source) = tenant();
    for at in 0..7 {
        let status = if at % 2 == 0 { "active" } else { "unpaid" };
        let object = subscription(&format!("cus_{at}"), status);
        hear(
            &mut tenant,
            source,
            &event(&format!("evt_{at}"), "created", START, &object),
        );
    }
    let mut list = |active: Option<bool>, plan: Option<&str>, ascending: bool| {
        let (mut names, mut iterator) = (Vec::new(), None);
        loop {
            let page = PageOf {
                limit: 2,
                iterator,
                ascending,
            };
            let plan = plan.map(str::to_owned);
            let page = tenant.call(EntitlementList { page, active, plan }).unwrap();
            assert!(page.data.len() <= 2);
            names.extend(page.data.into_iter().map(|judged| judged.customer));
            if page.done {
                return names;
            }
            iterator = page.iterator;
        }
    };
    let everybody = list(None, None, true);
    assert_eq!(everybody.len(), 7);
    let mut reversed = list(None, None, false);
    reversed.reverse();
    assert_eq!(reversed, everybody);
    assert_eq!(list(Some(true), None, true), ["cus_0", "cus_2", "cus_4", "cus_6"]);
    assert_eq!(list(Some(false), None, true), ["cus_1", "cus_3", "cus_5"]);
    assert_eq!(list(None, Some("solo"), true).len(), 4);
    assert!(list(None, Some("team"), true).is_empty());
}

#[test]
fn a_list_longer_than_a_look_is_whole() {
    let (mut tenant, _) = tenant();
    let facts = postern_domain::entitlement::Facts::of(postern_domain::entitlement::Status::Active);
    let order = postern_domain::entitlement::Order {
        at: START,
        rank: 1,
        event: String::new(),
    };
    let known = serde_json::to_string(&Known::seen(facts, order)).unwrap();
    // Customers with three purchases each: one of them lies across the end of a look.
    for at in 0..600 {
        for item in 0..3 {
            let values = [
                format!("cus_{at:04}").into(),
                format!("sub_{item}").into(),
                known.as_str().into(),
            ];
            let statement =
                "INSERT INTO entitlement (customer, provider, item, known) VALUES (?1, 'stripe', ?2, ?3)";
            tenant.storage.run(statement, &values).unwrap();
        }
    }
    let (mut seen, mut iterator) = (Vec::new(), None);
    loop {
        let page = PageOf {
            limit: 250,
            iterator,
            ascending: true,
        };
        let page = tenant
            .call(EntitlementList {
                page,
                active: None,
                plan: None,
            })
            .unwrap();
        seen.extend(
            page.data
                .iter()
                .map(|judged| (judged.customer.clone(), judged.items.len())),
        );
        if page.done {
            break;
        }
        iterator = page.iterator;
    }
    assert_eq!(seen.len(), 600);
    assert!(seen.iter().all(|(_, items)| *items == 3));
}

#[test]
fn objects_are_kept_as_last_seen_and_a_late_one_replaces_none() {
    let (mut tenant, source) = tenant();
    let late = event("evt_1", "created", START, &subscription("cus_1", "incomplete"));
    let now = event(
        "evt_2",
        "updated",
        START.plus(2000),
        &subscription("cus_1", "active"),
    );
    let customer = json!({"id": "evt_3", "type": "customer.updated", "created": seconds(START),
        "data": {"object": {"id": "cus_1", "email": "a@example.com", "metadata": {"userId": "user_1"}}}});
    let large = json!({"id": "evt_4", "type": "customer.updated", "created": seconds(START),
        "data": {"object": {"id": "cus_2", "description": "x".repeat(70_000)}}});
    for event in [now, late, customer, large] {
        hear(&mut tenant, source, &event);
    }
    let objects = |tenant: &mut Tenant, customer: &str, limit| {
        let (mut found, mut iterator) = (Vec::new(), None);
        loop {
            let page = PageOf {
                limit,
                iterator,
                ascending: true,
            };
            let call = EntitlementObjects {
                customer: customer.to_owned(),
                page,
            };
            let page = tenant.call(call).unwrap();
            found.extend(page.data);
            if page.done {
                return found;
            }
            iterator = page.iterator;
        }
    };
    for limit in [1, 50] {
        let found = objects(&mut tenant, "user_1", limit);
        let kinds: Vec<&str> = found.iter().map(|object| object.kind.as_str()).collect();
        assert_eq!(kinds, ["customer", "subscription"]);
        assert_eq!(found[1].object.as_ref().unwrap()["status"], "active");
    }
    let large = objects(&mut tenant, "cus_2", 50);
    assert_eq!(
        (large.len(), &large[0].object),
        (1, &None),
        "only that it was seen"
    );
    let page = PageOf {
        iterator: Some("nonsense".to_owned()),
        ..all()
    };
    let call = EntitlementObjects {
        customer: "cus_1".to_owned(),
        page,
    };
    assert_eq!(code(tenant.call(call)), Code::InvalidIterator);
}

#[test]
fn a_write_that_fails_takes_message_projection_and_news_with_it() {
    let (mut tenant, source) = tenant();
    tenant.storage.run("DROP TABLE entitlement_object", &[]).unwrap();
    let created = event("evt_1", "created", START, &subscription("cus_1", "active"));
    let call = accept_of(&mut tenant, source, &created);
    assert_eq!(
        code(tenant.accept(call, created.to_string().as_bytes())),
        Code::Internal
    );
    assert_eq!((tenant.count("message_1"), tenant.count("entitlement")), (0, 0));
}

const KEY: &str = "rk_live_0123456789abcdef";

/// A tenant whose provider can be asked.
fn asking() -> (Tenant, u16) {
    let (mut tenant, source) = tenant();
    let shown = put(&mut tenant, config(), Some(Some(KEY)));
    assert_eq!(shown.stripe_api_key_hint.as_deref(), Some("cdef"));
    (tenant, source)
}

fn questions(tenant: &mut Tenant) -> Vec<FetchOrder> {
    let outs = tenant.ledger.take_fetches();
    outs.iter()
        .map(|out| frame::decode::<FetchOrder>(&out.frame).unwrap().0)
        .collect()
}

const CONNECTION: ConnectionId = ConnectionId([7; 20]);

#[test]
fn a_connection_stands_in_the_place_of_a_key_and_either_takes_the_others() {
    let (mut tenant, source) = asking();
    let connection = |connection| EntitlementConfigPut {
        config: config(),
        stripe_connection: Some(connection),
        ..EntitlementConfigPut::default()
    };
    let shown = tenant.call(connection(Some(CONNECTION))).unwrap();
    assert_eq!(
        (shown.stripe_api_key_hint, shown.connections.stripe),
        (None, Some(CONNECTION))
    );
    let stands = event("evt_1", "created", START, &subscription("cus_1", "active"));
    hear(&mut tenant, source, &stands);
    tenant.pass(4000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (
            asked[0].connection,
            asked[0].organisation,
            asked[0].sealed_key.as_str()
        ),
        (Some(CONNECTION), Some(tenant.organisation), "")
    );
    // What it is refused is shown, and tried again.
    let begun = tenant.now;
    answer(
        &mut tenant,
        begun,
        Some("Stripe refuses the connection's key"),
        &json!({}),
    );
    let refetch = tenant.call(EntitlementConfigGet {}).unwrap().refetch;
    assert_eq!(
        refetch.error.as_deref(),
        Some("Stripe refuses the connection's key")
    );
    tenant.pass(6000);
    assert_eq!(questions(&mut tenant).len(), 1);

    // The rules alone leave it; a key takes its place; neither: nobody is asked.
    assert_eq!(
        put(&mut tenant, config(), None).connections.stripe,
        Some(CONNECTION)
    );
    let shown = put(&mut tenant, config(), Some(Some(KEY)));
    assert_eq!(
        (shown.stripe_api_key_hint.as_deref(), shown.connections.stripe),
        (Some("cdef"), None)
    );
    tenant.call(connection(Some(CONNECTION))).unwrap();
    let shown = tenant.call(connection(None)).unwrap();
    assert_eq!(
        (shown.stripe_api_key_hint, shown.connections.stripe),
        (None, None)
    );
    assert_eq!(tenant.count("entitlement_stale"), 0);
}

#[test]
fn a_backfill_reads_by_a_connection_and_is_refused_without() {
    let (mut tenant, _) = tenant();
    let backfill = EntitlementBackfill {
        id: TASK,
        provider: Provider::Stripe,
        dry_run: true,
        expected: Vec::new(),
    };
    assert_eq!(code(tenant.call(backfill.clone())), Code::Conflict);
    let by_connection = EntitlementConfigPut {
        config: config(),
        stripe_connection: Some(Some(CONNECTION)),
        ..EntitlementConfigPut::default()
    };
    tenant.call(by_connection).unwrap();
    tenant.call(backfill).unwrap();
    tenant.pass(1000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    assert!(matches!(asked[0].ask, FetchAsk::Page { .. }));
    assert_eq!(asked[0].connection, Some(CONNECTION));
}

fn answer(tenant: &mut Tenant, begun: Millis, failed: Option<&str>, subscription: &Value) {
    let call = EntitlementFetched {
        provider: Provider::Stripe,
        ask: FetchAsk::Customer("cus_1".to_owned()),
        begun,
        failed: failed.map(str::to_owned),
    };
    let bodies =
        [json!({"id": "cus_1"}), json!({"data": [subscription]})].map(|body| body.to_string().into_bytes());
    tenant.call_as(Caller::System, call, &bodies).unwrap();
}

#[test]
fn what_comes_together_is_one_question_with_a_key_that_nobody_can_read() {
    let (mut tenant, source) = asking();
    for at in 0..5 {
        let object = subscription("cus_1", "active");
        hear(
            &mut tenant,
            source,
            &event(&format!("evt_{at}"), "updated", START, &object),
        );
        tenant.pass(200);
    }
    assert!(questions(&mut tenant).is_empty(), "not yet");
    tenant.pass(3000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].ask, FetchAsk::Customer("cus_1".to_owned()));
    assert!(!asked[0].sealed_key.contains("0123456789"));
    let stored: String = tenant
        .storage
        .row("SELECT value FROM meta WHERE name = 'entitlement'", &[])
        .unwrap()
        .unwrap()
        .text(0)
        .unwrap();
    assert!(!stored.contains("0123456789"));
    tenant.pass(60_000);
    assert!(questions(&mut tenant).is_empty(), "the lease runs");
    tenant.pass(60_000);
    assert_eq!(questions(&mut tenant).len(), 1, "what was lost is asked again");
}

#[test]
fn an_answer_is_the_truth_whatever_events_said() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "updated", START, &subscription("cus_1", "active")),
    );
    tenant.pass(4000);
    assert_eq!(questions(&mut tenant).len(), 1);
    let begun = tenant.now;
    answer(&mut tenant, begun, None, &subscription("cus_1", "unpaid"));
    assert_eq!(stands(&mut tenant, "cus_1"), (None, false, State::Unpaid));
    assert_eq!(get(&mut tenant, "cus_1").fetched_at, Some(begun));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    assert_eq!(tenant.count("entitlement_stale"), 0);
    answer(&mut tenant, begun, None, &subscription("cus_1", "active"));
    assert_eq!(
        stands(&mut tenant, "cus_1").2,
        State::Unpaid,
        "nobody asked any more"
    );
    tenant.pass(3_600_000);
    assert!(questions(&mut tenant).is_empty());
}

#[test]
fn what_is_heard_while_somebody_asks_is_asked_for_again() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "updated", START, &subscription("cus_1", "active")),
    );
    tenant.pass(4000);
    let begun = tenant.now;
    assert_eq!(questions(&mut tenant).len(), 1);
    tenant.pass(100);
    let now = tenant.now;
    hear(
        &mut tenant,
        source,
        &event("evt_2", "updated", now, &subscription("cus_1", "active")),
    );
    answer(&mut tenant, begun, None, &subscription("cus_1", "active"));
    assert_eq!(tenant.count("entitlement_stale"), 1);
    tenant.pass(4000);
    assert_eq!(questions(&mut tenant).len(), 1);
}

#[test]
fn a_failure_is_shown_and_tried_again_later_each_time_and_another_key_at_once() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "updated", START, &subscription("cus_1", "active")),
    );
    tenant.pass(4000);
    let mut waits = Vec::new();
    for _ in 0..4 {
        assert_eq!(questions(&mut tenant).len(), 1);
        let begun = tenant.now;
        answer(&mut tenant, begun, Some("Stripe answered 401"), &json!({}));
        let next = tenant
            .storage
            .row("SELECT next_at FROM entitlement_stale", &[])
            .unwrap()
            .unwrap();
        let wait = next.time(0).unwrap().since(begun);
        waits.push(wait);
        tenant.pass(wait + 10);
    }
    assert_eq!(waits, [5000, 10_000, 20_000, 40_000]);
    questions(&mut tenant);
    let begun = tenant.now;
    answer(&mut tenant, begun, Some("Stripe answered 401"), &json!({}));
    let shown = tenant.call(EntitlementConfigGet {}).unwrap();
    assert_eq!((shown.refetch.waiting, shown.refetch.failing), (1, 1));
    assert_eq!(shown.refetch.error.as_deref(), Some("Stripe answered 401"));
    put(&mut tenant, config(), Some(Some("sk_live_another_key_than_that")));
    tenant.pass(10);
    assert_eq!(questions(&mut tenant).len(), 1);
    assert!(
        get(&mut tenant, "cus_1").active,
        "what the event said stands meanwhile"
    );
}

#[test]
fn without_a_key_or_turned_off_nobody_is_asked() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "updated", START, &subscription("cus_1", "active")),
    );
    put(
        &mut tenant,
        Config {
            enabled: false,
            ..config()
        },
        None,
    );
    tenant.pass(10_000);
    assert!(questions(&mut tenant).is_empty());
    put(&mut tenant, config(), None);
    tenant.pass(10_000);
    assert_eq!(
        questions(&mut tenant).len(),
        1,
        "what waited is asked for when it is on again"
    );
    put(&mut tenant, config(), Some(None));
    assert_eq!(tenant.count("entitlement_stale"), 0);
    hear(
        &mut tenant,
        source,
        &event("evt_2", "updated", START, &subscription("cus_1", "active")),
    );
    assert_eq!(tenant.count("entitlement_stale"), 0);
    assert!(
        tenant
            .call(EntitlementConfigGet {})
            .unwrap()
            .stripe_api_key_hint
            .is_none()
    );
}

#[test]
fn a_renewal_that_was_not_heard_of_is_asked_for_when_somebody_looks() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "created", START, &subscription("cus_1", "active")),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    answer(&mut tenant, begun, None, &subscription("cus_1", "active"));
    get(&mut tenant, "cus_1");
    assert_eq!(tenant.count("entitlement_stale"), 0, "nothing is in doubt");
    tenant.now = START.plus(30 * DAY + 1000);
    assert!(get(&mut tenant, "cus_1").active, "within the leeway");
    tenant.pass(100);
    assert_eq!(questions(&mut tenant).len(), 1);
    let mut renewed = subscription("cus_1", "active");
    renewed["current_period_end"] = json!(seconds(START.plus(60 * DAY)));
    let begun = tenant.now;
    answer(&mut tenant, begun, None, &renewed);
    assert_eq!(stands(&mut tenant, "cus_1").2, State::Active);
    // Once for each period: an answer that changes nothing is not asked for at every look.
    tenant.now = START.plus(60 * DAY + 1000);
    get(&mut tenant, "cus_1");
    tenant.pass(100);
    assert_eq!(questions(&mut tenant).len(), 1);
    let begun = tenant.now;
    answer(&mut tenant, begun, None, &renewed);
    get(&mut tenant, "cus_1");
    assert_eq!(tenant.count("entitlement_stale"), 0);
}

#[test]
fn what_cannot_be_asked_for_a_week_is_given_up() {
    let (mut tenant, source) = asking();
    hear(
        &mut tenant,
        source,
        &event("evt_1", "updated", START, &subscription("cus_1", "active")),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    tenant.now = START.plus(8 * DAY);
    let begun = tenant.now;
    answer(&mut tenant, begun, Some("Stripe answered 404"), &json!({}));
    assert_eq!(tenant.count("entitlement_stale"), 0);
}

#[test]
fn only_the_system_may_say_what_a_provider_answered() {
    let (mut tenant, _) = asking();
    let call = EntitlementFetched {
        provider: Provider::Stripe,
        ask: FetchAsk::Customer("cus_1".to_owned()),
        begun: START,
        failed: None,
    };
    for caller in [
        Caller::Ingest,
        Caller::Organisation(postern_domain::id::OrganisationId([9; 20])),
    ] {
        assert_eq!(code(tenant.call_as(caller, call.clone(), &[])), Code::NotFound);
    }
}

const TASK: TaskId = TaskId([5; 20]);

fn begin(tenant: &mut Tenant, dry_run: bool, expected: &[(&str, Option<&str>)]) {
    let expected = expected
        .iter()
        .map(|(customer, plan)| ((*customer).to_owned(), plan.map(str::to_owned)))
        .collect();
    let view = tenant
        .call(EntitlementBackfill {
            id: TASK,
            provider: Provider::Stripe,
            dry_run,
            expected,
        })
        .unwrap();
    assert_eq!(view.state, TaskState::Running);
}

/// The page that is asked for now is answered with these customers' subscriptions.
fn turn(tenant: &mut Tenant, customers: &[(&str, &str)], more: bool) {
    tenant.pass(300);
    let asked = questions(tenant);
    assert_eq!(asked.len(), 1);
    page_of(tenant, &asked[0].ask, customers, more);
}

fn page_of(tenant: &mut Tenant, ask: &FetchAsk, customers: &[(&str, &str)], more: bool) {
    let data: Vec<Value> = customers
        .iter()
        .map(|(customer, status)| {
            let mut one = subscription(customer, status);
            one["customer"] = json!({"id": customer, "metadata": {"userId": format!("user_of_{customer}")}});
            one
        })
        .collect();
    let call = EntitlementFetched {
        provider: Provider::Stripe,
        ask: ask.clone(),
        begun: tenant.now,
        failed: None,
    };
    let list = json!({"data": data, "has_more": more}).to_string().into_bytes();
    tenant.call_as(Caller::System, call, &[list]).unwrap();
}

fn task(tenant: &mut Tenant) -> (TaskState, u64, Option<String>) {
    let view = tenant.call(TaskGet { ids: vec![TASK] }).unwrap().remove(0);
    (view.state, view.progress.done, view.error)
}

fn differing(tenant: &mut Tenant, limit: u16) -> Vec<(String, Option<String>, Option<String>)> {
    let (mut found, mut iterator) = (Vec::new(), None);
    loop {
        let page = PageOf {
            limit,
            iterator,
            ascending: true,
        };
        let page = tenant.call(EntitlementDifferences { id: TASK, page }).unwrap();
        let row = page.data.into_iter();
        found.extend(row.map(|one| (one.customer, one.expected, one.found.plan)));
        if page.done {
            return found;
        }
        iterator = page.iterator;
    }
}

#[test]
fn a_backfill_takes_page_after_page_and_tells_what_changes() {
    let (mut tenant, _) = asking();
    begin(&mut tenant, false, &[]);
    turn(&mut tenant, &[("cus_a", "active"), ("cus_b", "past_due")], true);
    assert_eq!(task(&mut tenant), (TaskState::Running, 2, None));
    tenant.evict();
    turn(&mut tenant, &[("cus_c", "trialing")], false);
    assert_eq!(task(&mut tenant), (TaskState::Finished, 3, None));
    for customer in ["cus_a", "cus_b", "user_of_cus_c"] {
        assert_eq!(
            get(&mut tenant, customer).plan.as_deref(),
            Some("solo"),
            "{customer}"
        );
    }
    assert_eq!(changes(&mut tenant), ["granted", "granted", "granted"]);
    tenant.pass(600_000);
    assert!(questions(&mut tenant).is_empty());
}

#[test]
fn a_page_that_is_answered_twice_counts_once_and_one_that_is_lost_is_asked_again() {
    let (mut tenant, _) = asking();
    begin(&mut tenant, false, &[]);
    tenant.pass(300);
    assert_eq!(questions(&mut tenant).len(), 1, "it is lost");
    tenant.pass(100_000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    page_of(&mut tenant, &asked[0].ask, &[("cus_a", "active")], true);
    page_of(&mut tenant, &asked[0].ask, &[("cus_a", "active")], true);
    assert_eq!(task(&mut tenant).1, 1);
}

#[test]
fn a_dry_run_takes_nothing_and_says_what_differs_from_the_table() {
    let (mut tenant, _) = asking();
    let expected = [
        ("cus_same", Some("solo")),
        ("user_of_cus_alias", Some("solo")),
        ("cus_other", Some("team")),
        ("cus_gone", Some("solo")),
        ("cus_none", None),
    ];
    begin(&mut tenant, true, &expected);
    let found = [
        ("cus_same", "active"),
        ("cus_alias", "active"),
        ("cus_other", "active"),
        ("cus_new", "active"),
    ];
    turn(&mut tenant, &found, true);
    turn(&mut tenant, &[("cus_unpaid", "unpaid")], false);
    assert_eq!(task(&mut tenant).0, TaskState::Finished);
    let row = |customer: &str, expected: Option<&str>, found: Option<&str>| {
        (
            customer.to_owned(),
            expected.map(str::to_owned),
            found.map(str::to_owned),
        )
    };
    let wanted = [
        row("cus_gone", Some("solo"), None),
        row("cus_new", None, Some("solo")),
        row("cus_other", Some("team"), Some("solo")),
    ];
    assert_eq!(differing(&mut tenant, 250), wanted);
    assert_eq!(differing(&mut tenant, 1), wanted);
    assert_eq!((tenant.count("entitlement"), told(&mut tenant).len()), (0, 0));
}

#[test]
fn a_large_table_is_compared_whole() {
    let (mut tenant, _) = asking();
    let names: Vec<String> = (0..1300).map(|at| format!("cus_{at:05}")).collect();
    let expected: Vec<(&str, Option<&str>)> =
        names.iter().map(|name| (name.as_str(), Some("solo"))).collect();
    begin(&mut tenant, true, &expected);
    let found: Vec<(&str, &str)> = names
        .iter()
        .step_by(2)
        .map(|name| (name.as_str(), "active"))
        .collect();
    turn(&mut tenant, &found, false);
    let missing: Vec<String> = differing(&mut tenant, 100)
        .into_iter()
        .map(|(name, _, _)| name)
        .collect();
    let wanted: Vec<String> = names.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!(missing, wanted);
}

#[test]
fn a_backfill_is_one_at_a_time_needs_a_key_and_can_be_stopped() {
    let (mut tenant, _) = tenant();
    let another = EntitlementBackfill {
        id: TaskId([6; 20]),
        provider: Provider::Stripe,
        dry_run: true,
        expected: Vec::new(),
    };
    assert_eq!(code(tenant.call(another.clone())), Code::Conflict, "no key");
    put(&mut tenant, config(), Some(Some(KEY)));
    begin(&mut tenant, false, &[]);
    begin(&mut tenant, false, &[]);
    assert_eq!(code(tenant.call(another.clone())), Code::Conflict);
    tenant.pass(300);
    let asked = questions(&mut tenant);
    tenant.call(TaskCancel { id: TASK }).unwrap();
    page_of(&mut tenant, &asked[0].ask, &[("cus_a", "active")], true);
    assert_eq!(task(&mut tenant).0, TaskState::Cancelled);
    assert_eq!(
        tenant.count("outbox WHERE type = 'replay.finished'"),
        0,
        "nothing was sent again"
    );
    assert_eq!(tenant.count("entitlement"), 0);
    tenant.call(another).unwrap();
}

#[test]
fn a_backfill_that_keeps_failing_ends_and_says_why() {
    let (mut tenant, _) = asking();
    begin(&mut tenant, true, &[]);
    for at in 1..=8 {
        tenant.pass(300_000);
        let ask = questions(&mut tenant).pop().unwrap().ask;
        let failed = Some("Stripe refuses the key".to_owned());
        let call = EntitlementFetched {
            provider: Provider::Stripe,
            ask,
            begun: tenant.now,
            failed,
        };
        tenant.call_as(Caller::System, call, &[]).unwrap();
        let state = if at < 8 {
            TaskState::Running
        } else {
            TaskState::Failed
        };
        assert_eq!(
            task(&mut tenant),
            (state, 0, Some("Stripe refuses the key".to_owned()))
        );
    }
}
