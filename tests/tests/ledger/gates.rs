//! Reasons to hold back, each of which says when it ends: windows, pauses, the breaker, order; and what ends an endpoint.

use postern_domain::id::MessageId;
use postern_domain::outcome::Cause;
use postern_domain::time::Millis;
use postern_domain::wire::call::{EndpointChange, EndpointGet, EndpointPatch, PageOf, TenantSettings};
use postern_domain::wire::reads::{EndpointsOfMessage, WaitReason};
use postern_domain::wire::replay::{CancelMessages, Resend};
use postern_domain::wire::report::LaneReport;
use postern_domain::wire::{DisabledReason, EndpointView, Trigger};
use postern_ledger::{QueueKind, Settings};
use postern_tests::tenant::{Answer, Out, Stand, Tenant, result_of};
use serde_json::{Value, json};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// A tenant with one endpoint.
fn with(settings: Value) -> (Tenant, u32) {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(settings);
    (tenant, endpoint)
}

fn view(tenant: &mut Tenant, endpoint: u32) -> EndpointView {
    let endpoint = tenant.endpoint_id(endpoint);
    tenant.call(EndpointGet { endpoint }).unwrap()
}

fn disabled(tenant: &mut Tenant, endpoint: u32) -> Option<DisabledReason> {
    let config = view(tenant, endpoint).config;
    assert_eq!(config.disabled, config.disabled_reason.is_some());
    config.disabled_reason
}

/// Every hand-out that leaves is answered so, until nothing leaves within `ms`; answers how many did.
fn answer_all(tenant: &mut Tenant, answer: Answer, ms: u64) -> usize {
    let end = tenant.now.plus(ms);
    let mut sent = 0;
    while tenant.now < end {
        let outs = tenant.pass_until_out(end.since(tenant.now));
        for out in &outs {
            tenant.report(out, answer);
        }
        sent += outs.len();
    }
    sent
}

/// Why the message waits, and for how long.
fn waits_for(tenant: &mut Tenant, message: MessageId) -> Option<(WaitReason, u64)> {
    let page = PageOf {
        limit: 10,
        iterator: None,
        ascending: false,
    };
    let message = message.to_string();
    let call = EndpointsOfMessage { message, page };
    let now = tenant.now;
    let data = tenant.call(call).unwrap().data;
    let waits = data.first()?.waits_for?;
    Some((waits.reason, waits.until.map_or(0, |until| until.since(now))))
}

mod window {
    use super::*;

    #[test]
    fn an_endpoint_that_has_not_answered_yet_gets_four_at_a_time_each_alone_and_by_the_slow_queue() {
        let (mut tenant, _) = with(json!({}));
        for _ in 0..10 {
            tenant.publish();
        }
        let lanes = tenant.lanes();
        assert_eq!(lanes.len(), 4);
        for (lane, _, queue) in &lanes {
            assert_eq!(
                (lane.deliveries.len(), lane.concurrency, *queue),
                (1, 1, QueueKind::Slow)
            );
        }
    }

    #[test]
    fn a_tenant_has_64_in_the_slow_queue_at_a_time() {
        let mut tenant = Tenant::new();
        for _ in 0..20 {
            tenant.endpoint();
        }
        for _ in 0..4 {
            tenant.publish();
        }
        assert_eq!(tenant.outs().len(), 64, "of 80");
    }

    #[test]
    fn an_endpoint_that_answers_gets_sixteen_sends_at_a_time_and_more_with_every_answer() {
        let (mut tenant, _) = with(json!({}));
        tenant.prove();
        for _ in 0..400 {
            tenant.publish();
        }
        let sends = |tenant: &mut Tenant| -> Vec<u8> {
            tenant.lanes().iter().map(|(lane, ..)| lane.concurrency).collect()
        };
        let first = sends(&mut tenant);
        assert_eq!(
            first.iter().map(|sends| u32::from(*sends)).sum::<u32>(),
            16 + 1,
            "{first:?}"
        );
    }

    #[test]
    fn what_times_out_halves_the_window() {
        let (mut tenant, _) = with(json!({"retrySchedule": [3600]}));
        tenant.prove();
        for _ in 0..200 {
            tenant.publish();
        }
        let lanes = tenant.lanes();
        let outs = postern_tests::tenant::outs_of(lanes[0].0.clone(), &lanes[0].1, lanes[0].2);
        for out in outs.iter().take(3) {
            tenant.report_lane(&[(out, Answer::Silence)], false);
        }
        assert!(
            tenant.outs().is_empty(),
            "what is out takes more than the two slots that are left"
        );
    }
}

mod pause {
    use super::*;

    #[test]
    fn it_ends_when_the_endpoint_said_and_not_when_a_lease_ends() {
        for (answer, ms) in [
            (Answer::RetryAfter(7 * SECOND), 7 * SECOND),
            (Answer::RetryAfter(40 * Millis::DAY), Millis::DAY),
            (Answer::Status(429), 10 * SECOND),
            (Answer::Status(503), 10 * SECOND),
        ] {
            let (mut tenant, _) = with(json!({"retrySchedule": [1]}));
            tenant.prove();
            let asked = tenant.publish();
            let out = tenant.out();
            tenant.report(&out, answer);
            let (begin, behind) = (tenant.now, tenant.publish());
            assert_eq!(waits_for(&mut tenant, behind), Some((WaitReason::Paused, ms)));
            assert!(tenant.outs().is_empty());
            tenant.evict();
            let outs = tenant.pass_until_out(2 * Millis::DAY);
            assert_eq!(tenant.now.since(begin), ms, "{answer:?}");
            let went = outs.iter().map(Out::message).collect::<Vec<_>>();
            assert!(went.contains(&asked) || went.contains(&behind), "{answer:?}");
        }
    }

    #[test]
    fn what_was_out_when_it_began_keeps_nothing_waiting_behind_its_end() {
        let (mut tenant, _) = with(json!({"retrySchedule": [3600]}));
        tenant.prove();
        for _ in 0..200 {
            tenant.publish();
        }
        let outs = tenant.outs();
        assert!(outs.len() < 200, "some wait for a slot");
        let begin = tenant.now;
        let mut answers = vec![Answer::RetryAfter(5 * SECOND)];
        answers.resize(outs.len(), Answer::Ok);
        tenant.pass(1);
        let results: Vec<_> = outs.iter().zip(answers).collect();
        tenant.try_report(&results).unwrap();
        assert!(!tenant.pass_until_out(MINUTE).is_empty());
        assert_eq!(tenant.now.since(begin), 6 * SECOND, "up to a whole second");
    }

    #[test]
    fn a_success_of_what_was_sent_before_it_does_not_end_it_but_begins_the_counts_anew() {
        let (mut tenant, endpoint) =
            with(json!({"retrySchedule": [], "disableAfter": {"failed": 2, "days": 0}}));
        for _ in 0..3 {
            tenant.publish();
        }
        let outs = tenant.outs();
        tenant.report(&outs[0], Answer::RetryAfter(MINUTE));
        tenant.report(&outs[1], Answer::Ok);
        tenant.publish();
        let begin = tenant.now;
        tenant.evict();
        let next = tenant.pass_until_out(Millis::DAY);
        assert_eq!(tenant.now.since(begin), MINUTE);
        tenant.report(&next[0], Answer::Broken);
        assert_eq!(disabled(&mut tenant, endpoint), None, "one in a row");
    }

    #[test]
    fn it_is_over_with_the_first_success_after_it_and_leaves_no_row() {
        let (mut tenant, _) = with(json!({"retrySchedule": [1]}));
        tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Status(429));
        assert_eq!(tenant.count("health"), 1);
        let out = tenant.pass_until_out(MINUTE)[0].clone();
        tenant.report(&out, Answer::Ok);
        assert_eq!(tenant.count("health"), 0);
    }

    #[test]
    fn it_outlives_an_eviction_also_where_the_breaker_is_open_for_longer() {
        let (mut tenant, endpoint) =
            with(json!({"retrySchedule": [3600], "disableAfter": {"failed": 0, "days": 0}}));
        tenant.prove();
        let messages: Vec<_> = (0..12).map(|_| tenant.publish()).collect();
        let outs = tenant.outs();
        for out in &outs[..10] {
            tenant.report(out, Answer::Broken);
        }
        tenant.report(&outs[10], Answer::RetryAfter(10 * SECOND));
        tenant.evict();
        let endpoint = tenant.endpoint_id(endpoint);
        let message = messages[11].to_string();
        let idempotency = None;
        tenant
            .call(Resend {
                message,
                endpoint,
                idempotency,
            })
            .unwrap();
        let begin = tenant.now;
        let by_hand = tenant.pass_until_out(MINUTE);
        assert_eq!(by_hand[0].handout.trigger, Trigger::Manual);
        assert_eq!(
            tenant.now.since(begin),
            10 * SECOND,
            "a person need not wait for a probe, but for a pause"
        );
    }

    #[test]
    fn another_failure_shortens_no_pause() {
        let (mut tenant, _) = with(json!({"retrySchedule": [1]}));
        let (_, _) = (tenant.publish(), tenant.publish());
        let outs = tenant.outs();
        tenant.report(&outs[0], Answer::RetryAfter(MINUTE));
        tenant.report(&outs[1], Answer::Status(503));
        let begin = tenant.now;
        assert!(!tenant.pass_until_out(Millis::DAY).is_empty());
        assert_eq!(tenant.now.since(begin), MINUTE);
    }
}

mod breaker {
    use super::*;

    #[test]
    fn ten_failures_close_it_and_probes_come_after_30_s_then_twice_as_long_up_to_15_minutes() {
        let (mut tenant, endpoint) =
            with(json!({"retrySchedule": [], "disableAfter": {"failed": 0, "days": 0}}));
        for _ in 0..40 {
            tenant.publish();
        }
        let mut sent = 0;
        loop {
            let outs = tenant.outs();
            if outs.is_empty() {
                break;
            }
            for out in &outs {
                tenant.report(out, Answer::Broken);
            }
            sent += outs.len();
        }
        assert!((10..=13).contains(&sent), "{sent}");
        for wait in [30, 60, 120, 240, 480, 900, 900] {
            let begin = tenant.now;
            tenant.evict(); // it is stored
            let probe = tenant.pass_until_out(Millis::DAY);
            assert_eq!(probe.len(), 1, "one, and nothing beside it");
            assert_eq!(tenant.now.since(begin), wait * SECOND);
            tenant.report(&probe[0], Answer::Broken);
            assert!(tenant.outs().is_empty());
        }
        let probe = tenant.pass_until_out(Millis::DAY);
        tenant.report(&probe[0], Answer::Ok);
        assert_eq!(tenant.count("health"), 0);
        let begin = tenant.now;
        let rest = answer_all(&mut tenant, Answer::Ok, MINUTE);
        assert_eq!(sent + 7 + 1 + rest, 40);
        assert!(tenant.now.since(begin) <= MINUTE);
        assert_eq!(disabled(&mut tenant, endpoint), None, "0 is never");
    }

    #[test]
    fn three_in_ten_that_succeed_keep_it_open() {
        let (mut tenant, _) = with(json!({"retrySchedule": []}));
        for n in 0..60 {
            tenant.publish();
            let out = tenant.out();
            let answer = if n % 3 == 2 { Answer::Ok } else { Answer::Broken };
            tenant.report(&out, answer);
        }
    }

    #[test]
    fn a_probe_that_is_lost_is_followed_by_another_when_its_lease_is_over() {
        let (mut tenant, _) = with(json!({"retrySchedule": []}));
        for _ in 0..30 {
            tenant.publish();
        }
        for _ in 0..3 {
            for out in tenant.outs() {
                tenant.report(&out, Answer::Silence);
            }
        }
        let probe = tenant.pass_until_out(Millis::DAY);
        assert_eq!(probe.len(), 1);
        let begin = tenant.now;
        let next = tenant.pass_until_out(Millis::DAY);
        assert_eq!(next.len(), 1);
        let waited = tenant.now.since(begin);
        assert!((MINUTE..=MINUTE + 20 * SECOND).contains(&waited), "{waited}");
    }
}

mod order {
    use super::*;

    fn ordered(settings: &Value) -> (Tenant, u32) {
        let mut all = json!({"ordering": {"key": null, "onFailure": "wait"}});
        all.as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        let (mut tenant, endpoint) = with(all);
        tenant.prove();
        (tenant, endpoint)
    }

    fn sequences(outs: &[Out]) -> Vec<u64> {
        outs.iter().map(|out| out.message().0.sequence).collect()
    }

    #[test]
    fn a_pause_in_the_middle_of_a_lane_ends_when_the_endpoint_said() {
        let (mut tenant, _) = ordered(&json!({"retrySchedule": [1]}));
        for _ in 0..6 {
            tenant.publish();
        }
        let first = tenant.out();
        tenant.report(&first, Answer::Ok);
        let lane = tenant.outs();
        assert_eq!(sequences(&lane), [3, 4, 5, 6, 7]);
        let results = [(&lane[0], Answer::Ok), (&lane[1], Answer::RetryAfter(5 * SECOND))];
        tenant.report_lane(&results, true);
        let begin = tenant.now;
        let behind = lane[2].message();
        assert_eq!(
            waits_for(&mut tenant, behind).map(|(reason, _)| reason),
            Some(WaitReason::Ordering)
        );
        let head = tenant.pass_until_out(MINUTE);
        assert_eq!(tenant.now.since(begin), 5 * SECOND);
        assert_eq!(sequences(&head), [4], "one, to see");
        tenant.report(&head[0], Answer::Ok);
        assert_eq!(sequences(&tenant.outs()), [5, 6, 7]);
    }

    #[test]
    fn a_head_that_was_lost_with_nothing_behind_it_comes_again() {
        let (mut tenant, endpoint) = ordered(&json!({}));
        let message = tenant.publish();
        assert_eq!(tenant.out().message(), message); // the queue loses it
        let again = tenant.pass_until_out(2 * MINUTE);
        assert_eq!(sequences(&again), [2]);
        tenant.report(&again[0], Answer::Ok);
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 1));
    }

    #[test]
    fn a_success_by_hand_lets_those_behind_a_failed_head_go() {
        for key in [Value::Null, json!("/paid")] {
            let ordering = json!({"key": key, "onFailure": "wait"});
            let (mut tenant, endpoint) = ordered(&json!({"retrySchedule": [], "ordering": ordering}));
            for _ in 0..3 {
                tenant.publish();
            }
            let head = tenant.out();
            tenant.report(&head, Answer::Broken);
            assert!(tenant.pass_until_out(Millis::DAY).is_empty(), "it waits for ever");
            let mut by_hand = result_of(&head, Answer::Ok, tenant.now);
            by_hand.trigger = Trigger::Manual;
            by_hand.number += 1;
            let results = vec![by_hand];
            let last = true;
            tenant.report_results(LaneReport {
                endpoint,
                results,
                last,
            });
            let rest = tenant.outs();
            assert_eq!(sequences(&rest), [3, 4]);
            assert_eq!(tenant.stand(head.message(), endpoint).0, Stand::Delivered);
        }
    }

    #[test]
    fn each_value_of_a_key_is_a_line_of_its_own_and_one_that_is_blocked_goes_on_when_told_to_skip() {
        let order = |on_failure: &str| json!({"key": "/customer", "onFailure": on_failure});
        let (mut tenant, endpoint) = ordered(&json!({"retrySchedule": [], "ordering": order("wait")}));
        for customer in ["a", "b", "a", "b"] {
            let call = tenant.publish_call("invoice.paid");
            let body = json!({"customer": customer}).to_string();
            tenant.accept(call, body.as_bytes()).unwrap();
        }
        let heads = tenant.outs();
        assert_eq!(sequences(&heads), [2, 3]);
        tenant.report(&heads[0], Answer::Broken);
        tenant.report(&heads[1], Answer::Ok);
        let next = tenant.out();
        assert_eq!(sequences(std::slice::from_ref(&next)), [5]);
        tenant.report(&next, Answer::Ok);
        assert!(tenant.pass_until_out(MINUTE).is_empty(), "4 waits for 2");
        let ordering = serde_json::from_value(order("skip")).unwrap();
        tenant.patch(
            endpoint,
            EndpointChange {
                ordering: Some(Some(ordering)),
                ..EndpointChange::default()
            },
        );
        assert_eq!(sequences(&tenant.pass_until_out(SECOND)), [4]);
    }

    /// A line whose head, the message 2, has failed for good a second before 3 and 4 came.
    fn blocked(settings: Settings) -> (Tenant, u32) {
        let mut tenant = Tenant::with(settings, TenantSettings::default());
        let config = json!({"retrySchedule": [], "ordering": {"key": null, "onFailure": "wait"}});
        let endpoint = tenant.endpoint_with(config);
        tenant.prove();
        tenant.publish();
        let head = tenant.out();
        tenant.report(&head, Answer::Broken);
        tenant.pass(SECOND);
        for _ in 0..2 {
            tenant.publish();
        }
        assert!(tenant.pass_until_out(MINUTE).is_empty());
        (tenant, endpoint)
    }

    #[test]
    fn a_failed_head_that_is_cancelled_lets_those_behind_it_go() {
        let (mut tenant, endpoint) = blocked(Settings::default());
        let before = tenant.now.minus(MINUTE);
        let endpoint = tenant.endpoint_id(endpoint);
        tenant.call(CancelMessages { endpoint, before }).unwrap();
        assert_eq!(sequences(&tenant.pass_until_out(SECOND)), [3, 4]);
    }

    #[test]
    fn a_failed_head_whose_message_goes_by_age_lets_those_behind_it_go() {
        let settings = Settings {
            retention_ms: 16 * Millis::DAY,
            ..Settings::default()
        };
        let (mut tenant, _) = blocked(settings);
        tenant.pass(3 * Millis::DAY);
        let behind = tenant.publish(); // of another segment
        let mut sent = Vec::new();
        for _ in 0..20 {
            for out in tenant.pass_until_out(Millis::DAY) {
                sent.push(out.message());
                tenant.report(&out, Answer::Ok);
            }
        }
        assert_eq!(sent, [behind], "3 and 4 went with their segment");
    }

    #[test]
    fn a_lane_stops_for_each_that_did_not_arrive_and_those_behind_lose_no_try() {
        let (mut tenant, endpoint) = ordered(&json!({"retrySchedule": [1, 1]}));
        let messages: Vec<_> = (0..3).map(|_| tenant.publish()).collect();
        let first = tenant.out();
        tenant.report(&first, Answer::Broken);
        let head = tenant.pass_until_out(MINUTE);
        assert_eq!(sequences(&head), [2]);
        tenant.report(&head[0], Answer::Ok);
        let rest = tenant.outs();
        assert_eq!(sequences(&rest), [3, 4]);
        tenant.report_lane(&[(&rest[0], Answer::Ok), (&rest[1], Answer::Ok)], true);
        let attempts: Vec<u32> = messages
            .iter()
            .map(|message| tenant.stand(*message, endpoint).1)
            .collect();
        assert_eq!(attempts, [2, 1, 1]);
        assert_eq!(tenant.count("due"), 0, "a line in order never uses it");
        assert_eq!(tenant.count("backlog"), 0);
    }
}

mod end {
    use super::*;

    #[test]
    fn gone_disables_at_once_and_says_so() {
        let (mut tenant, endpoint) = with(json!({}));
        let message = tenant.publish();
        let waits = tenant.publish();
        let outs = tenant.outs();
        tenant.report(&outs[0], Answer::Status(410));
        assert_eq!(disabled(&mut tenant, endpoint), Some(DisabledReason::Gone));
        assert_eq!(tenant.stand(message, endpoint).1, 1);
        assert_eq!(tenant.stand(waits, endpoint).0, Stand::Cancelled);
        assert!(tenant.pass_until_out(2 * Millis::DAY).is_empty());
    }

    #[test]
    fn of_a_long_outage_no_more_attempts_are_stored_than_decide_something() {
        let mut tenant = Tenant::wide(); // without a breaker, whose probes are stored
        tenant.endpoint_with(json!({"disableAfter": {"failed": 0, "days": 5}}));
        for _ in 0..30 {
            tenant.publish();
            let out = tenant.out();
            tenant.report(&out, Answer::Broken);
        }
        assert_eq!(tenant.count("health WHERE attempts = 10"), 1);
    }

    #[test]
    fn deliveries_in_a_row_that_failed_for_good_are_counted_over_evictions_and_a_success_begins_anew() {
        let (mut tenant, endpoint) = with(json!({"retrySchedule": []}));
        let mut send = |answer| {
            tenant.evict();
            tenant.publish();
            let out = tenant.pass_until_out(Millis::DAY)[0].clone();
            tenant.report(&out, answer);
            disabled(&mut tenant, endpoint)
        };
        for _ in 0..9 {
            assert_eq!(send(Answer::Broken), None);
        }
        assert_eq!(send(Answer::Ok), None);
        for _ in 0..9 {
            assert_eq!(send(Answer::Broken), None);
        }
        assert_eq!(send(Answer::Broken), Some(DisabledReason::DeliveriesFailed));
    }

    #[test]
    fn attempts_are_counted_over_evictions_as_far_as_they_decide_something() {
        let mut tenant = Tenant::wide();
        let endpoint = tenant.endpoint_with(json!({"disableAfter": {"failed": 0, "days": 5}}));
        for _ in 0..9 {
            tenant.publish();
            let out = tenant.out();
            tenant.report(&out, Answer::Broken);
            tenant.evict();
        }
        tenant.now = tenant.now.plus(5 * Millis::DAY);
        tenant.publish();
        let out = tenant.outs().pop().unwrap();
        tenant.report(&out, Answer::Broken);
        assert_eq!(disabled(&mut tenant, endpoint), Some(DisabledReason::NoSuccess));
    }

    #[test]
    fn a_delivery_whose_last_permitted_try_succeeds_has_not_failed() {
        let (mut tenant, endpoint) =
            with(json!({"retrySchedule": [1], "disableAfter": {"failed": 1, "days": 0}}));
        let message = tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
        let last = tenant.pass_until_out(MINUTE)[0].clone();
        tenant.report(&last, Answer::Ok);
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 2));
        assert_eq!(disabled(&mut tenant, endpoint), None);
    }

    #[test]
    fn attempts_of_a_delivery_that_is_still_owed_are_no_failed_delivery() {
        let (mut tenant, endpoint) = with(json!({"retrySchedule": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}));
        tenant.publish();
        assert!(answer_all(&mut tenant, Answer::Broken, 6 * 60 * MINUTE) >= 12);
        assert_eq!(
            disabled(&mut tenant, endpoint),
            None,
            "one delivery has failed for good"
        );
    }

    #[test]
    fn five_days_without_a_success_disable_whatever_failed_for_good() {
        let plan = json!({"retrySchedule": vec![86_400; 14]});
        let (mut tenant, endpoint) = with(plan);
        let mut messages = Vec::new();
        for day in 0..=5 {
            assert_eq!(disabled(&mut tenant, endpoint), None, "day {day}");
            messages.push(tenant.publish());
            messages.push(tenant.publish());
            answer_all(&mut tenant, Answer::Broken, Millis::DAY + MINUTE);
            tenant.evict();
        }
        answer_all(&mut tenant, Answer::Broken, Millis::DAY);
        assert_eq!(disabled(&mut tenant, endpoint), Some(DisabledReason::NoSuccess));
        assert_eq!(tenant.stand(messages[0], endpoint).0, Stand::Cancelled);
    }

    #[test]
    fn what_failed_by_our_own_fault_or_a_firewalls_word_disables_nothing() {
        let (mut tenant, endpoint) = with(json!({"retrySchedule": []}));
        let mut fail = |cause, status| {
            tenant.publish();
            let out = tenant.out();
            let mut result = result_of(&out, Answer::Status(410), tenant.now);
            (result.cause, result.status) = (Some(cause), status);
            let (results, last) = (vec![result], true);
            tenant.report_results(LaneReport {
                endpoint,
                results,
                last,
            });
            (disabled(&mut tenant, endpoint), tenant.count("health"))
        };
        for _ in 0..20 {
            for cause in [Cause::SealBroken, Cause::Egress, Cause::Unknown] {
                assert_eq!(fail(cause, None), (None, 0));
            }
        }
        assert_eq!(fail(Cause::Firewall, Some(410)), (None, 1));
        assert_eq!(fail(Cause::Gone, Some(410)).0, Some(DisabledReason::Gone));
    }

    #[test]
    fn enabled_again_it_begins_with_a_clean_sheet() {
        let (mut tenant, endpoint) =
            with(json!({"retrySchedule": [], "disableAfter": {"failed": 2, "days": 0}}));
        for _ in 0..2 {
            tenant.publish();
            let out = tenant.out();
            tenant.report(&out, Answer::Broken);
        }
        assert_eq!(
            disabled(&mut tenant, endpoint),
            Some(DisabledReason::DeliveriesFailed)
        );
        let id = tenant.endpoint_id(endpoint);
        let change = serde_json::from_value(json!({"disabled": false})).unwrap();
        let on = tenant.call(EndpointPatch { endpoint: id, change }).unwrap();
        assert_eq!(on.config.disabled_reason, None);
        assert_eq!(tenant.count("health"), 0);
        tenant.publish();
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
        assert_eq!(disabled(&mut tenant, endpoint), None);
    }
}
