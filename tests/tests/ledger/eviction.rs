//! The object may be thrown out of memory, or forget after a failed write, between any two steps.

use postern_domain::time::Millis;
use postern_domain::wire::call::{EndpointList, PageOf};
use postern_ledger::sql::Sql;
use postern_tests::tenant::{Answer, Out, Stand, Tenant};
use serde_json::json;

/// How an object loses its memory.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Eviction,
    Forgetting,
}

fn lose(tenant: &mut Tenant, loss: Loss) {
    match loss {
        Loss::Eviction => tenant.evict(),
        Loss::Forgetting => tenant.ledger.forget(),
    }
}

/// A run over all kinds of endpoints that loses its memory at one step.
fn run(loss: Loss, at: usize) -> bool {
    let mut tenant = Tenant::new();
    let mut step = 0;
    let mut hit = false;
    let mut maybe = |tenant: &mut Tenant| {
        if step == at {
            lose(tenant, loss);
            hit = true;
        }
        step += 1;
    };
    let endpoints = [
        tenant.endpoint(),
        tenant.endpoint_with(json!({"throttleRate": 2})),
        tenant.endpoint_with(json!({"retrySchedule": [1, 2, 2, 2, 2, 2, 2]})),
    ];
    let mut messages = Vec::new();
    for round in 0..8 {
        maybe(&mut tenant);
        messages.push(tenant.publish());
        maybe(&mut tenant);
        for out in tenant.outs() {
            let answer = if (round + out.endpoint) % 3 == 0 {
                Answer::Broken
            } else {
                Answer::Ok
            };
            tenant.report(&out, answer);
            maybe(&mut tenant);
        }
        tenant.pass(700);
    }
    let mut quiet = 0;
    while quiet < 3 {
        tenant.pass(61_000);
        maybe(&mut tenant);
        let outs = tenant.outs();
        quiet = if outs.is_empty() { quiet + 1 } else { 0 };
        for out in outs {
            tenant.report(&out, Answer::Ok);
        }
    }
    for message in &messages {
        for endpoint in endpoints {
            assert_eq!(
                tenant.stand(*message, endpoint).0,
                Stand::Delivered,
                "{loss:?} at {at}: {endpoint}"
            );
        }
    }
    assert_eq!(tenant.count("due") + tenant.count("backlog"), 0);
    hit
}

#[test]
fn losing_the_memory_at_any_point_loses_nothing() {
    for loss in [Loss::Eviction, Loss::Forgetting] {
        let mut at = 0;
        while run(loss, at) {
            at += 1;
        }
        assert!(at > 30);
    }
}

#[test]
fn what_was_owed_by_then_does_not_wait_longer_because_the_alarm_was_forgotten() {
    let mut tenant = Tenant::new();
    tenant.endpoint_with(json!({"retrySchedule": [30], "eventTypes": ["order.made"]}));
    let call = tenant.publish_call("order.made");
    tenant.accept(call, b"1").unwrap();
    let out = tenant.out();
    tenant.report(&out, Answer::Broken);
    tenant.ledger.forget();
    tenant.publish(); // nobody wants it
    let begin = tenant.now;
    assert_eq!(tenant.pass_until_out(Millis::DAY).len(), 1);
    assert!(tenant.now.since(begin) < 36_000, "{}", tenant.now.since(begin));
}

#[test]
fn a_retry_that_waits_behind_a_closed_gate_is_found_again() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [1, 1, 1]}));
    let messages = [tenant.publish(), tenant.publish()];
    let outs = tenant.outs();
    tenant.report(&outs[0], Answer::RetryAfter(60_000));
    tenant.report(&outs[1], Answer::Broken);
    tenant.pass(30_000);
    assert!(
        tenant.outs().is_empty(),
        "its time came, and the endpoint has asked for more"
    );
    tenant.evict();
    for _ in 0..2 {
        for out in tenant.pass_until_out(60_000) {
            tenant.report(&out, Answer::Ok);
        }
    }
    for message in messages {
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 2));
    }
}

#[test]
fn what_left_at_its_accept_when_a_line_had_caught_up_is_still_out() {
    let mut tenant = Tenant::new();
    tenant.endpoint_with(json!({"throttleRate": 1}));
    tenant.publish();
    assert_eq!(tenant.pass_until_out(2000).len(), 1, "the bucket begins empty");
    tenant.pass(5000);
    let second = tenant.publish();
    assert_eq!(tenant.out().message(), second);
    tenant.evict();
    assert!(tenant.pass_until_out(30_000).is_empty(), "both leases run");
}

#[test]
fn what_of_a_lane_in_order_had_its_result_is_not_waited_for() {
    let mut tenant = Tenant::new();
    tenant.endpoint_with(json!({"ordering": {"key": null, "onFailure": "wait"}}));
    tenant.prove();
    for _ in 0..3 {
        tenant.publish();
    }
    let head = tenant.out();
    tenant.report(&head, Answer::Ok);
    let lane = tenant.outs();
    assert_eq!(lane.len(), 2);
    tenant.report_lane(&[(&lane[0], Answer::Ok)], false);
    tenant.evict();
    let behind = tenant.publish();
    assert!(
        tenant.pass_until_out(1000).is_empty(),
        "the second of the lane is out"
    );
    tenant.report_lane(&[(&lane[1], Answer::Ok)], true);
    let next = tenant.pass_until_out(1000);
    assert_eq!(next.iter().map(Out::message).collect::<Vec<_>>(), [behind]);
}

#[test]
fn an_alarm_that_was_lost_is_noticed_by_the_next_call_also_behind_one_that_failed() {
    for fails in [false, true] {
        let mut tenant = Tenant::new();
        tenant.endpoint_with(json!({"retrySchedule": [5]}));
        let message = tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
        tenant.storage.native().set_alarm(None).unwrap();
        tenant.evict();
        tenant.now = tenant.now.plus(60_000);
        if fails {
            let call = tenant.publish_call("invoice.paid");
            tenant.storage.fail_in_writes(Some(0));
            tenant.accept(call, b"{}").unwrap_err();
            tenant.storage.fail_in_writes(None);
            tenant.storage.native().set_alarm(None).unwrap(); // if that call has set one, it goes with it
        }
        let page = PageOf {
            limit: 1,
            iterator: None,
            ascending: true,
        };
        tenant.call(EndpointList { page }).unwrap();
        let retry = tenant.pass_until_out(1000);
        assert_eq!(
            retry.iter().map(Out::message).collect::<Vec<_>>(),
            [message],
            "{fails}"
        );
    }
}

#[test]
fn an_alarm_that_fails_in_the_storage_rings_again_wherever_it_fails() {
    let mut reached = false;
    for at in 0..120 {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
        let slow = tenant.endpoint_with(json!({"throttleRate": 1}));
        let failed = tenant.publish();
        let out = tenant
            .outs()
            .into_iter()
            .find(|out| out.endpoint == endpoint)
            .unwrap();
        tenant.report(&out, Answer::Broken);
        let lost = tenant.publish();
        tenant.lanes();
        tenant.now = tenant.now.plus(62_000);
        tenant.storage.fail_in(Some(at));
        tenant.ring();
        reached |= tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        for _ in 0..20 {
            for out in tenant.outs() {
                tenant.report(&out, Answer::Ok);
            }
            tenant.pass(61_000);
        }
        for message in [failed, lost] {
            for endpoint in [endpoint, slow] {
                assert_eq!(
                    tenant.stand(message, endpoint).0,
                    Stand::Delivered,
                    "at {at}: {endpoint}"
                );
            }
        }
    }
    assert!(reached, "the last tries reach the end");
}

#[test]
fn a_report_that_fails_in_the_storage_records_nothing_and_can_be_repeated() {
    let mut reached = false;
    for at in 0..60 {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
        let (a, b) = (tenant.publish(), tenant.publish());
        let outs = tenant.outs();
        let sends: Vec<_> = outs.iter().zip([Answer::Broken, Answer::Ok]).collect();
        tenant.storage.fail_in(Some(at));
        let first = tenant.try_report(&sends);
        reached |= tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        if first.is_err() {
            assert_eq!(tenant.count("delivery_1") + tenant.count("due"), 0, "at {at}");
            tenant.try_report(&sends).unwrap();
        }
        assert_eq!(tenant.stand(a, endpoint), (Stand::Open, 1));
        assert_eq!(tenant.stand(b, endpoint), (Stand::Delivered, 1));
        assert_eq!(tenant.pass_until_out(10_000).len(), 1);
    }
    assert!(reached, "the last tries reach the end");
}
