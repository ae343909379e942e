//! Pages of messages, attempts and configuration.

use postern_domain::id::{AttemptId, MessageId};
use postern_domain::problem::Code;
use postern_domain::wire::call::{
    Accept, AttemptFilter, AttemptsOfEndpoint, AttemptsOfMessage, Caller, EndpointList, MessageFilter,
    MessageList, PageOf, TenantSettings,
};
use postern_domain::wire::{AttemptStatus, DeliveryStatus};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, Tenant, code};
use serde_json::json;

fn page(limit: u16, iterator: Option<String>) -> PageOf {
    PageOf {
        limit,
        iterator,
        ascending: false,
    }
}

fn messages(tenant: &mut Tenant, filter: &MessageFilter, limit: u16) -> Vec<MessageId> {
    let (mut all, mut iterator) = (Vec::new(), None);
    loop {
        let call = MessageList {
            page: page(limit, iterator),
            filter: filter.clone(),
            with_content: false,
        };
        let list = tenant.call(call).unwrap();
        assert!(list.data.len() <= usize::from(limit));
        all.extend(list.data.iter().map(|view| view.id));
        if list.done {
            return all;
        }
        iterator = list.iterator;
        assert!(iterator.is_some(), "there is more, and a way to it");
    }
}

/// Messages over several segments, a second apart.
fn with_messages(count: usize) -> (Tenant, Vec<MessageId>) {
    let settings = Settings {
        retention_ms: 8 * 40_000,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let messages = (0..count)
        .map(|at| {
            let event_type = if at % 3 == 0 { "order.made" } else { "invoice.paid" };
            let channels = (at % 5 == 0).then(|| vec!["eu".to_owned(), "vip".to_owned()]);
            let call = Accept {
                channels,
                ..tenant.publish_call(event_type)
            };
            let id = tenant
                .accept(call, format!("{at}").as_bytes())
                .unwrap()
                .message
                .id;
            tenant.now = tenant.now.plus(1000);
            id
        })
        .collect();
    (tenant, messages)
}

#[test]
fn messages_are_listed_newest_first_over_segments_whatever_the_page() {
    let (mut tenant, mut all) = with_messages(150);
    assert!(tenant.count("segment") >= 3);
    all.reverse();
    for limit in [1, 7, 64, 65, 250] {
        assert_eq!(
            messages(&mut tenant, &MessageFilter::default(), limit),
            all,
            "{limit}"
        );
    }
}

#[test]
fn pages_of_messages_forward_and_back_are_stable_while_new_ones_arrive() {
    let (mut tenant, mut all) = with_messages(60);
    all.reverse();
    let list = |tenant: &mut Tenant, iterator| {
        let call = MessageList {
            page: page(10, iterator),
            filter: MessageFilter::default(),
            with_content: true,
        };
        let (list, bodies) = tenant
            .call_as(Caller::Organisation(tenant.organisation), call, &[])
            .unwrap();
        assert_eq!(bodies.len(), list.data.len());
        let ids: Vec<_> = list.data.iter().map(|view| view.id).collect();
        (ids, list.iterator, list.prev_iterator, list.done)
    };
    let (first, next, _, _) = list(&mut tenant, None);
    assert_eq!(first, all[..10]);
    tenant.publish();
    let (second, next, prev, _) = list(&mut tenant, next);
    assert_eq!(second, all[10..20]);
    let (third, _, back, _) = list(&mut tenant, next);
    assert_eq!(third, all[20..30]);
    tenant.publish();
    let (again, _, _, done) = list(&mut tenant, back);
    assert_eq!((again, done), (second, false), "the page before");
    let (again, _, before, done) = list(&mut tenant, prev);
    assert_eq!(
        (again, done),
        (first, false),
        "and the one before that: two newer ones follow"
    );
    let (newer, _, _, done) = list(&mut tenant, before);
    assert_eq!((newer.len(), done), (2, true));
}

#[test]
fn messages_are_filtered_by_type_channel_and_time() {
    let (mut tenant, all) = with_messages(100);
    let of = |tenant: &mut Tenant, filter: MessageFilter| {
        let mut found = messages(tenant, &filter, 9);
        found.reverse();
        found
    };
    let pick = |wanted: &dyn Fn(usize) -> bool| -> Vec<MessageId> {
        all.iter()
            .enumerate()
            .filter(|(at, _)| wanted(*at))
            .map(|(_, id)| *id)
            .collect()
    };
    let filter = MessageFilter {
        event_types: Some(vec!["order.made".to_owned()]),
        ..MessageFilter::default()
    };
    assert_eq!(of(&mut tenant, filter), pick(&|at| at % 3 == 0));
    let filter = MessageFilter {
        channel: Some("vip".to_owned()),
        ..MessageFilter::default()
    };
    assert_eq!(of(&mut tenant, filter), pick(&|at| at % 5 == 0));
    let time = |at: usize| postern_domain::time::Millis(all[at].0.time);
    let filter = MessageFilter {
        before: Some(time(70)),
        after: Some(time(30)),
        ..MessageFilter::default()
    };
    assert_eq!(
        of(&mut tenant, filter),
        pick(&|at| at > 30 && at < 70),
        "both ends are outside"
    );
    let filter = MessageFilter {
        before: Some(time(0)),
        ..MessageFilter::default()
    };
    assert_eq!(of(&mut tenant, filter), []);
    let filter = MessageFilter {
        after: Some(time(99)),
        ..MessageFilter::default()
    };
    assert_eq!(of(&mut tenant, filter), []);
}

#[test]
fn an_iterator_that_no_list_gave_is_refused() {
    let (mut tenant, _) = with_messages(1);
    let endpoint = tenant.endpoint();
    let endpoint = tenant.endpoint_id(endpoint);
    for iterator in [
        "",
        "-",
        "x",
        "msg_0",
        "at_1_2",
        "at_zzzzzzzzzzzz_0_0",
        "--at_1_1_1",
    ] {
        let iterator = Some(iterator.to_owned());
        let call = MessageList {
            page: page(5, iterator.clone()),
            filter: MessageFilter::default(),
            with_content: false,
        };
        assert_eq!(code(tenant.call(call)), Code::InvalidIterator, "{iterator:?}");
        let filter = AttemptFilter::default();
        let call = AttemptsOfEndpoint {
            endpoint: endpoint.clone(),
            page: page(5, iterator.clone()),
            filter,
        };
        assert_eq!(code(tenant.call(call)), Code::InvalidIterator, "{iterator:?}");
    }
}

/// An endpoint with attempts of every kind over several segments.
fn with_attempts() -> (Tenant, String, u32) {
    let settings = Settings {
        retention_ms: 8 * 600_000,
        ..Settings::default()
    };
    let mut tenant = Tenant::with(settings, TenantSettings::default());
    let settings = json!({"retrySchedule": [5, 20, 60], "disableAfter": {"failed": 0, "days": 0}});
    let endpoint = tenant.endpoint_with(settings);
    tenant.endpoint();
    for round in 0..100 {
        tenant.publish();
        for (at, out) in tenant.outs().iter().enumerate() {
            let answer = match (round + at) % 4 {
                0 | 3 => Answer::Ok, // often enough that the endpoint is not stopped
                1 => Answer::Silence,
                _ => Answer::Broken,
            };
            if (round + at) % 7 != 6 {
                tenant.report(out, answer);
            }
        }
        tenant.pass(20_000);
    }
    let mut count = 0;
    loop {
        let outs = tenant.pass_until_out(300_000);
        if outs.is_empty() {
            break;
        }
        for out in outs {
            count += 1; // one in three arrives, so that the endpoint is not stopped
            tenant.report(
                &out,
                if count % 3 == 0 {
                    Answer::Ok
                } else {
                    Answer::Broken
                },
            );
        }
    }
    let id = tenant.endpoint_id(endpoint);
    (tenant, id, endpoint)
}

fn attempts(tenant: &mut Tenant, endpoint: &str, filter: &AttemptFilter, limit: u16) -> Vec<AttemptId> {
    let (mut all, mut iterator) = (Vec::new(), None);
    loop {
        let call = AttemptsOfEndpoint {
            endpoint: endpoint.to_owned(),
            page: page(limit, iterator),
            filter: filter.clone(),
        };
        let list = tenant.call(call).unwrap();
        all.extend(list.data.iter().map(|view| view.id));
        if list.done {
            return all;
        }
        iterator = list.iterator;
    }
}

#[test]
fn every_attempt_of_an_endpoint_is_listed_once_whatever_the_page() {
    let (mut tenant, id, endpoint) = with_attempts();
    let all = attempts(&mut tenant, &id, &AttemptFilter::default(), 250);
    let mut inside = 0;
    let mut later = 0;
    for segment in 1..=tenant.count("segment") {
        inside += tenant.count(&format!(
            "delivery_{segment} WHERE endpoint = {endpoint} AND number IS NOT NULL"
        ));
        later += tenant.count(&format!("attempt_{segment} WHERE endpoint = {endpoint}"));
    }
    assert!(inside > 40 && later > 40);
    assert_eq!(i64::try_from(all.len()).unwrap(), inside + later);
    let mut once = all.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all.len());
    for limit in [1, 3, 64, 65] {
        assert_eq!(
            attempts(&mut tenant, &id, &AttemptFilter::default(), limit),
            all,
            "{limit}"
        );
    }
}

#[test]
fn pages_of_attempts_forward_and_back_are_stable_while_new_ones_arrive() {
    let (mut tenant, id, _) = with_attempts();
    let all = attempts(&mut tenant, &id, &AttemptFilter::default(), 250);
    let list = |tenant: &mut Tenant, iterator| {
        let call = AttemptsOfEndpoint {
            endpoint: id.clone(),
            page: page(10, iterator),
            filter: AttemptFilter::default(),
        };
        let list = tenant.call(call).unwrap();
        (
            list.data.iter().map(|view| view.id).collect::<Vec<_>>(),
            list.iterator,
            list.prev_iterator,
            list.done,
        )
    };
    let arrive = |tenant: &mut Tenant| {
        tenant.publish();
        for out in tenant.outs() {
            tenant.report(&out, Answer::Broken);
        }
        tenant.pass(7000);
        for out in tenant.outs() {
            tenant.report(&out, Answer::Broken);
        }
    };
    let mut iterator = None;
    let mut backs = Vec::new();
    let mut pages = Vec::new();
    for at in 0..5 {
        let (page, next, prev, _) = list(&mut tenant, iterator);
        assert_eq!(page, all[at * 10..at * 10 + 10], "page {at}");
        backs.push(prev);
        pages.push(page);
        iterator = next;
        arrive(&mut tenant);
    }
    for at in (1..5).rev() {
        let (page, _, _, done) = list(&mut tenant, backs[at].clone());
        assert_eq!(
            (page, done),
            (pages[at - 1].clone(), false),
            "the page before page {at}"
        );
    }
    let newer = attempts(&mut tenant, &id, &AttemptFilter::default(), 250);
    let newer: Vec<_> = newer.into_iter().filter(|id| !all.contains(id)).collect();
    assert!(newer.len() >= 10);
    let (page, _, _, _) = list(&mut tenant, backs[0].clone());
    assert_eq!(
        page,
        newer[newer.len() - page.len()..],
        "what is new stands before the first page"
    );
}

#[test]
fn attempts_are_filtered_by_how_they_ended() {
    let (mut tenant, id, _) = with_attempts();
    let all = attempts(&mut tenant, &id, &AttemptFilter::default(), 250).len();
    let mut count = |filter: AttemptFilter| attempts(&mut tenant, &id, &filter, 7).len();
    let default = AttemptFilter::default;
    let good = count(AttemptFilter {
        status: Some(AttemptStatus::Success),
        ..default()
    });
    let bad = count(AttemptFilter {
        status: Some(AttemptStatus::Failure),
        ..default()
    });
    assert!(good > 0 && bad > 0);
    assert_eq!(good + bad, all);
    let classes: Vec<usize> = [0, 200, 500, 400]
        .map(|class| {
            count(AttemptFilter {
                status_code_class: Some(class),
                ..default()
            })
        })
        .to_vec();
    assert_eq!(classes.iter().sum::<usize>(), all);
    assert_eq!((classes[1], classes[3]), (good, 0));
    assert_eq!(
        count(AttemptFilter {
            delivery: Some(DeliveryStatus::Pending),
            ..default()
        }),
        0
    );
    assert_eq!(
        count(AttemptFilter {
            delivery: Some(DeliveryStatus::Failed),
            ..default()
        }),
        bad
    );
}

#[test]
fn attempts_of_a_message_are_paged_over_its_endpoints() {
    let mut tenant = Tenant::new();
    let a = tenant.endpoint_with(json!({"retrySchedule": [5, 5, 5]}));
    tenant.endpoint_with(json!({"retrySchedule": [5, 5, 5]}));
    let message = tenant.publish();
    for _ in 0..4 {
        for out in tenant.outs() {
            tenant.report(&out, Answer::Broken);
        }
        tenant.pass(10_000);
    }
    let all: Vec<_> = tenant.attempts(message).iter().map(|view| view.id).collect();
    assert_eq!(all.len(), 8);
    let list = |tenant: &mut Tenant, iterator| {
        let message = message.to_string();
        let call = AttemptsOfMessage {
            message,
            page: page(3, iterator),
            filter: AttemptFilter::default(),
        };
        let list = tenant.call(call).unwrap();
        (
            list.data.iter().map(|view| view.id).collect::<Vec<_>>(),
            list.iterator,
            list.prev_iterator,
            list.done,
        )
    };
    let (first, next, _, _) = list(&mut tenant, None);
    let (second, next, back, _) = list(&mut tenant, next);
    let (third, _, _, done) = list(&mut tenant, next);
    assert_eq!([first.clone(), second, third].concat(), all);
    assert!(done);
    assert_eq!(list(&mut tenant, back).0, first);
    let endpoint = Some(tenant.endpoint_id(a));
    let filter = AttemptFilter {
        endpoint,
        ..AttemptFilter::default()
    };
    let call = AttemptsOfMessage {
        message: message.to_string(),
        page: page(250, None),
        filter,
    };
    assert_eq!(tenant.call(call).unwrap().data.len(), 4);
}

#[test]
fn a_page_with_bodies_stops_at_four_mebibytes_and_goes_on() {
    let mut tenant = Tenant::new();
    let all: Vec<_> = (0..12)
        .map(|_| {
            let call = tenant.publish_call("invoice.paid");
            tenant.accept(call, &vec![b'x'; 900_000]).unwrap().message.id
        })
        .collect();
    let (mut seen, mut iterator) = (Vec::new(), None);
    loop {
        let call = MessageList {
            page: page(250, iterator),
            filter: MessageFilter::default(),
            with_content: true,
        };
        let list = tenant.call(call).unwrap();
        assert!(list.data.len() <= 5);
        seen.extend(list.data.iter().map(|view| view.id));
        iterator = list.iterator;
        if list.done {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, all);
}

#[test]
fn a_page_that_looked_at_five_thousand_rows_is_short_and_says_how_to_go_on() {
    let mut tenant = Tenant::new();
    let call = tenant.publish_call("order.made");
    let wanted = tenant.accept(call, b"1").unwrap().message.id;
    for _ in 0..5200 {
        tenant.publish();
    }
    let filter = MessageFilter {
        event_types: Some(vec!["order.made".to_owned()]),
        ..MessageFilter::default()
    };
    let call = MessageList {
        page: page(5, None),
        filter: filter.clone(),
        with_content: false,
    };
    let first = tenant.call(call).unwrap();
    assert!(first.data.is_empty() && !first.done && first.iterator.is_some());
    assert_eq!(messages(&mut tenant, &filter, 5), [wanted]);
}

#[test]
fn endpoints_are_listed_both_ways() {
    let mut tenant = Tenant::new();
    let numbers: Vec<u32> = (0..7).map(|_| tenant.endpoint()).collect();
    for ascending in [true, false] {
        let mut expected = numbers.clone();
        if !ascending {
            expected.reverse();
        }
        let (mut seen, mut iterator, mut backs) = (Vec::new(), None, Vec::new());
        loop {
            let list = tenant
                .call(EndpointList {
                    page: PageOf {
                        limit: 3,
                        iterator,
                        ascending,
                    },
                })
                .unwrap();
            seen.extend(list.data.iter().map(postern_tests::tenant::number_of));
            backs.push(list.prev_iterator.clone());
            iterator = list.iterator.clone();
            if list.done {
                break;
            }
        }
        assert_eq!(seen, expected);
        let iterator = backs[1].clone();
        let list = tenant
            .call(EndpointList {
                page: PageOf {
                    limit: 3,
                    iterator,
                    ascending,
                },
            })
            .unwrap();
        let page: Vec<u32> = list.data.iter().map(postern_tests::tenant::number_of).collect();
        assert_eq!(page, expected[..3]);
        assert!(list.done, "nothing comes before it");
    }
}
