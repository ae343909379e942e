//! The queues' consumer: signs, sends, reports.
//!
//! In reading order: a batch comes ([`batch`]); its lanes take turns ([`schedule`]); each delivery is judged, signed and
//! sent ([`send`]); results go back tenant by tenant ([`results`]). The ledger owes whatever has no result by its lease,
//! so everything here may be lost at any point. A queue message is acknowledged when its first send begins: from then on
//! only the report is retried, never the send.
//!
//! An invocation has five sends at a time. When some of them hang, the lanes that have not begun after a second go back
//! to the queue, for an invocation with free hands; those that hang go on behind the answer.

mod batch;
mod overflow;
mod results;
mod schedule;
mod send;

pub(crate) use batch::{Batch, Invocation};

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, future};
use postern_domain::id::TenantId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Bodies, Caller, Report};
use postern_domain::wire::frame;
use postern_domain::wire::lane::Lane;
use postern_domain::wire::report::SendResult;
use serde_json::json;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;

use crate::platform::config::Config;
use crate::platform::deadline::pause;
use crate::platform::tenant::TenantObject;
use crate::platform::{clock, log};
use batch::QueueMessage;
use results::{Next, Results};
use schedule::Turns;
use send::{NotOpened, Opened, lease_allows};

/// A tenant's results wait for each other this long.
const GATHER_MS: u64 = 250;

/// After this time lanes that have not begun go back to the queue, and the batch is answered.
const HAND_OVER_MS: u64 = 1000;

/// Waits between the tries of one report. What stays unreported is sent again when its lease is over.
const REPORT_TRIES_MS: [u64; 4] = [0, 200, 1000, 3000];

/// A lane that panicked before anything of it was sent comes again so often.
const PANIC_TRIES: u32 = 3;

/// Takes a batch. Never fails: each message is acknowledged or comes again.
pub(crate) async fn consume(batch: Batch, env: Env, invocation: Invocation) {
    let messages: Vec<QueueMessage> = batch.messages().iter().map(JsCast::unchecked_into).collect();
    if batch.queue().ends_with("overflow") {
        future::join_all(messages.iter().map(|message| overflow::drain(message, &env))).await;
        return;
    }
    let (answer, answered) = oneshot::channel();
    let work = AssertUnwindSafe(async move {
        let run = AssertUnwindSafe(deliver(messages, env, answer))
            .catch_unwind()
            .await;
        if run.is_err() {
            log::error("consumer_panicked", json!({}));
        }
        Ok(JsValue::UNDEFINED)
    });
    invocation.wait_until(&wasm_bindgen_futures::future_to_promise(work));
    // Dropped without a word: the run has ended.
    let _ = answered.await;
}

async fn deliver(messages: Vec<QueueMessage>, env: Env, answer: oneshot::Sender<()>) {
    let config = match Config::from_env(&env) {
        Ok(config) => config,
        Err(problem) => {
            log::error("consumer_config", json!({ "cause": problem.to_string() }));
            for message in &messages {
                message.again(30);
            }
            return;
        }
    };
    let mut run = Run::new(env, config);
    for message in messages {
        run.take(message);
    }
    let mut answer = Some(answer);
    run.begin();
    let hand_over = pause(HAND_OVER_MS).map(|()| Event::HandOver).boxed_local();
    let mut hand_over = Some(hand_over);
    while !run.events.is_empty() {
        let event = match hand_over.take() {
            Some(timer) => match future::select(run.events.next(), timer).await {
                future::Either::Left((event, timer)) => {
                    hand_over = Some(timer);
                    event
                }
                future::Either::Right((event, _)) => Some(event),
            },
            None => run.events.next().await,
        };
        let Some(event) = event else { break };
        if matches!(event, Event::HandOver) {
            run.give_back();
            if let Some(answer) = answer.take() {
                let _ = answer.send(());
            }
        }
        run.on(event);
        run.begin();
    }
}

/// One thing that happened.
enum Event {
    /// Bodies that a lane could not carry have come.
    Fetched {
        lane: usize,
        bodies: Result<Vec<(u64, Vec<u8>)>, Problem>,
    },
    /// A send has ended; none: it panicked.
    Sent {
        lane: usize,
        result: Option<(SendResult, Vec<u8>)>,
    },
    /// A tenant's results have waited long enough.
    Gathered(TenantId),
    /// A report has ended.
    Reported { lanes: Vec<Vec<u8>> },
    /// It is time to answer the queue.
    HandOver,
}

type Pending = Pin<Box<dyn Future<Output = Event>>>;

/// A lane in hand.
struct Held {
    lane: Rc<Lane>,
    bodies: Rc<Vec<Vec<u8>>>,
    fetched: Rc<Vec<(u64, Vec<u8>)>>,
    opened: Result<Rc<Opened>, NotOpened>,
    /// None: it came with a report's answer, or was acknowledged.
    message: Option<QueueMessage>,
    turn: Option<usize>,
}

/// One invocation's work.
struct Run {
    env: Env,
    config: Rc<Config>,
    lanes: Vec<Held>,
    /// Lane of a turn's number.
    turns: Turns,
    lane_of_turn: Vec<usize>,
    results: Results,
    events: FuturesUnordered<Pending>,
    since: Millis,
}

impl Run {
    fn new(env: Env, config: Rc<Config>) -> Self {
        Self {
            env,
            config,
            lanes: Vec::new(),
            turns: Turns::default(),
            lane_of_turn: Vec::new(),
            results: Results::default(),
            events: FuturesUnordered::new(),
            since: clock::now(),
        }
    }

    /// Takes a queue message. What cannot be read is somebody else's: it is acknowledged, and the log says so.
    fn take(&mut self, message: QueueMessage) {
        let read = message.bytes().map(|bytes| frame::decode::<Lane>(&bytes));
        let Some(Ok((lane, bodies))) = read else {
            log::error("lane_unreadable", json!({}));
            return message.ack();
        };
        let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let planted = self.config.test_hooks && lane.url.contains("x-postern-panic=consumer");
            assert!(!planted, "planted: the consumer");
            send::open(&lane, &self.config.master_keys)
        }));
        match prepared {
            Ok(Err(NotOpened::KeyMissing)) => {
                log::error(
                    "master_key_missing",
                    json!({ "tenant": lane.tenant, "endpoint": lane.endpoint }),
                );
                message.again(30);
            }
            Ok(opened) => self.add(lane, bodies, opened, Some(message)),
            Err(_) if message.attempts() <= PANIC_TRIES => message.again(1),
            Err(_) => message.ack(), // the lease owes it again
        }
    }

    fn add(
        &mut self,
        lane: Lane,
        bodies: Vec<Vec<u8>>,
        opened: Result<Opened, NotOpened>,
        message: Option<QueueMessage>,
    ) {
        let number = self.lanes.len();
        let missing: Vec<_> = lane
            .deliveries
            .iter()
            .filter(|d| d.body.is_none())
            .map(|d| d.message)
            .collect();
        let held = Held {
            lane: Rc::new(lane),
            bodies: Rc::new(bodies),
            fetched: Rc::default(),
            opened: opened.map(Rc::new),
            message,
            turn: None,
        };
        self.results.expect(held.lane.tenant, held.lane.deliveries.len());
        if missing.is_empty() {
            self.lanes.push(held);
            self.ready(number);
            return;
        }
        let object = TenantObject::new(&self.env, held.lane.tenant, Caller::System);
        self.lanes.push(held);
        self.events.push(
            async move {
                let answer = object.call(Bodies { messages: missing }, &[]).await;
                let bodies = answer.map(|(found, bodies)| {
                    found
                        .messages
                        .into_iter()
                        .map(|message| message.0.sequence)
                        .zip(bodies)
                        .collect()
                });
                Event::Fetched { lane: number, bodies }
            }
            .boxed_local(),
        );
    }

    fn ready(&mut self, number: usize) {
        if let Some(held) = self.lanes.get_mut(number) {
            let turn = self.turns.add(held.lane.deliveries.len(), held.lane.concurrency);
            held.turn = Some(turn);
            self.lane_of_turn.push(number);
        }
    }

    /// Begins as many sends as may be begun.
    fn begin(&mut self) {
        while let Some((turn, place)) = self.turns.take() {
            let Some(number) = self.lane_of_turn.get(turn).copied() else {
                continue;
            };
            if !self.begin_one(number, place) {
                self.turns.done(turn);
            }
        }
    }

    /// Begins one; false: it is given up, and owed again when its lease is over.
    fn begin_one(&mut self, number: usize, place: usize) -> bool {
        let Some(held) = self.lanes.get_mut(number) else {
            return false;
        };
        let Some(handout) = held.lane.deliveries.get(place).cloned() else {
            return false;
        };
        if let Some(message) = held.message.take() {
            message.ack();
        }
        let tenant = held.lane.tenant;
        let timeout = self.config.delivery_timeout_ms;
        let has_body = match handout.body {
            Some(body) => held.bodies.get(usize::from(body)).is_some(),
            None => held
                .fetched
                .iter()
                .any(|(sequence, _)| *sequence == handout.message.0.sequence),
        };
        if !has_body || !lease_allows(clock::now(), handout.until, timeout) {
            if self.results.give_up(tenant, 1) {
                self.report(tenant);
            }
            return false;
        }
        let (lane, bodies, fetched) = (held.lane.clone(), held.bodies.clone(), held.fetched.clone());
        let (opened, config) = (held.opened.clone(), self.config.clone());
        let waited = clock::now().since(self.since);
        let work = async move {
            let fetched = || {
                fetched
                    .iter()
                    .find(|(sequence, _)| *sequence == handout.message.0.sequence)
            };
            let body = match handout.body {
                Some(body) => bodies.get(usize::from(body)).map(Vec::as_slice),
                None => fetched().map(|(_, body)| body.as_slice()),
            };
            let opened = opened.as_deref().map_err(|why| *why);
            let body = body.unwrap_or_default();
            send::send(&lane, opened, &handout, body, &config.policy, timeout, waited).await
        };
        self.events.push(
            AssertUnwindSafe(work)
                .catch_unwind()
                .map(move |done| Event::Sent {
                    lane: number,
                    result: done.ok(),
                })
                .boxed_local(),
        );
        true
    }

    fn on(&mut self, event: Event) {
        match event {
            Event::Fetched {
                lane,
                bodies: Ok(bodies),
            } => {
                if let Some(held) = self.lanes.get_mut(lane) {
                    held.fetched = Rc::new(bodies);
                }
                self.ready(lane);
            }
            Event::Fetched {
                lane,
                bodies: Err(problem),
            } => self.not_fetched(lane, &problem),
            Event::Sent { lane, result } => self.sent(lane, result),
            Event::Gathered(tenant) => self.report(tenant),
            Event::Reported { lanes } => {
                for frame in lanes {
                    if let Ok((lane, bodies)) = frame::decode::<Lane>(&frame) {
                        let opened = send::open(&lane, &self.config.master_keys);
                        self.add(lane, bodies, opened, None);
                    }
                }
            }
            Event::HandOver => {}
        }
    }

    fn not_fetched(&mut self, lane: usize, problem: &Problem) {
        let Some(held) = self.lanes.get_mut(lane) else {
            return;
        };
        log::warn(
            "bodies_not_fetched",
            json!({ "tenant": held.lane.tenant, "cause": problem.to_string() }),
        );
        let (tenant, count) = (held.lane.tenant, held.lane.deliveries.len());
        if let Some(message) = held.message.take() {
            message.ack(); // the lease owes them again
        }
        if self.results.give_up(tenant, count) {
            self.report(tenant);
        }
    }

    fn sent(&mut self, number: usize, result: Option<(SendResult, Vec<u8>)>) {
        let Some(held) = self.lanes.get(number) else {
            return;
        };
        let tenant = held.lane.tenant;
        let endpoint = u32::try_from(held.lane.endpoint.0.sequence).unwrap_or(u32::MAX);
        if let Some(turn) = held.turn {
            self.turns.done(turn);
        }
        let Some((result, body)) = result else {
            log::error("send_panicked", json!({ "tenant": tenant, "endpoint": endpoint }));
            if self.results.give_up(tenant, 1) {
                self.report(tenant);
            }
            return;
        };
        match self.results.add(tenant, endpoint, result, body) {
            Next::Report => self.report(tenant),
            Next::StartTimer => {
                self.events.push(
                    pause(GATHER_MS)
                        .map(move |()| Event::Gathered(tenant))
                        .boxed_local(),
                );
            }
            Next::Wait => {}
        }
    }

    fn report(&mut self, tenant: TenantId) {
        let Some((report, bodies)) = self.results.take(tenant) else {
            return;
        };
        let object = TenantObject::new(&self.env, tenant, Caller::System);
        self.events.push(
            async move {
                let lanes = tell(&object, tenant, report, &bodies).await;
                Event::Reported { lanes }
            }
            .boxed_local(),
        );
    }

    /// Lanes of which nothing was begun go back to the queue.
    fn give_back(&mut self) {
        for held in &mut self.lanes {
            let Some(message) = held.message.take() else {
                continue;
            };
            message.again(0);
            let count = match held.turn {
                Some(turn) => self.turns.give_up(turn),
                None => held.lane.deliveries.len(),
            };
            self.results.give_up(held.lane.tenant, count);
        }
    }
}

/// Reports, and asks again where no answer came: the ledger drops what it has already. Answers the lanes that came back.
async fn tell(object: &TenantObject, tenant: TenantId, report: Report, bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut cause = String::new();
    for wait in REPORT_TRIES_MS {
        if wait > 0 {
            pause(wait).await;
        }
        match object.call(report.clone(), bodies).await {
            Ok((_, lanes)) => return lanes,
            Err(problem) if problem.code.status() < 500 => {
                // The tenant is gone: nobody wants to know.
                log::warn(
                    "report_refused",
                    json!({ "tenant": tenant, "code": problem.code }),
                );
                return Vec::new();
            }
            Err(problem) => cause = problem.to_string(),
        }
    }
    log::error("report_failed", json!({ "tenant": tenant, "cause": cause }));
    Vec::new()
}
