//! What time alone changes: told when it comes, with the provider asked first, and paid for by those whose access has an
//! end.

use super::*;

const HOUR: u64 = 3_600_000;

/// Ten days, which the messages of it outlive.
fn ten_days(customer: &str, status: &str) -> Value {
    let mut object = subscription(customer, status);
    object["current_period_end"] = json!(seconds(START.plus(10 * DAY)));
    object
}

fn ending(customer: &str) -> Value {
    let mut object = ten_days(customer, "active");
    object["cancel_at_period_end"] = json!(true);
    object
}

fn created(object: &Value) -> Value {
    let id = format!("evt_{}", object["id"].as_str().unwrap());
    event(&id, "created", START, object)
}

/// Time passes up to this.
fn pass_to(tenant: &mut Tenant, at: Millis) {
    let ms = at.since(tenant.now);
    tenant.pass(ms);
}

#[test]
fn access_that_ends_with_its_time_is_told_at_that_time() {
    let (mut tenant, source) = tenant();
    let endpoint = tenant.endpoint();
    hear(&mut tenant, source, &created(&ending("cus_1")));
    for out in tenant.outs() {
        tenant.report(&out, postern_tests::tenant::Answer::Ok);
    }
    pass_to(&mut tenant, START.plus(10 * DAY - 1));
    assert_eq!(changes(&mut tenant), ["granted"]);
    tenant.evict();
    pass_to(&mut tenant, START.plus(10 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    let data = told(&mut tenant).remove(1)["data"].take();
    assert_eq!(
        (&data["active"], &data["state"], &data["eventId"]),
        (&json!(false), &json!("expired"), &json!(null))
    );
    let until = START.plus(10 * DAY).to_rfc3339();
    assert_eq!(
        data["previous"],
        json!({"plan": "solo", "active": true, "until": until, "state": "active"})
    );
    let outs = tenant.outs();
    assert_eq!(outs.len(), 1, "it is owed as any other message");
    assert_eq!(outs[0].endpoint, endpoint);
    assert_eq!(tenant.count("entitlement_end"), 0);
    tenant.report(&outs[0], postern_tests::tenant::Answer::Ok);
    tenant.pass(3 * DAY);
    assert_eq!(changes(&mut tenant).len(), 2, "once");
}

#[test]
fn a_period_that_will_renew_ends_access_with_its_leeway_and_says_nothing_before() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&ten_days("cus_1", "active")));
    pass_to(&mut tenant, START.plus(10 * DAY + HOUR - 1));
    assert_eq!(
        changes(&mut tenant),
        ["granted"],
        "the end that was told is not over"
    );
    pass_to(&mut tenant, START.plus(10 * DAY + HOUR));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
}

#[test]
fn a_grace_that_ends_is_told() {
    let (mut tenant, source) = tenant();
    let rules = Config {
        grace_days: 3,
        ..config()
    };
    put(&mut tenant, rules, None);
    hear(&mut tenant, source, &created(&ten_days("cus_1", "active")));
    tenant.pass(DAY);
    let now = tenant.now;
    let mut unpaid = ten_days("cus_1", "past_due");
    unpaid["current_period_start"] = json!(seconds(now));
    hear(&mut tenant, source, &event("evt_2", "updated", now, &unpaid));
    assert_eq!(changes(&mut tenant), ["granted", "grace"]);
    pass_to(&mut tenant, START.plus(4 * DAY - 1));
    assert_eq!(changes(&mut tenant).len(), 2);
    pass_to(&mut tenant, START.plus(4 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "grace", "revoked"]);
    assert_eq!(told(&mut tenant)[2]["data"]["state"], "past_due");
}

#[test]
fn who_has_a_lesser_plan_beside_the_one_that_ends_keeps_that() {
    let (mut tenant, source) = tenant();
    let mut team = ending("cus_1");
    team["id"] = json!("sub_team");
    team["items"]["data"][0]["price"]["id"] = json!("price_team");
    hear(&mut tenant, source, &created(&team));
    hear(&mut tenant, source, &created(&subscription("cus_1", "active")));
    pass_to(&mut tenant, START.plus(10 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "changed"]);
    let data = told(&mut tenant).remove(1)["data"].take();
    assert_eq!(
        (&data["plan"], &data["previous"]["plan"]),
        (&json!("solo"), &json!("team"))
    );
    assert_eq!(tenant.count("entitlement_end"), 1, "and that ends one day, too");
}

#[test]
fn a_renewal_that_is_heard_in_time_moves_the_end_and_one_heard_before_the_alarm_rings_is_a_change() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&ending("cus_1")));
    tenant.pass(DAY);
    let renewed = |days: u64| {
        let mut object = ending("cus_1");
        object["current_period_end"] = json!(seconds(START.plus(days * DAY)));
        object
    };
    let now = tenant.now;
    hear(&mut tenant, source, &event("evt_2", "updated", now, &renewed(12)));
    pass_to(&mut tenant, START.plus(11 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "changed"]);
    // The end has come, and nobody has been told when the event comes.
    tenant.now = START.plus(12 * DAY + 5);
    let now = tenant.now;
    hear(&mut tenant, source, &event("evt_3", "updated", now, &renewed(14)));
    assert_eq!(changes(&mut tenant), ["granted", "changed", "changed"]);
    tenant.pass(DAY);
    assert_eq!(changes(&mut tenant).len(), 3);
}

#[test]
fn only_access_that_has_an_end_costs_a_row() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&subscription("cus_1", "unpaid")));
    let mut other = ten_days("cus_2", "active");
    other["items"]["data"][0]["price"]["id"] = json!("price_of_no_plan");
    hear(&mut tenant, source, &created(&other));
    assert_eq!(tenant.count("entitlement_end"), 0);
    hear(&mut tenant, source, &created(&ten_days("cus_3", "active")));
    assert_eq!(tenant.count("entitlement_end"), 1);
    let over = event(
        "evt_4",
        "deleted",
        START.plus(1000),
        &ten_days("cus_3", "canceled"),
    );
    hear(&mut tenant, source, &over);
    assert_eq!(tenant.count("entitlement_end"), 0);
}

#[test]
fn many_ends_at_one_time_are_told_slice_by_slice_each_once() {
    let (mut tenant, source) = tenant();
    for at in 0..230 {
        hear(&mut tenant, source, &created(&ending(&format!("cus_{at}"))));
    }
    pass_to(&mut tenant, START.plus(10 * DAY));
    assert_eq!(tenant.count("entitlement_end"), 130, "a hundred in one turn");
    tenant.pass(1000);
    assert_eq!(tenant.count("entitlement_end"), 0);
    let row = tenant
        .storage
        .row("SELECT max(number) FROM segment", &[])
        .unwrap();
    let segments = row.unwrap().number(0).unwrap();
    let messages = (1..=segments).map(|segment| tenant.count(&format!("message_{segment}")));
    assert_eq!(messages.sum::<i64>(), 3 * 230);
    assert!(!get(&mut tenant, "cus_229").active);
}

#[test]
fn an_end_that_other_rules_moved_is_looked_at_anew() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&ten_days("cus_1", "active")));
    let rules = Config {
        renewal_leeway_minutes: 120,
        ..config()
    };
    put(&mut tenant, rules, None);
    pass_to(&mut tenant, START.plus(10 * DAY + HOUR));
    assert_eq!(
        changes(&mut tenant),
        ["granted", "grace"],
        "its end is a later one"
    );
    pass_to(&mut tenant, START.plus(10 * DAY + 2 * HOUR));
    assert_eq!(changes(&mut tenant), ["granted", "grace", "revoked"]);
}

#[test]
fn who_turned_it_off_is_told_nothing_and_hears_of_it_when_it_is_on_again() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&ending("cus_1")));
    let off = Config {
        enabled: false,
        ..config()
    };
    put(&mut tenant, off, None);
    pass_to(&mut tenant, START.plus(11 * DAY));
    assert_eq!(changes(&mut tenant), ["granted"]);
    put(&mut tenant, config(), None);
    tenant.pass(10);
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
}

/// Stripe's answer to what is asked; what nobody answered was asked again meanwhile.
fn answered(tenant: &mut Tenant, object: &Value) {
    assert!(!questions(tenant).is_empty());
    let begun = tenant.now;
    tenant.pass(5);
    answer(tenant, begun, None, object);
}

#[test]
fn a_renewal_that_was_not_heard_of_is_asked_for_before_access_ends() {
    let (mut tenant, source) = asking();
    hear(&mut tenant, source, &created(&ten_days("cus_1", "active")));
    tenant.pass(4000);
    answered(&mut tenant, &ten_days("cus_1", "active"));
    pass_to(&mut tenant, START.plus(10 * DAY));
    assert!(questions(&mut tenant).is_empty(), "its period is not over");
    pass_to(&mut tenant, START.plus(10 * DAY + HOUR / 2));
    let mut renewed = ten_days("cus_1", "active");
    renewed["current_period_end"] = json!(seconds(START.plus(20 * DAY)));
    answered(&mut tenant, &renewed);
    pass_to(&mut tenant, START.plus(19 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "changed"]);
    assert!(questions(&mut tenant).is_empty());
}

#[test]
fn what_ends_by_itself_is_asked_for_in_the_hour_before() {
    let (mut tenant, source) = asking();
    hear(&mut tenant, source, &created(&ending("cus_1")));
    tenant.pass(4000);
    answered(&mut tenant, &ending("cus_1"));
    pass_to(&mut tenant, START.plus(10 * DAY - HOUR - 1));
    assert!(questions(&mut tenant).is_empty());
    pass_to(&mut tenant, START.plus(10 * DAY - HOUR / 2));
    answered(&mut tenant, &ending("cus_1"));
    pass_to(&mut tenant, START.plus(15 * DAY));
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    assert!(
        questions(&mut tenant).is_empty(),
        "it is over, and nothing is in doubt"
    );
}

#[test]
fn an_end_that_nobody_explained_is_asked_for_in_two_nights_and_no_more() {
    let (mut tenant, source) = asking();
    let rules = Config {
        renewal_leeway_minutes: 0,
        ..config()
    };
    put(&mut tenant, rules, None);
    let standing = ten_days("cus_1", "active");
    hear(&mut tenant, source, &created(&standing));
    let mut asked = Vec::new();
    while tenant.now < START.plus(15 * DAY) {
        tenant.pass(61_000);
        for _ in questions(&mut tenant) {
            asked.push(tenant.now);
            let begun = tenant.now;
            answer(&mut tenant, begun, None, &standing);
        }
    }
    let end = START.plus(10 * DAY);
    let [first, before, at_end, nights @ ..] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert!(first.since(START) < 120_000, "after the event");
    assert!(end.since(*before) <= HOUR, "before the end");
    assert!(at_end.since(end) <= 61_000, "at the end");
    assert_eq!(nights.len(), 2, "{asked:?}");
    for night in nights {
        assert!(
            night.0 % DAY <= 6 * HOUR + 61_000 && night.since(end) < 2 * DAY,
            "{night:?}"
        );
    }
    assert_eq!(changes(&mut tenant), ["granted", "revoked"]);
    assert_eq!(tenant.count("entitlement_end"), 0);
}

#[test]
fn those_who_end_at_one_time_are_asked_for_one_after_another() {
    let (mut tenant, source) = asking();
    for at in 0..200 {
        hear(&mut tenant, source, &created(&ending(&format!("cus_{at}"))));
    }
    tenant.storage.run("DELETE FROM entitlement_stale", &[]).unwrap();
    pass_to(&mut tenant, START.plus(10 * DAY - HOUR));
    let mut most = 0;
    let mut all = 0;
    for _ in 0..30 {
        tenant.pass(60_000);
        let asked = questions(&mut tenant).len();
        tenant.storage.run("DELETE FROM entitlement_stale", &[]).unwrap();
        most = most.max(asked);
        all += asked;
    }
    assert_eq!(all, 200);
    assert!(most <= 30, "{most} in one minute of thirty");
}

#[test]
fn without_a_key_nobody_is_asked_and_nothing_waits_for_the_night() {
    let (mut tenant, source) = tenant();
    hear(&mut tenant, source, &created(&ten_days("cus_1", "active")));
    pass_to(&mut tenant, START.plus(12 * DAY));
    assert!(questions(&mut tenant).is_empty());
    assert_eq!(
        tenant.count("entitlement_end") + tenant.count("entitlement_stale"),
        0
    );
}
