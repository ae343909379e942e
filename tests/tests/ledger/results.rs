//! What a consumer reports, and what follows: retries, leases, late and doubled results.

use postern_domain::time::Millis;
use postern_domain::wire::AttemptStatus;
use postern_tests::tenant::{Answer, Out, Stand, Tenant};
use serde_json::json;

/// A tenant with one endpoint of this plan, a message, and its first hand-out.
fn handed_out(plan: &[u32]) -> (Tenant, u32, Out) {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": plan}));
    tenant.publish();
    let out = tenant.out();
    (tenant, endpoint, out)
}

/// The next hand-out, within a day.
fn next(tenant: &mut Tenant) -> Out {
    let outs = tenant.pass_until_out(Millis::DAY);
    let [out] = outs.as_slice() else {
        panic!("one delivery was expected: {outs:?}")
    };
    out.clone()
}

#[test]
fn a_success_ends_the_delivery() {
    let (mut tenant, endpoint, out) = handed_out(&[5]);
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Delivered, 1));
    let attempts = tenant.attempts(out.message());
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].status, AttemptStatus::Success);
    assert_eq!(attempts[0].response_status, Some(200));
    assert!(
        tenant.pass_until_out(Millis::DAY).is_empty(),
        "nothing is sent any more"
    );
}

#[test]
fn a_failure_is_tried_again_on_the_schedule_until_the_plan_is_used_up() {
    let plan = [5, 300, 1800];
    let (mut tenant, endpoint, mut out) = handed_out(&plan);
    for step in plan {
        tenant.report(&out, Answer::Broken);
        let attempt = tenant.attempts(out.message())[0].clone();
        let begin = tenant.now;
        out = next(&mut tenant);
        let waited = tenant.now.since(begin);
        let step = u64::from(step) * 1000;
        assert!(
            (step * 85 / 100..=step * 115 / 100 + 1).contains(&waited),
            "{waited} of {step}"
        );
        assert_eq!(
            attempt.next_attempt,
            Some(begin.plus(waited)),
            "the attempt says when"
        );
    }
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Open, 3));
    tenant.report(&out, Answer::Broken);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Failed, 4));
    assert_eq!(tenant.attempts(out.message()).len(), 4);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
}

#[test]
fn a_plan_without_steps_is_one_try() {
    let (mut tenant, endpoint, out) = handed_out(&[]);
    tenant.report(&out, Answer::Silence);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Failed, 1));
}

#[test]
fn a_retry_is_never_earlier_than_the_endpoint_asked() {
    let (mut tenant, _, out) = handed_out(&[1, 1]);
    tenant.report(&out, Answer::RetryAfter(600_000));
    let begin = tenant.now;
    assert!(tenant.pass_until_out(599_999).is_empty());
    let outs = tenant.pass_until_out(2000);
    assert_eq!(outs.len(), 1);
    assert!(tenant.now.since(begin) >= 600_000);
}

#[test]
fn an_attempt_has_the_time_at_which_its_request_was_begun_and_not_that_of_its_hand_out() {
    let (mut tenant, _, out) = handed_out(&[5]);
    tenant.pass(700);
    tenant.report(&out, Answer::Broken);
    let first = tenant.now;
    let out = next(&mut tenant);
    tenant.pass(300);
    tenant.report(&out, Answer::Ok);
    let attempts = tenant.attempts(out.message());
    let times: Vec<Millis> = attempts.iter().map(|attempt| attempt.timestamp).collect();
    assert_eq!(times, [tenant.now, first]);
}

#[test]
fn a_retry_that_succeeds_ends_the_delivery() {
    let (mut tenant, endpoint, out) = handed_out(&[5, 5]);
    tenant.report(&out, Answer::Broken);
    let out = next(&mut tenant);
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Delivered, 2));
    assert_eq!(tenant.count("due"), 0);
    let ends: Vec<_> = tenant
        .attempts(out.message())
        .iter()
        .map(|attempt| attempt.status)
        .collect();
    assert_eq!(
        ends,
        [AttemptStatus::Success, AttemptStatus::Failure],
        "newest first"
    );
}

#[test]
fn a_doubled_result_is_dropped() {
    let (mut tenant, endpoint, first) = handed_out(&[5, 5, 5]);
    tenant.report(&first, Answer::Broken);
    tenant.report(&first, Answer::Broken);
    assert_eq!(tenant.stand(first.message(), endpoint), (Stand::Open, 1));
    let second = next(&mut tenant);
    tenant.report(&second, Answer::Broken);
    tenant.report(&second, Answer::Broken);
    tenant.report(&first, Answer::Broken);
    assert_eq!(tenant.stand(first.message(), endpoint), (Stand::Open, 2));
    assert_eq!(tenant.attempts(first.message()).len(), 2);
    assert_eq!(tenant.count("due"), 1);
}

#[test]
fn a_doubled_result_that_is_a_success_upgrades_the_first_attempt() {
    let (mut tenant, endpoint, out) = handed_out(&[5, 5]);
    tenant.report(&out, Answer::Silence);
    tenant.report(&out, Answer::Ok); // the queue delivered it twice inside its lease
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Delivered, 1));
    assert_eq!(tenant.attempts(out.message()).len(), 1);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    tenant.report(&out, Answer::Broken);
    assert_eq!(
        tenant.stand(out.message(), endpoint),
        (Stand::Delivered, 1),
        "a success stays one"
    );
}

#[test]
fn a_doubled_result_that_is_a_success_upgrades_a_later_attempt() {
    let (mut tenant, endpoint, first) = handed_out(&[5, 5]);
    tenant.report(&first, Answer::Silence);
    let second = next(&mut tenant);
    tenant.report(&second, Answer::Silence);
    tenant.report(&second, Answer::Ok);
    assert_eq!(tenant.stand(first.message(), endpoint), (Stand::Delivered, 2));
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    assert_eq!(tenant.attempts(first.message())[0].status, AttemptStatus::Success);
}

#[test]
fn a_lost_queue_message_is_handed_out_again_when_its_lease_is_over() {
    let (mut tenant, endpoint, lost) = handed_out(&[5]);
    assert!(tenant.pass_until_out(59_999).is_empty(), "the lease holds");
    let outs = tenant.pass_until_out(16_000);
    assert_eq!(outs.len(), 1);
    assert_eq!(outs[0].message(), lost.message());
    assert!(outs[0].handout.number > lost.handout.number);
    assert_eq!(outs[0].body, lost.body);
    assert_eq!(
        tenant.stand(lost.message(), endpoint),
        (Stand::Open, 0),
        "a lost lease is no attempt"
    );
    tenant.report(&outs[0], Answer::Ok);
    assert_eq!(tenant.stand(lost.message(), endpoint), (Stand::Delivered, 1));
}

#[test]
fn a_retry_whose_queue_message_is_lost_is_handed_out_again() {
    let (mut tenant, endpoint, out) = handed_out(&[5]);
    tenant.report(&out, Answer::Broken);
    for _ in 0..4 {
        next(&mut tenant);
    }
    let out = next(&mut tenant);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Open, 1));
    tenant.report(&out, Answer::Broken);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Failed, 2));
}

#[test]
fn a_late_failure_changes_nothing() {
    let (mut tenant, endpoint, lost) = handed_out(&[5, 5]);
    let again = next(&mut tenant);
    tenant.report(&lost, Answer::Broken);
    assert_eq!(tenant.stand(lost.message(), endpoint), (Stand::Open, 0));
    assert_eq!(
        tenant.attempts(lost.message()).len(),
        1,
        "it is recorded all the same"
    );
    tenant.report(&again, Answer::Broken);
    assert_eq!(tenant.stand(lost.message(), endpoint), (Stand::Open, 1));
    tenant.report(&lost, Answer::Broken);
    assert_eq!(tenant.attempts(lost.message()).len(), 2);
    assert_eq!(tenant.count("due"), 1);
}

#[test]
fn a_late_failure_leaves_the_time_of_the_next_try_as_it_was() {
    for mut settings in [json!({}), json!({"ordering": {"key": null, "onFailure": "wait"}})] {
        settings["retrySchedule"] = json!([600, 600]);
        let mut tenant = Tenant::new();
        tenant.endpoint_with(settings.clone());
        let message = tenant.publish();
        let lost = tenant.out();
        let again = next(&mut tenant);
        tenant.report(&again, Answer::Broken);
        let at = tenant.attempts(message)[0].next_attempt.unwrap();
        tenant.pass(10_000);
        tenant.report(&lost, Answer::Broken);
        let attempts = tenant.attempts(message);
        let told: Vec<_> = attempts
            .iter()
            .filter_map(|attempt| attempt.next_attempt)
            .collect();
        assert_eq!(told, [at], "{settings}");
        let ms = at.since(tenant.now);
        assert!(tenant.pass_until_out(ms - 1).is_empty(), "{settings}");
        assert_eq!(next(&mut tenant).message(), message, "{settings}");
    }
}

#[test]
fn a_late_failure_says_in_the_row_that_its_delivery_was_cancelled_unless_it_was_settled() {
    let (mut tenant, endpoint, lost) = handed_out(&[600]);
    let again = next(&mut tenant);
    tenant.report(&again, Answer::Broken);
    let waits = tenant.count("delivery_1 WHERE state = 1 AND next_at IS NOT NULL");
    assert_eq!(waits, 1);
    let received = tenant.publish();
    let lost_too = tenant.out();
    let again = next(&mut tenant);
    assert_eq!(again.message(), received);
    tenant.report(&again, Answer::Ok);
    tenant.disable(endpoint, true);
    tenant.report(&lost, Answer::Broken);
    tenant.report(&lost_too, Answer::Broken);
    assert_eq!(tenant.stand(lost.message(), endpoint), (Stand::Cancelled, 1));
    assert_eq!(tenant.stand(received, endpoint).0, Stand::Delivered);
    let cancelled = tenant.count("delivery_1 WHERE state = 3 AND next_at IS NULL");
    assert_eq!(cancelled, 1);
}

#[test]
fn a_late_success_wins() {
    let (mut tenant, endpoint, lost) = handed_out(&[5, 5]);
    let again = next(&mut tenant);
    tenant.report(&lost, Answer::Ok);
    assert_eq!(tenant.stand(lost.message(), endpoint).0, Stand::Delivered);
    tenant.report(&again, Answer::Broken);
    assert_eq!(tenant.stand(lost.message(), endpoint).0, Stand::Delivered);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    assert_eq!(
        tenant.count("due"),
        0,
        "what is settled is not kept among what is due"
    );
}

#[test]
fn a_success_wins_even_after_the_plan_was_used_up() {
    let (mut tenant, endpoint, first) = handed_out(&[5]);
    let second = next(&mut tenant); // the first one's lease was lost
    tenant.report(&second, Answer::Broken);
    let third = next(&mut tenant);
    tenant.report(&third, Answer::Broken);
    assert_eq!(tenant.stand(first.message(), endpoint), (Stand::Failed, 2));
    tenant.report(&first, Answer::Ok);
    assert_eq!(tenant.stand(first.message(), endpoint).0, Stand::Delivered);
}

#[test]
fn a_result_with_a_forged_message_id_is_ignored() {
    let (mut tenant, endpoint, out) = handed_out(&[5]);
    let mut forged = out.clone();
    forged.handout.message.0.random[6] ^= 1;
    tenant.report(&forged, Answer::Ok);
    assert_eq!(tenant.stand(out.message(), endpoint), (Stand::Open, 0));
    let unknown = Out {
        endpoint: 77,
        ..out.clone()
    };
    tenant.report(&unknown, Answer::Ok);
    assert_eq!(tenant.count("delivery_1"), 0);
}

#[test]
fn disabling_cancels_what_is_owed_and_it_stays_cancelled() {
    let (mut tenant, endpoint, waiting) = handed_out(&[5, 5]);
    tenant.report(&waiting, Answer::Broken);
    let pending = tenant.publish();
    tenant.disable(endpoint, true);
    assert!(tenant.outs().is_empty(), "what waits to leave does not leave");
    let meanwhile = tenant.publish();
    tenant.pass(1000);
    tenant.disable(endpoint, false);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    assert_eq!(tenant.stand(waiting.message(), endpoint).0, Stand::Cancelled);
    assert_eq!(tenant.stand(pending, endpoint).0, Stand::Cancelled);
    assert!(
        tenant.attempts(meanwhile).is_empty(),
        "what came meanwhile is not owed"
    );
    assert_eq!(tenant.count("due"), 0);
    let after = tenant.publish();
    let out = tenant.out();
    assert_eq!(out.message(), after);
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(after, endpoint).0, Stand::Delivered);
}

#[test]
fn disabling_cancels_a_whole_line() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1}));
    for _ in 0..50 {
        tenant.publish();
    }
    tenant.pass(3000);
    let out = tenant.outs();
    assert!(!out.is_empty());
    tenant.disable(endpoint, true);
    tenant.pass(100);
    tenant.disable(endpoint, false);
    assert!(tenant.pass_until_out(600_000).is_empty());
    let after = tenant.publish();
    let outs = tenant.pass_until_out(5000);
    assert_eq!(outs[0].message(), after);
}

#[test]
fn deleting_an_endpoint_cancels_what_is_owed() {
    let (mut tenant, endpoint, out) = handed_out(&[5, 5]);
    tenant.report(&out, Answer::Broken);
    let pending = tenant.publish();
    tenant.delete(endpoint);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
    assert_eq!(tenant.stand(out.message(), endpoint).0, Stand::Cancelled);
    assert_eq!(tenant.stand(pending, endpoint).0, Stand::Cancelled);
    assert_eq!(tenant.count("due"), 0);
    assert_eq!(tenant.count("backlog"), 0);
}

#[test]
fn a_result_for_a_cancelled_delivery_is_recorded_and_only_success_changes_it() {
    let (mut tenant, endpoint, a) = handed_out(&[5, 5]);
    tenant.publish();
    let b = tenant.out();
    tenant.disable(endpoint, true);
    tenant.report(&a, Answer::Broken);
    tenant.report(&b, Answer::Ok);
    assert_eq!(tenant.stand(a.message(), endpoint).0, Stand::Cancelled);
    assert_eq!(tenant.attempts(a.message()).len(), 1);
    assert_eq!(tenant.stand(b.message(), endpoint).0, Stand::Delivered);
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
}

#[test]
fn a_response_is_kept_to_a_kilobyte_on_success_and_sixteen_on_failure() {
    use postern_domain::wire::call::{AttemptFilter, AttemptsOfMessage, Caller, PageOf};
    for (answer, kept) in [(Answer::Ok, 1024), (Answer::Broken, 16 * 1024)] {
        let (mut tenant, _, out) = handed_out(&[5]);
        tenant.report_with(&out, answer, &vec![b'x'; 40_000]);
        let page = PageOf {
            limit: 10,
            iterator: None,
            ascending: false,
        };
        let call = AttemptsOfMessage {
            message: out.message().to_string(),
            page,
            filter: AttemptFilter::default(),
        };
        let (_, bodies) = tenant
            .call_as(Caller::Organisation(tenant.organisation), call, &[])
            .unwrap();
        assert_eq!(bodies[0].len(), kept);
    }
}

#[test]
fn an_alarm_with_nothing_due_writes_nothing() {
    let (mut tenant, _, out) = handed_out(&[5]);
    tenant.report(&out, Answer::Ok);
    tenant.pass(200_000);
    let writes = tenant.storage.writes();
    tenant.ring();
    assert!(
        tenant.storage.writes() - writes <= 1,
        "at most the alarm itself is set"
    );
}
