//! The object of one tenant: brings calls and the alarm to the ledger, and its lanes to the queues.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use js_sys::Uint8Array;
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_ledger::{Ledger, QueueKind, Replied, Settings};
use worker::{
    BatchMessageBuilder, Delay, DurableObject, Env, Queue, QueueContentType, RawMessageBuilder, Request,
    Response, Result, State, console_error, console_log, durable_object,
};

use crate::clock::now;
use crate::random::PlatformRandom;
use crate::storage::ObjectStorage;

/// Hand-outs of accepts within this time leave together.
const GATHER: Duration = Duration::from_millis(8);

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
        let (storage, state) = ObjectStorage::of(state);
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
        if let Some(cause) = &replied.cause {
            console_error!("{}", notice("error", "tenant_call", cause));
        }
        self.inner.log_notices();
        self.send_later();
        Response::from_bytes(replied.frame)
    }

    async fn alarm(&self) -> Result<Response> {
        // The run is one turn without an await; what panics in it is caught, and rings again later.
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
        // Behind the run, not in it: an alarm that is set while this one is still running can be lost.
        let inner = self.inner.clone();
        self.state.wait_until(async move { inner.send_lanes().await });
        Response::empty()
    }
}

impl Tenant {
    /// Sends what waits, after the answer: hand-outs of many accepts leave together.
    fn send_later(&self) {
        if self.inner.gathering.get() || !self.inner.ledger.borrow().has_lanes() {
            return;
        }
        self.inner.gathering.set(true);
        let inner = self.inner.clone();
        self.state.wait_until(async move {
            Delay::from(GATHER).await;
            inner.gathering.set(false);
            inner.send_lanes().await;
        });
    }
}

impl Inner {
    fn call(&self, body: &[u8]) -> Replied {
        self.ledger.borrow_mut().call(body, now(), &mut PlatformRandom)
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
        rules: default.rules,
    }
}

fn number(env: &Env, name: &str) -> Option<u64> {
    env.var(name).ok()?.to_string().parse().ok()
}
