//! Tries by hand: they never use up, move or cancel the plan, whatever it is doing.

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, EndpointChange, TenantSettings};
use postern_domain::wire::replay::{AttemptAwait, CancelMessages, Missed, Resend, TestAttempt};
use postern_domain::wire::{AttemptStatus, Trigger};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, Out, Stand, Tenant, code, idempotency};
use serde_json::json;

fn resend(tenant: &mut Tenant, message: MessageId, endpoint: u32) -> Result<(), Problem> {
    let endpoint = tenant.endpoint_id(endpoint);
    tenant.call(Resend {
        message: message.to_string(),
        endpoint,
        idempotency: None,
    })
}

/// Presses, and takes what leaves within a second.
fn pressed(tenant: &mut Tenant, message: MessageId, endpoint: u32) -> Out {
    resend(tenant, message, endpoint).unwrap();
    let outs = tenant.pass_until_out(1000);
    let [out] = outs.as_slice() else {
        panic!("one delivery was expected: {outs:?}")
    };
    assert_eq!(
        (out.handout.trigger, out.message(), out.endpoint),
        (Trigger::Manual, message, endpoint)
    );
    out.clone()
}

fn next(tenant: &mut Tenant) -> Out {
    let outs = tenant.pass_until_out(Millis::DAY);
    let [out] = outs.as_slice() else {
        panic!("one delivery was expected: {outs:?}")
    };
    out.clone()
}

/// How many tries of the plan leave until nothing does, all of them failing.
fn fail_the_rest(tenant: &mut Tenant) -> usize {
    let mut tries = 0;
    loop {
        let outs = tenant.pass_until_out(Millis::DAY);
        if outs.is_empty() {
            return tries;
        }
        for out in outs {
            assert_eq!(out.handout.trigger, Trigger::Scheduled);
            tenant.report(&out, Answer::Broken);
            tries += 1;
        }
    }
}

const PLAN: [u32; 3] = [5, 60, 600];

/// What the plan is doing when somebody presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The first try is out, nothing is written about it.
    FirstIsOut,
    /// The first try was lost, and waits to be handed out again.
    FirstWasLost,
    /// A retry waits.
    RetryWaits,
    /// A retry is out.
    RetryIsOut,
    /// The plan is used up.
    Failed,
}

const MOMENTS: [Moment; 5] = [
    Moment::FirstIsOut,
    Moment::FirstWasLost,
    Moment::RetryWaits,
    Moment::RetryIsOut,
    Moment::Failed,
];

/// A tenant at that moment; what is out then, and how many tries of the plan are recorded.
fn at(moment: Moment, settings: &serde_json::Value) -> (Tenant, u32, MessageId, Option<Out>, u32) {
    let mut tenant = Tenant::wide();
    let mut config = json!({"retrySchedule": PLAN});
    config
        .as_object_mut()
        .unwrap()
        .extend(settings.as_object().unwrap().clone());
    let endpoint = tenant.endpoint_with(config);
    let message = tenant.publish();
    let first = tenant.pass_until_out(3000).remove(0);
    match moment {
        Moment::FirstIsOut => (tenant, endpoint, message, Some(first), 0),
        Moment::FirstWasLost => {
            // The sweep has written the row; what it made due left, and was lost, too.
            next(&mut tenant);
            tenant.pass(30_000);
            (tenant, endpoint, message, None, 0)
        }
        Moment::RetryWaits => {
            tenant.report(&first, Answer::Broken);
            (tenant, endpoint, message, None, 1)
        }
        Moment::RetryIsOut => {
            tenant.report(&first, Answer::Broken);
            let out = next(&mut tenant);
            (tenant, endpoint, message, Some(out), 1)
        }
        Moment::Failed => {
            tenant.report(&first, Answer::Broken);
            fail_the_rest(&mut tenant);
            (tenant, endpoint, message, None, 4)
        }
    }
}

#[test]
fn a_failed_manual_try_leaves_the_plan_as_it_is_at_every_moment() {
    for moment in MOMENTS {
        for evicted in [false, true] {
            let (mut tenant, endpoint, message, out, recorded) = at(moment, &json!({}));
            let before = tenant.stand(message, endpoint);
            let manual = pressed(&mut tenant, message, endpoint);
            if evicted {
                tenant.evict();
            }
            tenant.report(&manual, Answer::Broken);
            assert_eq!(tenant.stand(message, endpoint), before, "{moment:?}");
            assert_eq!(before.1, recorded, "{moment:?}");
            if let Some(out) = out {
                tenant.report(&out, Answer::Broken);
                assert_eq!(tenant.stand(message, endpoint).1, recorded + 1, "{moment:?}");
            }
            fail_the_rest(&mut tenant);
            assert_eq!(tenant.stand(message, endpoint), (Stand::Failed, 4), "{moment:?}");
            let attempts = tenant.attempts(message);
            let by_hand = attempts.iter().filter(|a| a.trigger == Trigger::Manual).count();
            assert_eq!((attempts.len(), by_hand), (5, 1), "{moment:?}");
            assert_eq!(tenant.count("due"), 0, "{moment:?}: a failed manual try is done");
        }
    }
}

#[test]
fn a_manual_success_ends_the_delivery_at_every_moment() {
    for moment in MOMENTS {
        let (mut tenant, endpoint, message, out, recorded) = at(moment, &json!({}));
        let manual = pressed(&mut tenant, message, endpoint);
        tenant.report(&manual, Answer::Ok);
        assert_eq!(
            tenant.stand(message, endpoint),
            (Stand::Delivered, recorded),
            "{moment:?}"
        );
        if let Some(out) = out {
            tenant.report(&out, Answer::Broken);
            assert_eq!(
                tenant.stand(message, endpoint),
                (Stand::Delivered, recorded),
                "{moment:?}"
            );
        }
        assert!(
            tenant.pass_until_out(Millis::DAY).is_empty(),
            "{moment:?}: nothing is sent any more"
        );
        assert_eq!(tenant.count("due"), 0, "{moment:?}");
        assert_eq!(
            tenant
                .attempts(message)
                .iter()
                .filter(|a| a.status == AttemptStatus::Success)
                .count(),
            1
        );
    }
}

#[test]
fn a_manual_success_takes_the_waiting_retry_away_at_once() {
    let (mut tenant, endpoint, message, _, _) = at(Moment::RetryWaits, &json!({}));
    let manual = pressed(&mut tenant, message, endpoint);
    tenant.report(&manual, Answer::Ok);
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn a_delivered_message_is_sent_again_and_stays_delivered_whatever_comes_of_it() {
    for answer in [Answer::Ok, Answer::Broken] {
        let mut tenant = Tenant::wide();
        let endpoint = tenant.endpoint();
        let message = tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Ok);
        let manual = pressed(&mut tenant, message, endpoint);
        tenant.report(&manual, answer);
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 1));
        assert_eq!(tenant.attempts(message).len(), 2);
        assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    }
}

#[test]
fn it_leaves_at_once() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    tenant.pass(Millis::DAY);
    let begin = tenant.now;
    pressed(&mut tenant, message, endpoint);
    assert!(tenant.now.since(begin) <= 1, "{}", tenant.now.since(begin));
}

#[test]
fn pressed_twice_it_makes_two_attempts_and_with_one_key_one() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    resend(&mut tenant, message, endpoint).unwrap();
    resend(&mut tenant, message, endpoint).unwrap();
    assert_eq!(tenant.count("due WHERE kind = 1"), 2);
    let mut outs = Vec::new();
    while outs.len() < 2 {
        outs.extend(tenant.pass_until_out(1000));
    }
    for out in &outs {
        tenant.report(out, Answer::Broken);
    }
    assert_eq!(tenant.attempts(message).len(), 3);
    assert_eq!(tenant.count("due"), 0);

    let name = tenant.endpoint_id(endpoint);
    let call = Resend {
        message: message.to_string(),
        endpoint: name,
        idempotency: Some(idempotency("k", "b")),
    };
    tenant.call(call.clone()).unwrap();
    tenant.call(call.clone()).unwrap();
    assert_eq!(tenant.count("due WHERE kind = 1"), 1);
    let other = Resend {
        idempotency: Some(idempotency("k", "another body")),
        ..call
    };
    assert_eq!(code(tenant.call(other)), Code::IdempotencyKeyReused);
}

#[test]
fn many_presses_in_one_moment_all_leave_however_often_their_queue_messages_are_lost() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    for _ in 0..5 {
        resend(&mut tenant, message, endpoint).unwrap();
    }
    tenant.pass(61_000 * 3);
    let left = tenant.outs();
    assert!(
        left.len() >= 15,
        "each was handed out again after each lease: {}",
        left.len()
    );
    let mut latest = left[left.len() - 5..].to_vec();
    latest.dedup_by_key(|out| out.handout.until);
    assert_eq!(latest.len(), 5, "each has a lease of its own");
    for out in &latest {
        tenant.report(out, Answer::Ok);
    }
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn many_presses_that_come_up_in_one_late_run_of_the_alarm_leave_with_a_lease_each() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    for _ in 0..5 {
        resend(&mut tenant, message, endpoint).unwrap();
    }
    tenant.now = tenant.now.plus(1000);
    tenant.ring();
    let outs = tenant.outs();
    let leases: std::collections::BTreeSet<_> = outs.iter().map(|out| out.handout.until).collect();
    assert_eq!((outs.len(), leases.len()), (5, 5));
    for out in &outs {
        tenant.report(out, Answer::Broken);
    }
    assert_eq!((tenant.count("due"), tenant.attempts(message).len()), (0, 6));
}

#[test]
fn a_retry_and_a_press_that_come_up_in_one_run_take_a_slot_each() {
    let mut settings = Settings::default();
    settings.gates.unproven = 2;
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
    let message = tenant.publish();
    let first = tenant.out();
    tenant.report(&first, Answer::Broken);
    // The alarm is late: the retry is due since, and the press comes behind it.
    tenant.now = tenant.now.plus(10_000);
    resend(&mut tenant, message, endpoint).unwrap();
    tenant.now = tenant.now.plus(1);
    tenant.ring();
    let outs = tenant.outs();
    let leases: std::collections::BTreeSet<_> = outs.iter().map(|out| out.handout.until).collect();
    assert_eq!((outs.len(), leases.len()), (2, 2), "{outs:?}");

    tenant.publish();
    assert!(tenant.outs().is_empty(), "both slots are taken");
    tenant.report(&outs[0], Answer::Broken);
    tenant.pass(10);
    assert_eq!(tenant.outs().len(), 1, "one of them is free");
}

#[test]
fn a_first_hand_out_keeps_its_slot_over_an_eviction_though_a_press_came_to_the_end_before_it() {
    let mut settings = Settings::default();
    settings.gates.window = 2;
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let slow = tenant.out(); // its queue message is late
    let manual = pressed(&mut tenant, message, endpoint);
    tenant.report(&manual, Answer::Ok);
    tenant.evict();
    tenant.publish();
    let beside = tenant.out();
    tenant.publish();
    assert!(
        tenant.outs().is_empty(),
        "the late one may still be sent beside the new one"
    );
    tenant.report(&slow, Answer::Ok);
    tenant.pass(10);
    assert_eq!(tenant.outs().len(), 1, "its place is free");
    tenant.report(&beside, Answer::Ok);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
}

#[test]
fn a_manual_try_survives_a_lost_lease_and_an_eviction() {
    let (mut tenant, endpoint, message, _, _) = at(Moment::Failed, &json!({}));
    let lost = pressed(&mut tenant, message, endpoint);
    tenant.evict();
    let again = next(&mut tenant);
    assert!(again.handout.number > lost.handout.number);
    assert_eq!(again.handout.trigger, Trigger::Manual);
    tenant.report(&lost, Answer::Broken);
    tenant.report(&again, Answer::Broken);
    assert_eq!(tenant.stand(message, endpoint), (Stand::Failed, 4));
    assert_eq!(tenant.count("due"), 0);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
}

/// The report of a try by hand is stored, and the object goes before it answers: the plan's next hand-out comes within the same
/// millisecond.
#[test]
fn a_crash_at_any_point_of_a_manual_tries_report_gives_no_number_twice() {
    for config in [
        json!({"retrySchedule": [5]}),
        json!({"retrySchedule": [5], "ordering": {}}),
    ] {
        for before in 0.. {
            let mut tenant = Tenant::new();
            let endpoint = tenant.endpoint_with(config.clone());
            let message = tenant.publish();
            let mut outs = tenant.outs(); // the plan's, and nothing is heard of it
            tenant.evict();
            resend(&mut tenant, message, endpoint).unwrap();
            tenant.pass(60_000);
            let manual = tenant.out();
            tenant.storage.fail_in_writes(Some(before));
            let told = tenant.try_report(&[(&manual, Answer::Broken)]);
            let crashed = !tenant.storage.will_fail();
            tenant.storage.fail_in_writes(None);
            outs.push(manual.clone());
            if crashed {
                assert!(told.is_err());
                tenant.evict();
                tenant.report(&manual, Answer::Broken);
            }
            outs.extend(tenant.outs());
            outs.extend(tenant.pass_until_out(Millis::DAY));
            let numbers: Vec<u64> = outs.iter().map(|out| out.handout.number).collect();
            assert!(
                numbers.is_sorted_by(|one, next| one < next),
                "{before} writes: {numbers:?}"
            );
            assert!(numbers.len() > 2, "{before} writes: {numbers:?}");
            if !crashed {
                break;
            }
        }
    }
}

#[test]
fn a_doubled_result_of_a_manual_try_ends_no_lane_that_left_within_its_millisecond() {
    for evicted in [false, true] {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5], "ordering": {}}));
        let message = tenant.publish();
        tenant.out(); // nothing is heard of it
        tenant.evict();
        resend(&mut tenant, message, endpoint).unwrap();
        tenant.pass(60_000);
        let manual = tenant.out();
        if evicted {
            // What is written is written, and nothing has left yet.
            tenant.storage.fail_in_writes(Some(4));
            tenant.try_report(&[(&manual, Answer::Broken)]).unwrap_err();
            tenant.evict();
        }
        tenant.report(&manual, Answer::Broken);
        let planned = tenant.out();
        assert_eq!(planned.handout.trigger, Trigger::Scheduled);
        tenant.report(&manual, Answer::Broken);
        assert!(tenant.outs().is_empty(), "its lane is out");
        tenant.report(&planned, Answer::Ok);
        assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
    }
}

#[test]
fn a_doubled_result_of_a_manual_try_is_dropped_unless_it_is_a_success() {
    for moment in MOMENTS {
        let (mut tenant, endpoint, message, _, recorded) = at(moment, &json!({}));
        let before = tenant.attempts(message).len();
        let manual = pressed(&mut tenant, message, endpoint);
        tenant.report(&manual, Answer::Silence);
        tenant.report(&manual, Answer::Silence);
        assert_eq!(tenant.attempts(message).len(), before + 1, "{moment:?}");
        tenant.report(&manual, Answer::Ok);
        assert_eq!(tenant.attempts(message).len(), before + 1, "{moment:?}");
        assert_eq!(
            tenant.stand(message, endpoint),
            (Stand::Delivered, recorded),
            "{moment:?}"
        );
    }
}

#[test]
fn disable_and_delete_cancel_it_for_good() {
    for delete in [false, true] {
        let (mut tenant, endpoint, message, _, _) = at(Moment::Failed, &json!({}));
        resend(&mut tenant, message, endpoint).unwrap();
        if delete {
            tenant.delete(endpoint);
        } else {
            tenant.disable(endpoint, true);
            tenant.disable(endpoint, false);
        }
        assert!(tenant.pass_until_out(Millis::DAY).is_empty());
        assert_eq!(tenant.count("due"), 0);
    }
}

#[test]
fn what_was_cancelled_can_be_sent_by_hand_and_only_success_changes_it() {
    let (mut tenant, endpoint, message, _, _) = at(Moment::RetryWaits, &json!({}));
    tenant.disable(endpoint, true);
    tenant.disable(endpoint, false);
    let manual = pressed(&mut tenant, message, endpoint);
    tenant.report(&manual, Answer::Broken);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Cancelled);
    let manual = pressed(&mut tenant, message, endpoint);
    tenant.report(&manual, Answer::Ok);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
}

#[test]
fn a_message_that_was_never_owed_is_sent_by_hand_and_listed() {
    for answer in [Answer::Broken, Answer::Ok] {
        let mut tenant = Tenant::wide();
        let other = tenant.endpoint_with(json!({"eventTypes": ["order.made"]}));
        let message = tenant.publish();
        let later = tenant.endpoint();
        for endpoint in [other, later] {
            let manual = pressed(&mut tenant, message, endpoint);
            tenant.report(&manual, answer);
            let stand = if answer == Answer::Ok {
                Stand::Delivered
            } else {
                Stand::Failed
            };
            assert_eq!(tenant.stand(message, endpoint), (stand, 0));
        }
        let attempts = tenant.attempts(message);
        assert_eq!(attempts.len(), 2);
        assert!(attempts.iter().all(|attempt| attempt.trigger == Trigger::Manual));
        assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    }
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let settings = Settings {
        retention_ms: 8 * 300_000,
        ..postern_tests::tenant::wide()
    };
    let mut tenant = Tenant::with(settings, postern_domain::wire::call::TenantSettings::default());
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    tenant.disable(endpoint, true);
    let refused = resend(&mut tenant, message, endpoint).unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.detail.contains("disabled"), "{}", refused.detail);
    tenant.disable(endpoint, false);

    let mut forged = message;
    forged.0.random[6] ^= 1;
    assert_eq!(code(resend(&mut tenant, forged, endpoint)), Code::NotFound);

    // Its segment is closed, and stands for one lease more.
    let mut refused = None;
    for _ in 0..400 {
        tenant.pass(10_000);
        match resend(&mut tenant, message, endpoint) {
            Ok(()) => {
                for out in tenant.pass_until_out(10) {
                    tenant.report(&out, Answer::Ok);
                }
            }
            Err(problem) => {
                refused = Some(problem);
                break;
            }
        }
    }
    assert_eq!(refused.unwrap().code, Code::BadRequest);
    tenant.pass(120_000);
    assert_eq!(code(resend(&mut tenant, message, endpoint)), Code::NotFound);
}

#[test]
fn where_there_is_a_rate_or_an_order_it_waits_for_the_try_of_the_plan_that_is_out() {
    let rate = json!({"throttleRate": 10});
    let order = json!({"ordering": {"key": null, "onFailure": "wait"}});
    for (moment, settings) in [
        (Moment::FirstIsOut, &rate),
        (Moment::RetryIsOut, &rate),
        (Moment::FirstIsOut, &order),
        (Moment::RetryIsOut, &order),
    ] {
        for evicted in [false, true] {
            let (mut tenant, endpoint, message, out, _) = at(moment, settings);
            let out = out.unwrap();
            resend(&mut tenant, message, endpoint).unwrap();
            if evicted {
                tenant.evict();
            }
            let left = out.handout.until.since(tenant.now);
            let early = tenant.pass_until_out(left - 1);
            assert!(early.is_empty(), "{moment:?}, evicted {evicted}: {early:?}");
            tenant.report(&out, Answer::Broken);
            let outs = tenant.pass_until_out(2000);
            assert!(
                outs.iter().any(|out| out.handout.trigger == Trigger::Manual),
                "{moment:?}: {outs:?}"
            );
        }
    }
}

#[test]
fn the_rate_of_an_endpoint_holds_for_tries_by_hand() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 2}));
    let messages: Vec<_> = (0..10).map(|_| tenant.publish()).collect();
    let mut delivered = 0;
    while delivered < 10 {
        for out in tenant.pass_until_out(10_000) {
            tenant.report(&out, Answer::Ok);
            delivered += 1;
        }
    }
    for message in messages {
        resend(&mut tenant, message, endpoint).unwrap();
    }
    tenant.pass(2000);
    let out = tenant.outs().len();
    assert!((2..=6).contains(&out), "{out} in two seconds at two a second");
    tenant.pass(6000);
    assert_eq!(tenant.outs().len() + out, 10);
}

#[test]
fn a_press_that_fails_in_the_storage_leaves_nothing_behind() {
    let mut reached = false;
    for statement in 0..20 {
        let (mut tenant, endpoint, message, _, _) = at(Moment::Failed, &json!({}));
        let name = tenant.endpoint_id(endpoint);
        let call = Resend {
            message: message.to_string(),
            endpoint: name,
            idempotency: Some(idempotency("k", "b")),
        };
        tenant.storage.fail_in(Some(statement));
        let first = tenant.call(call.clone());
        reached |= tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        if first.is_err() {
            assert_eq!(tenant.count("due"), 0);
            tenant.call(call).unwrap();
        }
        assert_eq!(tenant.pass_until_out(1000).len(), 1);
    }
    assert!(reached);
}

#[test]
fn cancelling_old_messages_cancels_what_is_owed_and_leaves_what_was_delivered() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": PLAN}));
    let mut messages = Vec::new();
    for answer in [Answer::Ok, Answer::Broken, Answer::Broken] {
        messages.push(tenant.publish());
        let out = tenant.out();
        tenant.report(&out, answer);
        tenant.pass(10);
    }
    let call = CancelMessages {
        endpoint: tenant.endpoint_id(endpoint),
        before: Millis(messages[2].0.time),
    };
    tenant.call(call.clone()).unwrap();
    let stands: Vec<_> = messages.iter().map(|m| tenant.stand(*m, endpoint).0).collect();
    assert_eq!(stands, [Stand::Delivered, Stand::Cancelled, Stand::Open]);
    let earlier = CancelMessages {
        before: Millis(messages[0].0.time),
        ..call
    };
    tenant.call(earlier).unwrap();
    assert_eq!(
        tenant.stand(messages[1], endpoint).0,
        Stand::Cancelled,
        "what is cancelled stays so"
    );
    let out = next(&mut tenant);
    assert_eq!(out.message(), messages[2]);
    assert_eq!(fail_the_rest(&mut tenant), 3, "its lease was lost once");
}

#[test]
fn a_message_for_one_endpoint_goes_to_it_alone_whatever_its_filters_say() {
    let mut tenant = Tenant::wide();
    let named = tenant.endpoint_with(json!({"eventTypes": ["order.made"], "channels": ["a"]}));
    let other = tenant.endpoint();
    let call = Accept {
        only_endpoint: Some(named),
        ..tenant.publish_call("invoice.paid")
    };
    let message = tenant.accept(call, b"{}").unwrap().message.id;
    let out = tenant.out();
    assert_eq!((out.endpoint, out.message()), (named, message));
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(message, named), (Stand::Delivered, 1));
    assert!(
        tenant
            .attempts(message)
            .iter()
            .all(|a| a.endpoint.0.sequence != u64::from(other))
    );
}

#[test]
fn a_test_attempt_is_one_try_and_its_result_can_be_awaited() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": PLAN, "eventTypes": ["order.made"]}));
    tenant.endpoint();
    let call = TestAttempt {
        accept: tenant.publish_call("invoice.paid"),
        endpoint: tenant.endpoint_id(endpoint),
    };
    let caller = postern_domain::wire::call::Caller::Organisation(tenant.organisation);
    let (tested, _) = tenant.call_as(caller, call, &[b"{}".to_vec()]).unwrap();
    let awaited = AttemptAwait {
        message: tested.message,
        endpoint: tested.endpoint,
    };
    assert_eq!(tenant.call(awaited).unwrap(), None);
    let outs = tenant.pass_until_out(1000);
    let [out] = outs.as_slice() else {
        panic!("{outs:?}")
    };
    assert_eq!((out.endpoint, out.message()), (endpoint, tested.message));
    tenant.report(out, Answer::Broken);
    let attempt = tenant.call(awaited).unwrap().unwrap();
    assert_eq!(
        (attempt.response_status, attempt.trigger),
        (Some(500), Trigger::Manual)
    );
    assert!(
        tenant.pass_until_out(Millis::DAY).is_empty(),
        "there is no second try"
    );
    tenant.disable(endpoint, true);
    let call = TestAttempt {
        accept: tenant.publish_call("invoice.paid"),
        endpoint: tested.endpoint.to_string(),
    };
    assert_eq!(code(tenant.call(call)), Code::Conflict);
}

#[test]
fn what_an_endpoint_missed_is_what_was_cancelled_and_what_came_meanwhile() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": PLAN, "eventTypes": ["invoice.*"]}));
    let name = tenant.endpoint_id(endpoint);
    let missed = Missed { endpoint: name };
    let never = tenant.call(missed.clone()).unwrap();
    assert_eq!((never.since, never.counted.count), (None, 0));

    tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    tenant.pass(1000);
    let waiting = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Broken);
    tenant.disable(endpoint, true);
    let off = tenant.now;
    tenant.pass(1000);
    tenant.publish();
    let unwanted = tenant.publish_call("order.made");
    tenant.accept(unwanted, b"{}").unwrap();
    let call = Accept {
        only_endpoint: Some(0),
        ..tenant.publish_call("invoice.paid")
    };
    tenant.accept(call, b"{}").unwrap();
    tenant.pass(1000);
    for evicted in [false, true] {
        if evicted {
            tenant.disable(endpoint, false);
            tenant.evict();
            tenant.pass(1000);
            tenant.publish();
        }
        let view = tenant.call(missed.clone()).unwrap();
        assert_eq!((view.since, view.counted.count), (Some(off), 2));
        assert_eq!(view.oldest, Some(Millis(waiting.0.time)));
        assert_eq!(view.until.is_some(), evicted);
    }
    tenant.patch(
        endpoint,
        EndpointChange {
            event_types: Some(Some(vec!["order.made".to_owned()])),
            ..EndpointChange::default()
        },
    );
    assert_eq!(tenant.call(missed).unwrap().counted.count, 1, "as it matches now");
}
