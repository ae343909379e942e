//! The ledger, rule by rule.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use postern_domain::digest;
use postern_domain::id::OrganisationId;
use postern_domain::problem::Code;
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use postern_domain::wire::call::*;
use postern_domain::wire::lane::{MAX_BYTES, MAX_DELIVERIES};
use postern_domain::wire::{AttemptStatus, SourceView};
use postern_ledger::Settings;
use postern_ledger::sql::Sql;
use postern_tests::*;
use serde_json::json;

fn bench() -> Bench {
    Bench::new(Settings::default(), 1)
}

fn page(limit: u16, iterator: Option<String>) -> PageOf {
    PageOf {
        limit,
        iterator,
        ascending: false,
    }
}

fn source(bench: &mut Bench) -> SourceView {
    let create = SourceCreate {
        name: "Shop".to_owned(),
        provider: "api_key".to_owned(),
        uid: None,
        config: json!({"header": "x-key"}),
        secrets: vec!["a long enough key".to_owned()],
        idempotency: None,
    };
    bench.ask(create).unwrap()
}

// ------------------------------------------------------------------------------------------------ accept

#[test]
fn an_accepted_message_is_stored_byte_for_byte_and_owed_to_each_matching_endpoint() {
    let mut bench = bench();
    bench.endpoint();
    bench.endpoint_with(|config| config.event_types = Some(vec!["other".to_owned()]));
    let accept = bench.accept("a.b", None);
    let (accepted, _) = bench.ask_with(accept, &[b"\xff\x00 raw".to_vec()]).unwrap();
    let (view, bodies) = bench
        .ask_with(
            MessageGet {
                message: accepted.message.id.to_string(),
            },
            &[],
        )
        .unwrap();
    assert_eq!((view, bodies), (accepted.message, vec![b"\xff\x00 raw".to_vec()]));
    let lanes = bench.lanes();
    assert_eq!(lanes.len(), 1, "only the endpoint that wants it");
    assert_eq!(lanes[0].bodies, [b"\xff\x00 raw".to_vec()]);
}

#[test]
fn an_event_id_is_unique_in_the_tenant() {
    let mut bench = bench();
    bench.publish("a", Some("evt_1")).unwrap();
    assert_eq!(
        bench.publish("a", Some("evt_1")).unwrap_err().code,
        Code::Conflict
    );
    bench.publish("a", Some("evt_2")).unwrap();
}

#[test]
fn a_providers_duplicate_gets_the_first_ones_answer_and_is_not_stored() {
    let mut bench = bench();
    bench.endpoint();
    let from = source(&mut bench);
    let number = u16::try_from(from.id.0.sequence).unwrap();
    let mut post = |event_id: Option<&str>| {
        let accept = Accept {
            source: Some(number),
            ..bench.accept("a", event_id)
        };
        bench.ask_as(Caller::Ingest, accept, &[b"x".to_vec()]).unwrap().0
    };
    let first = post(Some("evt_1"));
    let again = post(Some("evt_1"));
    assert_eq!((again.duplicate, again.message.id), (true, first.message.id));
    assert_ne!(
        post(None).message.id,
        post(None).message.id,
        "a missing id is no id"
    );
    assert_eq!(bench.deliver_all(200), 3);
}

#[test]
fn an_idempotency_key_replays_the_answer_and_refuses_another_body() {
    let mut bench = bench();
    let mut publish = |key: &str, body: &str| {
        let idempotency = Idempotency {
            key: digest::of(key.as_bytes()),
            fingerprint: digest::of(body.as_bytes()),
        };
        let accept = Accept {
            idempotency: Some(idempotency),
            ..bench.accept("a", None)
        };
        bench
            .ask_with(accept, &[body.as_bytes().to_vec()])
            .map(|(accepted, _)| accepted.message.id)
    };
    let first = publish("k", "{}").unwrap();
    assert_eq!(publish("k", "{}").unwrap(), first);
    assert_ne!(publish("other", "{}").unwrap(), first);
    assert_eq!(publish("k", "{1}").unwrap_err().code, Code::IdempotencyKeyReused);
}

#[test]
fn a_repeat_after_a_lost_answer_makes_one_message() {
    let mut bench = bench();
    bench.endpoint();
    let accept = bench.accept("a", None);
    let repeat = Accept {
        repeat: true,
        ..accept.clone()
    };
    let (first, _) = bench.ask_with(accept, &[Vec::new()]).unwrap();
    bench.pass(40_000);
    let (second, _) = bench.ask_with(repeat.clone(), &[Vec::new()]).unwrap();
    assert_eq!(first.message.id, second.message.id);
    let fresh = Accept {
        nonce: repeat.nonce + 1,
        ..repeat
    };
    assert_ne!(
        bench.ask_with(fresh, &[Vec::new()]).unwrap().0.message.id,
        first.message.id
    );
}

#[test]
fn a_first_try_that_was_on_its_way_for_too_long_is_refused() {
    let mut bench = bench();
    let accept = bench.accept("a", None);
    bench.now = bench.now.plus(30_001);
    assert_eq!(
        bench.ask_with(accept, &[Vec::new()]).unwrap_err().code,
        Code::Overloaded
    );
}

#[test]
fn a_message_at_its_third_hop_is_stored_and_goes_nowhere() {
    let mut bench = bench();
    bench.endpoint();
    let accept = Accept {
        hop: 3,
        ..bench.accept("a", None)
    };
    let (accepted, _) = bench.ask_with(accept, &[Vec::new()]).unwrap();
    assert!(accepted.message.not_sent.is_some());
    assert_eq!(bench.lanes().len(), 0);
}

// ----------------------------------------------------------------------------------------------- hand-out

#[test]
fn hand_outs_of_many_accepts_leave_together_in_lanes_of_32_and_60_kb() {
    let mut bench = bench();
    bench.endpoint();
    for _ in 0..100 {
        bench.publish("a", None).unwrap();
    }
    let lanes = bench.lanes();
    assert_eq!(
        lanes
            .iter()
            .map(|got| got.lane.deliveries.len())
            .collect::<Vec<_>>(),
        [32, 32, 32, 4]
    );
    for _ in 0..10 {
        let accept = bench.accept("a", None);
        bench.ask_with(accept, &[vec![b'x'; 20_000]]).unwrap();
    }
    for out in bench.ledger().take_lanes().unwrap() {
        assert!(out.frame.len() <= MAX_BYTES, "{}", out.frame.len());
    }
    assert_eq!(MAX_DELIVERIES, 32);
}

#[test]
fn a_body_that_is_too_large_for_a_lane_is_fetched() {
    let mut bench = bench();
    bench.endpoint();
    let body = vec![b'x'; 1 << 20];
    let accept = bench.accept("a", None);
    let (accepted, _) = bench.ask_with(accept, std::slice::from_ref(&body)).unwrap();
    let lanes = bench.lanes();
    assert_eq!(lanes[0].lane.deliveries[0].body, None);
    let call = Bodies {
        messages: vec![accepted.message.id],
    };
    assert_eq!(bench.ask_as(Caller::System, call, &[]).unwrap().1, [body]);
}

#[test]
fn a_first_hand_out_without_a_result_by_its_lease_is_handed_out_again_with_a_new_number() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message;
    let first = bench.lanes()[0].lane.deliveries[0].clone();
    bench.pass(59_999);
    assert!(bench.lanes().is_empty(), "its lease runs");
    bench.pass(60_000);
    let again = bench.lanes();
    let second = &again[0].lane.deliveries[0];
    assert_eq!(second.message, message.id);
    assert!(second.number > first.number);
    bench.report(&again[0].lane, second, 200);
    assert_eq!(bench.attempts(&message.id.to_string()).len(), 1);
    bench.pass(10 * Millis::DAY);
    assert!(bench.lanes().is_empty());
}

#[test]
fn a_retry_whose_hand_out_is_lost_is_handed_out_again_and_does_not_use_up_the_plan() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message;
    bench.deliver_all(500);
    for _ in 0..5 {
        bench.pass(61_000);
        assert_eq!(bench.lanes().len(), 1, "handed out again");
    }
    bench.pass(61_000);
    assert_eq!(bench.deliver_all(200), 1);
    let attempts = bench.attempts(&message.id.to_string());
    assert_eq!(
        attempts
            .iter()
            .map(|a| a.response_status.unwrap())
            .collect::<Vec<_>>(),
        [200, 500]
    );
}

#[test]
fn an_eviction_at_any_point_loses_nothing() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message;
    bench.evict(); // before the lane left
    bench.pass(61_000);
    let lanes = bench.lanes();
    bench.evict(); // between hand-out and result
    bench.report(&lanes[0].lane, &lanes[0].lane.deliveries[0], 500);
    bench.evict(); // before the retry
    bench.pass(2000);
    assert_eq!(bench.deliver_all(200), 1);
    assert_eq!(bench.attempts(&message.id.to_string()).len(), 2);
}

// ------------------------------------------------------------------------------------------------ results

#[test]
fn a_delivery_that_keeps_failing_is_tried_as_often_as_its_plan_says_and_then_failed_for_good() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message;
    let mut tries = bench.deliver_all(500);
    for _ in 0..100 {
        bench.pass(1000);
        tries += bench.deliver_all(500);
    }
    assert_eq!(tries, 3);
    assert_eq!(bench.attempts(&message.id.to_string()).len(), 3);
    assert_eq!(bench.ask(Inspect {}).unwrap()["deliveries"]["failed"], 1);
}

#[test]
fn a_retry_never_comes_before_retry_after() {
    let mut bench = bench();
    bench.endpoint();
    bench.publish("a", None).unwrap();
    let lanes = bench.lanes();
    bench.report_after(&lanes[0].lane, &lanes[0].lane.deliveries[0], 429, Some(90_000));
    bench.pass(89_999);
    assert!(bench.lanes().is_empty());
    bench.pass(1);
    assert_eq!(bench.lanes().len(), 1);
}

#[test]
fn a_tenants_schedule_counts_where_the_endpoint_has_none_of_its_own() {
    let mut bench = bench();
    let settings = TenantSettings {
        throttle_rate: None,
        retry_schedule: Schedule::new(Vec::new()).ok(),
    };
    bench.ask(Configure { settings }).unwrap();
    bench.endpoint_with(|config| config.retry_schedule = None);
    bench.publish("a", None).unwrap();
    bench.deliver_all(500);
    bench.pass(20 * Millis::DAY);
    assert!(bench.lanes().is_empty(), "no retry at all");
}

#[test]
fn a_doubled_result_is_dropped_unless_it_is_a_success_and_the_recorded_one_is_not() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message.id.to_string();
    let lanes = bench.lanes();
    let (lane, handout) = (&lanes[0].lane, &lanes[0].lane.deliveries[0]);
    bench.report(lane, handout, 500);
    bench.report(lane, handout, 502);
    assert_eq!(bench.attempts(&message)[0].response_status, Some(500));
    bench.report(lane, handout, 200);
    bench.report(lane, handout, 500);
    let attempts = bench.attempts(&message);
    assert_eq!((attempts.len(), attempts[0].response_status), (1, Some(200)));
    bench.pass(10_000);
    assert!(bench.lanes().is_empty(), "delivered");
}

#[test]
fn a_late_failure_changes_nothing_and_a_late_success_wins() {
    let mut bench = bench();
    bench.endpoint();
    let message = bench.publish("a", None).unwrap().message.id.to_string();
    let first = bench.lanes();
    bench.pass(61_000);
    let second = bench.lanes();
    bench.report(&first[0].lane, &first[0].lane.deliveries[0], 500); // late
    bench.report(&second[0].lane, &second[0].lane.deliveries[0], 500); // current
    bench.pass(2000);
    let third = bench.lanes();
    assert_eq!(third.len(), 1, "the late failure used up nothing");
    bench.pass(61_000);
    let fourth = bench.lanes();
    assert_eq!(fourth.len(), 1);
    bench.report(&third[0].lane, &third[0].lane.deliveries[0], 200); // late, and a success
    bench.pass(10 * Millis::DAY);
    assert!(bench.lanes().is_empty());
    assert_eq!(bench.ask(Inspect {}).unwrap()["deliveries"]["delivered"], 1);
    assert_eq!(
        bench
            .attempts(&message)
            .iter()
            .filter(|a| a.status == AttemptStatus::Success)
            .count(),
        1
    );
}

#[test]
fn what_is_owed_to_an_endpoint_is_cancelled_by_disabling_it_and_stays_so() {
    let mut bench = bench();
    let endpoint = bench.endpoint();
    bench.publish("a", None).unwrap();
    let before = bench.lanes();
    bench.publish("a", None).unwrap();
    bench.deliver_all(500); // waits for its retry
    let set = |disabled| EndpointPatch {
        endpoint: endpoint.id.to_string(),
        change: EndpointChange {
            disabled: Some(disabled),
            ..EndpointChange::default()
        },
    };
    bench.ask(set(true)).unwrap();
    bench.publish("a", None).unwrap();
    bench.pass(300_000);
    assert!(bench.lanes().is_empty());
    bench.ask(set(false)).unwrap();
    bench.pass(300_000);
    assert!(bench.lanes().is_empty(), "cancelled for good");
    bench.report(&before[0].lane, &before[0].lane.deliveries[0], 500); // a result that comes all the same
    bench.pass(300_000);
    assert!(bench.lanes().is_empty());
    bench.publish("a", None).unwrap();
    assert_eq!(bench.deliver_all(200), 1, "and new messages go");
}

#[test]
fn a_deleted_endpoint_gets_nothing_and_its_number_is_never_used_again() {
    let mut bench = bench();
    let endpoint = bench.endpoint();
    bench.publish("a", None).unwrap();
    bench
        .ask(EndpointDelete {
            endpoint: endpoint.id.to_string(),
        })
        .unwrap();
    bench.pass(300_000);
    assert!(bench.lanes().is_empty());
    let next = bench.endpoint();
    assert!(next.id.0.sequence > endpoint.id.0.sequence);
    let code = bench
        .ask(EndpointGet {
            endpoint: endpoint.id.to_string(),
        })
        .unwrap_err()
        .code;
    assert_eq!(code, Code::NotFound);
}

// --------------------------------------------------------------------------------------------------- rate

#[test]
fn an_endpoints_rate_is_kept_over_first_tries_and_retries_and_everything_arrives_once() {
    let mut bench = bench();
    bench.endpoint_with(|config| {
        config.throttle_rate = Some(10);
        config.retry_schedule = Schedule::new(vec![5]).ok();
    });
    for _ in 0..100 {
        bench.publish("a", None).unwrap();
    }
    let (mut sent, mut busiest) = (Vec::new(), 0);
    for _ in 0..400 {
        bench.pass(50);
        let count = bench.deliver_all(if sent.len() < 30 { 500 } else { 200 });
        sent.extend(std::iter::repeat_n(bench.now, count));
        let last_second = sent.iter().filter(|at| bench.now.since(**at) < 1000).count();
        busiest = busiest.max(last_second);
    }
    assert!(busiest <= 12, "{busiest} in one second");
    assert_eq!(sent.len(), 130, "each once, and the failed ones again");
    assert_eq!(bench.ask(Inspect {}).unwrap()["deliveries"]["delivered"], 100);
    bench.pass(120_000);
    assert_eq!(bench.ask(Inspect {}).unwrap()["backlog"], 0, "caught up");
}

#[test]
fn what_waits_in_a_line_survives_an_eviction_and_a_lost_lane() {
    let mut bench = bench();
    bench.endpoint_with(|config| config.throttle_rate = Some(1));
    for _ in 0..5 {
        bench.publish("a", None).unwrap();
    }
    bench.evict();
    bench.pass(3000);
    drop(bench.lanes()); // the queue lost them
    bench.evict();
    let mut delivered = 0;
    for _ in 0..300 {
        bench.pass(1000);
        delivered += bench.deliver_all(200);
    }
    assert_eq!(delivered, 5);
    assert_eq!(bench.ask(Inspect {}).unwrap()["deliveries"]["delivered"], 5);
}

// ---------------------------------------------------------------------------------------------- retention

#[test]
fn retention_drops_whole_segments_and_no_number_is_used_again() {
    let mut bench = bench();
    bench.endpoint();
    let old = bench.publish("a", None).unwrap().message;
    bench.deliver_all(200);
    for _ in 0..40 {
        bench.pass(Millis::DAY);
        bench.publish("a", None).unwrap();
        bench.deliver_all(200);
    }
    let code = bench
        .ask(MessageGet {
            message: old.id.to_string(),
        })
        .unwrap_err()
        .code;
    assert_eq!(code, Code::NotFound);
    let seen = bench.ask(Inspect {}).unwrap();
    assert!(seen["messages"].as_u64().unwrap() < 36, "{seen}");
    assert!(seen["segments"].as_u64().unwrap() <= 10, "{seen}");
    bench.pass(100 * Millis::DAY);
    bench.evict();
    assert_eq!(bench.ask(Inspect {}).unwrap()["messages"], 0);
    assert_eq!(bench.publish("a", None).unwrap().message.id.0.sequence, 42);
}

#[test]
fn a_duplicate_is_answered_after_its_message_is_gone() {
    let settings = Settings {
        retention_ms: Millis::DAY,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, 1);
    let from = source(&mut bench);
    let number = u16::try_from(from.id.0.sequence).unwrap();
    let accept = Accept {
        source: Some(number),
        ..bench.accept("a", Some("evt_1"))
    };
    let (first, _) = bench.ask_as(Caller::Ingest, accept, &[Vec::new()]).unwrap();
    bench.pass(3 * Millis::DAY);
    assert!(
        bench
            .ask(MessageGet {
                message: first.message.id.to_string()
            })
            .is_err()
    );
    let accept = Accept {
        source: Some(number),
        ..bench.accept("a", Some("evt_1"))
    };
    let (again, _) = bench.ask_as(Caller::Ingest, accept, &[Vec::new()]).unwrap();
    assert_eq!((again.duplicate, again.message.id), (true, first.message.id));
}

#[test]
fn a_result_for_a_message_that_is_gone_is_acknowledged_and_ignored() {
    let settings = Settings {
        retention_ms: Millis::DAY,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, 1);
    bench.endpoint();
    bench.publish("a", None).unwrap();
    let lanes = bench.lanes();
    bench.pass(5 * Millis::DAY);
    bench.lanes();
    bench.report(&lanes[0].lane, &lanes[0].lane.deliveries[0], 200);
    assert_eq!(bench.ask(Inspect {}).unwrap()["deliveries"]["delivered"], 0);
}

#[test]
fn a_full_ledger_warns_then_shortens_its_retention_then_refuses_publishes_and_webhooks_last() {
    let settings = Settings {
        capacity_bytes: 1_000_000,
        ..Settings::default()
    };
    let mut bench = Bench::new(settings, 1);
    let from = source(&mut bench);
    let number = u16::try_from(from.id.0.sequence).unwrap();
    let told = |bench: &mut Bench, event| bench.ledger().take_notices().iter().any(|n| n.event == event);
    let fill = |bench: &Bench, percent: u64| bench.sql().pretended_size.set(Some(percent * 10_000));
    for _ in 0..3 {
        bench.publish("a", None).unwrap();
        bench.pass(5 * Millis::DAY);
    }
    fill(&bench, 71);
    bench.publish("a", None).unwrap();
    assert!(told(&mut bench, "ledger_filling"));
    let segments = bench.ask(Inspect {}).unwrap()["segments"].as_u64().unwrap();

    fill(&bench, 86);
    bench.publish("a", None).unwrap();
    bench.ask(Inspect {}).unwrap();
    let (now, mut shortened) = (bench.now, false);
    bench.ledger().alarm(now);
    shortened |= told(&mut bench, "retention_shortened");
    bench.pass(120_000);
    assert!(shortened);
    assert!(bench.ask(Inspect {}).unwrap()["segments"].as_u64().unwrap() < segments);

    fill(&bench, 96);
    assert_eq!(bench.publish("a", None).unwrap_err().code, Code::LedgerFull);
    let post = |bench: &mut Bench| {
        let accept = Accept {
            source: Some(number),
            ..bench.accept("a", None)
        };
        bench.ask_as(Caller::Ingest, accept, &[Vec::new()]).map(|_| ())
    };
    post(&mut bench).unwrap();
    fill(&bench, 99);
    assert_eq!(post(&mut bench).unwrap_err().code, Code::LedgerFull);
}

// -------------------------------------------------------------------------------------------------- lists

#[test]
fn pages_of_messages_go_forward_and_back_and_are_stable_while_new_ones_come() {
    let mut bench = bench();
    let ids: Vec<_> = (0..10)
        .map(|_| bench.publish("a", None).unwrap().message.id)
        .collect();
    let list = |bench: &mut Bench, iterator| {
        let call = MessageList {
            page: page(4, iterator),
            filter: MessageFilter::default(),
            with_content: false,
        };
        bench.ask(call).unwrap()
    };
    let first = list(&mut bench, None);
    bench.publish("a", None).unwrap();
    let second = list(&mut bench, first.iterator.clone());
    let third = list(&mut bench, second.iterator.clone());
    let seen: Vec<_> = [&first, &second, &third]
        .iter()
        .flat_map(|p| p.data.iter().map(|m| m.id))
        .collect();
    assert_eq!(seen, ids.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!((first.done, second.done, third.done), (false, false, true));
    assert_eq!(list(&mut bench, third.prev_iterator.clone()).data, second.data);
    let newer = list(&mut bench, first.prev_iterator.clone());
    assert_eq!(newer.data.len(), 1, "what came since");
}

#[test]
fn messages_are_narrowed_by_type_channel_and_time() {
    let mut bench = bench();
    bench.publish("a", None).unwrap();
    bench.pass(1000);
    let between = bench.now;
    let accept = Accept {
        channels: Some(vec!["c".to_owned()]),
        ..bench.accept("b", None)
    };
    bench.ask_with(accept, &[Vec::new()]).unwrap();
    let mut count = |filter| {
        let call = MessageList {
            page: page(50, None),
            filter,
            with_content: false,
        };
        bench.ask(call).unwrap().data.len()
    };
    let none = MessageFilter::default;
    assert_eq!(count(none()), 2);
    assert_eq!(
        count(MessageFilter {
            event_types: Some(vec!["b".to_owned()]),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(MessageFilter {
            channel: Some("c".to_owned()),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(MessageFilter {
            before: Some(between),
            ..none()
        }),
        1
    );
    assert_eq!(
        count(MessageFilter {
            after: Some(between),
            ..none()
        }),
        0
    );
    assert_eq!(
        count(MessageFilter {
            after: Some(between.minus(1)),
            ..none()
        }),
        1
    );
}

#[test]
fn an_endpoints_attempts_page_newest_first_over_first_and_later_ones() {
    let mut bench = bench();
    let endpoint = bench.endpoint();
    for _ in 0..10 {
        bench.publish("a", None).unwrap();
        bench.deliver_all(500);
        bench.pass(2000);
        bench.deliver_all(200);
        bench.pass(100);
    }
    let mut list = |limit, iterator| {
        let call = AttemptsOfEndpoint {
            endpoint: endpoint.id.to_string(),
            page: page(limit, iterator),
            filter: AttemptFilter::default(),
        };
        bench.ask(call).unwrap()
    };
    let all = list(250, None);
    assert_eq!(all.data.len(), 20);
    assert!(all.data.is_sorted_by(|a, b| a.timestamp >= b.timestamp));
    let (mut seen, mut iterator) = (Vec::new(), None);
    loop {
        let page = list(3, iterator.clone());
        seen.extend(page.data.clone());
        if page.done {
            break;
        }
        iterator = page.iterator;
    }
    assert_eq!(seen, all.data);
    let first = list(3, None);
    let second = list(3, first.iterator);
    let third = list(3, second.iterator.clone());
    assert_eq!(list(3, third.prev_iterator).data, second.data);
}

#[test]
fn a_foreign_iterator_is_refused() {
    let mut bench = bench();
    let call = MessageList {
        page: page(3, Some("nonsense".to_owned())),
        filter: MessageFilter::default(),
        with_content: false,
    };
    assert_eq!(bench.ask(call).unwrap_err().code, Code::InvalidIterator);
}

// ------------------------------------------------------------------------------------------------- access

#[test]
fn an_id_is_compared_whole() {
    let mut bench = bench();
    let id = bench.publish("a", None).unwrap().message.id;
    let mut other = id;
    other.0.random[6] ^= 1;
    assert!(
        bench
            .ask(MessageGet {
                message: id.to_string()
            })
            .is_ok()
    );
    assert_eq!(
        bench
            .ask(MessageGet {
                message: other.to_string()
            })
            .unwrap_err()
            .code,
        Code::NotFound
    );
}

#[test]
fn another_organisations_tenant_is_not_found_and_ingest_may_do_nothing_else() {
    let mut bench = bench();
    let other = Caller::Organisation(OrganisationId([8; 20]));
    let list = || EndpointList { page: page(1, None) };
    assert_eq!(bench.ask_as(other, list(), &[]).unwrap_err().code, Code::NotFound);
    assert_eq!(
        bench.ask_as(Caller::Ingest, list(), &[]).unwrap_err().code,
        Code::NotFound
    );
    assert_eq!(
        bench.ask_as(Caller::System, list(), &[]).unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn an_object_that_was_never_set_up_answers_not_found_and_writes_nothing() {
    let mut bench = Bench::empty(Settings::default(), 1);
    assert_eq!(bench.publish("a", None).unwrap_err().code, Code::NotFound);
    bench.ring();
    assert!(
        bench
            .sql()
            .rows("SELECT name FROM sqlite_master", &[])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_wiped_tenant_leaves_one_row_that_refuses_everything() {
    let mut bench = bench();
    bench.endpoint();
    bench.publish("a", None).unwrap();
    bench.ask(Wipe {}).unwrap();
    assert_eq!(bench.sql().alarm(), None);
    assert_eq!(bench.publish("a", None).unwrap_err().code, Code::NotFound);
    let again = SetUp {
        organisation: ORGANISATION,
        settings: TenantSettings::default(),
    };
    assert_eq!(bench.ask(again).unwrap_err().code, Code::Conflict);
    let tables = bench
        .sql()
        .rows("SELECT name FROM sqlite_master WHERE type = 'table'", &[])
        .unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!(bench.sql().rows("SELECT * FROM meta", &[]).unwrap().len(), 1);
}

#[test]
fn secrets_are_never_stored_in_clear() {
    let mut bench = bench();
    source(&mut bench);
    let endpoint = bench.endpoint();
    let secret = bench
        .ask(EndpointSecret {
            endpoint: endpoint.id.to_string(),
        })
        .unwrap()
        .key;
    let rows = |table: &str| bench.sql().rows(&format!("SELECT * FROM {table}"), &[]).unwrap();
    let stored = format!("{:?} {:?}", rows("source"), rows("endpoint"));
    assert!(secret.starts_with("whsec_"));
    assert!(!stored.contains("a long enough key") && !stored.contains(secret.trim_start_matches("whsec_")));
}

#[test]
fn a_repeat_that_is_drained_hours_later_and_comes_twice_makes_one_message() {
    let mut bench = bench();
    let repeat = Accept {
        repeat: true,
        ..bench.accept("a", None)
    };
    bench.pass(3 * 3_600_000);
    let (first, _) = bench.ask_with(repeat.clone(), &[Vec::new()]).unwrap();
    bench.pass(3_600_000);
    bench.evict();
    let (again, _) = bench.ask_with(repeat, &[Vec::new()]).unwrap();
    assert_eq!(first.message.id, again.message.id);
}

#[test]
fn what_a_busy_line_lost_is_found_by_its_own_lease() {
    let mut bench = bench();
    bench.endpoint_with(|config| config.throttle_rate = Some(1));
    for _ in 0..3 {
        bench.publish("a", None).unwrap();
    }
    bench.pass(3500);
    assert_eq!(
        bench
            .lanes()
            .iter()
            .map(|got| got.lane.deliveries.len())
            .sum::<usize>(),
        3,
        "lost by the queue"
    );
    let mut delivered = BTreeSet::new();
    for _ in 0..120 {
        bench.publish("a", None).unwrap(); // the line never stands still
        bench.pass(1000);
        for got in bench.lanes() {
            for handout in &got.lane.deliveries {
                bench.report(&got.lane, handout, 200);
                delivered.insert(handout.message.0.sequence);
            }
        }
    }
    assert!(delivered.is_superset(&BTreeSet::from([1, 2, 3])), "{delivered:?}");
}

#[test]
fn a_first_try_that_its_repeat_overtook_makes_no_second_message() {
    let mut bench = bench();
    let first = bench.accept("a", None);
    let repeat = Accept {
        repeat: true,
        ..first.clone()
    };
    bench.pass(1500);
    let (stored, _) = bench.ask_with(repeat, &[Vec::new()]).unwrap();
    bench.pass(1500);
    let (late, _) = bench.ask_with(first, &[Vec::new()]).unwrap();
    assert_eq!(late.message.id, stored.message.id);
}
