//! The object of one connection: brings calls and the alarm to the machine, does its errands, and wakes whoever waits for
//! one of them.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use postern_connection::{Connection as Machine, Errand, Replied, Settings};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::OBJECT_HEADER;
use postern_platform::log;
use serde_json::json;
use worker::{Delay, DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::errand;
use crate::random::PlatformRandom;
use crate::storage::ObjectStorage;

/// The longest that a call may wait for an errand: an exchange has 20 s, and what follows it is quick.
const LATEST: Duration = Duration::from_secs(25);

/// The longest that a call may wait for what another one began: a browser that comes a second time gets a page that looks
/// again by itself.
const BRIEFLY: Duration = Duration::from_secs(5);

/// As many may wait at a time; more are told to come again.
const MOST_WAITING: usize = 1000;

/// One connection's object.
#[durable_object]
pub struct Connection {
    inner: Rc<Inner>,
    state: State,
}

struct Inner {
    machine: RefCell<Machine<ObjectStorage>>,
    env: Env,
    /// The platform was asked when the alarm rings.
    asked: Cell<bool>,
    /// Answers what only tests ask.
    test_hooks: bool,
    /// Calls that wait until an errand ends.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

// No borrow of the machine lives across an await, and one that a panic cut off is dropped with its guard.
impl std::panic::UnwindSafe for Connection {}
impl std::panic::RefUnwindSafe for Connection {}

impl DurableObject for Connection {
    fn new(state: State, env: Env) -> Self {
        let (storage, state, _) = ObjectStorage::of(state);
        // A deployment without master keys answers, and refuses whatever needs to be opened or sealed.
        let keys = env
            .secret("MASTER_KEYS")
            .map(|keys| keys.to_string())
            .unwrap_or_default();
        let keys = MasterKeys::parse(&keys).ok();
        if keys.is_none() {
            log::error(
                "master_keys",
                json!({ "detail": "MASTER_KEYS is missing or wrong" }),
            );
        }
        let test_hooks = env.var("TEST_HOOKS").is_ok_and(|hooks| hooks.to_string() == "1");
        Self {
            inner: Rc::new(Inner {
                machine: RefCell::new(Machine::new(storage, keys, settings(&env))),
                env,
                asked: Cell::new(false),
                test_hooks,
                waiting: RefCell::default(),
            }),
            state,
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        self.inner.ask_for_alarm().await;
        let body = request.bytes().await?;
        if self.inner.test_hooks
            && let Some(answer) = self.test_hook(&request.path()).await?
        {
            return Ok(answer);
        }
        let mut replied = self.inner.call(&body, None);
        self.run_later();
        if replied.waits {
            replied = self.answer_late(&body, replied).await;
        }
        if let Some(cause) = &replied.cause {
            log::error("connection_call", json!({ "cause": cause }));
        }
        self.inner.log_notices();
        let mut response = Response::from_bytes(replied.frame)?;
        response.headers_mut().set(OBJECT_HEADER, "1")?;
        Ok(response)
    }

    async fn alarm(&self) -> Result<Response> {
        // The run is one turn without an await; what panics in it is caught, and rings again later.
        self.inner.asked.set(true);
        let inner = AssertUnwindSafe(&self.inner);
        let run = async move {
            let now = inner.now();
            inner.machine.borrow_mut().alarm(now, &mut PlatformRandom);
        };
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            log::error("connection_alarm", json!({ "detail": "panic" }));
            let now = self.inner.now();
            self.inner.machine.borrow_mut().ring_again(now);
        }
        self.inner.log_notices();
        self.inner.wake();
        self.run_later();
        Response::empty()
    }
}

fn settings(env: &Env) -> Settings {
    let default = Settings::default();
    let seconds = env.var("CONNECTION_CHECK_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.to_string().parse::<u64>().ok());
    Settings {
        check_ms: seconds.map_or(default.check_ms, |seconds| seconds.saturating_mul(Millis::SECOND)),
        ..default
    }
}

impl Connection {
    /// What tests may ask of it beside its calls: what it was billed for since it woke, and that its clock is so many
    /// milliseconds ahead, for which its alarm rings.
    async fn test_hook(&self, path: &str) -> Result<Option<Response>> {
        if path == "/test/written" {
            return Response::from_json(&self.inner.machine.borrow().sql().written()).map(Some);
        }
        let Some(ms) = path.strip_prefix("/test/ahead/").and_then(|ms| ms.parse().ok()) else {
            return Ok(None);
        };
        self.inner.machine.borrow().sql().set_ahead(ms);
        DurableObject::alarm(self).await.map(Some)
    }

    /// Does the errands that wait, after the answer.
    fn run_later(&self) {
        let errands = self.inner.machine.borrow_mut().take_errands();
        if !errands.is_empty() {
            let inner = self.inner.clone();
            self.state.wait_until(async move { inner.run(errands).await });
        }
    }

    /// Asks again whenever an errand ended, until the answer is there or the time is over. Nothing polls, and the request
    /// that waits keeps the object in memory for that time.
    async fn answer_late(&self, body: &[u8], mut replied: Replied) -> Replied {
        let since = Some(replied.turn);
        let patience = if replied.briefly { BRIEFLY } else { LATEST };
        let mut over = pin!(Delay::from(patience));
        while replied.waits {
            let told = {
                let mut waiting = self.inner.waiting.borrow_mut();
                if waiting.len() >= MOST_WAITING {
                    break;
                }
                let (tell, told) = oneshot::channel();
                waiting.push(tell);
                told
            };
            match select(told, over.as_mut()).await {
                Either::Left(_) => {
                    replied = self.inner.call(body, since);
                    self.run_later();
                }
                Either::Right(_) => break,
            }
        }
        replied
    }
}

impl Inner {
    fn now(&self) -> Millis {
        self.machine.borrow().sql().now()
    }

    /// Does errands beside each other, and those that their ends give rise to. Whoever waits is woken at each end.
    async fn run(&self, errands: Vec<Errand>) {
        let one = |errand: Errand| async move { (errand.id, errand::run(&self.env, errand.task).await) };
        let mut under_way: FuturesUnordered<_> = errands.into_iter().map(one).collect();
        while let Some((id, done)) = under_way.next().await {
            let now = self.now();
            let more = {
                let mut machine = self.machine.borrow_mut();
                machine.finish(id, done, now, &mut PlatformRandom);
                machine.take_errands()
            };
            self.log_notices();
            self.wake();
            under_way.extend(more.into_iter().map(one));
        }
    }

    fn call(&self, body: &[u8], since: Option<u64>) -> Replied {
        let now = self.now();
        let replied = self
            .machine
            .borrow_mut()
            .call(body, since, now, &mut PlatformRandom);
        if replied.moved {
            self.tell_waiting();
        }
        replied
    }

    /// Whoever waits asks again, if something ended.
    fn wake(&self) {
        let moved = self.machine.borrow_mut().moved();
        if moved {
            self.tell_waiting();
        }
    }

    /// What went wrong inside, and is tried again: nobody is answered with it.
    fn log_notices(&self) {
        for told in self.machine.borrow_mut().take_notices() {
            log::warn(told.name, json!({ "detail": told.detail }));
        }
    }

    fn tell_waiting(&self) {
        for waiting in self.waiting.take() {
            let _ = waiting.send(()); // one that has given up is not there any more
        }
    }

    /// Asks the platform once when the alarm rings, so that the machine knows whether it must set it.
    async fn ask_for_alarm(&self) {
        if self.asked.get() {
            return;
        }
        // The borrow ends before the answer: `alarm` only makes the promise while it is held.
        let asked = {
            let machine = self.machine.borrow();
            machine.sql().alarm_promise()
        };
        let answer = match asked {
            Ok(promise) => ObjectStorage::alarm_of(promise).await,
            Err(error) => Err(error),
        };
        if self.asked.replace(true) {
            return; // another call asked at the same time, and may have set it since
        }
        match answer {
            Ok(at) => self.machine.borrow_mut().alarm_is(at),
            Err(error) => log::error("get_alarm", json!({ "detail": error.to_string() })),
        }
    }
}
