//! One invocation of the consumer, from the first lane to the last report.
//!
//! Everything that takes time runs side by side and ends in an [`Event`]; between two events [`Run::step`] starts
//! whatever can be started. Which send is next and which report is due is decided by [`Turns`] and [`Results`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use postern_domain::id::{MessageId, TenantId};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Bodies, Caller};
use postern_domain::wire::lane::Handout;
use postern_domain::wire::report::{SendResult, Stalled};
use postern_platform::config::Config;
use postern_platform::deadline::pause;
use postern_platform::tenant::TenantObject;
use postern_platform::{bodies, clock, log};
use serde_json::json;
use worker::{Env, QueueContentType, RawMessageBuilder};

use super::batch::Slip;
use super::lane::{self, OpenLane};
use super::report::report;
use super::results::{Entry, GATHER_MS, Results};
use super::send::{Sent, not_sent, send};
use super::token::Bearer;
use super::turns::{Pace, Turn, Turns};

/// A permit that was held for longer makes its endpoint a slow one.
const QUICK_MS: u32 = 2_000;

/// After this time the handler ends, and what has begun goes on beside the next batch. Endpoints in order have answered by
/// then.
const HANDS_OVER_AFTER_MS: u64 = 1_000;

/// When sends are under way and none has begun or ended for this time, it ends at once: what is under way hangs, as far as anybody
/// can tell, and where one consumer runs at a time, all tenants wait for it.
const STILL_MS: u64 = 200;

/// A word on what hangs is for now: later it says nothing.
const WORD_MS: u64 = 2_000;

/// Something ended.
enum Event {
    Sent {
        lane: usize,
        index: usize,
        /// None: it panicked, and the lease covers it.
        result: Option<Box<Sent>>,
    },
    Fetched {
        lane: usize,
        wanted: Vec<usize>,
        found: Option<Vec<(usize, Vec<u8>)>>,
    },
    Gathered {
        tenant: TenantId,
        gathering: u64,
    },
    HandOver,
    Look,
    /// Sends that have begun a while ago are looked at.
    Waited,
    Reported {
        tenant: TenantId,
        lanes: Vec<Vec<u8>>,
    },
    Forwarded,
    /// A tenant's object has heard which endpoints hang, or a connection's that its token was refused; or not.
    Told,
}

/// An invocation's lanes and what is under way.
pub(super) struct Run<'a> {
    env: &'a Env,
    config: Rc<Config>,
    lanes: Vec<(Rc<OpenLane>, Option<Rc<Slip>>)>,
    fetched: HashMap<(usize, usize), Rc<Vec<u8>>>,
    turns: Turns,
    results: Results,
    under_way: FuturesUnordered<LocalBoxFuture<'a, Event>>,
    /// How many of these the invocation has to wait for: a running clock is not one.
    owed: usize,
    /// Tells the handler that it may end; none: it has been told.
    hand_over: Option<oneshot::Sender<()>>,
    /// When a send began or ended last.
    moved_at: Millis,
    /// When each send under way began.
    sending: BTreeMap<(usize, usize), Millis>,
    /// Endpoints whose tenant knows that they hang; none: all are slow here, and known to be.
    stalled: Option<BTreeSet<(TenantId, u32)>>,
}

impl<'a> Run<'a> {
    /// Nothing to do yet.
    pub(super) fn new(env: &'a Env, config: Rc<Config>, are_slow: bool) -> Self {
        Self {
            env,
            lanes: Vec::new(),
            fetched: HashMap::new(),
            turns: Turns::new(config.delivery_timeout_ms),
            results: Results::default(),
            under_way: FuturesUnordered::new(),
            owed: 0,
            hand_over: None,
            moved_at: clock::now(),
            sending: BTreeMap::new(),
            stalled: (!are_slow).then(BTreeSet::new),
            config,
        }
    }

    /// A lane more, with the slip of the queue's message that it came in, if it came in one.
    pub(super) fn add(&mut self, lane: OpenLane, slip: Option<Rc<Slip>>) {
        let number = self
            .turns
            .add(lane.key, lane.head.concurrency, lane.head.ordered, lane.waiting());
        let lane = Rc::new(lane);
        if let Err(cause) = lane.route {
            // Nowhere to send: that is each delivery's result, and no try of this message would change it.
            if let Some(slip) = &slip {
                slip.begin();
            }
            let now = clock::now();
            // In order the first one stops those behind it, as if it had been sent and failed.
            let told = if lane.head.ordered { 1 } else { usize::MAX };
            for handout in lane.head.deliveries.iter().take(told) {
                let result = not_sent(&lane, handout, cause, now);
                self.add_result(number, &lane, handout, result, Vec::new());
            }
        }
        self.lanes.push((lane, slip));
    }

    /// Does all there is to do. `hand_over` is told when the handler need not wait any longer, or dropped at the end.
    pub(super) async fn finish(mut self, hand_over: oneshot::Sender<()>) {
        self.hand_over = Some(hand_over);
        self.clock(HANDS_OVER_AFTER_MS, Event::HandOver);
        self.clock(STILL_MS, Event::Look);
        if self.stalled.is_some() {
            self.clock(u64::from(QUICK_MS), Event::Waited);
        }
        loop {
            self.step();
            if self.owed == 0 {
                return;
            }
            match self.under_way.next().await {
                Some(event) => self.apply(event),
                None => return,
            }
        }
    }

    /// Starts whatever can be started now.
    fn step(&mut self) {
        while let Some(turn) = self.turns.next(clock::now()) {
            match turn {
                Turn::Send { lane, index } => self.send(lane, index),
                Turn::Drop { lane, index } => {
                    self.fetched.remove(&(lane, index));
                }
            }
        }
        while let Some((lane, wanted)) = self.turns.wanted() {
            self.fetch(lane, wanted);
        }
        let turns = &self.turns;
        let mut due = Vec::new();
        while let Some(report) = self
            .results
            .due(|tenant| turns.tenant_done(tenant), |lane| turns.lane_done(lane))
        {
            due.push(report);
        }
        for due in due {
            let (env, tenant) = (self.env, due.tenant);
            self.start(async move {
                let lanes = AssertUnwindSafe(report(env, due)).catch_unwind().await;
                Event::Reported {
                    tenant,
                    lanes: lanes.unwrap_or_default(),
                }
            });
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Gathered { tenant, gathering } => {
                self.results.ripen(tenant, gathering);
                return;
            }
            Event::HandOver => return self.hand_over(),
            Event::Look => return self.look(),
            Event::Waited => return self.waited(),
            Event::Sent { lane, index, result } => self.sent(lane, index, result),
            Event::Fetched { lane, wanted, found } => self.came(lane, &wanted, found),
            Event::Reported { tenant, lanes } => {
                self.results.reported(tenant);
                self.take(lanes);
            }
            Event::Forwarded | Event::Told => {}
        }
        self.owed = self.owed.saturating_sub(1);
    }

    fn send(&mut self, number: usize, index: usize) {
        let (lane, slip) = match self.lanes.get(number) {
            Some((lane, slip)) => (Rc::clone(lane), slip.clone()),
            None => return self.turns.ended(number, index, Pace::Quick),
        };
        let body = self.fetched.remove(&(number, index)).or_else(|| lane.body(index));
        let config = Rc::clone(&self.config);
        self.moved_at = clock::now();
        self.sending.insert((number, index), self.moved_at);
        if let Some(slip) = slip {
            slip.begin();
        }
        let env = self.env;
        let work = async move {
            let handout = lane.head.deliveries.get(index)?;
            let route = lane.route.as_ref().ok()?;
            let sent = send(env, &lane, route, handout, body?.as_slice(), &config).await;
            Some(Box::new(sent))
        };
        self.start(async move {
            let result = AssertUnwindSafe(work).catch_unwind().await;
            Event::Sent {
                lane: number,
                index,
                result: result.ok().flatten(),
            }
        });
    }

    fn sent(&mut self, number: usize, index: usize, sent: Option<Box<Sent>>) {
        let quick = sent
            .as_ref()
            .is_some_and(|sent| sent.result.duration_ms < QUICK_MS);
        let pace = if quick { Pace::Quick } else { Pace::Slow };
        self.turns.ended(number, index, pace);
        self.moved_at = clock::now();
        self.sending.remove(&(number, index));
        let lane = self.lanes.get(number).map(|(lane, _)| Rc::clone(lane));
        let arrived = sent.as_ref().is_some_and(|sent| sent.result.cause.is_none());
        if !arrived {
            self.turns.not_arrived(number);
            self.drop_bodies(number);
        }
        match (lane, sent) {
            (Some(lane), Some(sent)) => {
                // What was sent stands in its lane.
                if let Some(handout) = lane.head.deliveries.get(index) {
                    self.add_result(number, &lane, handout, sent.result, sent.body);
                }
                if let Some(bearer) = sent.refused {
                    self.refused(bearer);
                }
            }
            (lane, _) => {
                let tenant = lane.map(|lane| lane.key.0);
                log::error("send_panicked", json!({ "tenant": tenant }));
            }
        }
    }

    fn add_result(
        &mut self,
        number: usize,
        lane: &OpenLane,
        handout: &Handout,
        result: SendResult,
        body: Vec<u8>,
    ) {
        let (tenant, endpoint) = lane.key;
        let event_type = lane.head.organisation.zip(handout.event_type.clone());
        let entry = Entry {
            lane: number,
            endpoint,
            result,
            body,
            event_type,
        };
        if let Some(gathering) = self.results.add(tenant, entry) {
            self.clock(GATHER_MS, Event::Gathered { tenant, gathering });
        }
    }

    /// A connection's token was refused: it hears so beside the report, which waits for no provider.
    fn refused(&mut self, bearer: Bearer) {
        bearer.forget();
        self.start(async move {
            if AssertUnwindSafe(bearer.refused()).catch_unwind().await.is_err() {
                log::error("token_refusal_panicked", json!({}));
            }
            Event::Told
        });
    }

    /// Whether anything moves still.
    fn look(&mut self) {
        if self.hand_over.is_none() {
            return;
        }
        let still = clock::now().since(self.moved_at);
        if still >= STILL_MS && self.turns.is_sending() {
            self.hand_over();
        } else {
            let rest = STILL_MS.saturating_sub(still);
            self.clock(if rest == 0 { STILL_MS } else { rest }, Event::Look);
        }
    }

    /// What has been sent for so long that its endpoint is slow is told of at once: its result may be a deadline away, and
    /// until then its tenant would go on to put it before everybody else.
    fn waited(&mut self) {
        let Some(known) = &mut self.stalled else { return };
        let now = clock::now();
        let mut slow: BTreeMap<TenantId, Vec<u32>> = BTreeMap::new();
        for ((lane, _), began) in &self.sending {
            let Some((lane, _)) = self.lanes.get(*lane) else {
                continue;
            };
            if now.since(*began) >= u64::from(QUICK_MS) && known.insert(lane.key) {
                slow.entry(lane.key.0).or_default().push(lane.key.1);
            }
        }
        let env = self.env;
        for (tenant, endpoints) in slow {
            self.start(async move {
                let object = TenantObject::new(env, tenant, Caller::System);
                let word = object.call_within(WORD_MS, Stalled { endpoints }, &[]);
                if let Ok(Err(problem)) = AssertUnwindSafe(word).catch_unwind().await {
                    log::warn(
                        "stall_not_told",
                        json!({ "tenant": tenant, "cause": problem.to_string() }),
                    );
                }
                Event::Told
            });
        }
        self.clock(u64::from(QUICK_MS), Event::Waited);
    }

    /// The handler ends. Lanes that had no turn are left to another invocation; of the others what is under way goes on.
    fn hand_over(&mut self) {
        let Some(hand_over) = self.hand_over.take() else {
            return;
        };
        for (number, (_, slip)) in self.lanes.iter().enumerate() {
            if slip.as_ref().is_some_and(|slip| slip.release()) {
                self.turns.release(number);
            }
        }
        let turns = &self.turns;
        self.fetched.retain(|(lane, index), _| turns.waits(*lane, *index));
        self.turns.hand_over(clock::now());
        // A handler that is gone needs no word.
        let _ = hand_over.send(());
    }

    /// Fetches the bodies that were too large for the lane.
    fn fetch(&mut self, number: usize, wanted: Vec<usize>) {
        let Some((lane, _)) = self.lanes.get(number) else {
            return self.turns.came(number, &wanted, &[]);
        };
        let deliveries = &lane.head.deliveries;
        let of = |index: &usize| deliveries.get(*index).map(|handout| (*index, handout.message));
        let messages: Vec<(usize, MessageId)> = wanted.iter().filter_map(of).collect();
        let object = TenantObject::new(self.env, lane.key.0, Caller::System);
        let (tenant, env) = (lane.key.0, self.env);
        let work = async move {
            let call = Bodies {
                messages: messages.iter().map(|(_, message)| *message).collect(),
            };
            match object.call(call, &[]).await {
                Ok((mut found, mut bodies)) => {
                    for (message, at) in found.elsewhere {
                        match bodies::get(env, &at).await {
                            Ok(Some(body)) => {
                                found.messages.push(message);
                                bodies.push(body);
                            }
                            // Taken away, as the message will be.
                            Ok(None) => {}
                            Err(cause) => {
                                let fields = json!({ "tenant": tenant, "cause": cause });
                                log::warn("body_not_read", fields);
                                return None;
                            }
                        }
                    }
                    Some(by_place(&messages, &found.messages, bodies))
                }
                Err(problem) => {
                    let fields = json!({ "tenant": tenant, "cause": problem.to_string() });
                    log::warn("bodies_not_fetched", fields);
                    None
                }
            }
        };
        self.start(async move {
            let found = AssertUnwindSafe(work).catch_unwind().await;
            Event::Fetched {
                lane: number,
                wanted,
                found: found.ok().flatten(),
            }
        });
    }

    fn came(&mut self, number: usize, wanted: &[usize], found: Option<Vec<(usize, Vec<u8>)>>) {
        if found.is_none()
            && let Some((_, Some(slip))) = self.lanes.get(number)
        {
            slip.fail(); // asked for again, unless something of it was sent
        }
        let found = found.unwrap_or_default();
        let places: Vec<usize> = found.iter().map(|(index, _)| *index).collect();
        self.turns.came(number, wanted, &places);
        for (index, body) in found {
            if self.turns.waits(number, index) {
                self.fetched.insert((number, index), Rc::new(body));
            }
        }
        self.drop_bodies(number);
    }

    /// Bodies of what is not sent any more are not kept.
    fn drop_bodies(&mut self, number: usize) {
        let turns = &self.turns;
        self.fetched
            .retain(|(lane, index), _| *lane != number || turns.waits(number, *index));
    }

    /// The next lanes of a busy endpoint, without a hop through the queue: while the handler is there.
    fn take(&mut self, frames: Vec<Vec<u8>>) {
        if self.hand_over.is_none() {
            if !frames.is_empty() {
                let env = self.env;
                self.start(async move {
                    forward(env, frames).await;
                    Event::Forwarded
                });
            }
            return;
        }
        for frame in frames {
            match lane::open_caught(&frame, &self.config) {
                Ok(lane) => self.add(lane, None),
                Err(cause) => log::error("lane_not_opened", json!({ "cause": cause })),
            }
        }
    }

    /// An event after `ms`. Not owed: when all else is done, nobody waits for a clock.
    fn clock(&mut self, ms: u64, event: Event) {
        let work = async move {
            pause(ms).await;
            event
        };
        self.under_way.push(work.boxed_local());
    }

    fn start(&mut self, work: impl Future<Output = Event> + 'a) {
        self.owed += 1;
        self.under_way.push(work.boxed_local());
    }
}

/// Puts lanes into the queue as they are. What does not get there is covered by its lease.
async fn forward(env: &Env, frames: Vec<Vec<u8>>) {
    for frame in frames {
        let bytes = js_sys::Uint8Array::from(frame.as_slice());
        let message = RawMessageBuilder::new(bytes.into()).build_with_content_type(QueueContentType::V8);
        let sent = match env.queue("DELIVERIES") {
            Ok(queue) => queue.send_raw(message).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            log::warn("lane_not_forwarded", json!({ "cause": error.to_string() }));
        }
    }
}

/// Which place each body that was found belongs to. A message may stand in a lane more than once.
fn by_place(
    wanted: &[(usize, MessageId)],
    found: &[MessageId],
    bodies: Vec<Vec<u8>>,
) -> Vec<(usize, Vec<u8>)> {
    let bodies: HashMap<MessageId, Vec<u8>> = found.iter().copied().zip(bodies).collect();
    let place = |(index, message): &(usize, MessageId)| Some((*index, bodies.get(message)?.clone()));
    wanted.iter().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use postern_domain::id::Address;

    use super::*;

    fn message(sequence: u64) -> MessageId {
        MessageId(Address {
            time: 1,
            shard: 0,
            sequence,
            random: [0; 7],
        })
    }

    #[test]
    fn a_body_goes_to_every_place_of_its_message_and_what_was_not_found_to_none() {
        let wanted = [(0, message(1)), (3, message(2)), (5, message(1))];
        let found = by_place(&wanted, &[message(1)], vec![b"one".to_vec()]);
        assert_eq!(found, [(0, b"one".to_vec()), (5, b"one".to_vec())]);
    }
}
