//! Endpoints that are polled, and the log read forward: nothing is skipped, nothing is handed out.

use postern_domain::digest;
use postern_domain::id::{MessageId, PollerToken};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, Caller, EndpointChange, EndpointCreate, EndpointDelete, EndpointGet, EndpointPatch,
    EndpointUpdate, Inspect, MessageGet, TenantSettings,
};
use postern_domain::wire::follow::{Follow, Gap, LogPage, Place, Wanted, Watch, Watcher};
use postern_domain::wire::poll::{
    ConsumerPoll, ConsumerSeek, Poll, Polled, PollerKey, PollerTokenGet, PollerTokenRotate, PollerTokenView,
};
use postern_ledger::Settings;
use postern_tests::tenant::{Answer, START, Seeded, Stand, Tenant, code, endpoint_config};
use serde_json::json;

const RETENTION: u64 = 2 * Millis::DAY; // a segment is six hours

fn short_lived() -> Tenant {
    Tenant::with(
        Settings {
            retention_ms: RETENTION,
            ..Settings::default()
        },
        TenantSettings::default(),
    )
}

/// An endpoint that is polled; its id.
fn sink(tenant: &mut Tenant) -> String {
    sink_with(tenant, json!({}))
}

fn sink_with(tenant: &mut Tenant, mut settings: serde_json::Value) -> String {
    settings["url"] = json!("postern:poller");
    settings["kind"] = json!("polling");
    tenant.make_endpoint(settings).unwrap().id.to_string()
}

fn ask(sink: &str) -> Poll {
    Poll {
        sink: sink.to_owned(),
        limit: 250,
        iterator: None,
        event_type: None,
        channel: None,
        after: None,
    }
}

fn poll(tenant: &mut Tenant, sink: &str, iterator: Option<&str>) -> Polled {
    let iterator = iterator.map(str::to_owned);
    tenant
        .call(Poll {
            iterator,
            ..ask(sink)
        })
        .unwrap()
}

fn try_consume(
    tenant: &mut Tenant,
    sink: &str,
    consumer: &str,
    iterator: Option<&str>,
) -> Result<Polled, Problem> {
    tenant.call(ConsumerPoll {
        sink: sink.to_owned(),
        consumer: consumer.to_owned(),
        limit: 2,
        iterator: iterator.map(str::to_owned),
    })
}

fn consume(tenant: &mut Tenant, sink: &str, iterator: Option<&str>) -> Polled {
    try_consume(tenant, sink, "worker", iterator).unwrap()
}

fn ids(page: &LogPage) -> Vec<MessageId> {
    page.messages.iter().map(|message| message.view.id).collect()
}

fn publish_on(tenant: &mut Tenant, event_type: &str, channels: &[&str]) -> MessageId {
    let channels: Vec<String> = channels.iter().map(|&channel| channel.to_owned()).collect();
    let call = Accept {
        channels: (!channels.is_empty()).then_some(channels),
        ..tenant.publish_call(event_type)
    };
    tenant.accept(call, b"{}").unwrap().message.id
}

#[test]
fn a_poll_gives_what_came_since_the_endpoint_was_made_oldest_first_with_bodies() {
    let mut tenant = Tenant::new();
    tenant.publish();
    let sink = sink(&mut tenant);
    let first = tenant.publish();
    let second = tenant.publish();
    let (polled, bodies) = tenant
        .call_as(Caller::Organisation(tenant.organisation), ask(&sink), &[])
        .unwrap();
    assert_eq!(ids(&polled.page), [first, second]);
    assert_eq!(bodies, [b"{\"paid\":true}", b"{\"paid\":true}"]);
    assert!(polled.page.done && polled.page.gap.is_none());
}

#[test]
fn the_iterator_is_there_on_an_empty_page_and_goes_on_from_there() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let empty = poll(&mut tenant, &sink, None);
    assert!(empty.page.is_quiet());
    let message = tenant.publish();
    let next = poll(&mut tenant, &sink, Some(&empty.iterator));
    assert_eq!(ids(&next.page), [message]);
    assert!(poll(&mut tenant, &sink, Some(&next.iterator)).page.is_quiet());
}

#[test]
fn pages_of_any_size_give_each_message_once_while_more_is_accepted() {
    let mut tenant = short_lived();
    let sink = sink(&mut tenant);
    let mut random = Seeded::new(9);
    let (mut accepted, mut given, mut iterator) = (Vec::new(), Vec::new(), None);
    for _ in 0..400 {
        match random.below(4) {
            0 => tenant.pass(600_000),
            1 => {
                tenant.evict();
                let limit = u16::try_from(1 + random.below(5)).unwrap();
                let polled = tenant
                    .call(Poll {
                        limit,
                        iterator: iterator.clone(),
                        ..ask(&sink)
                    })
                    .unwrap();
                assert!(polled.page.messages.len() <= usize::from(limit));
                given.extend(ids(&polled.page));
                iterator = Some(polled.iterator);
            }
            _ => accepted.push(tenant.publish()),
        }
    }
    let last = poll(&mut tenant, &sink, iterator.as_deref());
    given.extend(ids(&last.page));
    assert_eq!(given, accepted);
}

#[test]
fn an_endpoint_that_is_polled_is_handed_nothing_and_nothing_of_it_waits_or_is_lost() {
    let mut tenant = Tenant::new();
    sink(&mut tenant);
    let webhook = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    assert_eq!(out.endpoint, webhook);
    tenant.report(&out, Answer::Ok);
    tenant.pass(600_000);
    assert!(tenant.outs().is_empty());
    assert_eq!(tenant.count("due"), 0);
    assert_eq!(tenant.count("delivery_1"), 1, "of the webhook alone");
    assert_eq!(tenant.stand(message, webhook).0, Stand::Delivered);
    assert!(
        tenant
            .attempts(message)
            .iter()
            .all(|attempt| attempt.endpoint.0.sequence == u64::from(webhook))
    );
    assert_eq!(tenant.inspect()["mark"], 1, "the mark passes it");
}

#[test]
fn a_message_for_pollers_alone_sets_no_alarm_for_a_lease() {
    let mut tenant = Tenant::new();
    sink(&mut tenant);
    let before = tenant.storage.native().alarm(); // of what is told of the new endpoint
    tenant.publish();
    let alarm = tenant.storage.native().alarm();
    assert!(alarm == before || alarm.is_none_or(|at| at.since(tenant.now) > Millis::DAY));
}

#[test]
fn a_tenants_rate_does_not_count_what_is_fetched() {
    let settings = TenantSettings {
        throttle_rate: Some(1),
        ..TenantSettings::default()
    };
    let mut tenant = Tenant::with(Settings::default(), settings);
    let sink = sink(&mut tenant);
    for _ in 0..5 {
        tenant.publish();
    }
    assert_eq!(tenant.count("backlog"), 0);
    assert_eq!(poll(&mut tenant, &sink, None).page.messages.len(), 5);
}

#[test]
fn a_poller_matches_by_event_types_and_channels_and_an_edit_holds_for_what_comes_then() {
    let mut tenant = Tenant::new();
    let sink = sink_with(
        &mut tenant,
        json!({"eventTypes": ["invoice.*"], "channels": ["eu"]}),
    );
    let paid = publish_on(&mut tenant, "invoice.paid", &["eu", "us"]);
    publish_on(&mut tenant, "invoice.paid", &["us"]);
    publish_on(&mut tenant, "invoice.paid", &[]);
    publish_on(&mut tenant, "user.made", &["eu"]);
    let change = EndpointChange {
        event_types: Some(Some(vec!["user.made".to_owned()])),
        ..EndpointChange::default()
    };
    tenant
        .call(EndpointPatch {
            endpoint: sink.clone(),
            change,
        })
        .unwrap();
    let made = publish_on(&mut tenant, "user.made", &["eu"]);
    publish_on(&mut tenant, "invoice.paid", &["eu"]);
    assert_eq!(ids(&poll(&mut tenant, &sink, None).page), [paid, made]);
}

#[test]
fn a_poll_is_narrowed_by_type_channel_and_time() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let a = publish_on(&mut tenant, "a", &["x"]);
    tenant.pass(1000);
    let b = publish_on(&mut tenant, "b", &["x"]);
    tenant.pass(1000);
    let c = publish_on(&mut tenant, "a", &["y"]);
    let mut of = |call: Poll| ids(&tenant.call(call).unwrap().page);
    let word = |word: &str| Some(word.to_owned());
    let by_type = Poll {
        event_type: word("a"),
        ..ask(&sink)
    };
    assert_eq!(of(by_type), [a, c]);
    let by_channel = Poll {
        channel: word("x"),
        ..ask(&sink)
    };
    assert_eq!(of(by_channel), [a, b]);
    let later = Poll {
        after: Some(START),
        ..ask(&sink)
    };
    assert_eq!(of(later), [b, c]);
    let after_all = Poll {
        after: Some(START.plus(Millis::DAY)),
        ..ask(&sink)
    };
    assert!(of(after_all).is_empty());
}

#[test]
fn a_page_ends_at_4_mib_and_after_5000_messages_that_nobody_wanted() {
    let mut tenant = Tenant::new();
    let sink = sink_with(&mut tenant, json!({"eventTypes": ["large"]}));
    for _ in 0..6 {
        let call = tenant.publish_call("large");
        tenant.accept(call, &vec![b'x'; 1 << 20]).unwrap();
    }
    let page = poll(&mut tenant, &sink, None);
    assert_eq!((page.page.messages.len(), page.page.done), (4, false));
    let rest = poll(&mut tenant, &sink, Some(&page.iterator));
    assert_eq!((rest.page.messages.len(), rest.page.done), (2, true));

    for _ in 0..5001 {
        publish_on(&mut tenant, "small", &[]);
    }
    let wanted = publish_on(&mut tenant, "large", &[]);
    let short = poll(&mut tenant, &sink, Some(&rest.iterator));
    assert!(short.page.messages.is_empty() && !short.page.done);
    let next = poll(&mut tenant, &sink, Some(&short.iterator));
    assert_eq!(ids(&next.page), [wanted]);
}

#[test]
fn retention_leaves_a_gap_that_is_told_and_the_log_goes_on_from_the_oldest() {
    let mut tenant = short_lived();
    let sink = sink(&mut tenant);
    let start = poll(&mut tenant, &sink, None).iterator;
    for _ in 0..3 {
        tenant.publish();
    }
    let read = poll(&mut tenant, &sink, None).iterator;
    for _ in 0..4 {
        tenant.publish();
    }
    tenant.pass(2 * RETENTION);
    let gone = poll(&mut tenant, &sink, Some(&read));
    assert!(gone.page.messages.is_empty());
    assert_eq!(gone.page.gap, Some(Gap { missed: 4, first: 8 }));
    let kept = tenant.publish();
    let all = poll(&mut tenant, &sink, Some(&start));
    assert_eq!(all.page.gap, Some(Gap { missed: 7, first: 8 }));
    assert_eq!(ids(&all.page), [kept]);
    let again = poll(&mut tenant, &sink, Some(&all.iterator));
    assert_eq!(again.page.gap, None, "told once it is behind");
    let fresh = poll(&mut tenant, &sink, None);
    assert_eq!(fresh.page.gap, None, "who begins misses nothing");
    assert_eq!(ids(&fresh.page), [kept]);
    let later = Poll {
        after: Some(kept_time(&mut tenant, kept).minus(1)),
        iterator: Some(start),
        ..ask(&sink)
    };
    assert_eq!(ids(&tenant.call(later).unwrap().page), [kept]);
}

fn kept_time(tenant: &mut Tenant, message: MessageId) -> Millis {
    tenant.message(message).unwrap().timestamp
}

#[test]
fn an_iterator_of_another_reader_or_of_nobody_is_refused() {
    let mut tenant = Tenant::new();
    let (one, other) = (sink(&mut tenant), sink(&mut tenant));
    tenant.publish();
    let own = poll(&mut tenant, &one, None).iterator;
    let of_consumer = consume(&mut tenant, &one, None).iterator;
    let ahead = own.replacen("po_1_", "po_2_", 1);
    assert_ne!(ahead, own);
    for (sink, iterator) in [
        (&other, own.as_str()),
        (&one, of_consumer.as_str()),
        (&one, ahead.as_str()),
        (&one, "po_1_0_00000000"),
        (&one, "po_1"),
        (&one, ""),
        (&one, "po_zz_é"),
    ] {
        let call = Poll {
            iterator: Some(iterator.to_owned()),
            ..ask(sink)
        };
        assert_eq!(code(tenant.call(call)), Code::InvalidIterator, "{iterator}");
    }
    let refused = try_consume(&mut tenant, &one, "worker", Some(&own));
    assert_eq!(code(refused), Code::InvalidIterator);
    let refused = try_consume(&mut tenant, &one, "another", Some(&of_consumer));
    assert_eq!(code(refused), Code::InvalidIterator);
}

#[test]
fn a_consumer_moves_when_it_brings_the_iterator_and_a_lost_answer_is_given_again() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let messages: Vec<_> = (0..5).map(|_| tenant.publish()).collect();
    let first = consume(&mut tenant, &sink, None);
    assert_eq!(ids(&first.page), messages[..2]);
    assert_eq!(tenant.count("consumer"), 0, "nothing is written before it moves");
    tenant.evict();
    assert_eq!(consume(&mut tenant, &sink, None), first, "the answer was lost");
    let second = consume(&mut tenant, &sink, Some(&first.iterator));
    assert_eq!(ids(&second.page), messages[2..4]);
    assert_eq!(
        consume(&mut tenant, &sink, Some(&first.iterator)),
        second,
        "the answer was lost"
    );
    tenant.evict();
    assert_eq!(
        consume(&mut tenant, &sink, None),
        second,
        "a new process knows nothing and goes on"
    );
    let third = consume(&mut tenant, &sink, Some(&second.iterator));
    assert_eq!(ids(&third.page), messages[4..]);
    assert!(third.page.done);
}

#[test]
fn of_two_processes_under_one_name_the_one_behind_hears_409_and_no_message_is_lost() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let messages: Vec<_> = (0..6).map(|_| tenant.publish()).collect();
    let one = consume(&mut tenant, &sink, None);
    let two = consume(&mut tenant, &sink, None);
    assert_eq!(one, two, "both get the same");
    let one = consume(&mut tenant, &sink, Some(&one.iterator));
    let ahead = consume(&mut tenant, &sink, Some(&one.iterator));
    assert_eq!(ids(&ahead.page), messages[4..]);
    let behind = try_consume(&mut tenant, &sink, "worker", Some(&two.iterator));
    assert_eq!(code(behind), Code::Conflict);
    assert_eq!(consume(&mut tenant, &sink, None), ahead);
}

#[test]
fn a_seek_puts_a_consumer_elsewhere_and_iterators_of_before_hold_no_more() {
    let mut tenant = Tenant::new();
    tenant.publish();
    let sink = sink(&mut tenant);
    let first = tenant.publish();
    tenant.pass(1000);
    let second = tenant.publish();
    let read = consume(&mut tenant, &sink, None);
    consume(&mut tenant, &sink, Some(&read.iterator));
    let seek = |tenant: &mut Tenant, after| {
        tenant
            .call(ConsumerSeek {
                sink: sink.clone(),
                consumer: "worker".to_owned(),
                after,
            })
            .unwrap()
            .iterator
    };
    seek(&mut tenant, START);
    let stale = try_consume(&mut tenant, &sink, "worker", Some(&read.iterator));
    assert_eq!(code(stale), Code::Conflict);
    assert_eq!(ids(&consume(&mut tenant, &sink, None).page), [second]);
    let iterator = seek(&mut tenant, Millis(0));
    let all = consume(&mut tenant, &sink, Some(&iterator));
    assert_eq!(
        ids(&all.page),
        [first, second],
        "never before the endpoint was made"
    );
    seek(&mut tenant, START.plus(Millis::DAY));
    assert!(consume(&mut tenant, &sink, None).page.is_quiet());
}

#[test]
fn a_consumer_that_slept_through_retention_is_told_of_the_gap() {
    let mut tenant = short_lived();
    let sink = sink(&mut tenant);
    let messages: Vec<_> = (0..5).map(|_| tenant.publish()).collect();
    let read = consume(&mut tenant, &sink, None);
    consume(&mut tenant, &sink, Some(&read.iterator));
    tenant.pass(2 * RETENTION);
    let kept = tenant.publish();
    let woken = consume(&mut tenant, &sink, None);
    let missed = Gap { missed: 3, first: 6 };
    assert_eq!((woken.page.gap, ids(&woken.page)), (Some(missed), vec![kept]));
    let next = consume(&mut tenant, &sink, Some(&woken.iterator));
    assert!(next.page.is_quiet());
    assert_eq!(messages.len(), 5);
}

#[test]
fn an_endpoint_has_a_hundred_consumers_at_the_most_and_they_go_with_it() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    tenant.publish();
    let begin = |tenant: &mut Tenant, name: &str| {
        let read = try_consume(tenant, &sink, name, None).unwrap();
        try_consume(tenant, &sink, name, Some(&read.iterator))
    };
    for n in 0..100 {
        begin(&mut tenant, &format!("c{n}")).unwrap();
    }
    assert_eq!(code(begin(&mut tenant, "one-more")), Code::Conflict);
    assert!(begin(&mut tenant, "c7").is_ok());
    tenant.call(EndpointDelete { endpoint: sink }).unwrap();
    assert_eq!(tenant.count("consumer") + tenant.count("poller_token"), 0);
}

#[test]
fn a_disabled_poller_gets_nothing_new_and_keeps_what_it_has() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let before = tenant.publish();
    let set = |tenant: &mut Tenant, disabled| {
        let change = EndpointChange {
            disabled: Some(disabled),
            ..EndpointChange::default()
        };
        let endpoint = sink.clone();
        tenant.call(EndpointPatch { endpoint, change }).unwrap();
    };
    set(&mut tenant, true);
    tenant.publish();
    assert_eq!(ids(&poll(&mut tenant, &sink, None).page), [before]);
    set(&mut tenant, false);
    let after = tenant.publish();
    assert_eq!(ids(&poll(&mut tenant, &sink, None).page), [before, after]);
}

#[test]
fn an_endpoint_stays_what_it_was_made_as_and_one_that_is_polled_has_no_sending_of_its_own() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let webhook = tenant.endpoint();
    let webhook = tenant.endpoint_id(webhook);
    let polled = |settings: serde_json::Value| {
        let mut config = json!({"url": "postern:poller", "kind": "polling"});
        config
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().unwrap().clone());
        endpoint_config(config)
    };
    let becomes = EndpointUpdate {
        signing: postern_domain::wire::signing::SigningChange::default(),
        endpoint: webhook.clone(),
        config: polled(json!({})),
    };
    assert_eq!(code(tenant.call(becomes)), Code::Validation);
    let becomes = EndpointUpdate {
        signing: postern_domain::wire::signing::SigningChange::default(),
        endpoint: sink.clone(),
        config: endpoint_config(json!({})),
    };
    assert_eq!(code(tenant.call(becomes)), Code::Validation);
    for settings in [
        json!({"url": "https://shop.example/"}),
        json!({"throttleRate": 3}),
        json!({"retrySchedule": [5]}),
        json!({"headers": {"a": "b"}}),
        json!({"headerNames": "svix"}),
    ] {
        let create = EndpointCreate {
            signing: postern_domain::wire::signing::SigningChange::default(),
            config: polled(settings.clone()),
            secret: None,
            idempotency: None,
        };
        assert_eq!(code(tenant.call(create)), Code::Validation, "{settings}");
    }
    let change = EndpointChange {
        url: Some("https://shop.example/".to_owned()),
        ..EndpointChange::default()
    };
    let endpoint = sink.clone();
    assert_eq!(
        code(tenant.call(EndpointPatch { endpoint, change })),
        Code::Validation
    );
    assert_eq!(
        code(tenant.call(ask(&webhook))),
        Code::NotFound,
        "a webhook endpoint is not polled"
    );
    assert_eq!(tenant.count("endpoint"), 2);
}

fn token(tenant: &mut Tenant, sink: &str) -> PollerTokenView {
    let endpoint = sink.to_owned();
    tenant.call(PollerTokenGet { endpoint }).unwrap()
}

fn rotate(tenant: &mut Tenant, sink: &str, expiry: Option<u32>, old: u32) -> PollerTokenView {
    tenant
        .call(PollerTokenRotate {
            endpoint: sink.to_owned(),
            expiry_seconds: expiry,
            old_expiry_seconds: old,
        })
        .unwrap()
}

fn holder(token: &PollerTokenView) -> Caller {
    let token: PollerToken = token.token.parse().unwrap();
    Caller::Poller(PollerKey {
        organisation: token.organisation,
        endpoint: token.endpoint,
        hash: digest::half_of(&token.random).try_into().unwrap(),
    })
}

fn polls(tenant: &mut Tenant, caller: Caller, sink: &str) -> Result<Polled, Problem> {
    tenant.call_as(caller, ask(sink), &[]).map(|(polled, _)| polled)
}

#[test]
fn a_pollers_token_reads_its_own_poller_and_nothing_else() {
    let mut tenant = Tenant::new();
    let (sink, other) = (sink(&mut tenant), sink(&mut tenant));
    let message = tenant.publish();
    let caller = holder(&token(&mut tenant, &sink));
    assert_eq!(ids(&polls(&mut tenant, caller, &sink).unwrap().page), [message]);
    let consume = ConsumerPoll {
        sink: sink.clone(),
        consumer: "a".to_owned(),
        limit: 1,
        iterator: None,
    };
    assert!(tenant.call_as(caller, consume, &[]).is_ok());
    let watch = |sink: Option<&String>| Watch {
        sink: sink.cloned(),
        wanted: Wanted::default(),
    };
    assert!(tenant.call_as(caller, watch(Some(&sink)), &[]).is_ok());

    assert_eq!(code(polls(&mut tenant, caller, &other)), Code::NotFound);
    let refusals = [
        code(tenant.call_as(caller, watch(None), &[])),
        code(tenant.call_as(caller, watch(Some(&other)), &[])),
        code(tenant.call_as(
            caller,
            MessageGet {
                message: message.to_string(),
            },
            &[],
        )),
        code(tenant.call_as(
            caller,
            EndpointGet {
                endpoint: sink.clone(),
            },
            &[],
        )),
        code(tenant.call_as(
            caller,
            PollerTokenGet {
                endpoint: sink.clone(),
            },
            &[],
        )),
        code(tenant.call_as(caller, Inspect {}, &[])),
    ];
    assert_eq!(refusals, [Code::NotFound; 6]);
    let body = tenant.publish_call("a");
    assert_eq!(
        code(tenant.call_as(caller, body, &[b"{}".to_vec()])),
        Code::NotFound
    );
}

#[test]
fn a_token_that_is_not_the_pollers_own_is_refused_whichever_part_is_wrong() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let webhook = tenant.endpoint();
    let Caller::Poller(key) = holder(&token(&mut tenant, &sink)) else {
        panic!("a poller's token makes a poller")
    };
    let mut hash = key.hash;
    hash[15] ^= 1;
    let organisation = postern_domain::id::OrganisationId([9; 20]);
    for wrong in [
        PollerKey { hash, ..key },
        PollerKey { organisation, ..key },
        PollerKey {
            endpoint: webhook,
            ..key
        },
        PollerKey { endpoint: 99, ..key },
    ] {
        let refused = polls(&mut tenant, Caller::Poller(wrong), &sink);
        assert_eq!(code(refused), Code::AuthenticationFailed, "{wrong:?}");
    }
    let endpoint = sink.clone();
    tenant.call(EndpointDelete { endpoint }).unwrap();
    let refused = polls(&mut tenant, Caller::Poller(key), &sink);
    assert_eq!(code(refused), Code::AuthenticationFailed);
}

#[test]
fn a_rotated_token_works_for_its_while_and_the_new_one_until_it_expires() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    let first = token(&mut tenant, &sink);
    let second = rotate(&mut tenant, &sink, Some(3600), 300);
    assert_ne!(first.token, second.token);
    assert_eq!(second.not_after, Some(tenant.now.plus(3_600_000)));
    tenant.evict();
    assert_eq!(token(&mut tenant, &sink), second, "it is shown again");
    let works = |tenant: &mut Tenant, view: &PollerTokenView| polls(tenant, holder(view), &sink).is_ok();
    assert!(works(&mut tenant, &first) && works(&mut tenant, &second));
    tenant.pass(299_999);
    assert!(works(&mut tenant, &first));
    tenant.pass(1);
    assert!(!works(&mut tenant, &first) && works(&mut tenant, &second));
    tenant.pass(3_300_000);
    assert!(!works(&mut tenant, &second), "it has ended");
    let third = rotate(&mut tenant, &sink, None, 86_400);
    assert!(works(&mut tenant, &third));
    assert!(
        !works(&mut tenant, &second),
        "a rotation does not lengthen a life"
    );
    let fourth = rotate(&mut tenant, &sink, None, 0);
    assert!(works(&mut tenant, &fourth) && !works(&mut tenant, &third));
    assert_eq!(tenant.count("poller_token"), 1);
}

#[test]
fn the_log_is_read_on_from_a_message_with_patterns_and_channels() {
    let mut tenant = Tenant::new();
    let first = publish_on(&mut tenant, "invoice.paid", &["eu"]);
    publish_on(&mut tenant, "user.made", &["eu"]);
    publish_on(&mut tenant, "invoice.void", &[]);
    let wanted = publish_on(&mut tenant, "invoice.item.added", &["eu"]);
    let follow = Follow {
        from: Place::Message(first),
        wanted: Wanted {
            event_types: Some(vec!["invoice.*".to_owned()]),
            channels: Some(vec!["eu".to_owned()]),
        },
        limit: 10,
    };
    let page = tenant.call(follow.clone()).unwrap();
    assert_eq!(ids(&page), [wanted]);
    assert_eq!((page.through, page.done), (4, true));
    let from = Place::Sequence(page.through);
    assert!(tenant.call(Follow { from, ..follow }).unwrap().is_quiet());
}

#[test]
fn a_message_that_is_not_the_tenants_is_no_place_and_one_that_is_gone_is_a_gap() {
    let mut tenant = short_lived();
    let first = tenant.publish();
    let second = tenant.publish();
    let follow = |id| Follow {
        from: Place::Message(id),
        wanted: Wanted::default(),
        limit: 10,
    };
    let mut other = first;
    other.0.random[0] ^= 1;
    assert_eq!(code(tenant.call(follow(other))), Code::InvalidIterator);
    let mut ahead = second;
    ahead.0.sequence += 1;
    assert_eq!(code(tenant.call(follow(ahead))), Code::InvalidIterator);
    tenant.pass(2 * RETENTION);
    let kept = tenant.publish();
    let page = tenant.call(follow(first)).unwrap();
    assert_eq!(
        (page.gap, ids(&page)),
        (Some(Gap { missed: 1, first: 3 }), vec![kept])
    );
    let page = tenant.call(follow(second)).unwrap();
    assert_eq!(page.gap, None, "nothing is missing behind the last one");
}

#[test]
fn news_is_kept_only_while_somebody_watches_and_concerns_who_wants_it() {
    let mut tenant = Tenant::new();
    let sink = sink_with(&mut tenant, json!({"eventTypes": ["invoice.paid"]}));
    tenant.publish();
    assert!(!tenant.ledger.has_news());
    tenant.ledger.watched(true);
    let watching = |tenant: &mut Tenant, sink: Option<&String>, event_types: Option<&str>| {
        let call = Watch {
            sink: sink.cloned(),
            wanted: Wanted {
                event_types: event_types.map(|name| vec![name.to_owned()]),
                channels: None,
            },
        };
        tenant.call(call).unwrap()
    };
    let of_sink = watching(&mut tenant, Some(&sink), None);
    assert_eq!(of_sink.sequence, 1);
    let of_type = watching(&mut tenant, None, Some("user.*")).watcher;
    let paid = tenant.publish();
    publish_on(&mut tenant, "user.made", &[]);
    let news = tenant.ledger.take_news();
    let told = |watcher: &Watcher| {
        let of = news.iter().filter(|news| news.concerns(watcher));
        of.map(|news| news.notification().sequence).collect::<Vec<_>>()
    };
    assert_eq!(told(&of_sink.watcher), [2]);
    assert_eq!(told(&of_type), [3]);
    assert_eq!(news[0].notification().id, paid);
    assert!(!tenant.ledger.has_news());
    tenant.ledger.watched(false);
    tenant.publish();
    assert!(!tenant.ledger.has_news());
}

#[test]
fn watching_and_reading_write_nothing() {
    let mut tenant = Tenant::new();
    let sink = sink(&mut tenant);
    tenant.publish();
    let changes = |tenant: &Tenant| tenant.storage.native().connection().total_changes();
    let before = changes(&tenant);
    tenant.ledger.watched(true);
    let page = poll(&mut tenant, &sink, None);
    poll(&mut tenant, &sink, Some(&page.iterator));
    let read = consume(&mut tenant, &sink, None);
    assert_eq!(changes(&tenant), before);
    consume(&mut tenant, &sink, Some(&read.iterator));
    assert_eq!(changes(&tenant), before + 1, "a consumer that moves is one row");
    consume(&mut tenant, &sink, Some(&read.iterator));
    assert_eq!(changes(&tenant), before + 1);
}
