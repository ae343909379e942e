//! What the organisation hears of a tenant: written with the change, told once, and not paid for where nobody listens.

use postern_domain::id::{MessageId, TaskId};
use postern_domain::operational::tenant_of;
use postern_domain::problem::Code;
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::call::{
    Caller, Configure, EndpointChange, MessageList, PageOf, SetUp, TenantSettings,
};
use postern_domain::wire::operational::{Happened, Tell};
use postern_domain::wire::replay::{TaskCancel, TaskKind, TaskPlan, TaskStart};
use postern_ledger::{OutboxOut, Settings};
use postern_tests::storage::Storage;
use postern_tests::tenant::{Answer, Out, Tenant, code};
use serde_json::{Value, json};

/// The organisation's operational tenant, set up.
fn operational() -> Tenant {
    let mut tenant = Tenant::never_set_up(Settings::default());
    tenant.id = tenant_of(tenant.organisation);
    let set_up = SetUp {
        organisation: tenant.organisation,
        settings: TenantSettings::default(),
    };
    tenant.call(set_up).unwrap();
    tenant
}

/// One that listens to everything.
fn listener() -> Tenant {
    let mut tenant = operational();
    tenant.endpoint();
    tenant
}

fn take(tenant: &mut Tenant) -> Option<OutboxOut> {
    tenant.ledger.take_outbox(tenant.now).unwrap()
}

/// What the other object says to it.
fn hear(listener: &mut Tenant, tenant: &Tenant, out: &OutboxOut) -> Vec<u8> {
    assert_eq!(out.to, listener.id);
    listener.now = tenant.now;
    let replied = listener
        .ledger
        .call(&out.frame, listener.now, &mut listener.random);
    assert_eq!(replied.cause, None);
    replied.frame
}

/// The shell's work: brings all that waits.
fn drain(tenant: &mut Tenant, listener: &mut Tenant) {
    while let Some(out) = take(tenant) {
        let answer = hear(listener, tenant, &out);
        let answered = tenant.ledger.outbox_answered(&out, Some(&answer), tenant.now);
        answered.unwrap();
    }
}

/// What the operational tenant stores, oldest first.
fn heard(listener: &mut Tenant) -> Vec<Value> {
    let page = PageOf {
        limit: 250,
        iterator: None,
        ascending: false,
    };
    let call = MessageList {
        page,
        filter: postern_domain::wire::call::MessageFilter::default(),
        with_content: true,
    };
    let caller = Caller::Organisation(listener.organisation);
    let (page, bodies) = listener.call_as(caller, call, &[]).unwrap();
    assert!(page.done);
    let mut events: Vec<Value> = bodies
        .iter()
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect();
    events.reverse();
    events
}

fn types(listener: &mut Tenant) -> Vec<String> {
    let name = |event: &Value| event["type"].as_str().unwrap().to_owned();
    heard(listener).iter().map(name).collect()
}

/// What waits in the outbox.
fn waiting(tenant: &Tenant) -> Vec<String> {
    let connection = tenant.storage.native().connection();
    let mut statement = connection
        .prepare("SELECT type FROM outbox ORDER BY number")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The next hand-out, within a day.
fn next(tenant: &mut Tenant) -> Out {
    let outs = tenant.pass_until_out(Millis::DAY);
    assert_eq!(outs.len(), 1);
    outs[0].clone()
}

/// Publishes, and lets the first `failures` tries fail and the rest be whatever the caller makes of the last hand-out.
fn failed(tenant: &mut Tenant, failures: usize) -> (MessageId, Out) {
    let message = tenant.publish();
    let mut out = tenant.out();
    for _ in 0..failures {
        tenant.report(&out, Answer::Broken);
        out = next(tenant);
    }
    (message, out)
}

#[test]
fn every_change_of_an_endpoint_is_told_in_order_with_its_ids() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let settings = TenantSettings {
        uid: Some("acme".parse().unwrap()),
        alert_email: Some("ops@acme.example".to_owned()),
        ..TenantSettings::default()
    };
    tenant.call(Configure { settings }).unwrap();
    let endpoint = tenant.endpoint_with(json!({"uid": "hook"}));
    let id = tenant.endpoint_id(endpoint);
    tenant.patch(
        endpoint,
        EndpointChange {
            description: Some("new".to_owned()),
            ..EndpointChange::default()
        },
    );
    tenant.disable(endpoint, true);
    tenant.disable(endpoint, false);
    tenant.delete(endpoint);
    drain(&mut tenant, &mut listener);
    assert_eq!(
        types(&mut listener),
        [
            "endpoint.created",
            "endpoint.updated",
            "endpoint.disabled",
            "endpoint.enabled",
            "endpoint.deleted"
        ]
    );
    for event in heard(&mut listener) {
        let data = &event["data"];
        assert_eq!(data["appId"], tenant.id.to_string());
        assert_eq!(data["appUid"], "acme");
        assert_eq!(data["endpointId"], id);
        assert_eq!(data["endpointUid"], "hook");
        assert_eq!(event["timestamp"], tenant.now.to_rfc3339());
    }
    let disabled = &heard(&mut listener)[2]["data"];
    assert_eq!(disabled["trigger"], "manual");
    assert_eq!(disabled["alertEmail"], "ops@acme.example");
    assert!(waiting(&tenant).is_empty());
}

#[test]
fn a_change_that_also_turns_it_off_is_told_as_both() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let endpoint = tenant.endpoint();
    tenant.patch(
        endpoint,
        EndpointChange {
            description: Some("new".to_owned()),
            disabled: Some(true),
            ..EndpointChange::default()
        },
    );
    drain(&mut tenant, &mut listener);
    assert_eq!(
        types(&mut listener)[1..],
        ["endpoint.updated", "endpoint.disabled"]
    );
}

#[test]
fn what_is_told_stands_or_falls_with_the_change() {
    for step in 0..20 {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint();
        let id = tenant.endpoint_id(endpoint);
        let before = waiting(&tenant).len();
        tenant.storage.fail_in(Some(step));
        let done = tenant.call(postern_domain::wire::call::EndpointDelete { endpoint: id });
        let failed = !tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        assert_eq!(done.is_err(), failed);
        let gone = tenant.count("endpoint WHERE deleted_at IS NOT NULL");
        let told = waiting(&tenant).len() - before;
        assert_eq!(i64::try_from(told).unwrap(), gone, "after {step} statements");
        if !failed {
            return;
        }
    }
    panic!("the call never went through");
}

#[test]
fn a_delivery_is_told_to_fail_at_its_fourth_failure_and_to_have_recovered_after_that() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [1, 1, 1, 1, 1, 1]}));
    let (message, out) = failed(&mut tenant, 5);
    tenant.report(&out, Answer::Ok);
    tenant.report(&out, Answer::Ok);
    drain(&mut tenant, &mut listener);
    assert_eq!(
        types(&mut listener),
        [
            "endpoint.created",
            "message.attempt.failing",
            "message.attempt.recovered"
        ]
    );
    let events = heard(&mut listener);
    let attempts = tenant.attempts(message);
    let (failing, recovered) = (&events[1]["data"], &events[2]["data"]);
    assert_eq!(failing["msgId"], message.to_string());
    assert_eq!(failing["endpointId"], tenant.endpoint_id(endpoint));
    assert_eq!(failing["lastAttempt"]["responseStatusCode"], 500);
    assert_eq!(failing["lastAttempt"]["id"], attempts[2].id.to_string());
    assert_eq!(recovered["lastAttempt"]["id"], attempts[0].id.to_string());
    assert_eq!(recovered["lastAttempt"]["responseStatusCode"], 200);
}

#[test]
fn a_delivery_that_recovers_before_it_was_told_to_fail_is_not_told_of() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    tenant.endpoint_with(json!({"retrySchedule": [1, 1, 1, 1, 1, 1]}));
    let (_, out) = failed(&mut tenant, 3);
    tenant.report(&out, Answer::Ok);
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.created"]);
}

#[test]
fn a_delivery_that_failed_for_good_is_told_once_with_the_publishers_id_and_the_alert_address() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let settings = TenantSettings {
        alert_email: Some("ops@acme.example".to_owned()),
        ..TenantSettings::default()
    };
    tenant.call(Configure { settings }).unwrap();
    tenant.endpoint_with(json!({"retrySchedule": []}));
    let call = tenant.publish_call("invoice.paid");
    let call = postern_domain::wire::call::Accept {
        event_id: Some("evt_7".to_owned()),
        ..call
    };
    tenant.accept(call, b"{}").unwrap();
    let out = tenant.out();
    tenant.report(&out, Answer::Silence);
    tenant.report(&out, Answer::Silence);
    drain(&mut tenant, &mut listener);
    assert_eq!(
        types(&mut listener),
        ["endpoint.created", "message.attempt.exhausted"]
    );
    let data = &heard(&mut listener)[1]["data"];
    assert_eq!(data["msgEventId"], "evt_7");
    assert_eq!(data["alertEmail"], "ops@acme.example");
    assert_eq!(data["lastAttempt"]["responseStatusCode"], 0, "no answer came");
    tenant.report(&out, Answer::Ok);
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener)[2], "message.attempt.recovered");
}

#[test]
fn a_success_with_nothing_to_tell_writes_nothing_for_it() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let mut listener = listener();
    drain(&mut tenant, &mut listener);
    tenant.publish();
    let out = tenant.out();
    let before = tenant.storage.writes();
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.storage.writes() - before, 1, "the delivery's row");
    assert!(!tenant.ledger.has_outbox(tenant.now));
}

#[test]
fn what_was_told_and_not_acknowledged_is_told_again_and_stored_once() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    tenant.endpoint();
    let out = take(&mut tenant).unwrap();
    hear(&mut listener, &tenant, &out); // and its answer is lost
    assert_eq!(take(&mut tenant), None, "one telling at a time");
    tenant.pass(40_000);
    assert!(tenant.ledger.has_outbox(tenant.now));
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.created"]);
    assert!(waiting(&tenant).is_empty());
}

#[test]
fn what_an_eviction_left_is_told_by_the_alarm() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    tenant.endpoint();
    let _lost = take(&mut tenant).unwrap();
    tenant.evict();
    let alarms = tenant.alarms;
    tenant.pass(31_000);
    assert!(tenant.alarms > alarms, "the alarm stands behind every row");
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.created"]);
}

#[test]
fn numbers_are_never_reused_so_that_a_later_event_is_no_repeat() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let endpoint = tenant.endpoint();
    drain(&mut tenant, &mut listener);
    tenant.evict();
    tenant.delete(endpoint);
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.created", "endpoint.deleted"]);
}

#[test]
fn more_than_a_batch_is_told_in_order_by_several() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    for _ in 0..40 {
        tenant.endpoint();
    }
    let mut batches = 0;
    while let Some(out) = take(&mut tenant) {
        let answer = hear(&mut listener, &tenant, &out);
        let answered = tenant.ledger.outbox_answered(&out, Some(&answer), tenant.now);
        answered.unwrap();
        batches += 1;
    }
    assert_eq!(batches, 2);
    let numbers: Vec<Value> = heard(&mut listener)
        .into_iter()
        .map(|event| event["data"]["endpointId"].clone())
        .collect();
    assert_eq!(numbers.len(), 40);
    let ids: Vec<String> = (1..=40).map(|number| tenant.endpoint_id(number)).collect();
    assert_eq!(numbers, ids);
}

#[test]
fn a_failure_is_tried_again_later_and_later_and_given_up_after_a_week() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let out = take(&mut tenant).unwrap();
        let failed = tenant.now;
        tenant.ledger.outbox_answered(&out, None, failed).unwrap();
        assert!(!tenant.ledger.has_outbox(tenant.now));
        while !tenant.ledger.has_outbox(tenant.now) {
            let at = tenant
                .storage
                .native()
                .alarm()
                .expect("the alarm stands behind it");
            tenant.pass(at.since(tenant.now).max(1));
        }
        waits.push(tenant.now.since(failed));
    }
    assert!(waits.is_sorted() && waits[4] >= 8 * waits[0], "{waits:?}");
    assert_eq!(waiting(&tenant).len(), 1);
    tenant.now = tenant.now.plus(7 * Millis::DAY);
    assert_eq!(take(&mut tenant), None);
    assert!(waiting(&tenant).is_empty());
    let told: Vec<_> = tenant
        .ledger
        .take_notices()
        .into_iter()
        .map(|n| n.event)
        .collect();
    assert!(told.contains(&"outbox_expired"), "{told:?}");
}

#[test]
fn where_nobody_listens_nothing_is_kept_and_for_a_minute_nothing_is_even_written() {
    let mut tenant = Tenant::new();
    let mut listener = operational();
    let off = listener.endpoint_with(json!({"disabled": true}));
    let endpoint = tenant.endpoint();
    drain(&mut tenant, &mut listener);
    assert!(waiting(&tenant).is_empty());
    assert!(types(&mut listener).is_empty());
    tenant.disable(endpoint, true);
    assert!(waiting(&tenant).is_empty(), "nobody wants it");
    listener.disable(off, false);
    tenant.pass(60_000);
    tenant.disable(endpoint, false);
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.enabled"]);
}

#[test]
fn an_organisation_that_never_listened_has_no_operational_object_to_write_to() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let mut nobody = Tenant::over(Storage::empty(), Settings::default());
    nobody.id = tenant_of(nobody.organisation);
    let out = take(&mut tenant).unwrap();
    let answer = hear(&mut nobody, &tenant, &out);
    let answered = tenant.ledger.outbox_answered(&out, Some(&answer), tenant.now);
    answered.unwrap();
    assert!(waiting(&tenant).is_empty());
    assert_eq!(nobody.storage.writes(), 0);
}

#[test]
fn what_no_endpoint_wants_is_not_stored() {
    let (mut tenant, mut listener) = (Tenant::new(), operational());
    listener.endpoint_with(json!({"eventTypes": ["endpoint.deleted"]}));
    let endpoint = tenant.endpoint();
    tenant.delete(endpoint);
    drain(&mut tenant, &mut listener);
    assert_eq!(types(&mut listener), ["endpoint.deleted"]);
}

#[test]
fn the_operational_tenant_itself_tells_nothing() {
    let mut listener = listener();
    let endpoint = listener.endpoint_with(json!({"retrySchedule": []}));
    let mut tenant = Tenant::new();
    tenant.endpoint();
    drain(&mut tenant, &mut listener);
    for out in listener.outs() {
        listener.report(&out, Answer::Broken);
    }
    listener.delete(endpoint);
    assert!(waiting(&listener).is_empty());
    assert_eq!(take(&mut listener), None);
}

#[test]
fn an_ordinary_tenant_hears_nothing_and_another_organisation_is_not_heard() {
    let events = || {
        let event = Happened {
            event_id: "op_1".to_owned(),
            event_type: "endpoint.created".to_owned(),
        };
        Tell { events: vec![event] }
    };
    let body = [b"{}".to_vec()];
    let mut tenant = Tenant::new();
    let own = Caller::Organisation(tenant.organisation);
    assert_eq!(code(tenant.call_as(own, events(), &body)), Code::NotFound);
    let mut listener = listener();
    let other = Caller::Organisation(postern_domain::id::OrganisationId([9; 20]));
    assert_eq!(code(listener.call_as(other, events(), &body)), Code::NotFound);
    assert_eq!(
        code(listener.call_as(Caller::Ingest, events(), &body)),
        Code::NotFound
    );
    assert!(heard(&mut listener).is_empty());
}

#[test]
fn a_filling_ledger_is_told_once_at_each_level_and_again_after_it_emptied() {
    const CAPACITY: u64 = 10_000_000;
    let settings = Settings {
        capacity_bytes: CAPACITY,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let publish = |tenant: &mut Tenant, percent: u64| {
        let native = tenant.storage.native();
        native.pretended_size.set(Some(CAPACITY / 100 * percent));
        let call = tenant.publish_call("invoice.paid");
        let _refused_when_full = tenant.accept(call, b"1");
    };
    for percent in [60, 71, 72] {
        publish(&mut tenant, percent);
    }
    tenant.evict();
    for percent in [73, 86, 96, 97, 50, 75] {
        publish(&mut tenant, percent);
    }
    assert_eq!(waiting(&tenant), ["ledger.filling"; 4]);
    let mut listener = listener();
    drain(&mut tenant, &mut listener);
    let levels: Vec<Value> = heard(&mut listener)
        .iter()
        .map(|event| event["data"]["level"].clone())
        .collect();
    assert_eq!(levels, ["filling", "shortening", "refusing", "filling"]);
    assert_eq!(heard(&mut listener)[0]["data"]["usedBytes"], CAPACITY / 100 * 71);
}

fn recover(tenant: &mut Tenant, number: u8, endpoints: &[u32]) -> TaskId {
    let id = TaskId([number; 20]);
    let plan = TaskPlan {
        kind: TaskKind::Recover,
        endpoints: endpoints
            .iter()
            .map(|endpoint| tenant.endpoint_id(*endpoint))
            .collect(),
        since: None,
        until: None,
        states: vec![DeliveryStatus::Failed],
        missing: false,
        event_types: None,
        channel: None,
        status_code_class: None,
        messages: None,
        rate: 1000,
    };
    tenant.call(TaskStart { id, plan }).unwrap();
    id
}

#[test]
fn the_end_of_a_replay_is_told_with_its_task_and_its_endpoint_if_it_is_for_one() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let (first, second) = (tenant.endpoint(), tenant.endpoint());
    for endpoint in [first, second] {
        tenant.patch(
            endpoint,
            EndpointChange {
                retry_schedule: Some(Some(Schedule::new(Vec::new()).unwrap())),
                ..EndpointChange::default()
            },
        );
    }
    tenant.publish();
    for out in tenant.outs() {
        tenant.report(&out, Answer::Broken);
    }
    let one = recover(&mut tenant, 1, &[first]);
    tenant.pass(1000);
    let both = recover(&mut tenant, 2, &[first, second]);
    tenant.pass(1000);
    let stopped = recover(&mut tenant, 3, &[second]);
    tenant.call(TaskCancel { id: stopped }).unwrap();
    tenant.call(TaskCancel { id: stopped }).unwrap();
    tenant.call(TaskCancel { id: one }).unwrap();
    drain(&mut tenant, &mut listener);
    let told: Vec<Value> = heard(&mut listener)
        .into_iter()
        .filter(|event| event["type"] == "replay.finished")
        .map(|event| event["data"].clone())
        .collect();
    let (app, first_id, second_id) = (tenant.id, tenant.endpoint_id(first), tenant.endpoint_id(second));
    let of = |id: TaskId, endpoint: Option<String>, status: &str, sent: u64| {
        let mut data = json!({
            "appId": app, "appUid": null, "taskId": id.to_string(), "task": "endpoint.recover",
            "status": status, "sent": sent,
        });
        if let Some(endpoint) = endpoint {
            data["endpointId"] = json!(endpoint);
            data["endpointUid"] = Value::Null;
        }
        data
    };
    assert_eq!(
        told,
        [
            of(one, Some(first_id), "finished", 1),
            of(both, None, "finished", 2),
            of(stopped, Some(second_id), "cancelled", 0),
        ]
    );
}

#[test]
fn an_endpoint_half_way_to_being_disabled_is_told_once() {
    let (mut tenant, mut listener) = (Tenant::new(), listener());
    let settings = TenantSettings {
        alert_email: Some("ops@acme.example".to_owned()),
        ..TenantSettings::default()
    };
    tenant.call(Configure { settings }).unwrap();
    let endpoint =
        tenant.endpoint_with(json!({"retrySchedule": [], "disableAfter": {"failed": 4, "days": 0}}));
    let began = tenant.now;
    for _ in 0..4 {
        tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
    }
    drain(&mut tenant, &mut listener);
    let told: Vec<Value> = heard(&mut listener)
        .into_iter()
        .filter(|event| event["type"].as_str().unwrap().starts_with("endpoint."))
        .collect();
    let types: Vec<_> = told.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(
        types,
        ["endpoint.created", "endpoint.failing", "endpoint.disabled"]
    );
    let data = &told[1]["data"];
    assert_eq!(data["endpointId"], json!(tenant.endpoint_id(endpoint)));
    assert_eq!(data["alertEmail"], "ops@acme.example");
    assert_eq!(data["failSince"], told[2]["data"]["failSince"]);
    assert!(data["failSince"].as_str().unwrap() >= began.to_rfc3339().as_str());
}
