//! Taking messages.

use postern_domain::problem::Code;
use postern_domain::wire::call::{Accept, Caller, EndpointDelete, MessageGet, SourceDelete};
use postern_domain::wire::signing::SigningChange;
use postern_tests::tenant::{Answer, Stand, Tenant, code, idempotency};
use serde_json::json;

fn from_source(tenant: &mut Tenant, source: u16, event_id: &str) -> Accept {
    let call = tenant.publish_call("charge.succeeded");
    Accept {
        source: Some(source),
        event_id: Some(event_id.to_owned()),
        ..call
    }
}

#[test]
fn a_message_that_was_taken_is_stored_with_its_body() {
    let mut tenant = Tenant::new();
    let call = Accept {
        channels: Some(vec!["eu".to_owned()]),
        ..tenant.publish_call("invoice.paid")
    };
    let accepted = tenant.accept(call, b"\x00raw\xff").unwrap();
    assert!(!accepted.duplicate);
    let get = MessageGet {
        message: accepted.message.id.to_string(),
    };
    let (view, bodies) = tenant
        .call_as(Caller::Organisation(tenant.organisation), get, &[])
        .unwrap();
    assert_eq!(view, accepted.message);
    assert_eq!(view.timestamp, tenant.now);
    assert_eq!(view.channels, Some(vec!["eu".to_owned()]));
    assert_eq!(bodies, [b"\x00raw\xff".to_vec()]);
}

#[test]
fn a_second_message_with_the_same_event_id_is_a_conflict() {
    let mut tenant = Tenant::new();
    let call = Accept {
        event_id: Some("paid-1".to_owned()),
        ..tenant.publish_call("invoice.paid")
    };
    let first = tenant.accept(call.clone(), b"1").unwrap();
    let again = Accept { nonce: 99, ..call };
    assert_eq!(code(tenant.accept(again, b"2")), Code::Conflict);
    assert_eq!(tenant.count("message_1"), 1);
    let found = tenant
        .call(MessageGet {
            message: "paid-1".to_owned(),
        })
        .unwrap();
    assert_eq!(
        found.id, first.message.id,
        "the event id is a name of the message"
    );
}

#[test]
fn a_webhook_that_the_provider_repeats_is_answered_with_the_first_message() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    tenant.endpoint();
    let call = from_source(&mut tenant, source, "evt_1");
    let first = tenant.call_as(Caller::Ingest, call, &[b"1".to_vec()]).unwrap().0;
    tenant.pass(5000);
    let call = from_source(&mut tenant, source, "evt_1");
    let second = tenant.call_as(Caller::Ingest, call, &[b"1".to_vec()]).unwrap().0;
    assert!(second.duplicate && !first.duplicate);
    assert_eq!(second.message, first.message);
    assert_eq!(tenant.outs().len(), 1, "it is sent once");
}

#[test]
fn the_same_provider_id_at_two_sources_is_two_messages() {
    let mut tenant = Tenant::new();
    let (a, b) = (tenant.source(), tenant.source());
    let call = from_source(&mut tenant, a, "evt_1");
    let first = tenant.accept(call, b"1").unwrap();
    let call = from_source(&mut tenant, b, "evt_1");
    let second = tenant.accept(call, b"1").unwrap();
    assert!(!second.duplicate);
    assert_ne!(first.message.id, second.message.id);
}

#[test]
fn a_source_that_was_deleted_takes_nothing() {
    let mut tenant = Tenant::new();
    let source = tenant.source();
    let page = postern_domain::wire::call::PageOf {
        limit: 1,
        iterator: None,
        ascending: true,
    };
    let id = tenant
        .call(postern_domain::wire::call::SourceList { page })
        .unwrap()
        .data[0]
        .id;
    tenant
        .call(SourceDelete {
            source: id.to_string(),
        })
        .unwrap();
    let call = from_source(&mut tenant, source, "evt_1");
    assert_eq!(code(tenant.accept(call, b"1")), Code::NotFound);
    assert_eq!(tenant.count("message_1"), 0);
}

#[test]
fn an_idempotency_key_repeats_the_answer_and_makes_no_second_message() {
    let mut tenant = Tenant::new();
    let call = tenant.publish_call("invoice.paid");
    let call = Accept {
        idempotency: Some(idempotency("a", "body")),
        ..call
    };
    let first = tenant.accept(call.clone(), b"1").unwrap();
    let second = tenant.accept(Accept { nonce: 77, ..call }, b"1").unwrap();
    assert!(second.duplicate);
    assert_eq!(second.message, first.message);
    assert_eq!(tenant.count("message_1"), 1);
}

#[test]
fn an_idempotency_key_with_another_body_is_refused() {
    let mut tenant = Tenant::new();
    let call = tenant.publish_call("invoice.paid");
    tenant
        .accept(
            Accept {
                idempotency: Some(idempotency("a", "body")),
                ..call.clone()
            },
            b"1",
        )
        .unwrap();
    let other = Accept {
        nonce: 77,
        idempotency: Some(idempotency("a", "other")),
        ..call
    };
    assert_eq!(code(tenant.accept(other, b"2")), Code::IdempotencyKeyReused);
    assert_eq!(tenant.count("message_1"), 1);
}

#[test]
fn a_repeat_after_a_lost_answer_finds_the_message_of_the_first_try() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let call = tenant.publish_call("invoice.paid");
    let first = tenant.accept(call.clone(), b"1").unwrap();
    for _ in 0..3 {
        tenant.publish();
    }
    tenant.pass(20_000);
    let again = tenant.accept(Accept { repeat: true, ..call }, b"1").unwrap();
    assert_eq!(again.message.id, first.message.id);
    assert_eq!(tenant.count("message_1"), 4);
}

#[test]
fn a_repeat_whose_first_try_never_arrived_makes_the_message_and_the_next_repeat_finds_it() {
    let mut tenant = Tenant::new();
    let call = Accept {
        repeat: true,
        ..tenant.publish_call("invoice.paid")
    };
    tenant.pass(10 * 60_000); // it waited in the overflow
    let first = tenant.accept(call.clone(), b"1").unwrap();
    tenant.pass(10 * 60_000);
    let second = tenant.accept(call, b"1").unwrap();
    assert_eq!(second.message.id, first.message.id);
    assert_eq!(tenant.count("message_1"), 1);
}

#[test]
fn two_repeats_whose_first_tries_never_arrived_are_two_messages() {
    let mut tenant = Tenant::new();
    let calls = [(); 2].map(|()| Accept {
        repeat: true,
        ..tenant.publish_call("invoice.paid")
    });
    tenant.pass(10 * 60_000);
    let [first, second] = calls.map(|call| tenant.accept(call, b"1").unwrap().message.id);
    assert_ne!(first, second);
    assert_eq!(tenant.count("message_1"), 2);
}

#[test]
fn a_repeat_finds_its_nonce_across_segments() {
    let settings = postern_ledger::Settings {
        retention_ms: 8 * 10_000,
        ..postern_ledger::Settings::default()
    };
    let mut tenant = Tenant::with(settings, postern_domain::wire::call::TenantSettings::default());
    let call = tenant.publish_call("invoice.paid");
    let first = tenant.accept(call.clone(), b"1").unwrap();
    tenant.pass(11_000);
    tenant.publish();
    tenant.pass(11_000);
    tenant.publish();
    assert!(tenant.count("segment") >= 3);
    let again = tenant.accept(Accept { repeat: true, ..call }, b"1").unwrap();
    assert_eq!(again.message.id, first.message.id);
}

#[test]
fn a_first_try_that_was_on_its_way_longer_than_thirty_seconds_is_refused() {
    let mut tenant = Tenant::new();
    let call = tenant.publish_call("invoice.paid");
    tenant.pass(30_000);
    tenant.accept(call, b"1").unwrap();
    let call = tenant.publish_call("invoice.paid");
    tenant.pass(30_001);
    assert_eq!(code(tenant.accept(call, b"2")), Code::Overloaded);
    assert_eq!(tenant.count("message_1"), 1);
}

#[test]
fn a_message_goes_to_the_endpoints_that_want_it_when_it_is_taken() {
    let mut tenant = Tenant::new();
    let all = tenant.endpoint();
    let invoices = tenant.endpoint_with(json!({"eventTypes": ["invoice.*"]}));
    let orders = tenant.endpoint_with(json!({"eventTypes": ["order.made"]}));
    let eu = tenant.endpoint_with(json!({"channels": ["eu"]}));
    tenant.endpoint_with(json!({"disabled": true}));
    let message = tenant.publish();
    tenant.endpoint(); // made afterwards
    let to: Vec<u32> = tenant.outs().iter().map(|out| out.endpoint).collect();
    assert_eq!(to, [all, invoices]);
    let call = Accept {
        channels: Some(vec!["eu".to_owned()]),
        ..tenant.publish_call("order.made")
    };
    tenant.accept(call, b"{}").unwrap();
    let to: Vec<u32> = tenant
        .outs()
        .iter()
        .map(|out| out.endpoint)
        .filter(|to| *to <= eu)
        .collect();
    assert_eq!(to, [all, orders, eu]);
    assert_eq!(tenant.stand(message, all).0, Stand::Open);
}

#[test]
fn a_message_that_passed_three_gateways_is_stored_and_goes_nowhere() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let call = Accept {
        hop: 3,
        ..tenant.publish_call("invoice.paid")
    };
    let accepted = tenant.accept(call, b"1").unwrap();
    assert!(accepted.message.not_sent.is_some());
    assert!(tenant.message(accepted.message.id).unwrap().not_sent.is_some());
    assert!(tenant.outs().is_empty());
    tenant.pass(300_000);
    assert!(tenant.outs().is_empty());
}

#[test]
fn an_accept_that_fails_in_the_storage_leaves_nothing_behind_wherever_it_fails() {
    let mut went_well = false;
    for at in 0..60 {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint();
        tenant.endpoint_with(json!({"throttleRate": 1}));
        let call = Accept {
            event_id: Some("paid-1".to_owned()),
            ..tenant.publish_call("invoice.paid")
        };
        tenant.evict();
        tenant.storage.fail_in(Some(at));
        let answer = tenant.accept(call.clone(), b"1");
        went_well = tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        match answer {
            Ok(accepted) => assert_eq!(tenant.message(accepted.message.id).unwrap(), accepted.message),
            Err(problem) => {
                assert_eq!(problem.code, Code::Internal);
                assert_eq!(
                    (
                        tenant.count("message_1"),
                        tenant.count("key_1"),
                        tenant.count("backlog")
                    ),
                    (0, 0, 0)
                );
                assert!(tenant.outs().is_empty(), "what does not stand is not sent");
                let message = tenant.accept(call, b"1").unwrap().message.id;
                let out = tenant
                    .outs()
                    .into_iter()
                    .find(|out| out.endpoint == endpoint)
                    .unwrap();
                tenant.report(&out, Answer::Ok);
                assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 1));
            }
        }
    }
    assert!(went_well, "the last tries reach the end");
}

#[test]
fn an_endpoint_is_made_once_for_an_idempotency_key() {
    use postern_domain::wire::call::EndpointCreate;
    let mut tenant = Tenant::new();
    let config = postern_tests::tenant::endpoint_config(json!({}));
    let call = EndpointCreate {
        config,
        secret: None,
        signing: SigningChange::default(),
        idempotency: Some(idempotency("a", "body")),
    };
    let first = tenant.call(call.clone()).unwrap();
    let second = tenant.call(call.clone()).unwrap();
    assert_eq!(first, second);
    let other = EndpointCreate {
        idempotency: Some(idempotency("a", "other")),
        ..call.clone()
    };
    assert_eq!(code(tenant.call(other)), Code::IdempotencyKeyReused);
    tenant.pass(postern_domain::time::Millis::DAY + 1);
    let third = tenant.call(call).unwrap();
    assert_ne!(third.id, first.id, "a key is kept for a day");
    tenant
        .call(EndpointDelete {
            endpoint: third.id.to_string(),
        })
        .unwrap();
}
