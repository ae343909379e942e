//! One life of a tenant, and what must hold in it.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, EndpointChange, EndpointDelete, EndpointPatch, MessageGet, TenantSettings,
};
use postern_domain::wire::frame;
use postern_domain::wire::lane::Lane;
use postern_ledger::{Rules, Settings};
use postern_tests::tenant::{Answer, Out, START, Seeded, Stand, Tenant, idempotency, number_of, outs_of};
use serde_json::json;

const LEASE: u64 = 60_000;

/// A send ends by then, and its report leaves.
const DEADLINE: u64 = 15_000;

/// A consumer leaves this to spare.
const SPARE: u64 = 5000;

const HOUR: u64 = 3_600_000;

/// Runs of the alarm that are no spinning: so many, and so many a second.
const ALARMS: (u64, u64) = (200, 60);

/// What happened, so that a test can see that it did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    delivered: u64,
    failed: u64,
    cancelled: u64,
    gone: u64,
    duplicates: u64,
    repeats: u64,
    lost_lanes: u64,
    late_reports: u64,
    planted: u64,
    evictions: u64,
}

impl Counts {
    /// Adds another life.
    pub(crate) fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.gone += other.gone;
        self.duplicates += other.duplicates;
        self.repeats += other.repeats;
        self.lost_lanes += other.lost_lanes;
        self.late_reports += other.late_reports;
        self.planted += other.planted;
        self.evictions += other.evictions;
    }

    /// Whether everything happened that can.
    pub(crate) fn happened(&self) -> bool {
        let all = [
            self.delivered,
            self.failed,
            self.cancelled,
            self.gone,
            self.duplicates,
            self.repeats,
            self.lost_lanes,
            self.late_reports,
            self.planted,
            self.evictions,
        ];
        all.iter().all(|count| *count > 0)
    }
}

/// How an endpoint behaves.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Healthy,
    /// Fails so many times of a hundred.
    Flaky(u64),
    Down,
    /// Answers 503 and asks for time.
    Busy(u64),
}

struct Endpoint {
    number: u32,
    id: String,
    plan: u32,
    manner: Manner,
    /// Off or deleted since then.
    off_since: Option<Millis>,
    deleted: bool,
    throttled: bool,
    /// Whether it wants every type, or one.
    picky: bool,
}

/// A publish as its sender sees it, over all its tries.
struct Publish {
    call: Accept,
    /// The message that the object answered with, whether or not anybody heard.
    message: Option<MessageId>,
    /// It cannot end with a message of its own.
    refused: bool,
    heard: bool,
    tries: u32,
}

/// One delivery as the world knows it.
#[derive(Default)]
struct Known {
    /// Hand-outs that left: number, end of the lease, and whether the ledger took a report of it.
    outs: Vec<(u64, Millis, bool)>,
    /// The ledger took a success.
    success: bool,
    /// A send was answered with 2xx.
    received: bool,
    cancelled_at: Option<Millis>,
}

enum Event {
    Try {
        publish: usize,
        repeat: bool,
        answer_lost: bool,
    },
    Lane(Vec<Out>),
    Report {
        out: Out,
        answer: Answer,
        tries: u32,
    },
}

pub(crate) struct World {
    tenant: Tenant,
    chance: Seeded,
    events: BTreeMap<(Millis, u64), Event>,
    next_event: u64,
    endpoints: Vec<Endpoint>,
    publishes: Vec<Publish>,
    owed: BTreeMap<(MessageId, u32), Known>,
    /// No more mishaps.
    quiet: bool,
    short_lived: bool,
    counts: Counts,
    telling: bool,
    story: Vec<String>,
}

type Held = Result<(), String>;

/// Writes the story, where somebody wants to read it.
macro_rules! tell {
    ($world:expr, $($what:tt)*) => {
        if $world.telling {
            let line = format!("{:>9} {}", $world.tenant.now.since(START), format!($($what)*));
            $world.story.push(line);
        }
    };
}

impl World {
    /// Lives one life to its end. Answers its story, and the guarantee that broke.
    pub(crate) fn live(seed: u64, rules: Rules, telling: bool) -> (Vec<String>, Result<Counts, String>) {
        let mut chance = Seeded::new(seed.wrapping_mul(7_919).wrapping_add(17));
        let short_lived = chance.percent(25);
        let settings = Settings {
            retention_ms: if short_lived { HOUR } else { 30 * Millis::DAY },
            rules,
            ..Settings::default()
        };
        let throttle_rate = chance.percent(15).then_some(10);
        let own = TenantSettings {
            throttle_rate,
            retry_schedule: None,
            retention_days: None,
        };
        let mut tenant = Tenant::with(settings, own);
        tenant.random = Seeded::new(seed);
        let mut world = Self {
            tenant,
            chance,
            events: BTreeMap::new(),
            next_event: 0,
            endpoints: Vec::new(),
            publishes: Vec::new(),
            owed: BTreeMap::new(),
            quiet: false,
            short_lived,
            counts: Counts::default(),
            telling,
            story: Vec::new(),
        };
        let end = world.run();
        (world.story, end.map(|()| world.counts))
    }

    fn run(&mut self) -> Held {
        for _ in 0..=self.chance.below(3) {
            self.make_endpoint();
        }
        let steps = 30 + self.chance.below(70);
        for _ in 0..steps {
            self.act()?;
            let ms = match self.chance.below(10) {
                0..=2 => self.chance.below(20),
                3..=6 => self.chance.below(2000),
                7..=8 => self.chance.below(40_000),
                _ => self.chance.below(600_000),
            };
            self.pass(ms)?;
            self.check()?;
        }
        self.settle()
    }

    /// Healthy transport and endpoints: whatever is owed comes to its end.
    fn settle(&mut self) -> Held {
        tell!(self, "quiet from here on");
        self.quiet = true;
        self.tenant.storage.fail_in(None);
        for endpoint in &mut self.endpoints {
            endpoint.manner = Manner::Healthy;
        }
        for _ in 0..60 {
            self.pass(600_000)?;
            self.check()?;
        }
        let deliveries: Vec<_> = self.owed.keys().copied().collect();
        for (message, endpoint) in deliveries {
            let (stand, attempts) = self.tenant.stand(message, endpoint);
            let known = self.owed.get(&(message, endpoint)).ok_or("a delivery of ours")?;
            let plan = self.plan_of(endpoint);
            match stand {
                Stand::Open => return Err(format!("{message} to {endpoint} is open for ever")),
                Stand::Delivered if !known.received => {
                    return Err(format!(
                        "{message} to {endpoint} is delivered and was never received"
                    ));
                }
                Stand::Failed if attempts != plan + 1 => {
                    return Err(format!(
                        "{message} to {endpoint} failed after {attempts} of {plan} + 1"
                    ));
                }
                Stand::Cancelled if known.cancelled_at.is_none() => {
                    return Err(format!("{message} to {endpoint} is cancelled and nobody did"));
                }
                Stand::Gone if !self.short_lived => return Err(format!("{message} is gone before its time")),
                Stand::Delivered => self.counts.delivered += 1,
                Stand::Failed => self.counts.failed += 1,
                Stand::Cancelled => self.counts.cancelled += 1,
                Stand::Gone => self.counts.gone += 1,
            }
        }
        let (due, lines) = (self.tenant.count("due"), self.tenant.count("backlog"));
        if due + lines > 0 {
            return Err(format!("{due} due rows and {lines} lines stay for ever"));
        }
        for publish in &self.publishes {
            if publish.heard && publish.message.is_none() {
                return Err("heard without a message".to_owned());
            }
        }
        Ok(())
    }

    /// One thing that somebody does.
    fn act(&mut self) -> Held {
        if self.chance.percent(6) {
            let at = u32::try_from(self.chance.below(30)).unwrap_or(0);
            tell!(self, "the storage fails after {at} statements");
            self.tenant.storage.fail_in(Some(at));
            self.counts.planted += 1;
        }
        match self.chance.below(100) {
            0..=54 => {
                for _ in 0..=self.chance.below(4) {
                    self.publish();
                }
            }
            55..=64 => {
                tell!(self, "evicted");
                self.counts.evictions += 1;
                self.tenant.evict();
            }
            65..=67 => self.tenant.ledger.forget(),
            68..=71 => self.make_endpoint(),
            72..=75 => {
                // The alarm rings though nothing is due: it may.
                self.tenant.ring();
                self.take()?;
            }
            76..=79 => self.turn(true),
            80..=84 => self.turn(false),
            85 => self.delete(),
            86..=90 => self.throttle(),
            _ => self.change_manner(),
        }
        self.take()
    }

    fn make_endpoint(&mut self) {
        if self.endpoints.iter().filter(|endpoint| !endpoint.deleted).count() >= 4 {
            return;
        }
        let plan = u32::try_from(self.chance.below(4)).unwrap_or(0);
        let steps: Vec<u64> = (0..plan).map(|_| 1 + self.chance.below(120)).collect();
        let rate = self.chance.percent(35).then(|| 1 + self.chance.below(8));
        let picky = self.chance.percent(30);
        let types = picky.then_some(["order.*"]);
        let made = self
            .tenant
            .make_endpoint(json!({"retrySchedule": steps, "throttleRate": rate, "eventTypes": types}));
        let Ok(view) = made else { return };
        let manner = self.manner();
        let number = number_of(&view);
        tell!(
            self,
            "endpoint {number}: plan {steps:?}, rate {rate:?}, picky {picky}, {manner:?}"
        );
        self.endpoints.push(Endpoint {
            number,
            id: view.id.to_string(),
            plan,
            manner,
            off_since: None,
            deleted: false,
            throttled: rate.is_some(),
            picky,
        });
    }

    fn manner(&mut self) -> Manner {
        match self.chance.below(6) {
            0 | 1 => Manner::Healthy,
            2 | 3 => Manner::Flaky(self.chance.below(90)),
            4 => Manner::Down,
            _ => Manner::Busy(self.chance.below(300_000)),
        }
    }

    /// One of the endpoints that are not deleted.
    fn some_endpoint(&mut self) -> Option<usize> {
        let live: Vec<usize> = (0..self.endpoints.len())
            .filter(|at| !self.endpoints[*at].deleted)
            .collect();
        let at = usize::try_from(self.chance.below(live.len() as u64)).unwrap_or(0);
        live.get(at).copied()
    }

    fn turn(&mut self, off: bool) {
        let Some(at) = self.some_endpoint() else { return };
        let change = EndpointChange {
            disabled: Some(off),
            ..EndpointChange::default()
        };
        let patch = EndpointPatch {
            endpoint: self.endpoints[at].id.clone(),
            change,
        };
        if self.tenant.call(patch).is_err() {
            return;
        }
        let now = self.tenant.now;
        let endpoint = &mut self.endpoints[at];
        let number = endpoint.number;
        if off && endpoint.off_since.is_none() {
            endpoint.off_since = Some(now);
            self.cancel(number);
        } else if !off {
            endpoint.off_since = None;
        }
        tell!(self, "endpoint {number} off: {off}");
    }

    fn delete(&mut self) {
        let Some(at) = self.some_endpoint() else { return };
        if self
            .tenant
            .call(EndpointDelete {
                endpoint: self.endpoints[at].id.clone(),
            })
            .is_err()
        {
            return;
        }
        let now = self.tenant.now;
        let endpoint = &mut self.endpoints[at];
        endpoint.deleted = true;
        endpoint.off_since.get_or_insert(now);
        let number = endpoint.number;
        self.cancel(number);
        tell!(self, "endpoint {number} deleted");
    }

    fn cancel(&mut self, endpoint: u32) {
        let now = self.tenant.now;
        for ((_, to), known) in &mut self.owed {
            if *to == endpoint {
                known.cancelled_at.get_or_insert(now);
            }
        }
    }

    fn throttle(&mut self) {
        let Some(at) = self.some_endpoint() else { return };
        let rate = self
            .chance
            .percent(60)
            .then(|| u16::try_from(1 + self.chance.below(8)).unwrap_or(1));
        let change = EndpointChange {
            throttle_rate: Some(rate),
            ..EndpointChange::default()
        };
        let patch = EndpointPatch {
            endpoint: self.endpoints[at].id.clone(),
            change,
        };
        if self.tenant.call(patch).is_ok() {
            self.endpoints[at].throttled = rate.is_some();
            let number = self.endpoints[at].number;
            tell!(self, "endpoint {number} at {rate:?}");
        }
    }

    fn change_manner(&mut self) {
        let manner = self.manner();
        if let Some(at) = self.some_endpoint() {
            self.endpoints[at].manner = manner;
            let number = self.endpoints[at].number;
            tell!(self, "endpoint {number} is {manner:?}");
        }
    }

    fn publish(&mut self) {
        let event_type = if self.chance.percent(60) {
            "order.made"
        } else {
            "invoice.paid"
        };
        let mut call = self.tenant.publish_call(event_type);
        let name = format!("k{}", self.publishes.len());
        match self.chance.below(4) {
            0 => call.event_id = Some(name),
            1 => call.idempotency = Some(idempotency(&format!("{name:x>20}"), "body")),
            _ => {}
        }
        let publish = self.publishes.len();
        self.publishes.push(Publish {
            call,
            message: None,
            refused: false,
            heard: false,
            tries: 0,
        });
        self.send_try(publish, 0);
    }

    /// Sends a publish towards the object: it may get lost, come late, or its answer may get lost.
    fn send_try(&mut self, publish: usize, wait: u64) {
        let repeat = self.publishes[publish].tries > 0;
        self.publishes[publish].tries += 1;
        let lost = !self.quiet && self.chance.percent(4);
        let answer_lost = !self.quiet && self.chance.percent(10);
        let late = match self.chance.below(100) {
            _ if self.quiet => 0,
            0..=4 => self.chance.below(50_000),
            _ => self.chance.below(30),
        };
        if !lost {
            self.at(
                wait + late,
                Event::Try {
                    publish,
                    repeat,
                    answer_lost,
                },
            );
        }
        if lost || answer_lost || late > 1500 {
            self.repeat(publish, wait + 1500);
        }
    }

    /// The edge heard nothing: it tries again, sometimes much later, from the overflow.
    fn repeat(&mut self, publish: usize, wait: u64) {
        if self.publishes[publish].tries >= 4 {
            return;
        }
        self.counts.repeats += 1;
        let wait = wait
            + if self.chance.percent(20) {
                self.chance.below(300_000)
            } else {
                self.chance.below(5000)
            };
        self.send_try(publish, wait);
    }

    fn at(&mut self, wait: u64, event: Event) {
        self.next_event += 1;
        self.events
            .insert((self.tenant.now.plus(wait), self.next_event), event);
    }

    /// Time passes: events and the alarm come in their order.
    fn pass(&mut self, ms: u64) -> Held {
        let end = self.tenant.now.plus(ms);
        let mut rung = 0;
        loop {
            let event = self.events.keys().next().copied().filter(|(at, _)| *at <= end);
            let alarm = self.tenant.storage.native().alarm().filter(|at| *at <= end);
            match (event, alarm) {
                (None, None) => break,
                (Some(key), alarm) if alarm.is_none_or(|at| key.0 <= at) => {
                    self.tenant.now = self.tenant.now.max(key.0);
                    if let Some(event) = self.events.remove(&key) {
                        self.happen(event)?;
                    }
                }
                (_, alarm) => {
                    let late = if !self.quiet && self.chance.percent(5) {
                        self.chance.below(8000)
                    } else {
                        0
                    };
                    let at = alarm.unwrap_or(end).plus(late).min(end);
                    self.tenant.now = self.tenant.now.max(at);
                    self.tenant.ring();
                    rung += 1;
                    if rung > ALARMS.0 + ALARMS.1 * ms / 1000 {
                        return Err(format!("the alarm spins: {rung} runs in {ms} ms"));
                    }
                }
            }
            self.take()?;
        }
        self.tenant.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Held {
        match event {
            Event::Try {
                publish,
                repeat,
                answer_lost,
            } => self.accept(publish, repeat, answer_lost),
            Event::Lane(outs) => self.consume(outs),
            Event::Report { out, answer, tries } => self.report(&out, answer, tries),
        }
    }

    fn accept(&mut self, at: usize, repeat: bool, answer_lost: bool) -> Held {
        let call = Accept {
            repeat,
            ..self.publishes[at].call.clone()
        };
        // The first that arrives is not always the first that left.
        let answer = self.tenant.accept(call.clone(), b"{}");
        match answer {
            Ok(accepted) => {
                let id = accepted.message.id;
                if let Some(known) = self.publishes[at].message {
                    self.counts.duplicates += 1;
                    if known != id {
                        return Err(format!("one publish made two messages: {known} and {id}"));
                    }
                } else {
                    self.publishes[at].message = Some(id);
                    self.owe(id, &call);
                }
                self.publishes[at].heard |= !answer_lost;
                tell!(self, "publish {at} taken: {id} ({})", id.0.sequence);
                Ok(())
            }
            Err(problem) => self.not_taken(at, &problem),
        }
    }

    fn not_taken(&mut self, at: usize, problem: &Problem) -> Held {
        let known = self.publishes[at].message.is_some();
        match problem.code {
            // A second try with an event id of its own finds it, which tells the sender that it stands.
            Code::Conflict if known => {}
            Code::Internal => {
                tell!(self, "publish {at} failed inside");
                self.repeat(at, 1000);
            }
            Code::Overloaded => self.publishes[at].refused = true,
            code => return Err(format!("publish {at} was answered {code:?}")),
        }
        Ok(())
    }

    fn owe(&mut self, message: MessageId, call: &Accept) {
        let order = call.event_type.starts_with("order.");
        for endpoint in &self.endpoints {
            if endpoint.off_since.is_none() && (order || !endpoint.picky) {
                self.owed.insert((message, endpoint.number), Known::default());
            }
        }
    }

    /// Takes what leaves the ledger, checks that it may, and brings it to the queue.
    fn take(&mut self) -> Held {
        let Ok(lanes) = self.tenant.ledger.take_lanes() else {
            return Ok(());
        };
        for lane in lanes {
            let (head, bodies) = frame::decode::<Lane>(&lane.frame).map_err(|error| error.to_string())?;
            let outs = outs_of(head, &bodies, lane.queue);
            for out in &outs {
                self.leaves(out)?;
            }
            let lost = !self.quiet && self.chance.percent(7);
            self.counts.lost_lanes += u64::from(lost);
            if lost {
                tell!(self, "the queue loses a lane");
                continue;
            }
            let copies = if !self.quiet && self.chance.percent(5) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let wait = match self.chance.below(100) {
                    _ if self.quiet => 5,
                    0..=5 => self.chance.below(120_000),
                    _ => self.chance.below(300),
                };
                self.at(wait, Event::Lane(outs.clone()));
            }
        }
        Ok(())
    }

    fn leaves(&mut self, out: &Out) -> Held {
        let now = self.tenant.now;
        let (message, endpoint) = (out.message(), out.endpoint);
        let number = out.handout.number;
        let what = || {
            format!(
                "{message} ({}) to {endpoint}, number {number}",
                message.0.sequence
            )
        };
        tell!(self, "out: {}", what());
        let (stand, _) = self.tenant.stand(message, endpoint);
        if stand != Stand::Open {
            return Err(format!("{} is {stand:?} and was handed out", what()));
        }
        let Some(known) = self.owed.get_mut(&(message, endpoint)) else {
            return Err(format!("{} was handed out and is not owed", what()));
        };
        if known
            .outs
            .iter()
            .any(|(earlier, until, reported)| *earlier == number || (!reported && *until > now))
        {
            return Err(format!("{} was handed out while it is out", what()));
        }
        known.outs.push((number, out.handout.until, false));
        Ok(())
    }

    /// A consumer takes a lane from the queue.
    fn consume(&mut self, outs: Vec<Out>) -> Held {
        let dies_at =
            (!self.quiet && self.chance.percent(6)).then(|| self.chance.below(outs.len() as u64 + 1));
        let mut wait = 0;
        for (at, out) in outs.into_iter().enumerate() {
            if dies_at.is_some_and(|dies| at as u64 >= dies) {
                tell!(self, "a consumer dies");
                return Ok(());
            }
            let begins = self.tenant.now.plus(wait);
            if begins.plus(DEADLINE + SPARE) > out.handout.until {
                continue; // handed out again when its lease is over
            }
            let answer = self.send(&out, begins)?;
            let took = match answer {
                Answer::Silence => DEADLINE,
                _ if self.chance.percent(10) => 20 + self.chance.below(14_000),
                _ => 20 + self.chance.below(200),
            };
            wait += if self.chance.percent(50) { 0 } else { took };
            if !self.quiet && self.chance.percent(5) {
                tell!(self, "a consumer dies after a send");
                return Ok(());
            }
            let copies = if !self.quiet && self.chance.percent(6) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let late = match self.chance.below(100) {
                    _ if self.quiet => 0,
                    0..=3 => continue, // lost
                    4..=9 => {
                        self.counts.late_reports += 1;
                        self.chance.below(400_000)
                    }
                    _ => self.chance.below(250),
                };
                self.at(
                    wait + took + late,
                    Event::Report {
                        out: out.clone(),
                        answer,
                        tries: 0,
                    },
                );
            }
        }
        Ok(())
    }

    /// The request itself.
    fn send(&mut self, out: &Out, now: Millis) -> Result<Answer, String> {
        let known = self
            .owed
            .get_mut(&(out.message(), out.endpoint))
            .ok_or("a delivery of ours")?;
        let endpoint = self
            .endpoints
            .iter()
            .find(|endpoint| endpoint.number == out.endpoint);
        let endpoint = endpoint.ok_or("an endpoint of ours")?;
        let long = |since: Option<Millis>| since.is_some_and(|since| now.since(since) > LEASE);
        if long(endpoint.off_since) {
            return Err(format!(
                "{} was sent to {} long after it was off",
                out.message(),
                out.endpoint
            ));
        }
        if long(known.cancelled_at) {
            return Err(format!(
                "{} was sent to {} long after it was Cancelled",
                out.message(),
                out.endpoint
            ));
        }
        let answer = match endpoint.manner {
            Manner::Healthy => Answer::Ok,
            Manner::Flaky(percent) if !self.chance.percent(percent) => Answer::Ok,
            Manner::Flaky(_) => [Answer::Broken, Answer::Silence][usize::from(self.chance.percent(30))],
            Manner::Down => Answer::Silence,
            Manner::Busy(ms) => Answer::RetryAfter(ms),
        };
        known.received |= answer == Answer::Ok;
        // A request may arrive and its answer may not.
        if answer == Answer::Ok && !self.quiet && self.chance.percent(3) {
            return Ok(Answer::Silence);
        }
        Ok(answer)
    }

    fn report(&mut self, out: &Out, answer: Answer, tries: u32) -> Held {
        tell!(
            self,
            "report: {} number {}: {answer:?}",
            out.message().0.sequence,
            out.handout.number
        );
        if self.tenant.try_report(&[(out, answer)]).is_err() {
            if tries < 3 {
                self.at(
                    1000,
                    Event::Report {
                        out: out.clone(),
                        answer,
                        tries: tries + 1,
                    },
                );
            }
            return Ok(());
        }
        let known = self
            .owed
            .get_mut(&(out.message(), out.endpoint))
            .ok_or("a delivery of ours")?;
        known.success |= answer == Answer::Ok;
        for (number, _, reported) in &mut known.outs {
            *reported |= *number == out.handout.number;
        }
        Ok(())
    }

    /// What holds after every step.
    fn check(&mut self) -> Held {
        let segments = self.segments()?;
        let sum = |tenant: &Tenant, table: &str, rest: &str| -> i64 {
            segments
                .iter()
                .map(|segment| tenant.count(&format!("{table}_{segment} {rest}")))
                .sum()
        };
        let taken = self
            .publishes
            .iter()
            .filter(|publish| publish.message.is_some())
            .count();
        let stored = sum(&self.tenant, "message", "");
        let stored = usize::try_from(stored).unwrap_or(0);
        if stored > taken {
            return Err(format!(
                "two messages of one publish: {stored} are stored, {taken} were taken"
            ));
        }
        if stored < taken && !self.short_lived {
            return Err(format!(
                "a message was lost: {stored} are stored, {taken} were taken"
            ));
        }
        let stands = self.tenant.stands();
        for (endpoint, attempts) in stands.attempts() {
            if attempts > self.plan_of(endpoint) + 1 {
                return Err(format!("more attempts than the plan of endpoint {endpoint} has"));
            }
        }
        for segment in segments.iter().filter(|_| self.chance.percent(5)) {
            // What counts stands inside the row, or beside it as scheduled.
            let uncounted = self.tenant.count(&format!(
                "delivery_{segment} AS d LEFT JOIN (SELECT endpoint, sequence, count(*) AS beside FROM \
                 attempt_{segment} WHERE kind = 0 GROUP BY endpoint, sequence) AS a USING (endpoint, sequence) \
                 WHERE attempts <> (number IS NOT NULL) + ifnull(beside, 0)"
            ));
            if uncounted > 0 {
                return Err("attempts of the plan are not as many as are counted".to_owned());
            }
        }
        let retention = if self.short_lived { HOUR } else { 30 * Millis::DAY };
        let now = self.tenant.now;
        for at in 0..self.publishes.len() {
            let Some(id) = self.publishes[at].message.filter(|_| self.chance.percent(5)) else {
                continue;
            };
            let young = now.since(Millis(id.0.time)) < retention;
            if young && stands.of(id, 0).0 == Stand::Gone {
                return Err(format!("{id} was taken and is not stored"));
            }
            if young
                && self.quiet
                && self
                    .tenant
                    .call(MessageGet {
                        message: id.to_string(),
                    })
                    .is_err()
            {
                return Err(format!("{id} was taken and cannot be read"));
            }
        }
        let mut open = false;
        for ((message, endpoint), known) in &self.owed {
            let (stand, _) = stands.of(*message, *endpoint);
            if known.success && !matches!(stand, Stand::Delivered | Stand::Gone) {
                return Err(format!("{message} to {endpoint} had a success and is {stand:?}"));
            }
            if known.cancelled_at.is_some() && stand == Stand::Open {
                return Err(format!("{message} to {endpoint} was Cancelled and is open"));
            }
            open |= stand == Stand::Open;
        }
        if open && self.tenant.storage.native().alarm().is_none() {
            return Err("something is owed and no alarm is set".to_owned());
        }
        Ok(())
    }

    fn segments(&self) -> Result<Vec<i64>, String> {
        let text = |error: rusqlite::Error| error.to_string();
        let connection = self.tenant.storage.native().connection();
        let mut statement = connection
            .prepare_cached("SELECT number FROM segment")
            .map_err(text)?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(text)?;
        rows.collect::<Result<_, _>>().map_err(text)
    }

    fn plan_of(&self, endpoint: u32) -> u32 {
        self.endpoints
            .iter()
            .find(|known| known.number == endpoint)
            .map_or(0, |known| known.plan)
    }
}
