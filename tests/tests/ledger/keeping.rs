//! How long a tenant keeps its messages, and a message its payload.

use postern_domain::id::MessageId;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::{Accept, Bodies, Caller, Configure, MessageGet, TenantSettings};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, Stand, Tenant, code};
use serde_json::json;

const HOUR: u64 = 3_600_000;

fn keeping(days: Option<u16>) -> TenantSettings {
    TenantSettings {
        retention_days: days,
        ..TenantSettings::default()
    }
}

fn kept_for(days: Option<u16>) -> Tenant {
    Tenant::with(Settings::default(), keeping(days))
}

fn publish_for(tenant: &mut Tenant, hours: u16) -> MessageId {
    let call = Accept {
        payload_hours: Some(hours),
        ..tenant.publish_call("invoice.paid")
    };
    tenant.accept(call, b"{\"paid\":true}").unwrap().message.id
}

fn read(tenant: &mut Tenant, message: MessageId) -> (MessageView, Vec<u8>) {
    let call = MessageGet {
        message: message.to_string(),
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (view, bodies) = tenant.call_as(caller, call, &[]).unwrap();
    (view, bodies.into_iter().next().unwrap())
}

#[test]
fn a_tenant_keeps_its_messages_as_long_as_it_chose_whatever_the_deployment_says() {
    for (days, kept) in [(Some(1), 1), (Some(90), 90), (None, 30)] {
        let mut tenant = kept_for(days);
        let message = tenant.publish();
        tenant.pass(kept * Millis::DAY);
        assert!(tenant.message(message).is_ok(), "{days:?}");
        tenant.pass(kept * Millis::DAY / 8 + 120_000);
        assert_eq!(code(tenant.message(message)), Code::NotFound, "{days:?}");
    }
}

#[test]
fn a_shorter_retention_counts_at_once_for_what_is_stored() {
    let mut tenant = kept_for(None);
    let message = tenant.publish();
    tenant.pass(5 * Millis::DAY);
    let settings = keeping(Some(2));
    tenant.call(Configure { settings }).unwrap();
    tenant.pass(5 * 60_000);
    assert_eq!(code(tenant.message(message)), Code::NotFound);
}

#[test]
fn a_longer_retention_keeps_what_is_stored() {
    let mut tenant = kept_for(Some(1));
    let message = tenant.publish();
    let settings = keeping(Some(10));
    tenant.call(Configure { settings }).unwrap();
    tenant.pass(9 * Millis::DAY);
    assert!(tenant.message(message).is_ok());
}

#[test]
fn a_change_of_another_setting_wakes_nobody() {
    let mut tenant = kept_for(Some(1));
    let before = tenant.storage.native().alarm();
    let settings = TenantSettings {
        throttle_rate: Some(5),
        ..keeping(Some(1))
    };
    tenant.call(Configure { settings }).unwrap();
    assert_eq!(tenant.storage.native().alarm(), before);
}

#[test]
fn a_tenants_retention_outlives_an_eviction() {
    let mut tenant = kept_for(Some(1));
    let message = tenant.publish();
    tenant.evict();
    tenant.pass(Millis::DAY + Millis::DAY / 8 + 120_000);
    assert_eq!(code(tenant.message(message)), Code::NotFound);
}

#[test]
fn a_payload_goes_when_its_time_is_over_and_the_message_stays() {
    let mut tenant = kept_for(None);
    let short = publish_for(&mut tenant, 5 * 24);
    let long = tenant.publish();
    tenant.pass(5 * Millis::DAY - 1);
    assert_eq!(read(&mut tenant, short).1, b"{\"paid\":true}");
    tenant.pass(HOUR + 1);
    let (view, body) = read(&mut tenant, short);
    assert_eq!((view.id, view.event_type.as_str()), (short, "invoice.paid"));
    assert_eq!(
        (view.content_type.as_str(), body.as_slice()),
        ("", b"".as_slice())
    );
    assert_eq!(read(&mut tenant, long).1, b"{\"paid\":true}");
    assert_eq!(tenant.count("payload_end"), 0);
}

#[test]
fn a_payload_goes_after_an_eviction_too_and_many_go_in_slices() {
    let mut tenant = kept_for(None);
    let messages: Vec<_> = (0..600).map(|_| publish_for(&mut tenant, 1)).collect();
    tenant.evict();
    tenant.pass(2 * HOUR);
    for message in messages {
        assert_eq!(read(&mut tenant, message).1, b"");
    }
}

#[test]
fn what_waits_for_a_retry_when_its_payload_goes_is_cancelled_and_what_was_delivered_stays_so() {
    let mut tenant = kept_for(None);
    let waiting = tenant.endpoint_with(json!({"retrySchedule": [86_400]}));
    let message = publish_for(&mut tenant, 1);
    let delivered = publish_for(&mut tenant, 1);
    for out in tenant.outs() {
        let answer = if out.message() == message {
            Answer::Broken
        } else {
            Answer::Ok
        };
        tenant.report(&out, answer);
    }
    tenant.pass(2 * HOUR);
    assert_eq!(tenant.stand(message, waiting), (Stand::Cancelled, 1));
    assert_eq!(tenant.stand(delivered, waiting), (Stand::Delivered, 1));
    assert!(tenant.pass_until_out(3 * Millis::DAY).is_empty());
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn a_delivery_that_never_had_a_turn_ends_with_the_payload() {
    let mut tenant = kept_for(None);
    let endpoint = tenant.endpoint();
    let message = publish_for(&mut tenant, 1);
    for _ in 0..200 {
        // Every hand-out is lost.
        tenant.pass(60_000);
        tenant.outs();
    }
    assert_eq!(tenant.stand(message, endpoint), (Stand::Cancelled, 0));
    assert!(tenant.pass_until_out(Millis::DAY).is_empty());
}

#[test]
fn a_late_success_of_a_message_without_its_payload_still_counts() {
    let mut tenant = kept_for(None);
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [3_600]}));
    let message = publish_for(&mut tenant, 1);
    let first = tenant.out();
    tenant.report(&first, Answer::Broken);
    tenant.pass(2 * HOUR);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Cancelled);
    tenant.report(&first, Answer::Ok);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
}

#[test]
fn a_consumer_gets_no_body_of_a_payload_that_is_gone() {
    let mut tenant = kept_for(None);
    let message = publish_for(&mut tenant, 1);
    tenant.pass(2 * HOUR);
    let call = Bodies {
        messages: vec![message],
    };
    let (found, bodies) = tenant.call_as(Caller::System, call, &[]).unwrap();
    assert!(found.messages.is_empty() && bodies.is_empty());
}

#[test]
fn a_message_that_goes_before_its_payload_leaves_no_row() {
    let mut tenant = kept_for(Some(1));
    publish_for(&mut tenant, 48);
    tenant.pass(3 * Millis::DAY);
    assert_eq!(tenant.count("payload_end"), 0);
}
