//! The object of one tenant: brings calls and the alarm to the ledger, its lanes to the queues, and what it has to tell to
//! its organisation's operational tenant.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use js_sys::Uint8Array;
use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::call::Reply;
use postern_domain::wire::follow::{WATCH_HEADER, Watching};
use postern_domain::wire::{OBJECT_HEADER, frame};
use postern_ledger::{Ledger, LookOut, PushOut, QueueKind, Replied, RoutingOut, Settings};
use postern_platform::clock::now;
use postern_platform::deadline::within;
use postern_platform::tenant;
use worker::{
    BatchMessageBuilder, Delay, DurableObject, Env, Error, Queue, QueueContentType, RawMessageBuilder,
    Request, Response, Result, State, WebSocket, WebSocketIncomingMessage, console_error, console_log,
    durable_object,
};

use crate::directory;
use crate::random::PlatformRandom;
use crate::storage::ObjectStorage;
use crate::watchers::Watchers;

/// Hand-outs of accepts within this time leave together.
const GATHER: Duration = Duration::from_millis(8);

/// The operational tenant's object may take so long; the outbox's lease is longer.
const TELL_MS: u64 = 20_000;

/// A tenant's object may take so long in a slice; one that takes longer gets its part beside the others.
const ROUTE_MS: u64 = 3000;

/// The directory may take so long.
const LOOK_MS: u64 = 5000;

/// The longest that a call may wait for a result.
const LATEST: Duration = Duration::from_secs(20);

/// Bytes of one `sendBatch` at the most, with room for its own envelope.
const BATCH_BYTES: usize = 240_000;

/// Messages of one `sendBatch` at the most.
const BATCH_MESSAGES: usize = 100;

/// One tenant's object.
#[durable_object]
pub struct Tenant {
    inner: Rc<Inner>,
    state: State,
}

struct Inner {
    ledger: RefCell<Ledger<ObjectStorage>>,
    watchers: Watchers,
    env: Env,
    /// The platform was asked when the alarm rings.
    asked: Cell<bool>,
    /// Lanes are being gathered already.
    gathering: Cell<bool>,
    /// Answers planted panics and inspection; tests only.
    test_hooks: bool,
    /// The next alarm panics; tests only.
    planted: Cell<bool>,
    /// The next call waits so many milliseconds before it is done; tests only.
    stalled: Cell<u64>,
    counted: Counted,
    /// Calls that wait until something is recorded.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// What the platform bills beside rows, since the object woke; tests and the bench read it.
#[derive(Default)]
struct Counted {
    requests: Cell<u64>,
    alarms: Cell<u64>,
    queue_messages: Cell<u64>,
}

// No borrow of the ledger lives across an await, and one that a panic cut off is dropped with its guard.
impl std::panic::UnwindSafe for Tenant {}
impl std::panic::RefUnwindSafe for Tenant {}

impl DurableObject for Tenant {
    fn new(state: State, env: Env) -> Self {
        let (storage, state, again) = ObjectStorage::of(state);
        // A deployment without master keys answers, and refuses whatever needs to be sealed.
        let keys = env
            .secret("MASTER_KEYS")
            .map(|keys| keys.to_string())
            .unwrap_or_default();
        let keys = MasterKeys::parse(&keys).ok();
        if keys.is_none() {
            console_error!(
                "{}",
                notice("error", "master_keys", "MASTER_KEYS is missing or wrong")
            );
        }
        let ledger = RefCell::new(Ledger::new(storage, keys, settings(&env)));
        let test_hooks = number(&env, "TEST_HOOKS") == Some(1);
        let inner = Inner {
            ledger,
            watchers: Watchers::new(again),
            env,
            asked: Cell::new(false),
            gathering: Cell::new(false),
            test_hooks,
            planted: Cell::new(false),
            stalled: Cell::new(0),
            counted: Counted::default(),
            waiting: RefCell::default(),
        };
        Self {
            inner: Rc::new(inner),
            state,
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        self.inner.ask_for_alarm().await;
        if let Some(watch) = request.headers().get(WATCH_HEADER)? {
            return self.inner.watch(&watch);
        }
        let body = request.bytes().await?;
        if let Some(answer) = self.inner.test_hook(&request)? {
            return Ok(answer);
        }
        add(&self.inner.counted.requests, 1);
        let stalled = self.inner.stalled.take();
        if stalled > 0 {
            Delay::from(Duration::from_millis(stalled)).await;
        }
        let mut replied = self.inner.call(&body);
        if replied.later.recorded {
            self.inner.tell_waiting();
        }
        if replied.later.waits {
            replied = self.inner.answer_late(&body, replied).await;
        }
        let frame = replied.frame;
        self.send_later();
        self.tell_later();
        self.route_later();
        self.clean_later();
        let mut response = Response::from_bytes(frame)?;
        response.headers_mut().set(OBJECT_HEADER, "1")?;
        Ok(response)
    }

    async fn alarm(&self) -> Result<Response> {
        // The run is one turn without an await; what panics in it is caught, and rings again later.
        let watched = self.inner.watchers.any();
        self.inner.ledger.borrow_mut().watched(watched);
        let inner = AssertUnwindSafe(&self.inner);
        let run = async move {
            add(&inner.counted.alarms, 1);
            inner.planted_panic("alarm");
            inner.ledger.borrow_mut().alarm(now());
        };
        self.inner.asked.set(true);
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            self.inner.ledger.borrow_mut().ring_again("panic", now());
        }
        self.inner.log_notices();
        self.fetch_later();
        // Behind the run, not in it: an alarm that is set while this one is still running can be lost.
        let inner = self.inner.clone();
        self.state.wait_until(async move {
            inner.tell_watchers();
            inner.send_lanes().await;
        });
        self.tell_later();
        self.route_later();
        self.clean_later();
        Response::empty()
    }

    /// Whoever watches only listens.
    async fn websocket_message(&self, socket: WebSocket, _message: WebSocketIncomingMessage) -> Result<()> {
        self.inner
            .watchers
            .close(&socket, 1003, "nothing is taken over this socket");
        Ok(())
    }

    async fn websocket_close(
        &self,
        socket: WebSocket,
        _code: usize,
        _reason: String,
        _was_clean: bool,
    ) -> Result<()> {
        self.inner.watchers.close(&socket, 1000, "closed");
        Ok(())
    }

    async fn websocket_error(&self, socket: WebSocket, _error: worker::Error) -> Result<()> {
        self.inner.watchers.close(&socket, 1011, "broken");
        Ok(())
    }
}

impl Tenant {
    /// Sends what waits, after the answer: hand-outs of many accepts leave together, and so do notifications.
    fn send_later(&self) {
        let waits = {
            let ledger = self.inner.ledger.borrow();
            ledger.has_lanes() || ledger.has_news()
        };
        if self.inner.gathering.get() || !waits {
            return;
        }
        self.inner.gathering.set(true);
        let inner = self.inner.clone();
        self.state.wait_until(async move {
            Delay::from(GATHER).await;
            inner.gathering.set(false);
            inner.tell_watchers();
            inner.send_lanes().await;
        });
    }

    /// Takes bodies away that nobody needs any more, after the answer.
    fn clean_later(&self) {
        let garbage = self.inner.ledger.borrow_mut().take_garbage();
        if !garbage.is_empty() {
            let inner = self.inner.clone();
            self.state.wait_until(async move {
                if let Err(error) = crate::bodies::clean(&inner.env, &garbage).await {
                    console_error!("{}", notice("error", "bodies_not_deleted", &error.to_string()));
                }
            });
        }
    }

    /// Brings questions to providers to their queue, after the answer. What the queue refuses is asked again when its
    /// lease is over.
    fn fetch_later(&self) {
        let outs = self.inner.ledger.borrow_mut().take_fetches();
        if outs.is_empty() {
            return;
        }
        let inner = self.inner.clone();
        self.state.wait_until(async move {
            let frames: Vec<_> = outs.iter().map(|out| &out.frame).collect();
            if let Err(error) = inner.send("FETCHES", &frames).await {
                console_error!("{}", notice("error", "queue_send", &error.to_string()));
            }
        });
    }

    /// Tells the organisation what waits, after the answer.
    fn tell_later(&self) {
        if self.inner.ledger.borrow().has_outbox(now()) {
            let inner = self.inner.clone();
            self.state.wait_until(async move { inner.tell().await });
        }
    }

    /// Routes what came through app-level sources, after the answer.
    fn route_later(&self) {
        if self.inner.ledger.borrow().has_routing(now()) {
            let inner = self.inner.clone();
            self.state.wait_until(async move { inner.route().await });
        }
    }
}

impl Inner {
    /// Brings a call to the ledger, and its answer back as a frame.
    fn call(&self, body: &[u8]) -> Replied {
        let watched = self.watchers.any();
        let mut ledger = self.ledger.borrow_mut();
        ledger.watched(watched);
        let replied = ledger.call(body, now(), &mut PlatformRandom);
        drop(ledger);
        if let Some(cause) = &replied.cause {
            console_error!("{}", notice("error", "tenant_call", cause));
        }
        self.log_notices();
        replied
    }

    /// Takes a socket of somebody who wants to be told of new messages; the ledger judges whether it may be. A refusal is
    /// a frame, as the refusal of any call.
    fn watch(&self, header: &str) -> Result<Response> {
        add(&self.counted.requests, 1);
        let call = frame::from_header(header).unwrap_or_default();
        let frame = self.call(&call).frame;
        let reply = frame::decode::<Reply<Watching>>(&frame).map_err(|error| error.to_string())?;
        match reply {
            (Ok(watching), _) if self.watchers.has_room() => self.watchers.take(&watching),
            (Ok(_), _) => {
                let full = Problem::new(Code::Overloaded, "Too many streams of this application are open");
                let frame = frame::encode(&Reply::<Watching>::Err(full), &[] as &[&[u8]]);
                Response::from_bytes(frame.map_err(|error| error.to_string())?)
            }
            (Err(_), _) => Response::from_bytes(frame),
        }
    }

    /// Tells whoever watches what came.
    fn tell_watchers(&self) {
        let (news, over) = {
            let mut ledger = self.ledger.borrow_mut();
            (ledger.take_news(), ledger.take_over())
        };
        if !news.is_empty() {
            self.watchers.tell(&news);
        }
        if over {
            self.watchers.send_home();
        }
    }

    /// Whoever waits asks again.
    fn tell_waiting(&self) {
        for waiting in self.waiting.take() {
            let _ = waiting.send(()); // one that has given up is not there any more
        }
    }

    /// Asks again whenever something was recorded, until what is asked for is there or the time is over. Nothing polls,
    /// and the request that waits keeps the object in memory for that time.
    async fn answer_late(&self, body: &[u8], mut replied: Replied) -> Replied {
        let mut over = pin!(Delay::from(LATEST));
        while replied.later.waits {
            let (tell, told) = oneshot::channel();
            self.waiting.borrow_mut().push(tell);
            match select(told, over.as_mut()).await {
                Either::Left(_) => replied = self.call(body),
                Either::Right(_) => break,
            }
        }
        replied
    }

    /// Asks the platform once when the alarm rings, so that an accept knows whether it must set it.
    async fn ask_for_alarm(&self) {
        if self.asked.get() {
            return;
        }
        // The borrow ends before the answer: `alarm` only makes the promise while it is held.
        let asked = {
            let ledger = self.ledger.borrow();
            ledger.sql().alarm_promise()
        };
        let answer = match asked {
            Ok(promise) => ObjectStorage::alarm_of(promise).await,
            Err(error) => Err(error),
        };
        if self.asked.replace(true) {
            return; // another call asked at the same time, and may have set it since
        }
        match answer {
            Ok(at) => self.ledger.borrow_mut().alarm_is(at),
            Err(error) => console_error!("{}", notice("error", "get_alarm", &error.to_string())),
        }
    }

    /// Brings what waits to the queues. A queue that refuses loses nothing: the leases run.
    async fn send_lanes(&self) {
        let lanes = match self.ledger.borrow_mut().take_lanes() {
            Ok(lanes) => lanes,
            Err(problem) => {
                console_error!("{}", notice("error", "take_lanes", &problem.to_string()));
                return;
            }
        };
        for kind in [QueueKind::Fast, QueueKind::Slow] {
            let frames: Vec<_> = lanes
                .iter()
                .filter(|lane| lane.queue == kind)
                .map(|lane| &lane.frame)
                .collect();
            if frames.is_empty() {
                continue;
            }
            let name = match kind {
                QueueKind::Fast => "DELIVERIES",
                QueueKind::Slow => "DELIVERIES_SLOW",
            };
            if let Err(error) = self.send(name, &frames).await {
                console_error!("{}", notice("error", "queue_send", &error.to_string()));
            }
        }
    }

    /// Brings the outbox to the operational tenant's object, batch after batch. What has no answer stays, and the alarm
    /// comes back to it.
    async fn tell(&self) {
        loop {
            let taken = self.ledger.borrow_mut().take_outbox(now());
            let out = match taken {
                Ok(Some(out)) => out,
                Ok(None) => break,
                Err(problem) => {
                    console_error!("{}", notice("error", "take_outbox", &problem.to_string()));
                    break;
                }
            };
            let answer = self.ask_in_time(out.to, &out.frame, TELL_MS).await;
            if let Err(error) = &answer {
                console_error!("{}", notice("error", "tell", &error.to_string()));
            }
            let answer = answer.ok();
            let kept = self
                .ledger
                .borrow_mut()
                .outbox_answered(&out, answer.as_deref(), now());
            if let Err(problem) = kept {
                console_error!("{}", notice("error", "outbox_answered", &problem.to_string()));
                break; // the lease runs
            }
        }
        self.log_notices();
    }

    /// Brings events to the tenants that claim them, slice after slice, and beside that to those who lack some from
    /// before: one of them that hangs keeps no slice waiting. What has no answer stays, and the alarm comes back to it.
    async fn route(self: Rc<Self>) {
        let mut beside = FuturesUnordered::new();
        loop {
            let taken = self.ledger.borrow_mut().take_routing(now());
            let out = match taken {
                Ok(Some(out)) => out,
                // What one of them lacks behind its first part may be taken when that is answered.
                Ok(None) => match beside.next().await {
                    Some(()) => continue,
                    None => break,
                },
                Err(problem) => {
                    console_error!("{}", notice("error", "take_routing", &problem.to_string()));
                    break;
                }
            };
            let kept = match out {
                RoutingOut::Look(look) => self.look(&look).await,
                RoutingOut::Slice(slice) => {
                    let asks = slice.pushes.iter().map(|push| self.push(push, ROUTE_MS));
                    let answers = join_all(asks).await;
                    self.ledger.borrow_mut().slice_pushed(&slice, &answers, now())
                }
                RoutingOut::Behind(push) => {
                    beside.push(self.push_behind(push));
                    Ok(())
                }
            };
            if let Err(problem) = kept {
                console_error!("{}", notice("error", "routing_answered", &problem.to_string()));
                break; // the lease runs
            }
        }
        // What is under way has its lease; its answers are worth hearing.
        while beside.next().await.is_some() {}
        self.log_notices();
    }

    /// Asks the directory who claims some keys.
    async fn look(&self, look: &LookOut) -> std::result::Result<(), Problem> {
        let asked = directory::claims(&self.env, look);
        let found = within(LOOK_MS, asked).await.unwrap_or_else(no_answer);
        if let Err(error) = &found {
            console_error!("{}", notice("error", "route_look", &error.to_string()));
        }
        self.ledger.borrow_mut().routes_found(look, found.ok(), now())
    }

    /// Bodies first: who has said that it has an event has all of it.
    async fn push(&self, push: &PushOut, ms: u64) -> Option<Vec<u8>> {
        let pushed = async {
            for (from, to) in &push.copies {
                crate::bodies::copy(&self.env, from, to).await?;
            }
            self.ask_object(push.to, &push.frame).await
        };
        let answer = within(ms, pushed).await.unwrap_or_else(no_answer);
        if let Err(error) = &answer {
            console_error!("{}", notice("error", "route", &error.to_string()));
        }
        answer.ok()
    }

    async fn push_behind(&self, push: PushOut) {
        let answer = self.push(&push, TELL_MS).await;
        let kept = self
            .ledger
            .borrow_mut()
            .behind_pushed(&push, answer.as_deref(), now());
        if let Err(problem) = kept {
            console_error!("{}", notice("error", "routing_answered", &problem.to_string()));
        }
    }

    async fn ask_in_time(&self, to: TenantId, frame: &[u8], ms: u64) -> Result<Vec<u8>> {
        let answer = within(ms, self.ask_object(to, frame)).await;
        answer.unwrap_or_else(no_answer)
    }

    /// Asks another tenant's object. Never this one: the hidden ledgers neither tell nor route anything to themselves.
    async fn ask_object(&self, to: TenantId, frame: &[u8]) -> Result<Vec<u8>> {
        let mut response = tenant::post(&self.env, to, frame).await?;
        match response.status_code() {
            200 => response.bytes().await,
            status => Err(Error::RustError(format!("status {status}"))),
        }
    }

    async fn send(&self, queue: &str, frames: &[&Vec<u8>]) -> Result<()> {
        let queue: Queue = self.env.queue(queue)?;
        let mut rest = frames;
        while !rest.is_empty() {
            let mut bytes = 0;
            let count = rest
                .iter()
                .take(BATCH_MESSAGES)
                .take_while(|frame| {
                    bytes += frame.len();
                    bytes <= BATCH_BYTES
                })
                .count()
                .max(1);
            let (now, later) = rest.split_at(count);
            let message = |frame: &Vec<u8>| {
                RawMessageBuilder::new(Uint8Array::from(frame.as_slice()).into())
                    .build_with_content_type(QueueContentType::V8)
            };
            if let [frame] = now {
                queue.send_raw(message(frame)).await?;
            } else {
                let batch = now.iter().fold(BatchMessageBuilder::new(), |batch, frame| {
                    batch.message(message(frame))
                });
                queue.send_raw_batch(batch.build()).await?;
            }
            add(&self.counted.queue_messages, now.len() as u64);
            rest = later;
        }
        Ok(())
    }

    fn log_notices(&self) {
        for told in self.ledger.borrow_mut().take_notices() {
            console_log!("{}", notice("warn", told.event, &told.detail));
        }
    }

    /// What tests may ask of an object beside its calls: what it was billed for since it woke, these questions left out;
    /// a panic here, a panic in the next alarm.
    fn test_hook(&self, request: &Request) -> Result<Option<Response>> {
        if !self.test_hooks {
            return Ok(None);
        }
        match request.path().as_str() {
            "/test/written" => Response::from_json(&self.ledger.borrow().sql().written()).map(Some),
            "/test/counted" => Response::from_json(&serde_json::json!({
                "rows": self.ledger.borrow().sql().written(),
                "requests": self.counted.requests.get(),
                "alarms": self.counted.alarms.get(),
                "queueMessages": self.counted.queue_messages.get(),
            }))
            .map(Some),
            "/test/sockets" => Response::from_json(&self.watchers.count()).map(Some),
            "/test/stall" => {
                self.stalled.set(3000);
                Response::ok("stalled").map(Some)
            }
            "/test/panic" => panic!("planted: the object's fetch"),
            "/test/panic-in-alarm" => {
                self.planted.set(true);
                Response::ok("planted").map(Some)
            }
            _ => Ok(None),
        }
    }

    fn planted_panic(&self, place: &str) {
        assert!(!self.planted.replace(false), "planted: the object's {place}");
    }
}

fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

fn no_answer<T>() -> Result<T> {
    Err(Error::RustError("no answer in time".to_owned()))
}

/// One line of the log.
fn notice(level: &str, event: &str, detail: &str) -> String {
    serde_json::json!({"level": level, "event": event, "detail": detail}).to_string()
}

fn settings(env: &Env) -> Settings {
    let default = Settings::default();
    let value = |name, default| number(env, name).unwrap_or(default);
    Settings {
        lease_ms: value("LEASE_SECONDS", default.lease_ms / 1000) * 1000,
        retention_ms: value("RETENTION_DAYS", default.retention_ms / Millis::DAY) * Millis::DAY,
        segment_bytes: value("SEGMENT_BYTES", default.segment_bytes),
        capacity_bytes: value("CAPACITY_BYTES", default.capacity_bytes),
        ..default
    }
}

fn number(env: &Env, name: &str) -> Option<u64> {
    env.var(name).ok()?.to_string().parse().ok()
}
