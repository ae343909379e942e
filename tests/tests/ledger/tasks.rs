//! Long jobs: many tries by hand, counted first, slice by slice, and never twice.

use std::collections::BTreeSet;

use postern_domain::id::{MessageId, TaskId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use postern_domain::wire::replay::{
    Counted, TaskCancel, TaskCount, TaskGet, TaskKind, TaskPlan, TaskStart, TaskState, TaskView,
};
use postern_domain::wire::{DeliveryStatus, Trigger};
use postern_tests::tenant::{Answer, Out, Stand, Tenant, code};
use serde_json::json;

fn id(number: u8) -> TaskId {
    TaskId([number; 20])
}

fn plan(tenant: &mut Tenant, endpoints: &[u32]) -> TaskPlan {
    TaskPlan {
        kind: TaskKind::Recover,
        endpoints: endpoints
            .iter()
            .map(|endpoint| tenant.endpoint_id(*endpoint))
            .collect(),
        since: None,
        until: None,
        states: vec![DeliveryStatus::Failed],
        missing: false,
        event_types: None,
        channel: None,
        status_code_class: None,
        messages: None,
        rate: 1000,
    }
}

fn start(tenant: &mut Tenant, number: u8, plan: &TaskPlan) -> Result<TaskView, Problem> {
    let plan = plan.clone();
    tenant.call(TaskStart { id: id(number), plan })
}

fn count(tenant: &mut Tenant, plan: &TaskPlan) -> Counted {
    tenant.call(TaskCount { plan: plan.clone() }).unwrap()
}

fn task(tenant: &mut Tenant, number: u8) -> TaskView {
    let views = tenant
        .call(TaskGet {
            ids: vec![id(number)],
        })
        .unwrap();
    views.into_iter().next().unwrap()
}

/// Lets everything go out for so long, answered with 200; what was sent by hand.
fn sent_by_hand(tenant: &mut Tenant, ms: u64) -> Vec<Out> {
    let end = tenant.now.plus(ms);
    let mut sent = Vec::new();
    while tenant.now < end {
        let rest = end.since(tenant.now);
        let outs = tenant.pass_until_out(rest);
        for out in outs {
            tenant.report(&out, Answer::Ok);
            if out.handout.trigger == Trigger::Manual {
                sent.push(out);
            }
        }
    }
    sent
}

/// Publishes with this answer to every endpoint, no retries.
fn published(tenant: &mut Tenant, answer: Answer) -> MessageId {
    let message = tenant.publish();
    for out in tenant.outs() {
        tenant.report(&out, answer);
    }
    tenant.pass(10);
    message
}

/// An endpoint that has something of every kind: failed, delivered, cancelled, missing, pending.
struct Mixed {
    tenant: Tenant,
    endpoint: u32,
    failed: Vec<MessageId>,
    delivered: Vec<MessageId>,
    cancelled: Vec<MessageId>,
    missing: Vec<MessageId>,
    waiting: Vec<MessageId>,
    pending: Vec<MessageId>,
}

fn mixed() -> Mixed {
    let mut tenant = Tenant::wide();
    let before: Vec<_> = (0..3).map(|_| published(&mut tenant, Answer::Ok)).collect();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [], "eventTypes": ["invoice.*"]}));
    let unwanted = tenant.publish_call("order.made");
    tenant.accept(unwanted, b"{}").unwrap();
    let failed = (0..4).map(|_| published(&mut tenant, Answer::Broken)).collect();
    let delivered = (0..5).map(|_| published(&mut tenant, Answer::Ok)).collect();
    let cancelled = (0..2).map(|_| tenant.publish()).collect();
    tenant.disable(endpoint, true);
    let meanwhile: Vec<_> = (0..2).map(|_| published(&mut tenant, Answer::Ok)).collect();
    // For others alone: nobody else has missed it.
    let call = Accept {
        only_endpoint: Some(0),
        ..tenant.publish_call("invoice.paid")
    };
    tenant.accept(call, b"{}").unwrap();
    // Sent nowhere on purpose.
    let call = Accept {
        hop: 3,
        ..tenant.publish_call("invoice.paid")
    };
    tenant.accept(call, b"{}").unwrap();
    tenant.disable(endpoint, false);
    tenant.patch(
        endpoint,
        postern_domain::wire::call::EndpointChange {
            retry_schedule: Some(Some(
                postern_domain::schedule::Schedule::new(vec![86_400]).unwrap(),
            )),
            ..Default::default()
        },
    );
    let waiting = (0..2).map(|_| published(&mut tenant, Answer::Broken)).collect();
    let pending = (0..2).map(|_| tenant.publish()).collect();
    tenant.outs();
    Mixed {
        tenant,
        endpoint,
        failed,
        delivered,
        cancelled,
        missing: before.into_iter().chain(meanwhile).collect(),
        waiting,
        pending,
    }
}

#[test]
fn what_is_counted_first_is_what_is_done_for_every_choice() {
    let all = |lists: &[&Vec<MessageId>]| -> BTreeSet<MessageId> {
        lists.iter().flat_map(|list| list.iter().copied()).collect()
    };
    let mut seen = 0;
    for at in 0..7 {
        let mut mixed = mixed();
        let mut plan = plan(&mut mixed.tenant, &[mixed.endpoint]);
        let wanted = match at {
            0 => all(&[&mixed.failed]),
            1 => {
                (plan.states, plan.missing) = (vec![], true);
                all(&[&mixed.missing, &mixed.cancelled])
            }
            2 => {
                plan.states = vec![
                    DeliveryStatus::Delivered,
                    DeliveryStatus::Failed,
                    DeliveryStatus::Cancelled,
                ];
                all(&[&mixed.delivered, &mixed.failed, &mixed.cancelled])
            }
            3 => {
                plan.states = vec![DeliveryStatus::Waiting];
                all(&[&mixed.waiting])
            }
            4 => {
                plan.states = vec![DeliveryStatus::Pending];
                all(&[&mixed.pending])
            }
            5 => {
                plan.states = vec![DeliveryStatus::Delivered, DeliveryStatus::Failed];
                plan.status_code_class = Some(500);
                all(&[&mixed.failed])
            }
            _ => {
                plan.messages = Some(vec![
                    mixed.failed[2].to_string(),
                    mixed.failed[0].to_string(),
                    mixed.delivered[0].to_string(),
                ]);
                [mixed.failed[0], mixed.failed[2]].into()
            }
        };
        let counted = count(&mut mixed.tenant, &plan);
        assert_eq!(
            (counted.count, counted.approximated),
            (wanted.len() as u64, false),
            "{at}"
        );
        assert!(
            counted
                .sample
                .iter()
                .all(|chosen| wanted.contains(&chosen.message)),
            "{at}"
        );
        assert_eq!(
            mixed.tenant.count("due WHERE kind = 1") + mixed.tenant.count("task"),
            0,
            "counting does nothing"
        );
        let begun = start(&mut mixed.tenant, 1, &plan).unwrap();
        assert_eq!(
            (begun.state, begun.progress.total),
            (TaskState::Running, counted.count),
            "{at}"
        );
        let sent = sent_by_hand(&mut mixed.tenant, 30_000);
        let done: BTreeSet<MessageId> = sent.iter().map(Out::message).collect();
        assert_eq!((sent.len(), done), (wanted.len(), wanted), "{at}");
        let ended = task(&mut mixed.tenant, 1);
        assert_eq!(
            (ended.state, ended.progress.done, ended.progress.skipped),
            (TaskState::Finished, counted.count, 0),
            "{at}"
        );
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn times_types_and_channels_narrow_it() {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [], "disableAfter": {"failed": 0}}));
    let mut messages = Vec::new();
    for (event_type, channel) in [("a.b", "x"), ("a.c", "x"), ("a.b", "y"), ("a.b", "x")] {
        let call = Accept {
            channels: Some(vec![channel.to_owned()]),
            ..tenant.publish_call(event_type)
        };
        messages.push(tenant.accept(call, b"{}").unwrap().message.id);
        let out = tenant.out();
        tenant.report(&out, Answer::Broken);
        tenant.pass(1000);
    }
    let time = |at: usize| Some(Millis(messages[at].0.time));
    let whole = plan(&mut tenant, &[endpoint]);
    let narrowed = [
        (
            TaskPlan {
                since: time(1),
                ..whole.clone()
            },
            vec![1, 2, 3],
        ),
        (
            TaskPlan {
                since: time(1),
                until: time(3),
                ..whole.clone()
            },
            vec![1, 2],
        ),
        (
            TaskPlan {
                until: time(0),
                ..whole.clone()
            },
            vec![],
        ),
        (
            TaskPlan {
                event_types: Some(vec!["a.b".to_owned()]),
                ..whole.clone()
            },
            vec![0, 2, 3],
        ),
        (
            TaskPlan {
                channel: Some("x".to_owned()),
                ..whole.clone()
            },
            vec![0, 1, 3],
        ),
        (
            TaskPlan {
                status_code_class: Some(400),
                ..whole.clone()
            },
            vec![],
        ),
        (
            TaskPlan {
                status_code_class: Some(500),
                ..whole.clone()
            },
            vec![0, 1, 2, 3],
        ),
    ];
    for (plan, wanted) in narrowed {
        let counted = count(&mut tenant, &plan);
        let found: Vec<_> = counted.sample.iter().map(|chosen| chosen.message).collect();
        let wanted: Vec<_> = wanted.into_iter().map(|at: usize| messages[at]).collect();
        assert_eq!(found, wanted, "{plan:?}");
    }
}

#[test]
fn several_endpoints_go_one_after_another_and_none_named_means_all_that_are_on() {
    let mut tenant = Tenant::wide();
    let endpoints: Vec<u32> = (0..3)
        .map(|_| tenant.endpoint_with(json!({"retrySchedule": [], "disableAfter": {"failed": 0}})))
        .collect();
    let messages: Vec<_> = (0..3).map(|_| published(&mut tenant, Answer::Broken)).collect();
    tenant.disable(endpoints[2], true);
    let plan = plan(&mut tenant, &[]);
    assert_eq!(count(&mut tenant, &plan).count, 6);
    start(&mut tenant, 1, &plan).unwrap();
    assert_eq!(sent_by_hand(&mut tenant, 10_000).len(), 6);
    for message in messages {
        assert_eq!(tenant.stand(message, endpoints[0]).0, Stand::Delivered);
        assert_eq!(tenant.stand(message, endpoints[2]).0, Stand::Failed);
    }
}

/// A tenant whose endpoint has failed so often.
fn failed(count: usize) -> (Tenant, u32) {
    let mut tenant = Tenant::wide();
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [], "disableAfter": {"failed": 0}}));
    for _ in 0..count {
        tenant.publish();
    }
    for out in tenant.outs() {
        tenant.report(&out, Answer::Broken);
    }
    (tenant, endpoint)
}

#[test]
fn an_eviction_at_any_point_repeats_and_loses_nothing() {
    let mut at = 0;
    loop {
        let (mut tenant, endpoint) = failed(25);
        let plan = TaskPlan {
            rate: 5,
            ..plan(&mut tenant, &[endpoint])
        };
        start(&mut tenant, 1, &plan).unwrap();
        let (mut step, mut evicted, mut sent) = (0, false, Vec::new());
        while task(&mut tenant, 1).state == TaskState::Running {
            if step == at {
                tenant.evict();
                evicted = true;
            }
            step += 1;
            for out in tenant.pass_until_out(700) {
                tenant.report(&out, Answer::Ok);
                sent.push(out.message());
            }
        }
        sent.extend(sent_by_hand(&mut tenant, 70_000).iter().map(Out::message));
        let different: BTreeSet<_> = sent.iter().copied().collect();
        assert_eq!((sent.len(), different.len()), (25, 25), "evicted at {at}");
        assert_eq!(task(&mut tenant, 1).progress.done, 25);
        if !evicted {
            assert!(at > 5);
            break;
        }
        at += 1;
    }
}

#[test]
fn a_storage_that_fails_at_any_statement_repeats_and_loses_nothing() {
    let mut reached = false;
    for statement in 0..60 {
        let (mut tenant, endpoint) = failed(6);
        let plan = TaskPlan {
            rate: 3,
            ..plan(&mut tenant, &[endpoint])
        };
        start(&mut tenant, 1, &plan).unwrap();
        tenant.storage.fail_in(Some(statement));
        tenant.now = tenant.now.plus(1);
        tenant.ring();
        reached |= tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        let sent = sent_by_hand(&mut tenant, 200_000);
        let different: BTreeSet<_> = sent.iter().map(Out::message).collect();
        assert_eq!(different.len(), 6, "at {statement}");
        assert_eq!(task(&mut tenant, 1).state, TaskState::Finished);
        assert_eq!(task(&mut tenant, 1).progress.done, 6);
    }
    assert!(reached, "the last tries reach the end");
}

#[test]
fn its_rate_holds() {
    let (mut tenant, endpoint) = failed(40);
    let plan = TaskPlan {
        rate: 10,
        ..plan(&mut tenant, &[endpoint])
    };
    start(&mut tenant, 1, &plan).unwrap();
    let begin = tenant.now;
    let mut seconds = vec![0; 6];
    while tenant.now.since(begin) < 5000 {
        for out in tenant.pass_until_out(5000) {
            seconds[usize::try_from(tenant.now.since(begin) / 1000).unwrap()] += 1;
            tenant.report(&out, Answer::Ok);
        }
    }
    assert_eq!(seconds.iter().sum::<i32>(), 40);
    assert!(seconds.iter().all(|second| *second <= 10), "{seconds:?}");
}

#[test]
fn it_stops_when_it_is_cancelled_and_stays_so() {
    let (mut tenant, endpoint) = failed(50);
    let plan = TaskPlan {
        rate: 10,
        ..plan(&mut tenant, &[endpoint])
    };
    start(&mut tenant, 1, &plan).unwrap();
    let before = sent_by_hand(&mut tenant, 1500).len();
    assert!((1..50).contains(&before));
    let cancelled = tenant.call(TaskCancel { id: id(1) }).unwrap();
    assert_eq!(cancelled.state, TaskState::Cancelled);
    assert!(sent_by_hand(&mut tenant, 60_000).is_empty());
    assert_eq!(
        tenant.call(TaskCancel { id: id(1) }).unwrap().state,
        TaskState::Cancelled
    );
    assert_eq!(task(&mut tenant, 1).progress.done, before as u64);
    assert_eq!(code(tenant.call(TaskCancel { id: id(9) })), Code::NotFound);
}

#[test]
fn started_again_with_the_same_id_it_is_the_same_job() {
    let (mut tenant, endpoint) = failed(3);
    let plan = plan(&mut tenant, &[endpoint]);
    start(&mut tenant, 1, &plan).unwrap();
    sent_by_hand(&mut tenant, 1000);
    assert_eq!(start(&mut tenant, 1, &plan).unwrap().state, TaskState::Finished);
    assert!(sent_by_hand(&mut tenant, 1000).is_empty());
    assert!(tenant.call(TaskGet { ids: vec![id(7)] }).unwrap().is_empty());
}

#[test]
fn ten_go_on_at_the_same_time_and_an_eleventh_is_told_to_wait() {
    let (mut tenant, endpoint) = failed(30);
    let plan = TaskPlan {
        rate: 1,
        ..plan(&mut tenant, &[endpoint])
    };
    for number in 0..10 {
        start(&mut tenant, number, &plan).unwrap();
    }
    assert_eq!(code(start(&mut tenant, 10, &plan)), Code::RateLimited);
    tenant.call(TaskCancel { id: id(3) }).unwrap();
    start(&mut tenant, 10, &plan).unwrap();
}

#[test]
fn a_slow_endpoint_slows_its_job_and_does_not_fill_the_ledger() {
    let (mut tenant, endpoint) = failed(1300);
    let plan = plan(&mut tenant, &[endpoint]);
    start(&mut tenant, 1, &plan).unwrap();
    let mut most = 0;
    for _ in 0..60 {
        tenant.pass(1000); // nothing is reported: all that leaves is lost
        tenant.outs();
        most = most.max(tenant.count("due WHERE kind = 1"));
    }
    assert_eq!(most, 1000);
    let alarms = tenant.alarms;
    tenant.pass(20_000);
    assert!(
        tenant.alarms - alarms < 200,
        "it does not spin while it waits: {}",
        tenant.alarms - alarms
    );
    let sent = sent_by_hand(&mut tenant, 300_000);
    let different: BTreeSet<_> = sent.iter().map(Out::message).collect();
    assert_eq!(different.len(), 1300);
    assert_eq!(task(&mut tenant, 1).state, TaskState::Finished);
}

#[test]
fn an_endpoint_that_is_turned_off_gets_nothing_more_of_it_even_when_it_is_on_again() {
    let (mut tenant, endpoint) = failed(30);
    let plan = TaskPlan {
        rate: 10,
        ..plan(&mut tenant, &[endpoint])
    };
    start(&mut tenant, 1, &plan).unwrap();
    let before = sent_by_hand(&mut tenant, 500).len();
    tenant.disable(endpoint, true);
    tenant.disable(endpoint, false);
    assert!(sent_by_hand(&mut tenant, 60_000).is_empty());
    let ended = task(&mut tenant, 1);
    assert_eq!(ended.state, TaskState::Finished);
    assert_eq!(
        ended.progress.skipped,
        30 - before as u64,
        "what it did not send is told"
    );
}

#[test]
fn a_plan_that_names_what_is_not_there_is_refused() {
    let (mut tenant, endpoint) = failed(2);
    let whole = plan(&mut tenant, &[endpoint]);
    let nobody = TaskPlan {
        endpoints: vec!["nobody".to_owned()],
        ..whole.clone()
    };
    assert_eq!(code(start(&mut tenant, 1, &nobody)), Code::NotFound);
    let gone = TaskPlan {
        messages: Some(vec!["msg_000000000000000000000000000".to_owned()]),
        ..whole.clone()
    };
    let refused = start(&mut tenant, 1, &gone).unwrap_err();
    assert_eq!(refused.faults[0].loc, ["body", "ids", "0"]);
    tenant.disable(endpoint, true);
    assert_eq!(code(start(&mut tenant, 1, &whole)), Code::Conflict);
    assert_eq!(tenant.count("task"), 0);
}

#[test]
fn a_message_whose_content_was_taken_away_is_left_out_and_cannot_be_sent_by_hand() {
    use postern_ledger::sql::Sql;
    let (mut tenant, endpoint) = failed(3);
    let plan = plan(&mut tenant, &[endpoint]);
    let sample = count(&mut tenant, &plan).sample;
    let taken = sample[1].message;
    let statement = "UPDATE message_1 SET body = x'', content_type = '' WHERE sequence = ?";
    tenant.storage.run(statement, &[taken.0.sequence.into()]).unwrap();
    assert_eq!(count(&mut tenant, &plan).count, 2);
    start(&mut tenant, 1, &plan).unwrap();
    let sent: Vec<_> = sent_by_hand(&mut tenant, 1000).iter().map(Out::message).collect();
    assert_eq!(sent, [sample[0].message, sample[2].message]);
    assert_eq!(task(&mut tenant, 1).progress.skipped, 1);
    let call = postern_domain::wire::replay::Resend {
        message: taken.to_string(),
        endpoint: tenant.endpoint_id(endpoint),
        idempotency: None,
    };
    assert_eq!(code(tenant.call(call)), Code::BadRequest);
}

#[test]
fn messages_that_go_while_it_works_end_it_all_the_same() {
    let settings = postern_ledger::Settings {
        retention_ms: 8 * 300_000,
        ..postern_tests::tenant::wide()
    };
    let mut tenant = Tenant::with(settings, postern_domain::wire::call::TenantSettings::default());
    let endpoint = tenant.endpoint_with(json!({"retrySchedule": [], "disableAfter": {"failed": 0}}));
    for _ in 0..40 {
        published(&mut tenant, Answer::Broken);
        tenant.pass(60_000);
    }
    let plan = TaskPlan {
        rate: 1,
        ..plan(&mut tenant, &[endpoint])
    };
    let begun = start(&mut tenant, 1, &plan).unwrap();
    tenant.now = tenant.now.plus(1_200_000); // the alarm was late: half of it has gone
    sent_by_hand(&mut tenant, 60_000);
    let ended = task(&mut tenant, 1);
    assert_eq!(ended.state, TaskState::Finished);
    assert!(ended.progress.skipped > 0 && ended.progress.done > 0, "{ended:?}");
    assert_eq!(ended.progress.done + ended.progress.skipped, begun.progress.total);
}
