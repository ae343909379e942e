//! Receiving through sources: what is taken, held, refused, counted and taken again.

use std::collections::BTreeMap;

use postern_domain::id::{MessageId, TaskId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, Accepted, Bodies, Caller, MessageFilter, MessageList, PageOf, SourceCreate, SourceGet,
    SourceList, SourceRejected, SourceRotateSecret, SourceUpdate, Wipe,
};
use postern_domain::wire::inbound::{
    BodyAt, ForwardMode, HandshakeEffect, Intake, Receive, ReceiveDone, ReceiveLarge, Received,
    ReceivedEvent, RefusedGet, RefusedList, RefusedRequest, RefusedView, SecretTerms, SourceCaptured,
    SourceDiagnose, SourceHandshake, SourceOptions, SourceReplay, SourceSecretRemove, SourceStats,
    SourceStatsView, UsedOnce,
};
use postern_domain::wire::reads::MessageExpunge;
use postern_domain::wire::replay::{TaskGet, TaskState, TaskView};
use postern_domain::wire::request::MessageRequest;
use postern_domain::wire::{MessageView, SourceState, SourceView};
use postern_ledger::Garbage;
use postern_tests::tenant::{Answer, Tenant, code};
use serde_json::json;

const HOUR: u64 = 3_600_000;

/// The id of the only source.
fn id(tenant: &mut Tenant) -> String {
    let page = PageOf {
        limit: 1,
        iterator: None,
        ascending: true,
    };
    tenant.call(SourceList { page }).unwrap().data[0].id.to_string()
}

fn view(tenant: &mut Tenant) -> SourceView {
    let source = id(tenant);
    tenant.call(SourceGet { source }).unwrap()
}

fn stats(tenant: &mut Tenant) -> SourceStatsView {
    let source = id(tenant);
    tenant.call(SourceStats { source }).unwrap()
}

/// Changes what its owner chose.
fn choose(tenant: &mut Tenant, options: SourceOptions) {
    let source = id(tenant);
    let call = SourceUpdate {
        source,
        name: None,
        uid: None,
        config: None,
        provider: None,
        options: Some(options),
    };
    tenant.call(call).unwrap();
}

fn intake(tenant: &mut Tenant, intake: Intake) {
    let options = view(tenant).options;
    choose(tenant, SourceOptions { intake, ..options });
}

fn webhook(tenant: &mut Tenant, event_id: Option<&str>) -> Accept {
    let call = tenant.publish_call("charge.succeeded");
    Accept {
        source: Some(1),
        event_id: event_id.map(str::to_owned),
        received: Some(Received::default()),
        ..call
    }
}

fn take(tenant: &mut Tenant, call: Accept, body: &[u8]) -> Result<Accepted, Problem> {
    tenant
        .call_as(Caller::Ingest, call, &[body.to_vec()])
        .map(|(answer, _)| answer)
}

fn taken(tenant: &mut Tenant, event_id: Option<&str>, body: &[u8]) -> Accepted {
    let call = webhook(tenant, event_id);
    take(tenant, call, body).unwrap()
}

/// A request of several events: each an id and its part.
fn batch(tenant: &mut Tenant, events: &[(Option<&str>, &str)]) -> Result<ReceiveDone, Problem> {
    let call = Receive {
        accept: webhook(tenant, None),
        events: events
            .iter()
            .map(|(id, _)| ReceivedEvent {
                event_type: "contact.changed".to_owned(),
                event_id: id.map(str::to_owned),
                headers: BTreeMap::new(),
                body_at: None,
            })
            .collect(),
    };
    let mut bodies = vec![b"[the whole]".to_vec()];
    bodies.extend(events.iter().map(|(_, part)| part.as_bytes().to_vec()));
    tenant
        .call_as(Caller::Ingest, call, &bodies)
        .map(|(answer, _)| answer)
}

/// All messages, oldest first, with their bodies.
fn messages(tenant: &mut Tenant) -> Vec<(MessageView, Vec<u8>)> {
    let call = MessageList {
        page: PageOf {
            limit: 250,
            iterator: None,
            ascending: false,
        },
        filter: MessageFilter::default(),
        with_content: true,
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (page, bodies) = tenant.call_as(caller, call, &[]).unwrap();
    let mut all: Vec<_> = page.data.into_iter().zip(bodies).collect();
    all.reverse();
    all
}

fn source(tenant: &mut Tenant) -> u16 {
    let number = tenant.source();
    assert_eq!(number, 1);
    number
}

#[test]
fn an_event_without_an_id_that_comes_twice_is_two_messages() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    for empty in [None, Some("")] {
        let first = taken(&mut tenant, empty, b"same");
        let second = taken(&mut tenant, empty, b"same");
        assert!(!first.duplicate && !second.duplicate);
        assert_ne!(first.message.id, second.message.id);
    }
}

#[test]
fn what_comes_again_is_counted_on_the_first_and_so_is_a_changed_body() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let first = taken(&mut tenant, Some("evt_1"), b"1").message.id;
    assert!(taken(&mut tenant, Some("evt_1"), b"1").duplicate);
    let mut retry = webhook(&mut tenant, Some("evt_1"));
    retry.received = Some(Received {
        retry: Some(2),
        ..Received::default()
    });
    let changed = take(&mut tenant, retry, b"another body").unwrap();
    assert_eq!((changed.message.id, changed.duplicate), (first, true));
    assert_eq!(messages(&mut tenant).len(), 1);
    assert_eq!(tenant.message(first).unwrap().duplicates, 2);
    let seen = stats(&mut tenant).seen;
    assert_eq!((seen.duplicates, seen.changed, seen.retries), (2, 1, 1));
    tenant.evict();
    assert_eq!(tenant.message(first).unwrap().duplicates, 2, "it is stored");
}

#[test]
fn a_providers_retry_of_something_that_never_came_is_stored() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let mut call = webhook(&mut tenant, Some("Ev1"));
    call.received = Some(Received {
        retry: Some(1),
        ..Received::default()
    });
    assert!(!take(&mut tenant, call, b"1").unwrap().duplicate);
}

#[test]
fn a_write_that_failed_leaves_no_key_behind_so_that_the_retry_is_new() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    taken(&mut tenant, Some("evt_0"), b"0");
    let mut stored = 1;
    for statement in 0.. {
        let event_id = format!("evt_{}", statement + 1);
        let call = webhook(&mut tenant, Some(&event_id));
        tenant.storage.fail_in(Some(statement));
        let first = take(&mut tenant, call, b"1");
        let failed = !tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        if !failed {
            assert!(statement > 2, "some of its statements failed");
            break;
        }
        let known = messages(&mut tenant).len();
        let again = taken(&mut tenant, Some(&event_id), b"1");
        // Where the message stood and only what is counted behind it did not, the retry is its duplicate.
        assert_eq!(again.duplicate, known > stored, "{first:?}");
        stored += 1;
        assert_eq!(messages(&mut tenant).len(), stored);
    }
}

#[test]
fn a_refused_request_never_poisons_the_dedupe_of_its_id() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    refuse(&mut tenant, "mismatch");
    assert!(!taken(&mut tenant, Some("evt_1"), b"1").duplicate);
}

#[test]
fn a_request_of_several_events_is_one_request_and_a_message_each() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    tenant.endpoint();
    let done = batch(
        &mut tenant,
        &[
            (Some("a"), "{\"n\":1}"),
            (None, "{\"n\":2}"),
            (Some("c"), "{\"n\":3}"),
        ],
    );
    let expected = ReceiveDone {
        stored: 3,
        duplicates: 0,
    };
    assert_eq!(done.unwrap(), expected);
    let bodies: Vec<Vec<u8>> = messages(&mut tenant).into_iter().map(|(_, body)| body).collect();
    assert_eq!(
        bodies,
        [b"{\"n\":1}", b"{\"n\":2}", b"{\"n\":3}"].map(|body| body.to_vec())
    );
    assert_eq!(tenant.count("request"), 1);
    assert_eq!(tenant.outs().len(), 3);
}

#[test]
fn of_a_request_that_comes_again_in_part_only_what_is_new_is_stored() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    batch(&mut tenant, &[(Some("a"), "1"), (Some("b"), "2")]).unwrap();
    let done = batch(
        &mut tenant,
        &[
            (Some("b"), "2"),
            (Some("c"), "3"),
            (Some("c"), "3"),
            (Some("a"), "1"),
        ],
    );
    let done = done.unwrap();
    assert_eq!((done.stored, done.duplicates), (1, 3));
    assert_eq!(messages(&mut tenant).len(), 3);
    let done = batch(
        &mut tenant,
        &[(Some("a"), "1"), (Some("b"), "2"), (Some("c"), "3")],
    )
    .unwrap();
    assert_eq!((done.stored, done.duplicates), (0, 3));
    assert_eq!(tenant.count("request"), 2, "one that brings nothing is not kept");
}

#[test]
fn a_request_whose_answer_was_lost_is_stored_once_whichever_of_its_events_was_new() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    taken(&mut tenant, Some("a"), b"1");
    let accept = webhook(&mut tenant, None);
    let event = |id: Option<&str>| ReceivedEvent {
        event_type: "x".to_owned(),
        event_id: id.map(str::to_owned),
        headers: BTreeMap::new(),
        body_at: None,
    };
    let call = Receive {
        accept,
        events: vec![event(Some("a")), event(None)],
    };
    let bodies = [b"whole".to_vec(), b"1".to_vec(), b"2".to_vec()];
    tenant.call_as(Caller::Ingest, call.clone(), &bodies).unwrap();
    assert_eq!(messages(&mut tenant).len(), 2);
    let mut repeat = call;
    repeat.accept.repeat = true;
    tenant.pass(1000);
    tenant.call_as(Caller::Ingest, repeat, &bodies).unwrap();
    assert_eq!(
        messages(&mut tenant).len(),
        2,
        "the event without an id did not come twice"
    );
}

#[test]
fn more_events_than_a_request_may_have_are_refused_whole() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let events: Vec<(Option<&str>, &str)> = vec![(None, "1"); 1001];
    assert!(batch(&mut tenant, &events).is_err());
    assert_eq!(messages(&mut tenant).len(), 0);
}

fn once(tenant: &mut Tenant, event_id: &str, refuse: bool) -> Result<Accepted, Problem> {
    let mut call = webhook(tenant, Some(event_id));
    call.received = Some(Received {
        once: Some(UsedOnce {
            key: "token-1".to_owned(),
            refuse,
        }),
        ..Received::default()
    });
    take(tenant, call, b"1")
}

#[test]
fn what_may_be_used_once_is_refused_under_another_id_and_a_duplicate_under_its_own() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    once(&mut tenant, "evt_1", true).unwrap();
    assert!(once(&mut tenant, "evt_1", true).unwrap().duplicate);
    assert_eq!(code(once(&mut tenant, "evt_2", true)), Code::SignatureInvalid);
    assert_eq!(messages(&mut tenant).len(), 1);
}

#[test]
fn a_provider_that_may_repeat_its_signature_has_the_second_marked() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let first = once(&mut tenant, "evt_1", false).unwrap().message;
    let second = once(&mut tenant, "evt_2", false).unwrap().message;
    assert_eq!((first.same_as, second.same_as), (None, Some(first.id)));
    assert_eq!(tenant.message(second.id).unwrap().same_as, Some(first.id));
}

#[test]
fn a_paused_source_holds_what_comes_and_sends_it_on_by_the_rules_of_its_end() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let early = tenant.endpoint();
    intake(&mut tenant, Intake::Held);
    for (n, event_id) in [b"1", b"2"].into_iter().zip(["evt_1", "evt_2"]) {
        let held = taken(&mut tenant, Some(event_id), n).message;
        assert!(held.not_sent.unwrap().contains("paused"));
    }
    assert!(
        taken(&mut tenant, Some("evt_1"), b"1").duplicate,
        "deduped all the same"
    );
    assert_eq!(tenant.outs(), []);
    tenant.evict();
    let late = tenant.endpoint();
    intake(&mut tenant, Intake::Open);
    let outs = tenant.pass_until_out(10_000);
    let mut to: Vec<(u32, Vec<u8>)> = outs
        .iter()
        .map(|out| (out.endpoint, out.body.clone().unwrap()))
        .collect();
    to.sort();
    let expected = [(early, "1"), (early, "2"), (late, "1"), (late, "2")];
    assert_eq!(
        to,
        expected.map(|(endpoint, body)| (endpoint, body.as_bytes().to_vec()))
    );
    let all = messages(&mut tenant);
    assert_eq!(all.len(), 4);
    assert_eq!(all[2].0.replay_of, Some(all[0].0.id));
    assert_eq!(all[2].0.event_id.as_deref(), Some("evt_1"));
    tenant.report(&outs[0], Answer::Broken);
    let retried = tenant.pass_until_out(3600 * 1000);
    assert!(
        retried.iter().any(|out| out.message() == outs[0].message()),
        "what was held has the whole plan of tries"
    );
    taken(&mut tenant, Some("evt_3"), b"3");
    assert_eq!(messages(&mut tenant).len(), 5);
}

#[test]
fn what_a_source_held_leaves_once_however_often_it_is_paused() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    tenant.endpoint();
    for event_id in ["evt_1", "evt_2"] {
        intake(&mut tenant, Intake::Held);
        taken(&mut tenant, Some(event_id), b"1");
        intake(&mut tenant, Intake::Open);
        let outs = tenant.pass_until_out(10_000);
        assert_eq!(outs.len(), 1, "{event_id}");
        tenant.report(&outs[0], Answer::Ok);
    }
    assert_eq!(messages(&mut tenant).len(), 4);
}

#[test]
fn a_disabled_source_stores_nothing_and_says_so_to_an_edge_that_does_not_know_yet() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    intake(&mut tenant, Intake::Closed);
    assert_eq!(view(&mut tenant).options.closed_at, Some(tenant.now));
    let call = webhook(&mut tenant, Some("evt_1"));
    assert_eq!(code(take(&mut tenant, call, b"1")), Code::Forbidden);
    assert_eq!(messages(&mut tenant).len(), 0);
    intake(&mut tenant, Intake::Open);
    assert_eq!(view(&mut tenant).options.closed_at, None);
    assert!(!taken(&mut tenant, Some("evt_1"), b"1").duplicate);
}

#[test]
fn a_rate_refuses_what_is_too_fast_unless_its_provider_would_not_come_again() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let options = SourceOptions {
        rate_limit: Some(2),
        ..SourceOptions::default()
    };
    choose(&mut tenant, options);
    for _ in 0..3 {
        taken(&mut tenant, None, b"1");
    }
    let call = webhook(&mut tenant, None);
    assert_eq!(code(take(&mut tenant, call, b"1")), Code::RateLimited);
    let mut call = webhook(&mut tenant, None);
    call.received = Some(Received {
        only_once: true,
        ..Received::default()
    });
    assert!(take(&mut tenant, call, b"1").is_ok());
    tenant.pass(1000);
    taken(&mut tenant, None, b"1");
}

fn refuse(tenant: &mut Tenant, reason: &str) {
    let call = SourceRejected {
        source: 1,
        reason: reason.to_owned(),
        detail: "why".to_owned(),
        request: RefusedRequest {
            method: "POST".to_owned(),
            query: "a=1".to_owned(),
            headers: vec![("x-signature".to_owned(), "v1".to_owned())],
            size: 9000,
        },
        others: BTreeMap::new(),
    };
    tenant.call_as(Caller::Ingest, call, &[vec![b'x'; 9000]]).unwrap();
}

fn refused(tenant: &mut Tenant, limit: u16, iterator: Option<String>) -> (Vec<RefusedView>, Option<String>) {
    let call = RefusedList {
        source: id(tenant),
        page: PageOf {
            limit,
            iterator,
            ascending: false,
        },
    };
    let page = tenant.call(call).unwrap();
    (page.data, page.iterator.filter(|_| !page.done))
}

#[test]
fn of_what_was_refused_the_last_hundred_are_kept_cut_and_listed_newest_first() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    for n in 0..105 {
        refuse(&mut tenant, if n == 104 { "stale" } else { "mismatch" });
        tenant.pass(10_000);
    }
    let (first, next) = refused(&mut tenant, 60, None);
    let (second, end) = refused(&mut tenant, 60, next);
    assert_eq!((first.len(), second.len(), end), (60, 40, None));
    assert_eq!(first[0].reason, "stale");
    assert_eq!(first[0].request.headers[0].0, "x-signature");
    let call = RefusedGet {
        source: id(&mut tenant),
        number: first[0].number,
    };
    let caller = Caller::Organisation(tenant.organisation);
    let (one, bodies) = tenant.call_as(caller, call.clone(), &[]).unwrap();
    assert_eq!((one.request.size, bodies[0].len()), (9000, 4096));
    let gone = RefusedGet {
        number: call.number - 100,
        ..call
    };
    assert_eq!(code(tenant.call(gone)), Code::NotFound, "its place was taken");
}

#[test]
fn ten_refusals_a_minute_are_written_and_all_are_counted() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    for _ in 0..25 {
        refuse(&mut tenant, "mismatch");
    }
    assert_eq!(tenant.count("refused"), 10);
    tenant.pass(60_000);
    refuse(&mut tenant, "mismatch");
    assert_eq!(tenant.count("refused"), 11);
    let counted: u64 = stats(&mut tenant).refused.iter().map(|one| one.count).sum();
    assert_eq!(counted, 26);
    assert_eq!(
        stats(&mut tenant).seen.last_failure_reason.as_deref(),
        Some("mismatch")
    );
}

#[test]
fn what_was_refused_is_gone_after_a_week() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    refuse(&mut tenant, "mismatch");
    tenant.now = tenant.now.plus(7 * Millis::DAY + 1);
    assert_eq!(refused(&mut tenant, 10, None).0, []);
    refuse(&mut tenant, "mismatch");
    assert_eq!(tenant.count("refused"), 1);
}

#[test]
fn a_secret_says_when_it_matched_last_and_that_costs_a_row_an_hour() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let rotate = SourceRotateSecret {
        source: id(&mut tenant),
        secret: "whsec_the_new_one_of_the_shop".to_owned(),
        overlap_seconds: 86_400,
        terms: SecretTerms {
            label: Some("of May".to_owned()),
            ..SecretTerms::default()
        },
    };
    let rotated = tenant.call(rotate).unwrap();
    assert_eq!(rotated.secrets[0].label.as_deref(), Some("of May"));
    assert_eq!(rotated.secrets[1].not_after, Some(tenant.now.plus(Millis::DAY)));
    let (newest, old) = (rotated.matched[0].0, rotated.matched[1].0);
    let matched_by = |tenant: &mut Tenant, secret| {
        let mut call = webhook(tenant, None);
        call.received = Some(Received {
            secret: Some(secret),
            ..Received::default()
        });
        take(tenant, call, b"1").unwrap();
    };
    matched_by(&mut tenant, old);
    tenant.pass(1000);
    let second = tenant.now;
    matched_by(&mut tenant, old);
    assert_eq!(view(&mut tenant).matched, [(newest, None), (old, Some(second))]);
    tenant.evict();
    let lagging = view(&mut tenant).matched[1].1.unwrap();
    assert!(second.since(lagging) <= 1000, "the first match was written");
    tenant.pass(HOUR);
    let third = tenant.now;
    matched_by(&mut tenant, old);
    tenant.evict();
    assert_eq!(
        view(&mut tenant).matched[1].1,
        Some(third),
        "an hour later it is written again"
    );
    let remove = SourceSecretRemove {
        source: id(&mut tenant),
        secret: old,
    };
    assert_eq!(tenant.call(remove.clone()).unwrap().secrets.len(), 1);
    assert_eq!(code(tenant.call(remove)), Code::NotFound);
}

fn capture(tenant: &mut Tenant, secret: &str) -> Result<(), Problem> {
    let call = SourceHandshake {
        source: 1,
        effect: HandshakeEffect::Capture(secret.to_owned()),
    };
    tenant.call_as(Caller::Ingest, call, &[]).map(|_| ())
}

#[test]
fn a_handshakes_secret_is_taken_once_shown_to_its_owner_and_then_never_again() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let captured = SourceCaptured {
        source: id(&mut tenant),
    };
    assert_eq!(code(tenant.call(captured.clone())), Code::NotFound);
    capture(&mut tenant, "secret_of_the_provider").unwrap();
    assert_eq!(code(capture(&mut tenant, "another")), Code::Conflict);
    let source = view(&mut tenant);
    assert_eq!((source.state, source.secrets.len()), (SourceState::Pending, 1));
    tenant.evict();
    assert_eq!(
        tenant.call(captured.clone()).unwrap().key,
        "secret_of_the_provider"
    );
    let mut call = webhook(&mut tenant, None);
    call.received = Some(Received {
        secret: Some(source.matched[0].0),
        ..Received::default()
    });
    take(&mut tenant, call, b"1").unwrap();
    assert_eq!(view(&mut tenant).state, SourceState::Active);
    assert_eq!(code(tenant.call(captured)), Code::NotFound);
    assert_eq!(code(capture(&mut tenant, "a later one")), Code::Conflict);
}

#[test]
fn a_handshake_on_an_active_source_leaves_its_secret_unchanged() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let activate = SourceHandshake {
        source: 1,
        effect: HandshakeEffect::Activate,
    };
    tenant.call_as(Caller::Ingest, activate, &[]).unwrap();
    let before = view(&mut tenant).secrets;
    assert_eq!(code(capture(&mut tenant, "another")), Code::Conflict);
    assert_eq!(view(&mut tenant).secrets, before);
}

#[test]
fn a_delivery_carries_what_was_kept_of_the_request_and_how_its_source_wants_it() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    tenant.endpoint();
    let mut call = webhook(&mut tenant, Some("evt_1"));
    call.headers.insert("x-topic".to_owned(), "orders".to_owned());
    take(&mut tenant, call, b"1").unwrap();
    let out = tenant.out();
    let forwarded = out.handout.forwarded.clone().unwrap();
    assert_eq!(forwarded.provider, "stripe");
    assert_eq!(forwarded.mode, ForwardMode::Passthrough);
    assert_eq!(forwarded.event_id.as_deref(), Some("evt_1"));
    assert_eq!(forwarded.headers["x-topic"], "orders");
    let options = SourceOptions {
        forward: ForwardMode::Envelope,
        ..SourceOptions::default()
    };
    choose(&mut tenant, options);
    tenant.report(&out, Answer::Broken);
    tenant.evict();
    let again = &tenant.pass_until_out(10 * 60_000)[0];
    let forwarded = again.handout.forwarded.clone().unwrap();
    assert_eq!(forwarded.mode, ForwardMode::Envelope, "as the source says now");
    assert_eq!(forwarded.headers["x-topic"], "orders");
    assert_eq!(forwarded.received_at, Millis(again.message().0.time));
}

#[test]
fn what_was_published_carries_nothing_of_that() {
    let mut tenant = Tenant::wide();
    tenant.endpoint();
    tenant.publish();
    assert_eq!(tenant.out().handout.forwarded, None);
}

fn elsewhere() -> BodyAt {
    BodyAt {
        key: "app_x/00000001/aa".to_owned(),
        size: 2_000_000,
        digest: "00".repeat(32),
    }
}

fn take_large(tenant: &mut Tenant) -> MessageId {
    let mut call = webhook(tenant, Some("evt_1"));
    call.received = Some(Received {
        body_at: Some(elsewhere()),
        ..Received::default()
    });
    take(tenant, call, b"").unwrap().message.id
}

#[test]
fn of_a_body_that_stands_elsewhere_the_ledger_keeps_where() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    tenant.endpoint();
    let id = take_large(&mut tenant);
    let out = tenant.out();
    assert_eq!(out.body, None, "it does not ride in the queue");
    tenant.evict();
    assert_eq!(tenant.message(id).unwrap().body_at, Some(elsewhere()));
    let call = Bodies { messages: vec![id] };
    let (found, bodies) = tenant.call_as(Caller::System, call, &[]).unwrap();
    assert_eq!((found.messages, bodies), (Vec::new(), Vec::new()));
    assert_eq!(found.elsewhere, [(id, elsewhere())]);
    tenant.report(&out, Answer::Broken);
    let again = &tenant.pass_until_out(10 * 60_000)[0];
    assert_eq!(again.body, None);
}

#[test]
fn a_body_elsewhere_goes_with_its_message() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let id = take_large(&mut tenant);
    assert_eq!(tenant.ledger.take_garbage(), []);
    let call = MessageExpunge {
        messages: vec![id.to_string()],
    };
    tenant.call(call).unwrap();
    assert_eq!(tenant.ledger.take_garbage(), [Garbage::One(elsewhere().key)]);
    assert_eq!(tenant.message(id).unwrap().body_at, None);
    tenant.now = tenant.now.plus(40 * Millis::DAY);
    tenant.ring();
    tenant.pass(120_000);
    tenant.ring();
    let oldest = tenant.ledger.take_garbage();
    assert!(
        matches!(oldest.first(), Some(Garbage::Before(of, _)) if *of == tenant.id),
        "with its segment: {oldest:?}"
    );
    tenant.call(Wipe {}).unwrap();
    let all = tenant.ledger.take_garbage();
    assert_eq!(all, [Garbage::Before(tenant.id, Millis(u64::MAX))]);
}

#[test]
fn a_part_of_a_request_may_stand_elsewhere_and_the_others_here() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let event = |id: &str, body_at| ReceivedEvent {
        event_type: "x".to_owned(),
        event_id: Some(id.to_owned()),
        headers: BTreeMap::new(),
        body_at,
    };
    let receive = Receive {
        accept: webhook(&mut tenant, None),
        events: vec![event("a", None), event("b", Some(elsewhere()))],
    };
    let bodies = [Vec::new(), b"small".to_vec(), Vec::new()];
    let mut call = ReceiveLarge { receive };
    let (done, _) = tenant.call_as(Caller::Ingest, call.clone(), &bodies).unwrap();
    assert_eq!((done.stored, done.duplicates), (2, 0));
    call.receive.accept.nonce += 1;
    let (done, _) = tenant.call_as(Caller::Ingest, call, &bodies).unwrap();
    assert_eq!((done.stored, done.duplicates), (0, 2), "the same once more");
    let found: Vec<_> = messages(&mut tenant)
        .into_iter()
        .map(|(view, _)| (view.event_id.unwrap(), view.body_at))
        .collect();
    assert!(found.contains(&("a".to_owned(), None)));
    assert!(found.contains(&("b".to_owned(), Some(elsewhere()))));
}

fn replay(tenant: &mut Tenant, change: impl FnOnce(&mut SourceReplay)) -> TaskView {
    let mut call = SourceReplay {
        id: TaskId([9; 20]),
        source: id(tenant),
        since: None,
        until: None,
        event_types: None,
        messages: None,
        endpoints: None,
        rate: 100,
        dry_run: false,
    };
    change(&mut call);
    tenant.call(call).unwrap()
}

#[test]
fn a_replay_takes_stored_webhooks_again_by_todays_rules_and_to_chosen_endpoints() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let message = taken(&mut tenant, Some("evt_1"), b"1").message.id;
    taken(&mut tenant, Some("evt_2"), b"2");
    tenant.publish();
    let chosen = tenant.endpoint();
    let _other = tenant.endpoint();
    tenant.endpoint_with(json!({"eventTypes": ["nothing.of.this"]}));
    let name = tenant.endpoint_id(chosen);
    let counted = replay(&mut tenant, |call| call.dry_run = true);
    assert_eq!(counted.progress.total, 2);
    assert_eq!(tenant.count("task"), 0);
    tenant.now = tenant.now.plus(20 * 60_000); // freshness is not asked again
    replay(&mut tenant, |call| {
        call.messages = Some(vec![message.to_string()]);
        call.endpoints = Some(vec![name]);
    });
    let outs = tenant.pass_until_out(10_000);
    assert_eq!(outs.len(), 1);
    assert_eq!(
        (outs[0].endpoint, outs[0].body.as_deref()),
        (chosen, Some(b"1".as_slice()))
    );
    assert_ne!(outs[0].message(), message, "a message of its own");
    let forwarded = outs[0].handout.forwarded.clone().unwrap();
    assert_eq!(
        (forwarded.replay_of, forwarded.event_id.as_deref()),
        (Some(message), Some("evt_1"))
    );
    let done = TaskGet {
        ids: vec![TaskId([9; 20])],
    };
    let done = &tenant.call(done).unwrap()[0];
    assert_eq!((done.state, done.progress.done), (TaskState::Finished, 1));
    assert!(
        taken(&mut tenant, Some("evt_1"), b"1").duplicate,
        "the provider's id is known as before"
    );
}

#[test]
fn a_replay_of_a_webhook_whose_body_stands_elsewhere_is_sent_from_there() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let first = take_large(&mut tenant);
    tenant.endpoint();
    replay(&mut tenant, |_| ());
    let again = tenant.pass_until_out(10_000).remove(0);
    assert_ne!(again.message(), first);
    assert_eq!(again.body, None, "it does not ride in the queue");
    let view = tenant.message(again.message()).unwrap();
    assert_eq!(view.body_at, Some(elsewhere()));
}

#[test]
fn a_replay_that_is_named_is_repeated() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    taken(&mut tenant, Some("evt_1"), b"1");
    replay(&mut tenant, |_| ());
    tenant.pass(10_000);
    let again = messages(&mut tenant).remove(1).0.id.to_string();
    replay(&mut tenant, |call| {
        call.id = TaskId([8; 20]);
        call.messages = Some(vec![again]);
    });
    tenant.pass(10_000);
    assert_eq!(tenant.count("message_1"), 3);
}

#[test]
fn a_replay_takes_the_types_and_the_time_that_it_names() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let comes = |tenant: &mut Tenant, event_type: &str, event_id: &str| {
        let call = Accept {
            event_type: event_type.to_owned(),
            ..webhook(tenant, Some(event_id))
        };
        take(tenant, call, b"1").unwrap();
    };
    comes(&mut tenant, "invoice.paid", "too early");
    tenant.pass(1000);
    let since = tenant.now;
    comes(&mut tenant, "invoice.paid", "in time");
    comes(&mut tenant, "invoice.made", "of another type");
    tenant.pass(1000);
    let until = tenant.now;
    comes(&mut tenant, "invoice.paid", "too late");
    replay(&mut tenant, |call| {
        (call.since, call.until) = (Some(since), Some(until));
        call.event_types = Some(vec!["invoice.paid".to_owned()]);
    });
    tenant.pass(10_000);
    let again = messages(&mut tenant).split_off(4);
    let again: Vec<_> = again.iter().map(|(view, _)| view.event_id.as_deref()).collect();
    assert_eq!(again, [Some("in time")]);
}

#[test]
fn a_replay_goes_at_its_rate() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    for n in 0..25 {
        taken(&mut tenant, Some(&format!("evt_{n}")), b"1");
    }
    replay(&mut tenant, |call| call.rate = 10);
    for after_a_second in [10, 20, 25] {
        tenant.pass(500);
        assert_eq!(tenant.count("message_1") - 25, after_a_second);
        tenant.pass(500);
    }
}

#[test]
fn a_replay_reads_4_mib_of_bodies_at_a_time() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let body = vec![b'1'; 1 << 20];
    for n in 0..6 {
        taken(&mut tenant, Some(&format!("evt_{n}")), &body);
    }
    replay(&mut tenant, |call| call.rate = 1000);
    while tenant.count("message_1") == 6 {
        let at = tenant.storage.native().alarm().unwrap();
        tenant.now = tenant.now.max(at);
        tenant.ring();
    }
    assert_eq!(tenant.count("message_1") - 6, 4);
    tenant.pass(10_000);
    assert_eq!(tenant.count("message_1") - 6, 6);
}

#[test]
fn a_replay_of_all_repeats_no_replay_and_no_other_sources_webhooks() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    for n in 0..120 {
        taken(&mut tenant, Some(&format!("evt_{n}")), b"1");
    }
    replay(&mut tenant, |call| call.rate = 1000);
    tenant.pass(10_000);
    assert_eq!(messages(&mut tenant).len(), 240);
    replay(&mut tenant, |call| {
        call.id = TaskId([8; 20]);
        call.rate = 1000;
    });
    tenant.pass(10_000);
    assert_eq!(tenant.count("message_1"), 360);
}

#[test]
fn a_source_that_is_silent_for_longer_than_usual_is_told_of_once() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    for _ in 0..16 {
        taken(&mut tenant, None, b"1");
        tenant.pass(6 * HOUR);
    }
    let known = stats(&mut tenant);
    assert_eq!(known.usual_gap, Some(6 * HOUR));
    let last = known.seen.last_success.unwrap();
    assert_eq!(known.silent_at, Some(last.plus(18 * HOUR)));
    tenant.pass(11 * HOUR);
    assert_eq!(tenant.count("outbox WHERE type = 'source.silent'"), 0);
    tenant.pass(3 * HOUR);
    assert_eq!(tenant.count("outbox WHERE type = 'source.silent'"), 1);
    tenant.pass(48 * HOUR);
    assert_eq!(tenant.count("outbox WHERE type = 'source.silent'"), 1);
    assert_eq!(stats(&mut tenant).silent_at, None);
    taken(&mut tenant, None, b"1");
    assert!(stats(&mut tenant).silent_at.is_some());
}

#[test]
fn the_success_path_of_a_webhook_writes_no_more_rows_than_a_publish_with_a_key() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    tenant.endpoint();
    taken(&mut tenant, Some("evt_0"), b"1");
    let before = tenant.count("source_more");
    for n in 1..50 {
        taken(&mut tenant, Some(&format!("evt_{n}")), b"1");
    }
    assert_eq!(before, 1);
    assert_eq!(tenant.count("key_1"), 50);
    for table in ["source_more", "duplicate", "request", "refused", "refusal_count"] {
        assert!(tenant.count(table) <= 1, "{table}");
    }
}

#[test]
fn the_doctor_finds_the_secret_of_another_source_and_shows_none() {
    let mut tenant = Tenant::new();
    source(&mut tenant);
    let call = SourceCreate {
        name: "Shop test".to_owned(),
        provider: "api_key".to_owned(),
        uid: None,
        config: json!({"header": "x-key"}),
        secrets: vec!["the-key-of-the-other".to_owned()],
        terms: Vec::new(),
        options: SourceOptions::default(),
        idempotency: None,
    };
    let other = tenant.call(call.clone()).unwrap();
    let call = SourceCreate {
        name: "Shop live".to_owned(),
        secrets: vec!["the-key-of-this-one".to_owned()],
        ..call
    };
    let this = tenant.call(call).unwrap();
    assert_ne!(other.id, this.id);
    let call = SourceDiagnose {
        source: this.id.to_string(),
        refused: None,
        request: RefusedRequest {
            method: "POST".to_owned(),
            headers: vec![("x-key".to_owned(), "the-key-of-the-other".to_owned())],
            ..RefusedRequest::default()
        },
        base_url: "https://hooks.example.com".to_owned(),
        key_set: None,
        known: Vec::new(),
    };
    let found = tenant.call(call).unwrap().findings;
    assert!(
        found
            .iter()
            .any(|finding| finding.step == "match" && finding.sentence.contains("Shop test")),
        "{found:#?}"
    );
    assert!(!format!("{found:?}").contains("the-key-of"));
}

/// A source of this preset.
fn made(tenant: &mut Tenant, provider: &str, config: serde_json::Value) -> SourceView {
    let call = SourceCreate {
        name: "S".to_owned(),
        provider: provider.to_owned(),
        uid: None,
        config,
        secrets: Vec::new(),
        terms: Vec::new(),
        options: SourceOptions::default(),
        idempotency: None,
    };
    tenant.call(call).unwrap()
}

/// Gives it other settings.
fn configured(tenant: &mut Tenant, config: serde_json::Value) -> SourceView {
    let call = SourceUpdate {
        source: id(tenant),
        name: None,
        uid: None,
        config: Some(config),
        provider: None,
        options: None,
    };
    tenant.call(call).unwrap()
}

const WORDS: &str = "anybody who knows the address can post";

#[test]
fn a_replay_names_events_by_the_settings_of_today_and_keeps_what_they_do_not_find() {
    let mut tenant = Tenant::wide();
    made(
        &mut tenant,
        "unverified",
        json!({"iUnderstand": WORDS, "keep": true}),
    );
    let mut call = webhook(&mut tenant, None);
    call.event_type = "webhook.received".to_owned();
    call.headers
        .insert("x-kind".to_owned(), "order.shipped".to_owned());
    take(&mut tenant, call, br#"{"type":"order.paid","id":"o-1"}"#).unwrap();
    let wanted = tenant.endpoint_with(json!({"eventTypes": ["order.paid", "order.shipped"]}));

    let mut names = |config: serde_json::Value, job: u8| {
        configured(&mut tenant, config);
        let before = messages(&mut tenant);
        replay(&mut tenant, |call| {
            call.id = TaskId([job; 20]);
            call.since = Some(Millis(0));
        });
        let out = tenant.pass_until_out(10_000);
        let after = messages(&mut tenant);
        assert_eq!(after.len(), before.len() + 1, "of the original alone");
        let (again, body) = after.into_iter().last().unwrap();
        assert_eq!(again.replay_of, Some(before[0].0.id));
        assert_eq!(body, before[0].1);
        assert_eq!(out.iter().map(|out| out.endpoint).collect::<Vec<_>>(), [wanted]);
        (again.event_type, again.event_id)
    };
    let by = |place: &str, id: &str| json!({"iUnderstand": WORDS, "keep": true, "eventType": place, "eventId": id});
    assert_eq!(
        names(by("/type", "/id"), 1),
        ("order.paid".to_owned(), Some("o-1".to_owned()))
    );
    assert_eq!(
        names(by("header:X-Kind", "/nothing"), 2),
        ("order.shipped".to_owned(), None)
    );

    // What stands in no header that was kept stays as it was: here, what no endpoint wants.
    configured(&mut tenant, by("header:X-Lost", "/id"));
    replay(&mut tenant, |call| {
        call.id = TaskId([3; 20]);
        call.since = Some(Millis(0));
    });
    tenant.pass(10_000);
    let last = messages(&mut tenant).pop().unwrap().0;
    assert_eq!(
        (last.event_type.as_str(), last.event_id.as_deref()),
        ("webhook.received", Some("o-1"))
    );
}

#[test]
fn a_source_that_verifies_nothing_is_over_after_a_week_unless_its_owner_keeps_it() {
    let mut tenant = Tenant::wide();
    let source = made(&mut tenant, "unverified", json!({"iUnderstand": WORDS}));
    let end = source.created_at.plus(7 * Millis::DAY);
    assert_eq!((source.options.ends_at, source.over), (Some(end), false));
    tenant.now = Millis(end.0 - 1);
    taken(&mut tenant, None, b"1");
    tenant.now = end;
    let call = webhook(&mut tenant, None);
    assert_eq!(code(take(&mut tenant, call, b"2")), Code::Forbidden);
    assert!(view(&mut tenant).over);
    // Neither another name nor other choices prolong it.
    choose(
        &mut tenant,
        SourceOptions {
            silence_factor: Some(0),
            ..SourceOptions::default()
        },
    );
    configured(&mut tenant, json!({"iUnderstand": WORDS, "eventType": "/type"}));
    tenant.evict();
    assert_eq!(view(&mut tenant).options.ends_at, Some(end));
    let kept = configured(&mut tenant, json!({"iUnderstand": WORDS, "keep": true}));
    assert_eq!((kept.options.ends_at, kept.over), (None, false));
    taken(&mut tenant, None, b"3");
    let again = configured(&mut tenant, json!({"iUnderstand": WORDS}));
    assert_eq!(again.options.ends_at, Some(tenant.now.plus(7 * Millis::DAY)));
    let verifying = made(&mut tenant, "basic", json!({"username": "u"}));
    assert_eq!(verifying.options.ends_at, None);
}

#[test]
fn the_request_that_a_message_came_in_is_read_whole_until_one_of_its_parts_is_taken_away() {
    let mut tenant = Tenant::wide();
    source(&mut tenant);
    let alone = taken(&mut tenant, Some("evt_1"), b"the only one").message.id;
    batch(&mut tenant, &[(Some("a"), "1"), (Some("b"), "2")]).unwrap();
    let request = |tenant: &mut Tenant, id: MessageId| {
        let caller = Caller::Organisation(tenant.organisation);
        let call = MessageRequest {
            message: id.to_string(),
        };
        tenant.call_as(caller, call, &[])
    };
    let (view, bodies) = request(&mut tenant, alone).unwrap();
    assert_eq!((view.messages, bodies), (1, vec![b"the only one".to_vec()]));
    let all = messages(&mut tenant);
    assert_eq!(
        all.iter().map(|(view, _)| view.in_batch).collect::<Vec<_>>(),
        [false, true, true]
    );
    for (part, _) in &all[1..] {
        let (view, bodies) = request(&mut tenant, part.id).unwrap();
        assert_eq!((view.messages, bodies), (2, vec![b"[the whole]".to_vec()]));
    }
    let call = MessageExpunge {
        messages: vec![all[1].0.id.to_string()],
    };
    tenant.call(call).unwrap();
    for (part, _) in &all[1..] {
        let answer = request(&mut tenant, part.id).map(|_| ());
        assert_eq!(code(answer), Code::NotFound);
    }
}
