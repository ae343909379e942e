//! What lies between a publish and what is owed: filters, what a message was not sent to, batches, a later time.

use std::collections::BTreeSet;

use postern_domain::id::MessageId;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::{Accept, Caller, EndpointChange, MessageFilter, MessageList, PageOf};
use postern_domain::wire::publish::{AcceptBatch, BatchAccepted, NewMessage, SkipReason};
use postern_ledger::Settings;
use postern_ledger::sql::Sql;
use postern_tests::tenant::{Answer, Stand, Tenant, code, endpoint_config, idempotency};
use serde_json::json;

const HOUR: u64 = 3_600_000;

fn new_message(event_id: Option<&str>) -> NewMessage {
    NewMessage {
        event_type: "invoice.paid".to_owned(),
        event_id: event_id.map(str::to_owned),
        channels: None,
        tags: None,
        content_type: "application/json".to_owned(),
        deliver_at: None,
        payload_hours: None,
    }
}

fn batch_of(tenant: &mut Tenant, messages: Vec<NewMessage>) -> AcceptBatch {
    let Accept { nonce, sent_at, .. } = tenant.publish_call("");
    AcceptBatch {
        nonce,
        sent_at,
        repeat: false,
        hop: 0,
        idempotency: None,
        alone: false,
        messages,
    }
}

fn accept_batch(
    tenant: &mut Tenant,
    call: AcceptBatch,
) -> Result<BatchAccepted, postern_domain::problem::Problem> {
    let bodies: Vec<Vec<u8>> = (0..call.messages.len())
        .map(|at| format!("{{\"at\":{at}}}").into_bytes())
        .collect();
    tenant
        .call_as(Caller::Organisation(tenant.organisation), call, &bodies)
        .map(|(answer, _)| answer)
}

fn numbers(skipped: &MessageView) -> Vec<(u64, SkipReason)> {
    let one =
        |skipped: &postern_domain::wire::publish::Skipped| (skipped.endpoint.0.sequence, skipped.reason);
    skipped.skipped.iter().map(one).collect()
}

/// A message whose deliveries leave later.
fn publish_at(tenant: &mut Tenant, at: Millis) -> MessageView {
    let message = NewMessage {
        deliver_at: Some(at),
        ..new_message(None)
    };
    let call = batch_of(tenant, vec![message]);
    accept_batch(tenant, call).unwrap().messages.remove(0)
}

#[test]
fn a_filter_decides_by_what_is_in_the_body_and_in_the_kept_headers() {
    let mut tenant = Tenant::new();
    let large = tenant.endpoint_with(json!({"filter": {"body": {"data": {"amount": {"$gte": 100}}}}}));
    let pushed = tenant.endpoint_with(json!({"filter": {"headers": {"x-github-event": "push"}}}));
    let call = tenant.publish_call("invoice.paid");
    tenant.accept(call, br#"{"data": {"amount": 100}}"#).unwrap();
    assert_eq!(tenant.out().endpoint, large);
    let source = tenant.source();
    let call = Accept {
        source: Some(source),
        headers: [("x-github-event".to_owned(), "push".to_owned())].into(),
        ..tenant.publish_call("push")
    };
    tenant.accept(call, br#"{"data": {"amount": 99}}"#).unwrap();
    assert_eq!(tenant.out().endpoint, pushed);
}

#[test]
fn a_body_that_is_no_json_object_reaches_only_filters_that_do_not_ask_for_its_fields() {
    let mut tenant = Tenant::new();
    let absent = tenant.endpoint_with(json!({"filter": {"body": {"a": {"$exists": false}}}}));
    tenant.endpoint_with(json!({"filter": {"body": {"a": {"$ne": 1}}}}));
    let other = tenant.endpoint_with(json!({"filter": {"headers": {"x": {"$exists": false}}}}));
    for body in [&b"\xff\x00"[..], b"[1]", b"", b"{\"a\":", b"7"] {
        let call = tenant.publish_call("a.b");
        tenant.accept(call, body).unwrap();
        let outs = tenant.outs();
        let mut endpoints: Vec<u32> = outs.iter().map(|out| out.endpoint).collect();
        endpoints.sort_unstable();
        assert_eq!(endpoints, [absent, other], "{body:?}");
        for out in &outs {
            tenant.report(out, Answer::Ok);
        }
    }
}

#[test]
fn a_filter_is_changed_and_cleared_and_holds_after_an_eviction() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"filter": {"body": {"paid": false}}}));
    tenant.publish();
    tenant.evict();
    tenant.publish();
    assert!(tenant.outs().is_empty());
    let filter = endpoint_config(json!({"filter": {"body": {"paid": true}}})).filter;
    tenant.patch(
        endpoint,
        EndpointChange {
            filter: Some(filter),
            ..EndpointChange::default()
        },
    );
    tenant.publish();
    assert_eq!(tenant.outs().len(), 1);
    tenant.patch(
        endpoint,
        EndpointChange {
            filter: Some(None),
            ..EndpointChange::default()
        },
    );
    let call = tenant.publish_call("a.b");
    tenant.accept(call, b"no json").unwrap();
    assert_eq!(tenant.outs().len(), 1);
}

#[test]
fn a_message_says_which_endpoints_it_did_not_go_to_and_why() {
    let mut tenant = Tenant::new();
    let wants = tenant.endpoint();
    let by_type = tenant.endpoint_with(json!({"eventTypes": ["order.*"]}));
    let by_channel = tenant.endpoint_with(json!({"channels": ["eu"]}));
    let by_filter = tenant.endpoint_with(json!({"filter": {"body": {"paid": false}}}));
    let disabled = tenant.endpoint_with(json!({"disabled": true, "eventTypes": ["order.*"]}));
    let gone = tenant.endpoint();
    tenant.delete(gone);
    let message = tenant.publish();
    let view = tenant.message(message).unwrap();
    let expected = [
        (disabled, SkipReason::Disabled),
        (by_type, SkipReason::Type),
        (by_channel, SkipReason::Channel),
        (by_filter, SkipReason::Filter),
    ];
    assert_eq!(
        numbers(&view),
        expected.map(|(number, reason)| (u64::from(number), reason))
    );
    assert_eq!((view.skipped_more, view.not_sent.clone()), (0, None));
    assert_eq!(tenant.out().endpoint, wants);

    tenant.delete(by_type);
    tenant.evict();
    assert_eq!(
        tenant.message(message).unwrap(),
        view,
        "a deleted endpoint is still named"
    );
}

#[test]
fn a_message_that_went_nowhere_says_so_in_a_sentence_and_lists_stay_short() {
    let mut tenant = Tenant::new();
    let alone = tenant.publish();
    let told = tenant.message(alone).unwrap().not_sent.unwrap();
    assert!(told.contains("no endpoint"), "{told}");
    tenant.endpoint_with(json!({"eventTypes": ["order.made"]}));
    tenant.endpoint_with(json!({"eventTypes": ["order.made"]}));
    tenant.endpoint_with(json!({"disabled": true}));
    let message = tenant.publish();
    let told = tenant.message(message).unwrap().not_sent.unwrap();
    assert_eq!(told, "it went to no endpoint: 1 disabled, 2 by event type");
    let list = MessageList {
        page: PageOf {
            limit: 10,
            iterator: None,
            ascending: false,
        },
        filter: MessageFilter::default(),
        with_content: false,
    };
    let listed = tenant.call(list).unwrap().data.remove(0);
    assert_eq!(listed.not_sent.as_deref(), Some(told.as_str()));
    assert_eq!(listed.skipped, []);
}

#[test]
fn of_many_endpoints_fifty_are_listed_and_the_others_counted() {
    let mut tenant = Tenant::new();
    for _ in 0..60 {
        tenant.endpoint_with(json!({"eventTypes": ["order.made"]}));
    }
    let message = tenant.publish();
    let view = tenant.message(message).unwrap();
    assert_eq!((view.skipped.len(), view.skipped_more), (50, 10));
    assert!(view.not_sent.unwrap().ends_with("50 by event type, and 10 more"));
}

#[test]
fn what_the_hop_limit_stops_names_the_endpoints_too() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    let call = Accept {
        hop: 3,
        ..tenant.publish_call("a.b")
    };
    let message = tenant.accept(call, b"{}").unwrap().message;
    assert_eq!(numbers(&message), [(u64::from(endpoint), SkipReason::Hop)]);
    assert!(message.not_sent.unwrap().contains("3 gateways"));
}

#[test]
fn a_sentence_that_the_release_before_wrote_is_still_told() {
    let mut tenant = Tenant::new();
    let message = tenant.publish();
    tenant
        .storage
        .run(
            "UPDATE message_1 SET not_sent = 'it passed 3 gateways already'",
            &[],
        )
        .unwrap();
    let view = tenant.message(message).unwrap();
    assert_eq!(view.not_sent.as_deref(), Some("it passed 3 gateways already"));
}

#[test]
fn a_batch_is_taken_whole_with_consecutive_ids_and_leaves_in_one_lane() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    tenant.prove();
    let call = batch_of(&mut tenant, (0..100).map(|_| new_message(None)).collect());
    let accepted = accept_batch(&mut tenant, call).unwrap();
    let sequences: Vec<u64> = accepted.messages.iter().map(|view| view.id.0.sequence).collect();
    assert_eq!(sequences, (2..=101).collect::<Vec<u64>>());
    let random: BTreeSet<[u8; 7]> = accepted.messages.iter().map(|view| view.id.0.random).collect();
    assert_eq!(random.len(), 100, "of no id another can be guessed");
    let lanes = tenant.lanes();
    assert_eq!(lanes.len(), 4, "32 at the most in each");
    let sent: usize = lanes.iter().map(|(lane, _, _)| lane.deliveries.len()).sum();
    assert_eq!(sent, 100);
    for view in &accepted.messages {
        assert_eq!(tenant.message(view.id).unwrap(), *view);
        assert_eq!(tenant.stand(view.id, endpoint).0, Stand::Open);
    }
    assert_eq!(
        tenant.count("delivery_1"),
        1, // of the message that proved the endpoint
        "what goes at once costs one row a message"
    );
}

#[test]
fn a_batch_that_is_empty_too_long_or_without_its_bodies_is_refused() {
    let mut tenant = Tenant::new();
    let empty = batch_of(&mut tenant, Vec::new());
    assert_eq!(code(accept_batch(&mut tenant, empty)), Code::Validation);
    let long = batch_of(&mut tenant, (0..101).map(|_| new_message(None)).collect());
    assert_eq!(code(accept_batch(&mut tenant, long)), Code::Validation);
    let call = batch_of(&mut tenant, vec![new_message(None), new_message(None)]);
    let caller = Caller::Organisation(tenant.organisation);
    assert_eq!(
        code(tenant.call_as(caller, call, &[b"{}".to_vec()])),
        Code::Validation
    );
    assert_eq!(tenant.count("message_1"), 0);
}

#[test]
fn an_event_id_that_stands_already_or_twice_refuses_the_whole_batch_and_says_which() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let call = Accept {
        event_id: Some("old".to_owned()),
        ..tenant.publish_call("a.b")
    };
    tenant.accept(call, b"{}").unwrap();
    tenant.outs();
    for (ids, place) in [
        ([Some("a"), None, Some("old")], "messages[2]"),
        ([Some("a"), Some("b"), Some("a")], "messages[2]"),
        ([Some("old"), Some("b"), None], "messages[0]"),
    ] {
        let call = batch_of(&mut tenant, ids.into_iter().map(new_message).collect());
        let refused = accept_batch(&mut tenant, call).unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert!(refused.detail.starts_with(place), "{}", refused.detail);
        assert_eq!((tenant.count("message_1"), tenant.count("key_1")), (1, 1));
        assert!(tenant.outs().is_empty());
    }
    let call = batch_of(&mut tenant, vec![new_message(Some("a")), new_message(Some("b"))]);
    accept_batch(&mut tenant, call).unwrap();
    assert_eq!(tenant.outs().len(), 2, "what was refused took no key");
}

#[test]
fn an_idempotency_key_repeats_the_answers_of_a_batch_even_when_its_messages_are_gone() {
    let settings = Settings {
        retention_ms: 8 * HOUR,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, postern_domain::wire::call::TenantSettings::default());
    let call = AcceptBatch {
        idempotency: Some(idempotency("a", "body")),
        ..batch_of(
            &mut tenant,
            vec![new_message(Some("x")), new_message(None), new_message(None)],
        )
    };
    let first = accept_batch(&mut tenant, call.clone()).unwrap();
    assert!(!first.duplicate);
    let ids =
        |answer: &BatchAccepted| -> Vec<MessageId> { answer.messages.iter().map(|view| view.id).collect() };
    let again = |tenant: &mut Tenant| {
        let call = AcceptBatch {
            nonce: 4711,
            sent_at: tenant.now,
            ..call.clone()
        };
        accept_batch(tenant, call).unwrap()
    };
    let second = again(&mut tenant);
    assert!(second.duplicate);
    assert_eq!(second.messages, first.messages);
    tenant.pass(30 * HOUR);
    assert_eq!(code(tenant.message(ids(&first)[1])), Code::NotFound);
    assert_eq!(ids(&again(&mut tenant)), ids(&first));

    let other = AcceptBatch {
        idempotency: Some(idempotency("a", "other")),
        sent_at: tenant.now,
        ..call
    };
    assert_eq!(code(accept_batch(&mut tenant, other)), Code::IdempotencyKeyReused);
}

#[test]
fn a_batch_whose_answer_was_lost_is_not_stored_twice() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let call = batch_of(&mut tenant, vec![new_message(None), new_message(None)]);
    let first = accept_batch(&mut tenant, call.clone()).unwrap();
    tenant.evict();
    let repeat = AcceptBatch { repeat: true, ..call };
    assert_eq!(
        accept_batch(&mut tenant, repeat).unwrap().messages,
        first.messages
    );
    assert_eq!(tenant.count("message_1"), 2);

    let overtaking = AcceptBatch {
        repeat: true,
        ..batch_of(&mut tenant, vec![new_message(None), new_message(None)])
    };
    let stored = accept_batch(&mut tenant, overtaking.clone()).unwrap();
    let late = AcceptBatch {
        repeat: false,
        ..overtaking
    };
    assert_eq!(accept_batch(&mut tenant, late).unwrap().messages, stored.messages);
    assert_eq!(tenant.count("message_1"), 4);
}

#[test]
fn a_batch_to_a_capped_endpoint_makes_one_line_and_keeps_the_rate() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 2}));
    tenant.pass(60_000);
    let call = batch_of(&mut tenant, (0..5).map(|_| new_message(None)).collect());
    let accepted = accept_batch(&mut tenant, call).unwrap();
    assert_eq!(tenant.count("backlog"), 1);
    let (mut left, begun) = (0, tenant.now);
    while left < 5 {
        let outs = tenant.pass_until_out(10_000);
        assert!(!outs.is_empty(), "{left} of 5 left");
        for out in &outs {
            tenant.report(out, Answer::Ok);
        }
        left += outs.len();
    }
    assert!(tenant.now.since(begun) >= 1500, "five at two a second");
    for view in accepted.messages {
        assert_eq!(tenant.stand(view.id, endpoint).0, Stand::Delivered);
    }
}

#[test]
fn a_message_for_later_is_stored_at_once_and_leaves_at_its_time() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    let at = tenant.now.plus(HOUR);
    let view = publish_at(&mut tenant, at);
    assert_eq!(view.deliver_at, Some(at));
    assert_eq!(tenant.message(view.id).unwrap(), view);
    tenant.evict();
    tenant.pass(HOUR - 1);
    assert!(tenant.outs().is_empty());
    assert_eq!(tenant.stand(view.id, endpoint), (Stand::Open, 0));
    let out = tenant.pass_until_out(10_000).remove(0);
    assert!(tenant.now >= at && tenant.now.since(at) < 1000);
    assert_eq!(out.message(), view.id);
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(view.id, endpoint), (Stand::Delivered, 1));
    assert_eq!(tenant.attempts(view.id).len(), 1);
    tenant.pass(HOUR);
    assert!(tenant.outs().is_empty());
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn a_message_for_later_is_retried_on_its_plan_and_survives_a_lost_lease() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
    let at = tenant.now.plus(HOUR);
    let view = publish_at(&mut tenant, at);
    let silent = tenant.pass_until_out(2 * HOUR);
    assert_eq!(silent.len(), 1);
    let again = tenant.pass_until_out(HOUR).remove(0);
    tenant.report(&again, Answer::Broken);
    assert_eq!(tenant.stand(view.id, endpoint), (Stand::Open, 1));
    let last = tenant.pass_until_out(HOUR).remove(0);
    tenant.report(&last, Answer::Broken);
    assert_eq!(tenant.stand(view.id, endpoint), (Stand::Failed, 2));
}

#[test]
fn a_time_that_is_past_or_now_means_at_once() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    for at in [tenant.now, tenant.now.minus(HOUR)] {
        let view = publish_at(&mut tenant, at);
        assert_eq!(view.deliver_at, None);
        assert_eq!(tenant.outs().len(), 1);
    }
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn disabling_or_deleting_cancels_what_waits_for_its_time() {
    let mut tenant = Tenant::new();
    let (off, gone, stays) = (tenant.endpoint(), tenant.endpoint(), tenant.endpoint());
    let at = tenant.now.plus(HOUR);
    let view = publish_at(&mut tenant, at);
    tenant.disable(off, true);
    tenant.disable(off, false);
    tenant.delete(gone);
    let outs = tenant.pass_until_out(2 * HOUR);
    assert_eq!(outs.iter().map(|out| out.endpoint).collect::<Vec<_>>(), [stays]);
    assert_eq!(tenant.stand(view.id, off).0, Stand::Cancelled);
    tenant.report(&outs[0], Answer::Ok);
    tenant.pass(HOUR);
    assert!(tenant.outs().is_empty());
    assert_eq!(tenant.count("due"), 0);
}

#[test]
fn a_capped_endpoint_that_is_behind_gets_a_message_for_later_once() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1}));
    for _ in 0..3 {
        tenant.publish();
    }
    let at = tenant.now.plus(HOUR);
    let view = publish_at(&mut tenant, at);
    let mut sent = Vec::new();
    for _ in 0..20 {
        for out in tenant.pass_until_out(HOUR) {
            tenant.report(&out, Answer::Ok);
            sent.push((out.message(), tenant.now));
        }
    }
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[3].0, view.id);
    assert!(sent[3].1 >= at);
    assert_eq!(tenant.stand(view.id, endpoint), (Stand::Delivered, 1));
}

#[test]
fn a_message_cannot_wait_longer_than_it_is_kept() {
    let settings = Settings {
        retention_ms: 8 * HOUR,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, postern_domain::wire::call::TenantSettings::default());
    let endpoint = tenant.endpoint();
    let message = |at: u64| NewMessage {
        deliver_at: Some(postern_tests::tenant::START.plus(at)),
        ..new_message(None)
    };
    for (alone, loc) in [(false, "body.messages.1.deliverAt"), (true, "body.deliverAt")] {
        let messages = if alone {
            vec![message(8 * HOUR)]
        } else {
            vec![message(HOUR), message(8 * HOUR)]
        };
        let call = AcceptBatch {
            alone,
            ..batch_of(&mut tenant, messages)
        };
        let refused = accept_batch(&mut tenant, call).unwrap_err();
        assert_eq!(refused.code, Code::Validation);
        assert_eq!(refused.faults[0].loc.join("."), loc);
    }
    assert_eq!(tenant.count("message_1"), 0);
    let longest = tenant.now.plus(8 * HOUR - tenant.settings.lease_ms);
    let view = publish_at(&mut tenant, longest);
    let out = tenant.pass_until_out(9 * HOUR).remove(0);
    tenant.report(&out, Answer::Ok);
    assert_eq!(tenant.stand(view.id, endpoint).0, Stand::Delivered);
}

#[test]
fn tags_are_kept_and_found() {
    let mut tenant = Tenant::new();
    let tagged = NewMessage {
        tags: Some(vec!["vip".to_owned(), "eu".to_owned()]),
        ..new_message(None)
    };
    let call = batch_of(&mut tenant, vec![tagged, new_message(None)]);
    let accepted = accept_batch(&mut tenant, call).unwrap();
    let list = MessageList {
        page: PageOf {
            limit: 10,
            iterator: None,
            ascending: false,
        },
        filter: MessageFilter {
            tag: Some("eu".to_owned()),
            ..MessageFilter::default()
        },
        with_content: false,
    };
    let found = tenant.call(list).unwrap().data;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, accepted.messages[0].id);
    assert_eq!(found[0].tags, Some(vec!["vip".to_owned(), "eu".to_owned()]));
}

#[test]
fn nobody_but_the_organisation_brings_a_batch() {
    let mut tenant = Tenant::new();
    for caller in [Caller::Ingest, Caller::System] {
        let call = batch_of(&mut tenant, vec![new_message(None)]);
        assert_eq!(
            code(tenant.call_as(caller, call, &[b"{}".to_vec()])),
            Code::NotFound
        );
    }
}
