//! `RevenueCat`'s API is asked as Stripe's is: it tells of whole customers, and names purchases by their products.

use super::*;

const FIRST: &str = "sk_of_version_1_0123456789abcd";
const SECOND: &str = "sk_of_version_2_0123456789efgh";

fn keys(tenant: &mut Tenant) -> EntitlementConfigView {
    let key = |key: &str| Some(Some(key.to_owned()));
    tenant
        .call(EntitlementConfigPut {
            config: config(),
            revenuecat_api_key: key(FIRST),
            revenuecat_v2_api_key: key(SECOND),
            revenuecat_project_id: key("proj1ab2c3d4"),
            ..EntitlementConfigPut::default()
        })
        .unwrap()
}

fn vendor() -> (Tenant, u16) {
    let mut tenant = Tenant::new();
    let source = source_of(&mut tenant, "revenuecat");
    let shown = keys(&mut tenant);
    assert_eq!(
        [shown.revenuecat_api_key_hint, shown.revenuecat_v2_api_key_hint],
        [Some("abcd".to_owned()), Some("efgh".to_owned())]
    );
    (tenant, source)
}

/// What version 1 says of somebody who subscribed to `pro_monthly`, which gives the entitlement `pro`.
fn subscriber(user: &str, days: u64) -> Value {
    let end = START.plus(days * DAY).to_rfc3339();
    json!({"request_date": START.to_rfc3339(), "subscriber": {
        "original_app_user_id": user,
        "entitlements": {"pro": {"product_identifier": "pro_monthly", "expires_date": end,
            "purchase_date": START.to_rfc3339()}},
        "non_subscriptions": {},
        "subscriptions": {"pro_monthly": {
            "expires_date": end, "purchase_date": START.to_rfc3339(), "period_type": "normal", "store": "app_store",
            "is_sandbox": false, "unsubscribe_detected_at": null, "billing_issues_detected_at": null,
            "grace_period_expires_date": null, "refunded_at": null, "auto_resume_date": null,
        }},
    }})
}

fn bought(id: &str, kind: &str, user: &str, at: Millis, days: u64) -> Value {
    let mut event = purchase(id, kind, user, at, days);
    event["event"]["product_id"] = json!("pro_monthly");
    event["event"]["entitlement_ids"] = json!(["pro"]);
    event
}

fn say(tenant: &mut Tenant, asked: &str, begun: Millis, answer: &Value) {
    let call = EntitlementFetched {
        provider: Provider::RevenueCat,
        ask: FetchAsk::Customer(asked.to_owned()),
        begun,
        failed: None,
    };
    let body = answer.to_string().into_bytes();
    tenant.call_as(Caller::System, call, &[body]).unwrap();
}

#[test]
fn an_event_has_its_customer_asked_for_with_a_key_that_nobody_can_read() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 30),
    );
    tenant.pass(4000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].provider, &asked[0].ask, &asked[0].list),
        (
            Provider::RevenueCat,
            &FetchAsk::Customer("user".to_owned()),
            &None
        )
    );
    let stored: String = tenant
        .storage
        .row("SELECT value FROM meta WHERE name = 'entitlement'", &[])
        .unwrap()
        .unwrap()
        .text(0)
        .unwrap();
    assert!(!stored.contains(FIRST) && !stored.contains(SECOND));
}

#[test]
fn an_answer_is_the_truth_and_keeps_the_purchases_own_id() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 30),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    let mut refunded = subscriber("user", 30);
    refunded["subscriber"]["subscriptions"]["pro_monthly"]["refunded_at"] = json!(begun.to_rfc3339());
    say(&mut tenant, "user", begun, &refunded);
    let judged = get(&mut tenant, "user");
    assert_eq!((judged.active, judged.state), (false, State::Cancelled));
    assert_eq!((judged.items.len(), judged.items[0].id.as_str()), (1, "t"));
    assert_eq!(judged.fetched_at, Some(begun));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    assert_eq!(tenant.count("entitlement_stale"), 0);
    // What was sent before it was asked is no news, however late it comes; what was sent after it is.
    hear(
        &mut tenant,
        source,
        &bought("2", "RENEWAL", "user", START.plus(10), 60),
    );
    assert!(!get(&mut tenant, "user").active);
    let now = begun.plus(5000);
    hear(
        &mut tenant,
        source,
        &bought("3", "INITIAL_PURCHASE", "user", now, 60),
    );
    let judged = get(&mut tenant, "user");
    assert_eq!((judged.active, judged.items.len()), (true, 1));
}

#[test]
fn what_the_api_does_not_tell_of_any_more_is_gone() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 30),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    let mut nothing = subscriber("user", 30);
    nothing["subscriber"]["subscriptions"] = json!({});
    say(&mut tenant, "user", begun, &nothing);
    assert_eq!(stands(&mut tenant, "user"), (None, false, State::None));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    hear(
        &mut tenant,
        source,
        &bought("2", "RENEWAL", "user", START.plus(10), 60),
    );
    assert!(!get(&mut tenant, "user").active, "an event of before");
}

#[test]
fn what_the_api_alone_told_of_gets_its_id_from_the_first_event() {
    let (mut tenant, source) = vendor();
    let test = json!({"event": {"id": "0", "type": "PRODUCT_CHANGE", "app_user_id": "user",
        "original_app_user_id": "user", "event_timestamp_ms": START.0}});
    hear(&mut tenant, source, &test);
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    say(&mut tenant, "user", begun, &subscriber("user", 30));
    assert_eq!(get(&mut tenant, "user").items[0].id, "pro_monthly");
    let ended = bought("1", "EXPIRATION", "user", begun.plus(5000), 1);
    hear(&mut tenant, source, &ended);
    let judged = get(&mut tenant, "user");
    assert_eq!(
        (judged.active, judged.items.len(), judged.items[0].id.as_str()),
        (false, 1, "t"),
        "no second purchase stays beside it"
    );
}

#[test]
fn who_is_known_by_another_name_first_is_that_one() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "seller", START, 30),
    );
    hear(
        &mut tenant,
        source,
        &transfer("2", &["seller"], &["buyer"], START.plus(10)),
    );
    assert!(get(&mut tenant, "buyer").active);
    tenant.pass(4000);
    let mut asked: Vec<FetchAsk> = questions(&mut tenant).into_iter().map(|one| one.ask).collect();
    asked.sort_by_key(|ask| format!("{ask:?}"));
    assert_eq!(
        asked,
        ["buyer", "seller"].map(|name| FetchAsk::Customer(name.to_owned()))
    );
    let begun = tenant.now;
    let mut nothing = subscriber("seller", 30);
    nothing["subscriber"]["subscriptions"] = json!({});
    say(&mut tenant, "seller", begun, &nothing);
    say(&mut tenant, "buyer", begun, &subscriber("$RCAnonymousID:1", 30));
    let (seller, buyer) = (get(&mut tenant, "seller"), get(&mut tenant, "buyer"));
    assert_eq!((seller.active, buyer.active), (false, true));
    assert_eq!(buyer.items.len(), 1);
    assert_eq!(buyer.items[0].customer, "$RCAnonymousID:1");
}

#[test]
fn an_answer_that_is_none_is_a_failure_that_is_shown() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 30),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    let mut unread = subscriber("user", 30);
    unread["subscriber"]["subscriptions"]["pro_monthly"]["expires_date"] = json!("soon");
    say(&mut tenant, "user", begun, &unread);
    let shown = tenant.call(EntitlementConfigGet {}).unwrap();
    assert!(shown.refetch.error.unwrap().contains("expires_date"));
    assert!(get(&mut tenant, "user").active, "what the event said stands");
}

#[test]
fn a_renewal_that_was_not_heard_of_is_asked_for_before_access_ends() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 10),
    );
    tenant.pass(4000);
    questions(&mut tenant);
    let begun = tenant.now;
    say(&mut tenant, "user", begun, &subscriber("user", 10));
    tenant.pass(START.plus(10 * DAY + 1_800_000).since(begun));
    assert!(!questions(&mut tenant).is_empty());
    let begun = tenant.now;
    say(&mut tenant, "user", begun, &subscriber("user", 20));
    tenant.pass(2 * DAY);
    assert_eq!(changes(&mut tenant), ["granted", "changed"]);
}

#[test]
fn a_key_that_is_taken_away_ends_the_asking_of_its_provider_alone() {
    let (mut tenant, source) = vendor();
    let key = Some(Some(KEY.to_owned()));
    let both = EntitlementConfigPut {
        config: config(),
        stripe_api_key: key,
        ..EntitlementConfigPut::default()
    };
    tenant.call(both).unwrap();
    let stripe = tenant.source();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "user", START, 30),
    );
    let stands = event("evt_1", "created", START, &subscription("cus_1", "active"));
    hear(&mut tenant, stripe, &stands);
    let without = EntitlementConfigPut {
        config: config(),
        revenuecat_api_key: Some(None),
        ..EntitlementConfigPut::default()
    };
    tenant.call(without).unwrap();
    tenant.pass(4000);
    let asked = questions(&mut tenant);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].provider, Provider::Stripe);
    assert_eq!(tenant.count("entitlement_stale"), 1);
}

fn backfill(tenant: &mut Tenant, dry_run: bool, expected: &[(&str, Option<&str>)]) {
    let expected = expected
        .iter()
        .map(|(customer, plan)| ((*customer).to_owned(), plan.map(str::to_owned)));
    let call = EntitlementBackfill {
        id: TASK,
        provider: Provider::RevenueCat,
        dry_run,
        expected: expected.collect(),
    };
    assert_eq!(tenant.call(call).unwrap().state, TaskState::Running);
}

/// The page that is asked for now lists these: by which name, who they are, and for how many days they paid.
fn listed(tenant: &mut Tenant, customers: &[(&str, &str, Option<u64>)], more: bool) {
    tenant.pass(2100);
    let asked = questions(tenant);
    assert_eq!(asked.len(), 1);
    let list = asked[0].list.as_ref().unwrap();
    assert_eq!(
        (list.project.as_str(), asked[0].provider),
        ("proj1ab2c3d4", Provider::RevenueCat)
    );
    let items: Vec<Value> = customers
        .iter()
        .map(|(id, ..)| json!({"object": "customer", "id": id}))
        .collect();
    let next = more.then_some("/v2/projects/proj1ab2c3d4/customers?starting_after=x");
    let mut bodies = vec![json!({"object": "list", "items": items, "next_page": next}).to_string()];
    for (id, original, days) in customers {
        let mut one = subscriber(original, days.unwrap_or_default());
        if days.is_none() {
            one["subscriber"]["subscriptions"] = json!({});
        }
        bodies.push(one.to_string());
        let names = json!({"items": [{"id": id}, {"id": original}, {"id": format!("name_of_{original}")}]});
        bodies.push(days.map_or_else(String::new, |_| names.to_string()));
    }
    let bodies: Vec<Vec<u8>> = bodies.into_iter().map(String::into_bytes).collect();
    let call = EntitlementFetched {
        provider: Provider::RevenueCat,
        ask: asked[0].ask.clone(),
        begun: tenant.now,
        failed: None,
    };
    tenant.call_as(Caller::System, call, &bodies).unwrap();
}

#[test]
fn a_backfill_takes_customers_by_all_their_names_and_nothing_of_those_who_never_paid() {
    let (mut tenant, _) = vendor();
    backfill(&mut tenant, false, &[]);
    listed(
        &mut tenant,
        &[("anna", "anna", Some(30)), ("berta", "berta", None)],
        true,
    );
    assert_eq!(task(&mut tenant), (TaskState::Running, 2, None));
    tenant.evict();
    listed(&mut tenant, &[("clara", "$RCAnonymousID:3", Some(30))], false);
    assert_eq!(task(&mut tenant), (TaskState::Finished, 3, None));
    for name in ["anna", "name_of_anna", "clara", "name_of_$RCAnonymousID:3"] {
        assert_eq!(get(&mut tenant, name).plan.as_deref(), Some("solo"), "{name}");
    }
    assert!(!get(&mut tenant, "berta").active);
    assert_eq!(changes(&mut tenant), ["granted", "granted"]);
    let berta = "SELECT count(*) FROM entitlement WHERE customer = 'berta'";
    let rows = tenant.storage.row(berta, &[]).unwrap().unwrap();
    assert_eq!(rows.number(0).unwrap(), 0);
}

#[test]
fn a_dry_run_takes_nothing_and_counts_what_it_found_in_place_of_what_was_known() {
    let (mut tenant, source) = vendor();
    hear(
        &mut tenant,
        source,
        &bought("1", "INITIAL_PURCHASE", "gone", START, 30),
    );
    let expected = [
        ("name_of_anna", Some("solo")),
        ("gone", Some("solo")),
        ("nobody", Some("team")),
    ];
    tenant.storage.run("DELETE FROM entitlement_stale", &[]).unwrap();
    backfill(&mut tenant, true, &expected);
    listed(
        &mut tenant,
        &[
            ("anna", "anna", Some(30)),
            ("gone", "gone", Some(0)),
            ("new", "new", Some(30)),
        ],
        false,
    );
    let found = differing(&mut tenant, 250);
    let row = |customer: &str, expected: Option<&str>, found: Option<&str>| {
        (
            customer.to_owned(),
            expected.map(str::to_owned),
            found.map(str::to_owned),
        )
    };
    assert_eq!(
        found,
        [row("new", None, Some("solo")), row("nobody", Some("team"), None),]
            .into_iter()
            .collect::<Vec<_>>(),
        "whose period has just begun to be renewed has the leeway"
    );
    assert!(get(&mut tenant, "gone").active && !get(&mut tenant, "anna").active);
}

#[test]
fn a_backfill_needs_both_keys_and_the_project() {
    let (mut tenant, _) = vendor();
    let without = EntitlementConfigPut {
        config: config(),
        revenuecat_v2_api_key: Some(None),
        ..EntitlementConfigPut::default()
    };
    tenant.call(without).unwrap();
    let call = EntitlementBackfill {
        id: TASK,
        provider: Provider::RevenueCat,
        dry_run: true,
        expected: Vec::new(),
    };
    let refused = tenant.call(call).unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("revenuecatV2ApiKey"));
}
