//! Deliveries from both ends, what failed for good, contents that were taken away, and statistics.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::outcome::Cause;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, AttemptFilter, Bodies, Caller, MessageFilter, MessageGet, MessageList, PageOf, TenantSettings,
};
use postern_domain::wire::reads::{
    AttemptCount, AttemptExpunge, AttemptGet, AttemptStats, Counted, DeliveryCounts, DeliveryFilter,
    EndpointStats, EndpointsOfMessage, FailedList, MessageExpunge, MessagesOfEndpoint, Precheck,
    RateLimitStatus, Usage, WaitReason,
};
use postern_domain::wire::{AttemptStatus, DeliveryStatus};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, START, Seeded, Stand, Tenant, code};
use serde_json::json;

fn page(limit: u16, iterator: Option<String>) -> PageOf {
    PageOf {
        limit,
        iterator,
        ascending: false,
    }
}

fn messages_of(
    tenant: &mut Tenant,
    endpoint: &str,
    filter: &DeliveryFilter,
    limit: u16,
) -> Vec<(MessageId, DeliveryStatus)> {
    let (mut all, mut iterator) = (Vec::new(), None);
    loop {
        let call = MessagesOfEndpoint {
            endpoint: endpoint.to_owned(),
            page: page(limit, iterator),
            filter: filter.clone(),
            with_content: false,
        };
        let list = tenant.call(call).unwrap();
        assert!(list.data.len() <= usize::from(limit));
        all.extend(list.data.iter().map(|view| (view.message.id, view.status)));
        if list.done {
            return all;
        }
        iterator = list.iterator;
        assert!(iterator.is_some(), "there is more, and a way to it");
    }
}

fn stats(tenant: &mut Tenant, endpoint: &str) -> DeliveryCounts {
    let call = EndpointStats {
        endpoint: endpoint.to_owned(),
        since: None,
        until: None,
    };
    tenant.call(call).unwrap()
}

fn status_at(tenant: &mut Tenant, message: MessageId, endpoint: &str) -> DeliveryStatus {
    let call = EndpointsOfMessage {
        message: message.to_string(),
        page: page(250, None),
    };
    let list = tenant.call(call).unwrap();
    let found = list
        .data
        .iter()
        .find(|view| view.endpoint.id.to_string() == endpoint);
    found.unwrap().status
}

fn expunge(tenant: &mut Tenant, message: MessageId) {
    let call = MessageExpunge {
        messages: vec![message.to_string()],
    };
    assert_eq!(tenant.call(call).unwrap().found, [true]);
}

/// A life with every kind of delivery: delivered at once, late, after retries, failed, cancelled, waiting, new. Answers
/// the tenant, its endpoints, and what each endpoint is owed, oldest first.
fn life(seed: u64, rounds: usize) -> (Tenant, Vec<u32>, BTreeMap<u32, Vec<MessageId>>) {
    let settings = Settings {
        retention_ms: 8 * 3_600_000,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let mut random = Seeded::new(seed);
    let endpoints = vec![
        tenant.endpoint_with(json!({"retrySchedule": [5, 60, 600]})),
        tenant.endpoint_with(json!({"retrySchedule": [30], "throttleRate": 2})),
        tenant.endpoint_with(json!({"eventTypes": ["order.*"], "retrySchedule": []})),
    ];
    let mut owed: BTreeMap<u32, Vec<MessageId>> = endpoints.iter().map(|number| (*number, vec![])).collect();
    let mut off = false;
    for round in 0..rounds {
        let event_type = if round % 3 == 0 {
            "order.made"
        } else {
            "invoice.paid"
        };
        let call = tenant.publish_call(event_type);
        let id = tenant.accept(call, b"{}").unwrap().message.id;
        for (at, number) in endpoints.iter().enumerate() {
            let takes = (at < 2 || round % 3 == 0) && !(at == 0 && off);
            if takes {
                owed.get_mut(number).unwrap().push(id);
            }
        }
        for out in tenant.outs() {
            match random.below(8) {
                0 => {}
                1 => tenant.report(&out, Answer::Broken),
                2 => tenant.report(&out, Answer::RetryAfter(90_000)),
                3 => {
                    tenant.report(&out, Answer::Silence);
                    tenant.report(&out, Answer::Ok); // doubled: a success wins
                }
                _ => tenant.report(&out, Answer::Ok),
            }
        }
        match random.below(60) {
            0 => {
                off = !off;
                tenant.disable(endpoints[0], off);
            }
            1 => tenant.evict(),
            2 => expunge(&mut tenant, id),
            _ => {}
        }
        tenant.pass(random.below(20_000));
    }
    (tenant, endpoints, owed)
}

#[test]
fn every_message_of_an_endpoint_is_listed_once_with_where_it_stands_whatever_the_page() {
    for seed in 1..=3 {
        let (mut tenant, endpoints, owed) = life(seed, 260);
        for number in endpoints {
            let endpoint = tenant.endpoint_id(number);
            let oldest = tenant.call(MessageList {
                page: page(250, None),
                filter: MessageFilter::default(),
                with_content: false,
            });
            assert!(oldest.is_ok());
            let mut wanted = owed[&number].clone();
            wanted.reverse();
            for limit in [1, 7, 64, 250] {
                let found = messages_of(&mut tenant, &endpoint, &DeliveryFilter::default(), limit);
                let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
                assert_eq!(ids, wanted, "seed {seed}, endpoint {number}, pages of {limit}");
            }
            for (message, status) in messages_of(&mut tenant, &endpoint, &DeliveryFilter::default(), 250) {
                let stand = match status {
                    DeliveryStatus::Pending | DeliveryStatus::Waiting => Stand::Open,
                    DeliveryStatus::Delivered => Stand::Delivered,
                    DeliveryStatus::Failed => Stand::Failed,
                    DeliveryStatus::Cancelled => Stand::Cancelled,
                };
                assert_eq!(tenant.stand(message, number).0, stand, "{message}");
                assert_eq!(status_at(&mut tenant, message, &endpoint), status);
            }
        }
    }
}

#[test]
fn messages_of_an_endpoint_are_filtered_by_where_they_stand() {
    let (mut tenant, endpoints, _) = life(4, 260);
    for number in endpoints {
        let endpoint = tenant.endpoint_id(number);
        let all = messages_of(&mut tenant, &endpoint, &DeliveryFilter::default(), 250);
        for status in [
            DeliveryStatus::Pending,
            DeliveryStatus::Waiting,
            DeliveryStatus::Delivered,
            DeliveryStatus::Failed,
        ] {
            let filter = DeliveryFilter {
                status: Some(status),
                ..DeliveryFilter::default()
            };
            let cancelled_too = status == DeliveryStatus::Failed;
            let wanted: Vec<_> = all
                .iter()
                .filter(|(_, is)| *is == status || (cancelled_too && *is == DeliveryStatus::Cancelled))
                .copied()
                .collect();
            assert_eq!(
                messages_of(&mut tenant, &endpoint, &filter, 5),
                wanted,
                "{status:?}"
            );
        }
        let filter = DeliveryFilter {
            message: MessageFilter {
                event_types: Some(vec!["order.made".to_owned()]),
                after: Some(START.plus(60_000)),
                ..MessageFilter::default()
            },
            status: None,
        };
        let found = messages_of(&mut tenant, &endpoint, &filter, 250);
        assert!(!found.is_empty() && found.len() < all.len());
        assert!(found.iter().all(|(id, _)| id.0.time > START.0 + 60_000));
        let filter = DeliveryFilter {
            message: MessageFilter {
                tag: Some("vip".to_owned()),
                ..MessageFilter::default()
            },
            status: None,
        };
        assert!(
            messages_of(&mut tenant, &endpoint, &filter, 250).is_empty(),
            "no message has a tag"
        );
    }
}

#[test]
fn pages_of_an_endpoint_s_messages_go_back_the_way_they_came() {
    let (mut tenant, endpoints, owed) = life(5, 120);
    let number = endpoints[1];
    let endpoint = tenant.endpoint_id(number);
    let mut wanted = owed[&number].clone();
    wanted.reverse();
    let list = |tenant: &mut Tenant, iterator| {
        let call = MessagesOfEndpoint {
            endpoint: endpoint.clone(),
            page: page(10, iterator),
            filter: DeliveryFilter::default(),
            with_content: true,
        };
        let (list, bodies) = tenant
            .call_as(Caller::Organisation(tenant.organisation), call, &[])
            .unwrap();
        assert_eq!(bodies.len(), list.data.len());
        let ids: Vec<_> = list.data.iter().map(|view| view.message.id).collect();
        (ids, list.iterator, list.prev_iterator, list.done)
    };
    let (first, next, _, _) = list(&mut tenant, None);
    let (second, next, back, _) = list(&mut tenant, next);
    let (third, _, back_to_second, _) = list(&mut tenant, next);
    assert_eq!([first.clone(), second.clone(), third].concat(), wanted[..30]);
    tenant.publish();
    assert_eq!(list(&mut tenant, back_to_second).0, second);
    let (again, _, before, done) = list(&mut tenant, back);
    assert_eq!((again, done), (first, false), "a newer one follows");
    let (newer, _, _, done) = list(&mut tenant, before);
    assert_eq!((newer.len(), done), (1, true));
}

#[test]
fn an_iterator_of_another_list_is_refused() {
    let mut tenant = Tenant::new();
    let (one, other) = (tenant.endpoint(), tenant.endpoint());
    let (one, other) = (tenant.endpoint_id(one), tenant.endpoint_id(other));
    for _ in 0..3 {
        tenant.publish();
    }
    let call = MessagesOfEndpoint {
        endpoint: one,
        page: page(1, None),
        filter: DeliveryFilter::default(),
        with_content: false,
    };
    let iterator = tenant.call(call.clone()).unwrap().iterator;
    let foreign = MessagesOfEndpoint {
        endpoint: other,
        page: page(1, iterator.clone()),
        ..call
    };
    assert_eq!(code(tenant.call(foreign)), Code::InvalidIterator);
    let mut stranger = tenant.publish();
    stranger.0.random = [9; 7];
    for iterator in [iterator.unwrap(), stranger.to_string()] {
        let call = MessageList {
            page: page(1, Some(iterator)),
            filter: MessageFilter::default(),
            with_content: false,
        };
        assert_eq!(code(tenant.call(call)), Code::InvalidIterator);
    }
}

#[test]
fn a_message_names_its_endpoints_both_ways_and_a_deleted_one_as_such() {
    let mut tenant = Tenant::new();
    let numbers: Vec<u32> = (0..5).map(|_| tenant.endpoint()).collect();
    let ids: Vec<String> = numbers.iter().map(|number| tenant.endpoint_id(*number)).collect();
    let message = tenant.publish();
    for out in tenant.outs() {
        if out.endpoint == numbers[0] {
            tenant.report(&out, Answer::Ok);
        }
        if out.endpoint == numbers[1] {
            tenant.report(&out, Answer::Broken);
        }
    }
    tenant.delete(numbers[2]);
    let list = |tenant: &mut Tenant, iterator| {
        let call = EndpointsOfMessage {
            message: message.to_string(),
            page: page(2, iterator),
        };
        tenant.call(call).unwrap()
    };
    let first = list(&mut tenant, None);
    let second = list(&mut tenant, first.iterator.clone());
    let third = list(&mut tenant, second.iterator.clone());
    let found: Vec<_> = [&first, &second, &third]
        .iter()
        .flat_map(|page| &page.data)
        .map(|view| (view.endpoint.id.to_string(), view.status, view.deleted))
        .collect();
    let wanted: Vec<_> = ids
        .into_iter()
        .zip([
            (DeliveryStatus::Delivered, false),
            (DeliveryStatus::Waiting, false),
            (DeliveryStatus::Cancelled, true),
            (DeliveryStatus::Pending, false),
            (DeliveryStatus::Pending, false),
        ])
        .map(|(id, (status, deleted))| (id, status, deleted))
        .collect();
    assert_eq!(found, wanted);
    assert!(third.done && first.data[1].next_attempt > Some(tenant.now));
    assert_eq!(list(&mut tenant, third.prev_iterator).data, second.data);
}

#[test]
fn what_waits_says_for_what_and_until_when() {
    let mut tenant = Tenant::new();
    let plain = tenant.endpoint_with(json!({"retrySchedule": [100]}));
    let told = tenant.endpoint_with(json!({"retrySchedule": [100]}));
    let slow = tenant.endpoint_with(json!({"throttleRate": 1}));
    let message = tenant.publish();
    let outs = tenant.outs();
    for out in &outs {
        let answer = if out.endpoint == told {
            Answer::RetryAfter(600_000)
        } else {
            Answer::Broken
        };
        tenant.report(out, answer);
    }
    let reason = |tenant: &mut Tenant, endpoint: u32| {
        let id = tenant.endpoint_id(endpoint);
        let call = MessagesOfEndpoint {
            endpoint: id,
            page: page(1, None),
            filter: DeliveryFilter::default(),
            with_content: false,
        };
        let view = tenant.call(call).unwrap().data.remove(0);
        assert_eq!(view.message.id, message);
        view.waits_for.map(|waits| (waits.reason, waits.until))
    };
    let now = tenant.now;
    let (why, until) = reason(&mut tenant, plain).unwrap();
    assert_eq!(why, WaitReason::Schedule);
    assert!(until.unwrap() >= now.plus(85_000) && until.unwrap() <= now.plus(115_000));
    assert_eq!(
        reason(&mut tenant, told),
        Some((WaitReason::RetryAfter, Some(now.plus(600_000))))
    );
    let (why, until) = reason(&mut tenant, slow).unwrap();
    assert_eq!(why, WaitReason::RateLimited, "its bucket is empty");
    assert!(until.is_some_and(|until| until > now));
    let limited = |tenant: &mut Tenant, endpoint: u32| {
        let endpoint = tenant.endpoint_id(endpoint);
        tenant.call(RateLimitStatus { endpoint }).unwrap().since
    };
    assert_eq!(limited(&mut tenant, slow), Some(Millis(message.0.time)));
    assert_eq!(limited(&mut tenant, plain), None);
    let outs = tenant.pass_until_out(5000);
    assert_eq!(outs.len(), 1);
    assert_eq!(reason(&mut tenant, slow), None, "on its way");
    tenant.report(&outs[0], Answer::Ok);
    assert_eq!(limited(&mut tenant, slow), None);
    assert_eq!(reason(&mut tenant, slow), None, "delivered");
}

#[test]
fn what_failed_for_good_is_listed_newest_first_over_endpoints_and_segments_both_ways() {
    let settings = Settings {
        retention_ms: 8 * 60_000,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let numbers: Vec<u32> = (0..4)
        .map(|_| tenant.endpoint_with(json!({"retrySchedule": []})))
        .collect();
    let mut failed = Vec::new();
    for round in 0..90_u64 {
        let message = tenant.publish();
        for out in tenant.outs() {
            let fails = (round + u64::from(out.endpoint)) % 3 == 0;
            tenant.report(&out, if fails { Answer::Broken } else { Answer::Ok });
            if fails {
                failed.push((message, out.endpoint));
            }
        }
        tenant.pass(3000);
    }
    assert!(tenant.count("segment") >= 3);
    failed.sort_by_key(|(message, endpoint)| (message.0.sequence, *endpoint));
    failed.reverse();
    let walk = |tenant: &mut Tenant, endpoint: Option<String>, limit: u16| {
        let (mut all, mut iterator, mut backs) = (Vec::new(), None, Vec::new());
        loop {
            let call = FailedList {
                endpoint: endpoint.clone(),
                page: page(limit, iterator),
                filter: MessageFilter::default(),
                with_content: false,
            };
            let list = tenant.call(call).unwrap();
            for view in &list.data {
                assert_eq!((view.attempts, view.cause), (1, Some(Cause::ServerError)));
                assert_eq!(view.response_status, Some(500));
                let number = u32::try_from(view.endpoint.0.sequence).unwrap();
                all.push((view.message.id, number));
            }
            backs.push((list.data, list.prev_iterator));
            if list.done {
                break;
            }
            iterator = list.iterator;
        }
        for pair in backs.windows(2) {
            let [(before, _), (_, back)] = pair else {
                unreachable!()
            };
            let call = FailedList {
                endpoint: endpoint.clone(),
                page: page(limit, back.clone()),
                filter: MessageFilter::default(),
                with_content: false,
            };
            assert_eq!(&tenant.call(call).unwrap().data, before, "the page before");
        }
        all
    };
    for limit in [1, 7, 50, 250] {
        assert_eq!(walk(&mut tenant, None, limit), failed, "pages of {limit}");
        let endpoint = tenant.endpoint_id(numbers[1]);
        let own: Vec<_> = failed
            .iter()
            .filter(|(_, endpoint)| *endpoint == numbers[1])
            .copied()
            .collect();
        assert_eq!(walk(&mut tenant, Some(endpoint), limit), own, "pages of {limit}");
    }
    tenant.delete(numbers[1]);
    assert!(
        walk(&mut tenant, None, 50)
            .iter()
            .all(|(_, endpoint)| *endpoint != numbers[1]),
        "nothing can be sent again to one that was deleted"
    );
}

#[test]
fn an_expunged_message_says_so_and_has_no_body() {
    let mut tenant = Tenant::new();
    let message = tenant.publish();
    expunge(&mut tenant, message);
    expunge(&mut tenant, message);
    let caller = Caller::Organisation(tenant.organisation);
    let get = MessageGet {
        message: message.to_string(),
    };
    let (view, bodies) = tenant.call_as(caller, get, &[]).unwrap();
    assert!(view.expunged && bodies == [Vec::<u8>::new()]);
    let list = MessageList {
        page: page(10, None),
        filter: MessageFilter::default(),
        with_content: true,
    };
    let (list, bodies) = tenant.call_as(caller, list, &[]).unwrap();
    assert!(list.data[0].expunged && bodies == [Vec::<u8>::new()]);
    let bodies = Bodies {
        messages: vec![message],
    };
    let (found, bodies) = tenant.call_as(Caller::System, bodies, &[]).unwrap();
    assert!(
        found.messages.is_empty() && bodies.is_empty(),
        "no consumer gets an empty one"
    );
    let nobody = MessageExpunge {
        messages: vec!["nobody".to_owned(), message.to_string()],
    };
    assert_eq!(tenant.call(nobody).unwrap().found, [false, true]);
}

#[test]
fn what_of_an_expunged_message_is_not_delivered_is_cancelled_and_never_sent() {
    let mut tenant = Tenant::new();
    let done = tenant.endpoint();
    let retried = tenant.endpoint_with(json!({"retrySchedule": [5, 5, 5]}));
    let lost = tenant.endpoint();
    let slow = tenant.endpoint_with(json!({"throttleRate": 1}));
    let message = tenant.publish();
    let outs = tenant.outs();
    assert_eq!(outs.len(), 3, "the slow one has no token yet");
    for out in &outs {
        if out.endpoint == done {
            tenant.report(out, Answer::Ok);
        } else if out.endpoint == retried {
            tenant.report(out, Answer::Broken);
        }
    }
    expunge(&mut tenant, message);
    for (endpoint, stand) in [
        (done, Stand::Delivered),
        (retried, Stand::Cancelled),
        (lost, Stand::Cancelled),
        (slow, Stand::Cancelled),
    ] {
        assert_eq!(tenant.stand(message, endpoint).0, stand);
    }
    assert!(
        tenant.pass_until_out(600_000).is_empty(),
        "nothing is sent any more"
    );
    assert_eq!((tenant.count("due"), tenant.count("backlog")), (0, 0));
    // What had left before may have arrived.
    let late = outs.iter().find(|out| out.endpoint == lost).unwrap().clone();
    tenant.report(&late, Answer::Ok);
    assert_eq!(tenant.stand(message, lost).0, Stand::Delivered);
}

#[test]
fn a_hand_out_that_waits_to_leave_goes_with_the_content() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    let message = tenant.publish();
    expunge(&mut tenant, message);
    assert!(tenant.outs().is_empty());
}

#[test]
fn an_attempt_is_read_by_its_id_and_its_response_can_be_taken_away() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [5]}));
    let message = tenant.publish();
    let first = tenant.out();
    tenant.report_with(&first, Answer::Broken, b"who are you?");
    let second = tenant.pass_until_out(60_000).remove(0);
    tenant.report_with(&second, Answer::Ok, b"welcome");
    let attempts = tenant.attempts(message);
    let caller = Caller::Organisation(tenant.organisation);
    let get = |tenant: &mut Tenant, message: &str, attempt: &str| {
        let call = AttemptGet {
            message: message.to_owned(),
            attempt: attempt.to_owned(),
        };
        tenant.call_as(caller, call, &[])
    };
    let other = tenant.publish();
    for (view, response) in attempts
        .iter()
        .zip([b"welcome".to_vec(), b"who are you?".to_vec()])
    {
        let id = view.id.to_string();
        let (got, bodies) = get(&mut tenant, &message.to_string(), &id).unwrap();
        assert_eq!((&got, bodies), (view, vec![response]));
        assert_eq!(code(get(&mut tenant, &other.to_string(), &id)), Code::NotFound);
        let call = AttemptExpunge {
            message: message.to_string(),
            attempt: id.clone(),
        };
        tenant.call(call).unwrap();
        let (got, bodies) = get(&mut tenant, &message.to_string(), &id).unwrap();
        assert_eq!((&got, bodies), (view, vec![b"EXPUNGED".to_vec()]));
    }
    let mut wrong = attempts[0].id;
    wrong.0.time += 1;
    assert_eq!(
        code(get(&mut tenant, &message.to_string(), &wrong.to_string())),
        Code::NotFound
    );
    let call = AttemptExpunge {
        message: message.to_string(),
        attempt: wrong.to_string(),
    };
    assert_eq!(code(tenant.call(call)), Code::NotFound);
    assert_eq!(tenant.stand(message, endpoint).0, Stand::Delivered);
}

/// Counts what the lists say.
fn counted_by_hand(tenant: &mut Tenant, endpoint: &str) -> DeliveryCounts {
    let mut counts = DeliveryCounts::default();
    for (_, status) in messages_of(tenant, endpoint, &DeliveryFilter::default(), 250) {
        match status {
            DeliveryStatus::Pending => counts.pending += 1,
            DeliveryStatus::Waiting => counts.waiting += 1,
            DeliveryStatus::Delivered => counts.delivered += 1,
            DeliveryStatus::Failed => counts.failed += 1,
            DeliveryStatus::Cancelled => counts.cancelled += 1,
        }
    }
    counts
}

/// Attempts by type, out of the list.
fn attempts_by_hand(tenant: &mut Tenant, endpoints: &[String]) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for endpoint in endpoints {
        let mut iterator = None;
        loop {
            let call = postern_domain::wire::call::AttemptsOfEndpoint {
                endpoint: endpoint.clone(),
                page: page(250, iterator),
                filter: AttemptFilter::default(),
            };
            let list = tenant.call(call).unwrap();
            for view in list.data {
                let sum = sums.entry(view.event_type.unwrap()).or_default();
                match view.status {
                    AttemptStatus::Success => sum.0 += 1,
                    AttemptStatus::Failure => sum.1 += 1,
                }
            }
            if list.done {
                break;
            }
            iterator = list.iterator;
        }
    }
    sums
}

#[test]
#[expect(clippy::too_many_lines, reason = "one life, looked at several times")]
fn statistics_are_what_the_tables_say_whatever_was_counted_before() {
    // Enough messages that slices of them are counted, and late results, retries, cancels and expunges change them after.
    let settings = Settings {
        retention_ms: 100 * Millis::DAY,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let mut random = Seeded::new(11);
    let numbers = [
        tenant.endpoint_with(json!({"retrySchedule": [5, 60, 7200, 7200]})),
        tenant.endpoint_with(json!({"eventTypes": ["order.made"], "retrySchedule": [28_800]})),
    ];
    let mut kept: Vec<postern_tests::tenant::Out> = Vec::new();
    let mut published = Vec::new();
    for round in 0..5200_u64 {
        let event_type = if round % 3 == 0 {
            "order.made"
        } else {
            "invoice.paid"
        };
        let call = tenant.publish_call(event_type);
        published.push(tenant.accept(call, b"{}").unwrap().message.id);
        for out in tenant.outs() {
            match random.below(40) {
                0 => {}
                1..=4 => tenant.report(&out, Answer::Broken),
                5 => kept.push(out),
                _ => tenant.report(&out, Answer::Ok),
            }
        }
        if round % 400 == 399 {
            tenant.evict();
        }
        if round == 4000 {
            tenant.disable(numbers[0], true);
        }
        if round == 4100 {
            tenant.disable(numbers[0], false);
        }
        if round % 500 == 499 {
            // Answers that come long after their leases, and contents that go.
            for out in std::mem::take(&mut kept) {
                tenant.report(
                    &out,
                    if random.percent(50) {
                        Answer::Ok
                    } else {
                        Answer::Silence
                    },
                );
            }
            let at = usize::try_from(random.below(published.len() as u64)).unwrap();
            expunge(&mut tenant, published[at]);
        }
        tenant.pass(4000);
    }
    assert!(tenant.count("stat") > 0, "slices were counted");
    let counted = |tenant: &Tenant| tenant.count("meta WHERE name = 'counted' AND value >= 4000");
    assert_eq!(counted(&tenant), 1);
    let endpoints: Vec<String> = numbers.iter().map(|number| tenant.endpoint_id(*number)).collect();
    let compare = |tenant: &mut Tenant| {
        for endpoint in &endpoints {
            assert_eq!(stats(tenant, endpoint), counted_by_hand(tenant, endpoint));
        }
        let call = AttemptStats {
            since: START,
            until: tenant.now,
            event_types: None,
        };
        let by_type: BTreeMap<String, (u64, u64)> = tenant
            .call(call)
            .unwrap()
            .types
            .into_iter()
            .map(|(name, counts)| (name, (counts.succeeded, counts.failed)))
            .collect();
        assert_eq!(by_type, attempts_by_hand(tenant, &endpoints));
    };
    compare(&mut tenant);
    // One that waits, and was counted long ago, loses its content.
    let waiting = DeliveryFilter {
        status: Some(DeliveryStatus::Waiting),
        ..DeliveryFilter::default()
    };
    let oldest = messages_of(&mut tenant, &endpoints[1], &waiting, 250)
        .pop()
        .unwrap()
        .0;
    assert!(oldest.0.sequence < 2000);
    expunge(&mut tenant, oldest);
    compare(&mut tenant);
    // All that waits comes to its end.
    for _ in 0..40 {
        for out in tenant.outs() {
            tenant.report(
                &out,
                if random.percent(70) {
                    Answer::Ok
                } else {
                    Answer::Broken
                },
            );
        }
        tenant.pass(1_000_000);
    }
    compare(&mut tenant);
    tenant.evict();
    compare(&mut tenant);
    let usage = Usage {
        since: START,
        until: tenant.now,
    };
    let used = tenant.call(usage).unwrap();
    assert_eq!(used.messages, 5200);
    assert_eq!(used.deliveries.pending + used.deliveries.waiting, 0);
    let call = EndpointStats {
        endpoint: endpoints[0].clone(),
        since: Some(tenant.now.plus(7_200_000)),
        until: None,
    };
    assert_eq!(tenant.call(call).unwrap(), DeliveryCounts::default());
    // Counters go with their messages.
    tenant.pass(101 * Millis::DAY);
    tenant.prove();
    tenant.pass(2 * Millis::DAY);
    assert!(tenant.count("stat") == 0, "{} rows", tenant.count("stat"));
}

#[test]
fn a_count_of_attempts_is_exact_where_each_can_be_looked_at() {
    let (mut tenant, endpoints, _) = life(6, 200);
    let endpoint = tenant.endpoint_id(endpoints[0]);
    let by_hand: (u64, u64) = attempts_by_hand(&mut tenant, std::slice::from_ref(&endpoint))
        .values()
        .fold((0, 0), |sum, (succeeded, failed)| {
            (sum.0 + succeeded, sum.1 + failed)
        });
    let count = |tenant: &mut Tenant, filter: AttemptFilter| {
        let call = AttemptCount {
            endpoint: endpoint.clone(),
            filter,
        };
        tenant.call(call).unwrap()
    };
    let exactly = |count| Counted {
        count,
        approximated: false,
    };
    assert_eq!(
        count(&mut tenant, AttemptFilter::default()),
        exactly(by_hand.0 + by_hand.1)
    );
    let failed = AttemptFilter {
        status: Some(AttemptStatus::Failure),
        ..AttemptFilter::default()
    };
    assert_eq!(count(&mut tenant, failed), exactly(by_hand.1));
}

#[test]
fn attempts_before_a_time_are_found_from_there_on() {
    let (mut tenant, endpoints, _) = life(7, 120);
    let endpoint = tenant.endpoint_id(endpoints[0]);
    let list = |tenant: &mut Tenant, filter: MessageFilter| {
        let call = postern_domain::wire::call::AttemptsOfEndpoint {
            endpoint: endpoint.clone(),
            page: page(250, None),
            filter: AttemptFilter {
                message: filter,
                ..AttemptFilter::default()
            },
        };
        let list = tenant.call(call).unwrap();
        assert!(list.done);
        list.data
    };
    let all = list(&mut tenant, MessageFilter::default());
    let middle = all[all.len() / 2].timestamp;
    let filter = MessageFilter {
        before: Some(middle),
        ..MessageFilter::default()
    };
    let wanted: Vec<_> = all
        .iter()
        .filter(|view| view.timestamp < middle)
        .cloned()
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(list(&mut tenant, filter), wanted);
}

#[test]
fn a_precheck_says_whether_anybody_would_get_it() {
    let mut tenant = Tenant::new();
    let ask = |tenant: &mut Tenant, event_type: &str, channel: Option<&str>| {
        let call = Precheck {
            event_type: event_type.to_owned(),
            channels: channel.map(|channel| vec![channel.to_owned()]),
        };
        tenant.call(call).unwrap().active
    };
    assert!(!ask(&mut tenant, "order.made", None));
    let endpoint = tenant.endpoint_with(json!({"eventTypes": ["order.*"], "channels": ["eu"]}));
    assert!(ask(&mut tenant, "order.made", Some("eu")));
    assert!(!ask(&mut tenant, "order.made", Some("us")));
    assert!(!ask(&mut tenant, "invoice.paid", Some("eu")));
    tenant.disable(endpoint, true);
    assert!(!ask(&mut tenant, "order.made", Some("eu")));
    let call = tenant.publish_call("order.made");
    assert!(tenant.accept(Accept { ..call }, b"{}").is_ok());
}
