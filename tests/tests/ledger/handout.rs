//! What leaves, and what the lanes carry.

use postern_domain::problem::Code;
use postern_domain::seal::{self, MasterKeys, Place};
use postern_domain::signature::SigningKey;
use postern_domain::wire::call::{Accept, Bodies, Caller, EndpointSecret, TenantSettings};
use postern_domain::wire::frame;
use postern_domain::wire::lane::{Lane, MAX_BYTES, MAX_DELIVERIES};
use postern_domain::wire::replay::Resend;
use postern_domain::wire::report::Stalled;
use postern_ledger::{QueueKind, Settings};
use postern_tests::tenant::{Answer, MASTER_KEYS, Stand, Tenant, code};
use serde_json::json;

#[test]
fn a_message_leaves_at_once_with_all_that_is_needed_to_send_it() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"headers": {"x-shop": "7"}}));
    let message = tenant.publish();
    let lanes = tenant.lanes();
    let [(lane, bodies, _)] = lanes.as_slice() else {
        panic!("{lanes:?}")
    };
    assert_eq!(
        (lane.tenant, lane.url.as_str()),
        (tenant.id, "https://shop.example/hook")
    );
    assert_eq!(lane.deliveries[0].message, message);
    assert_eq!(lane.deliveries[0].until, tenant.now.plus(60_000));
    assert_eq!(bodies, &[b"{\"paid\":true}".to_vec()]);

    let master = MasterKeys::parse(MASTER_KEYS).unwrap();
    let open = |column, part: &postern_domain::wire::lane::SealedPart| {
        let generation = part.generation;
        let place = Place {
            tenant: tenant.id,
            table: "endpoint",
            column,
            row: endpoint.into(),
            generation,
        };
        master
            .open(&place, &seal::from_text(&part.sealed).unwrap())
            .unwrap()
    };
    assert_eq!(
        open("headers", lane.headers.as_ref().unwrap()),
        b"{\"x-shop\":\"7\"}"
    );
    let key = SigningKey::from_bytes(&open("secret", &lane.keys[0]))
        .unwrap()
        .to_text();
    let endpoint = tenant.endpoint_id(endpoint);
    assert_eq!(tenant.call(EndpointSecret { endpoint }).unwrap().key, key);
}

#[test]
fn a_lane_takes_at_most_32_deliveries_of_one_endpoint() {
    let mut tenant = Tenant::new();
    let (a, b) = (tenant.endpoint(), tenant.endpoint());
    tenant.prove();
    let messages: Vec<_> = (0..70).map(|_| tenant.publish()).collect();
    let lanes = tenant.lanes();
    for endpoint in [a, b] {
        let own: Vec<_> = lanes
            .iter()
            .filter(|(lane, ..)| lane.endpoint.0.sequence == u64::from(endpoint))
            .collect();
        let sizes: Vec<usize> = own.iter().map(|(lane, ..)| lane.deliveries.len()).collect();
        assert_eq!(sizes, [MAX_DELIVERIES, MAX_DELIVERIES, 6]);
        let order: Vec<_> = own
            .iter()
            .flat_map(|(lane, ..)| lane.deliveries.iter().map(|d| d.message))
            .collect();
        assert_eq!(order, messages, "in the order in which they came");
    }
}

#[test]
fn hand_out_numbers_are_unique_in_an_endpoint() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.prove();
    for _ in 0..10 {
        tenant.publish();
    }
    let mut numbers: Vec<u64> = tenant.outs().iter().map(|out| out.handout.number).collect();
    tenant.pass(61_000);
    numbers.extend(tenant.outs().iter().map(|out| out.handout.number));
    let count = numbers.len();
    numbers.dedup();
    assert_eq!((count, numbers.len()), (20, 20));
    assert!(numbers.is_sorted());
}

#[test]
fn they_stay_so_over_an_eviction_within_the_same_millisecond() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let endpoint = tenant.endpoint_id(endpoint);
    let messages: Vec<_> = (0..8).map(|_| tenant.publish()).collect();
    let mut numbers: Vec<u64> = tenant.outs().iter().map(|out| out.handout.number).collect();
    assert!(numbers.iter().any(|number| *number > tenant.now.0));
    for message in messages.iter().chain(&messages) {
        tenant.evict();
        tenant
            .call(Resend {
                message: message.to_string(),
                endpoint: endpoint.clone(),
                idempotency: None,
            })
            .unwrap();
        tenant.ring();
        numbers.push(tenant.out().handout.number);
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[test]
fn of_very_much_that_was_handed_out_the_oldest_and_the_newest_keep_their_places_over_an_eviction() {
    let settings = Settings {
        recalled: 40,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    tenant.endpoint();
    for _ in 0..1000 {
        tenant.publish();
    }
    // Until the leases of their accepts are over, and say nothing any more.
    tenant.pass_until_out(1);
    tenant.pass(61_000);
    for out in tenant.outs() {
        tenant.report(&out, Answer::Ok);
    }
    let mut outs = tenant.outs();
    let hangs = outs.remove(0);
    for out in &outs {
        tenant.report(out, Answer::Ok);
    }
    let newest = tenant.outs();
    let between = newest[0].handout.message.0.sequence - hangs.handout.message.0.sequence;
    assert!(between > 40 && newest.len() > 16, "{between}");

    tenant.evict();
    tenant.publish();
    assert!(
        tenant.outs().is_empty(),
        "what hangs and what has just left fill the window"
    );
    for out in &newest {
        tenant.report(out, Answer::Ok);
    }
    tenant.pass(1000);
    assert!(!tenant.outs().is_empty());
}

#[test]
fn so_do_those_that_have_their_results() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint();
    let endpoint = tenant.endpoint_id(endpoint);
    let messages: Vec<_> = (0..4).map(|_| tenant.publish()).collect();
    for out in tenant.outs() {
        tenant.report(&out, Answer::Ok);
    }
    for _ in 0..3 {
        tenant.evict();
        let idempotency = None;
        let (message, endpoint) = (messages[3].to_string(), endpoint.clone());
        tenant
            .call(Resend {
                message,
                endpoint,
                idempotency,
            })
            .unwrap();
        tenant.ring();
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
    }
    assert_eq!(
        tenant.attempts(messages[3]).len(),
        4,
        "each is an attempt of its own"
    );
}

#[test]
fn those_of_a_line_too() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 50}));
    let endpoint = tenant.endpoint_id(endpoint);
    let messages: Vec<_> = (0..30).map(|_| tenant.publish()).collect();
    let burst: Vec<u64> = tenant
        .pass_until_out(1000)
        .iter()
        .map(|out| out.handout.number)
        .collect();
    assert!(burst.len() > 1, "several in a millisecond: {burst:?}");
    tenant.evict();
    let message = messages[29].to_string();
    let idempotency = None;
    tenant
        .call(Resend {
            message,
            endpoint,
            idempotency,
        })
        .unwrap();
    tenant.evict();
    let next = tenant.pass_until_out(1000);
    assert!(next.iter().all(|out| out.handout.number > burst[burst.len() - 1]));
}

#[test]
fn a_lane_is_at_most_60_kilobytes() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.prove();
    for size in [25_000, 25_000, 25_000, 39_000, 100, 40_000, 39_999] {
        let call = tenant.publish_call("invoice.paid");
        tenant.accept(call, &vec![b'x'; size]).unwrap();
    }
    let lanes = tenant.take_lanes().unwrap();
    for lane in &lanes {
        assert!(lane.frame.len() <= MAX_BYTES, "{}", lane.frame.len());
    }
    let lanes = lanes
        .iter()
        .map(|lane| frame::decode::<Lane>(&lane.frame).unwrap().0);
    let together: Vec<usize> = lanes.map(|lane| lane.deliveries.len()).collect();
    assert_eq!(together, [2, 1, 2, 1, 1], "as many as fit");
}

#[test]
fn so_is_one_of_webhooks_whose_headers_go_with_them() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.prove();
    let source = tenant.source();
    for n in 0..16 {
        let headers = [("x-vendor".to_owned(), "v".repeat(2000))];
        let call = Accept {
            source: Some(source),
            event_id: Some(format!("{n:0>200}")),
            headers: headers.into(),
            ..tenant.publish_call("charge.succeeded")
        };
        tenant.accept(call, &[b'x'; 2000]).unwrap();
    }
    let lanes = tenant.take_lanes().unwrap();
    let sizes: Vec<usize> = lanes.iter().map(|lane| lane.frame.len()).collect();
    assert!(sizes.iter().all(|size| *size <= MAX_BYTES), "{sizes:?}");
    assert_eq!(sizes.len(), 2, "{sizes:?}");
}

#[test]
fn a_body_that_is_too_large_for_a_lane_is_fetched() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let call = tenant.publish_call("invoice.paid");
    let body = vec![b'x'; 300_000];
    tenant.accept(call, &body).unwrap();
    let out = tenant.out();
    assert_eq!(out.body, None);
    let mut forged = out.message();
    forged.0.random[0] ^= 1;
    let call = Bodies {
        messages: vec![forged, out.message()],
    };
    let (found, bodies) = tenant.call_as(Caller::System, call, &[]).unwrap();
    assert_eq!(found.messages, [out.message()]);
    assert_eq!(bodies, [body]);
}

#[test]
fn an_endpoint_shares_the_fast_queue_only_while_it_answers() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.publish();
    let out = tenant.out();
    assert_eq!(out.queue, QueueKind::Slow, "it has not shown yet that it answers");
    tenant.report(&out, Answer::Ok);
    tenant.publish();
    let out = tenant.out();
    assert_eq!(out.queue, QueueKind::Fast);
    tenant.evict();
    tenant.publish();
    assert_eq!(
        tenant.out().queue,
        QueueKind::Fast,
        "the last result is read back"
    );
    tenant.report(&out, Answer::Silence);
    tenant.publish();
    assert_eq!(tenant.out().queue, QueueKind::Slow);
}

#[test]
fn an_endpoint_that_keeps_a_send_waiting_leaves_the_fast_queue_before_its_result_comes() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    tenant.publish();
    let hanging = tenant.out();
    assert_eq!(hanging.queue, QueueKind::Fast);
    let before = tenant.storage.writes();
    let stalled = Stalled {
        endpoints: vec![endpoint, 999],
    };
    tenant.call_as(Caller::System, stalled.clone(), &[]).unwrap();
    assert_eq!(tenant.storage.writes(), before);
    tenant.publish();
    let beside = tenant.out();
    assert_eq!(beside.queue, QueueKind::Slow);
    tenant.report(&beside, Answer::Ok);
    tenant.publish();
    assert_eq!(tenant.out().queue, QueueKind::Fast, "it answers again");
    let stranger = tenant.call_as(Caller::Ingest, stalled, &[]);
    assert_eq!(code(stranger), Code::NotFound);
}

#[test]
fn a_throttled_endpoint_never_gets_more_than_its_rate() {
    for rate in [1_u16, 3, 10, 50] {
        let mut tenant = Tenant::new();
        let endpoint = tenant.endpoint_with(json!({"throttleRate": rate}));
        let count = 20 * u64::from(rate);
        let messages: Vec<_> = (0..count).map(|_| tenant.publish()).collect();
        let begin = tenant.now;
        let mut times = Vec::new();
        let mut order = Vec::new();
        for _ in 0..3000 {
            for out in tenant.outs() {
                times.push(tenant.now.since(begin));
                order.push(out.message());
                tenant.report(&out, Answer::Ok);
            }
            if times.len() as u64 == count {
                break;
            }
            tenant.pass(10);
        }
        assert_eq!(order, messages, "first come, first served");
        let burst = u64::from(rate / 5).max(1);
        for (first, start) in times.iter().enumerate() {
            let within = times
                .iter()
                .skip(first)
                .take_while(|time| **time < start + 1000)
                .count() as u64;
            assert!(
                within <= u64::from(rate) + burst,
                "{within} within a second at a rate of {rate}"
            );
        }
        let took = times.last().unwrap();
        assert!(
            *took <= 24_000,
            "20 seconds' worth took {took} ms at a rate of {rate}"
        );
        for message in messages {
            assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 1));
        }
        tenant.pass(120_000);
        assert_eq!(tenant.count("backlog"), 0, "a line that caught up is gone");
    }
}

#[test]
fn the_tenants_own_rate_holds_over_all_its_endpoints() {
    let own = postern_domain::wire::call::TenantSettings {
        throttle_rate: Some(5),
        retry_schedule: None,
        ..Default::default()
    };
    let mut tenant = Tenant::with(postern_ledger::Settings::default(), own);
    for _ in 0..3 {
        tenant.endpoint();
    }
    for _ in 0..20 {
        tenant.publish();
    }
    let mut sent = 0;
    for second in 1..=20 {
        for _ in 0..100 {
            tenant.pass(10);
            for out in tenant.outs() {
                sent += 1;
                tenant.report(&out, Answer::Ok);
            }
        }
        assert!(sent <= 5 * second + 1, "{sent} after {second} s");
    }
    assert_eq!(sent, 60);
}

#[test]
fn retries_of_a_throttled_endpoint_wait_for_the_gate_too() {
    let mut tenant = Tenant::new();
    let settings = json!({"throttleRate": 2, "retrySchedule": [1]});
    let endpoint = tenant.endpoint_with(settings);
    let messages: Vec<_> = (0..20).map(|_| tenant.publish()).collect();
    let begin = tenant.now;
    let mut times = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4000 {
        for out in tenant.outs() {
            times.push(tenant.now.since(begin));
            // Half of the attempts fail: not enough to stop the endpoint.
            let first = seen.insert(out.message());
            tenant.report(&out, if first { Answer::Broken } else { Answer::Ok });
        }
        tenant.pass(10);
    }
    assert_eq!(times.len(), 40);
    for (first, start) in times.iter().enumerate() {
        let within = times
            .iter()
            .skip(first)
            .take_while(|time| **time < start + 1000)
            .count();
        assert!(within <= 3, "{within} within a second");
    }
    for message in messages {
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 2));
    }
}

#[test]
fn a_lost_hand_out_of_a_line_comes_again_while_others_keep_coming() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1}));
    let mut lost = None;
    for _ in 0..180 {
        tenant.publish();
        tenant.pass(1500);
        for out in tenant.outs() {
            if lost.is_none() {
                lost = Some(out.message()); // the queue loses it
            } else {
                tenant.report(&out, Answer::Ok);
            }
        }
    }
    assert_eq!(tenant.stand(lost.unwrap(), endpoint), (Stand::Delivered, 1));
}

#[test]
fn the_last_hand_out_of_a_line_comes_again_if_it_is_lost() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1}));
    let messages = [tenant.publish(), tenant.publish()];
    let first = tenant.pass_until_out(2000);
    tenant.report(&first[0], Answer::Ok);
    assert_eq!(tenant.pass_until_out(2000).len(), 1); // the queue loses it
    for out in tenant.pass_until_out(120_000) {
        tenant.report(&out, Answer::Ok);
    }
    for message in messages {
        assert_eq!(tenant.stand(message, endpoint), (Stand::Delivered, 1));
    }
}

#[test]
fn a_look_at_a_gate_that_is_still_closed_writes_no_row() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1}));
    for _ in 0..3 {
        tenant.publish();
    }
    assert_eq!(tenant.pass_until_out(2000).len(), 1);
    tenant.disable(endpoint, false); // whatever is edited makes the alarm look
    let rows = |tenant: &Tenant| tenant.storage.native().connection().total_changes();
    let before = rows(&tenant);
    tenant.pass(1);
    assert!(tenant.outs().is_empty());
    assert_eq!(rows(&tenant), before);
}

#[test]
fn a_retry_does_not_wait_until_the_line_has_caught_up() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"throttleRate": 1, "retrySchedule": [5]}));
    let mut failed = None;
    for _ in 0..200 {
        tenant.publish();
        tenant.pass(900); // faster than the line goes
        for out in tenant.outs() {
            if failed.is_none() {
                failed = Some(out.message());
                tenant.report(&out, Answer::Broken);
            } else {
                tenant.report(&out, Answer::Ok);
            }
        }
    }
    assert_eq!(tenant.stand(failed.unwrap(), endpoint), (Stand::Delivered, 2));
}
