//! Messages go in whole segments when they are old.

use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, TenantSettings};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, Stand, Tenant, code, idempotency};
use serde_json::json;

const RETENTION: u64 = 8 * Millis::DAY / 4; // two days: a segment is six hours

fn short_lived() -> Tenant {
    Tenant::with(
        Settings {
            retention_ms: RETENTION,
            ..Settings::default()
        },
        TenantSettings::default(),
    )
}

#[test]
fn a_message_is_kept_for_the_retention_and_at_most_an_eighth_longer() {
    let mut tenant = short_lived();
    let message = tenant.publish();
    tenant.pass(RETENTION);
    assert!(tenant.message(message).is_ok());
    tenant.pass(RETENTION / 8 + 120_000);
    assert_eq!(code(tenant.message(message)), Code::NotFound);
    assert_eq!(tenant.stand(message, 1).0, Stand::Gone);
}

#[test]
fn under_traffic_messages_go_in_whole_segments_and_the_newer_stay() {
    let mut tenant = short_lived();
    let mut messages = Vec::new();
    for _ in 0..100 {
        messages.push((tenant.now, tenant.publish()));
        tenant.pass(3_600_000);
    }
    for (time, message) in messages {
        let age = tenant.now.since(time);
        let there = tenant.message(message).is_ok();
        assert!(there || age >= RETENTION, "gone after {age}");
        assert!(
            !there || age <= RETENTION + RETENTION / 8 + 3_600_000,
            "there after {age}"
        );
    }
    assert!(tenant.count("segment") <= 10);
    assert_eq!(
        tenant.count("sqlite_master WHERE name LIKE 'message_%'"),
        tenant.count("segment")
    );
}

#[test]
fn a_ledger_at_rest_is_emptied_without_any_call() {
    let mut tenant = short_lived();
    let messages: Vec<_> = (0..5).map(|_| tenant.publish()).collect();
    tenant.pass(2 * RETENTION);
    for message in messages {
        assert_eq!(tenant.stand(message, 1).0, Stand::Gone);
    }
}

#[test]
fn a_sequence_number_is_never_used_twice() {
    let mut tenant = short_lived();
    let first = tenant.publish();
    tenant.pass(2 * RETENTION);
    assert_eq!(code(tenant.message(first)), Code::NotFound);
    tenant.evict();
    let second = tenant.publish();
    assert_eq!(second.0.sequence, first.0.sequence + 1);
    tenant.pass(2 * RETENTION);
    tenant.evict();
    assert_eq!(tenant.publish().0.sequence, first.0.sequence + 2);
}

#[test]
fn nothing_is_handed_out_from_a_segment_that_is_going_and_a_result_for_it_is_acknowledged() {
    let mut tenant = short_lived();
    let plan: Vec<u32> = vec![36_000; 20];
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": plan}));
    let message = tenant.publish();
    let mut last = tenant.out();
    tenant.report(&last, Answer::Broken);
    loop {
        let outs = tenant.pass_until_out(RETENTION);
        let Some(out) = outs.into_iter().next() else { break };
        tenant.report(&out, Answer::Broken);
        last = out;
    }
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Gone);
    tenant.report(&last, Answer::Ok);
    tenant.pass(RETENTION);
    assert_eq!(tenant.count("due"), 0, "what was due of it is gone");
}

#[test]
fn a_result_that_comes_while_the_segment_is_going_is_recorded() {
    let mut tenant = short_lived();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [100_000]}));
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Broken);
    while tenant.count("segment WHERE closed_at IS NOT NULL") == 0 {
        let at = tenant.storage.native().alarm().unwrap();
        tenant.now = tenant.now.max(at);
        tenant.ring();
        tenant.outs();
    }
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
}

#[test]
fn keys_live_on_and_a_duplicate_is_answered_after_its_message_is_gone() {
    let mut tenant = short_lived();
    let source = tenant.source();
    let event = |tenant: &mut Tenant| {
        let call = tenant.publish_call("charge.succeeded");
        Accept {
            source: Some(source),
            event_id: Some("evt_1".to_owned()),
            ..call
        }
    };
    let call = event(&mut tenant);
    let first = tenant.accept(call, b"1").unwrap();
    let call = Accept {
        event_id: Some("paid-1".to_owned()),
        ..tenant.publish_call("invoice.paid")
    };
    tenant.accept(call, b"1").unwrap();
    let call = Accept {
        idempotency: Some(idempotency("a", "b")),
        ..tenant.publish_call("invoice.paid")
    };
    let keyed = tenant.accept(call, b"1").unwrap();
    tenant.pass(3 * Millis::DAY);
    tenant.publish();
    assert_eq!(code(tenant.message(first.message.id)), Code::NotFound);
    let call = event(&mut tenant);
    let again = tenant.accept(call, b"1").unwrap();
    assert!(again.duplicate);
    assert_eq!(again.message.id, first.message.id);
    let call = Accept {
        event_id: Some("paid-1".to_owned()),
        ..tenant.publish_call("invoice.paid")
    };
    assert_eq!(code(tenant.accept(call, b"1")), Code::Conflict);
    let call = Accept {
        idempotency: Some(idempotency("a", "b")),
        ..tenant.publish_call("invoice.paid")
    };
    assert_eq!(tenant.accept(call, b"1").unwrap().message.id, keyed.message.id);
    for _ in 0..10 {
        tenant.pass(Millis::DAY);
        tenant.publish();
    }
    let call = event(&mut tenant);
    let later = tenant.accept(call, b"1").unwrap();
    assert!(!later.duplicate, "and end some time after eight days");
    assert!(tenant.count("key_generation") <= 10);
}

#[test]
fn a_deleted_endpoint_is_a_tombstone_until_its_last_message_is_gone() {
    let mut tenant = short_lived();
    let endpoint = tenant.endpoint();
    tenant.publish();
    tenant.delete(endpoint);
    assert_eq!(tenant.count("endpoint"), 1);
    tenant.pass(2 * RETENTION);
    assert_eq!(tenant.count("endpoint"), 0);
    let next = tenant.endpoint();
    assert_eq!(next, endpoint + 1, "its number is never used again");
}
