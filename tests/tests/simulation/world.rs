//! One life of a tenant: what is published, what is changed, what goes wrong, and that it comes to its end.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{
    Accept, Caller, EndpointChange, EndpointDelete, EndpointList, EndpointPatch, MessageGet, PageOf,
    TenantSettings,
};
use postern_domain::wire::publish::{AcceptBatch, NewMessage};
use postern_domain::wire::replay::Resend;
use postern_domain::wire::{self, OnFailure};
use postern_ledger::Settings;
use postern_ledger::sql::Sql;
use postern_tests::tenant::{START, Seeded, Stand, Tenant, idempotency, number_of};
use serde_json::json;

use crate::chance::Chance;
use crate::consumer::{Run, Telling};
use crate::known::{
    Counts, Delivery, Endpoint, Known, LaneKnown, Lanes, LineId, LineKnown, Manner, Order, Piece, Plant,
    Publish, Wanted,
};

pub(crate) const LEASE: u64 = 60_000;

/// Of lives whose messages go soon: their segments close, and are dropped, while leases live.
pub(crate) const SHORT: u64 = 1_000_000;

/// Runs of the alarm that are no spinning: so many, and so many a second.
const ALARMS: (u64, u64) = (200, 60);

/// An alarm that is so late is not believed to ring any more; then a call sets it.
const OVERDUE: u64 = 5000;

pub(crate) enum Event {
    Try {
        publish: usize,
        repeat: bool,
        /// The sender asks again, and not the edge: its key alone says that it is the same.
        anew: bool,
        answer_lost: bool,
    },
    /// Hand-outs that gathered leave.
    Leave,
    /// The queue delivers a lane, for so many times.
    Queue {
        lane: usize,
        attempts: u32,
    },
    /// A request ends.
    Sent(crate::consumer::Sent),
    Gathered {
        run: u64,
        gathering: u64,
    },
    HandOver {
        run: u64,
    },
    Dies {
        run: u64,
    },
    /// A report arrives at the object.
    Report(Telling),
    /// A consumer hears of its report.
    Reported {
        run: u64,
        lanes: Vec<usize>,
    },
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a mishap of its own, on or off"
)]
pub(crate) struct World {
    pub(crate) tenant: Tenant,
    pub(crate) chance: Chance,
    /// The time. The object's own clock may differ.
    pub(crate) clock: Millis,
    skew: i64,
    pub(crate) events: BTreeMap<(Millis, u64), Event>,
    next_event: u64,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) owed: BTreeMap<Delivery, Known>,
    pub(crate) lines: BTreeMap<LineId, LineKnown>,
    pub(crate) lanes: Lanes,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) consumers: u64,
    /// The latest time that the object's clock has shown.
    pub(crate) latest: Millis,
    pub(crate) plant: Plant,
    /// No more mishaps.
    pub(crate) quiet: bool,
    pub(crate) short_lived: bool,
    /// The object's clock may jump: what is judged by the time is not judged.
    pub(crate) jumpy: bool,
    /// Of the tenant, in a second.
    pub(crate) own_rate: Option<u16>,
    pub(crate) own_handed: Vec<Millis>,
    /// The platform lost the alarm.
    pub(crate) alarm_lost: bool,
    gathering: bool,
    /// Of the storage, as the last lanes left.
    failures: u64,
    pub(crate) counts: Counts,
    pub(crate) telling: bool,
    pub(crate) story: Vec<String>,
}

pub(crate) type Held = Result<(), String>;

/// Writes the story, where somebody wants to read it.
macro_rules! tell {
    ($world:expr, $($what:tt)*) => {
        if $world.telling {
            let line = format!("{:>9} {}", $world.clock.since(postern_tests::tenant::START), format!($($what)*));
            $world.story.push(line);
        }
    };
}
pub(crate) use tell;

/// How long a life is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// A few dozen steps.
    Usual,
    /// Until so many messages were published.
    Messages(u64),
}

impl World {
    /// Lives one life to its end. Answers its story, and the guarantee that broke.
    pub(crate) fn live(
        seed: u64,
        plant: Plant,
        length: Length,
        telling: bool,
    ) -> (Vec<String>, Result<Counts, String>) {
        let mut chance = Seeded::new(seed.wrapping_mul(7_919).wrapping_add(17));
        let short_lived = chance.percent(25);
        let settings = Settings {
            retention_ms: if short_lived { SHORT } else { 30 * Millis::DAY },
            rules: plant.rules,
            ..Settings::default()
        };
        let own_rate = chance.percent(12).then_some(10);
        let own = TenantSettings {
            throttle_rate: own_rate,
            retry_schedule: None,
            ..Default::default()
        };
        let mut tenant = Tenant::with(settings, own);
        tenant.random = Seeded::new(seed);
        let jumpy = chance.percent(12);
        let mut world = Self::new(tenant, Chance::Drawn(chance), plant);
        (world.short_lived, world.jumpy) = (short_lived, jumpy);
        (world.own_rate, world.telling) = (own_rate, telling);
        let end = world.run(length);
        if telling && end.is_err() {
            world.dump();
        }
        world.counts.lives += 1;
        (world.story, end.map(|()| world.counts))
    }

    /// A tenant of whom nobody knows anything yet.
    pub(crate) fn new(tenant: Tenant, chance: Chance, plant: Plant) -> Self {
        Self {
            tenant,
            chance,
            clock: START,
            skew: 0,
            events: BTreeMap::new(),
            next_event: 0,
            endpoints: Vec::new(),
            publishes: Vec::new(),
            owed: BTreeMap::new(),
            lines: BTreeMap::new(),
            lanes: Lanes::default(),
            runs: BTreeMap::new(),
            consumers: 0,
            latest: START,
            plant,
            quiet: false,
            short_lived: false,
            jumpy: false,
            own_rate: None,
            own_handed: Vec::new(),
            alarm_lost: false,
            gathering: false,
            failures: 0,
            counts: Counts::default(),
            telling: false,
            story: Vec::new(),
        }
    }

    /// What stands in the tables that dispatch lives by, and in memory.
    fn dump(&mut self) {
        use postern_ledger::sql::Sql as _;
        for table in ["backlog", "due", "health", "segment"] {
            let rows = self
                .tenant
                .storage
                .native()
                .rows(&format!("SELECT * FROM {table}"), &[]);
            for row in rows.unwrap_or_default() {
                self.story.push(format!("{table}: {:?}", row.0));
            }
        }
        self.story.push(self.tenant.ledger.memory_text());
    }

    fn run(&mut self, length: Length) -> Held {
        for _ in 0..=self.chance.below(3) {
            self.make_endpoint();
        }
        let steps = 30 + self.chance.below(70);
        let mut step = 0;
        loop {
            let over = match length {
                Length::Usual => step >= steps,
                Length::Messages(most) => self.counts.messages >= most,
            };
            if over {
                break;
            }
            step += 1;
            self.act()?;
            let ms = match self.chance.below(20) {
                0..=6 => self.chance.below(20),
                7..=13 => self.chance.below(2000),
                14..=17 => self.chance.below(40_000),
                18 => self.chance.below(120_000),
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
        self.skew = 0;
        self.set_clock(self.clock);
        for endpoint in &mut self.endpoints {
            endpoint.manner = Manner::Healthy;
        }
        // By the object's own clock, which may have gone back since it was set.
        self.pass(self.latest.since(self.clock) + OVERDUE + 1000)?;
        self.any_call()?;
        if self.alarm_lost && self.is_open() {
            return Err("an alarm was lost and no call noticed".to_owned());
        }
        for _ in 0..60 {
            self.pass(600_000)?;
            self.check()?;
        }
        // What failed for good keeps its line waiting for somebody.
        for round in 0..200 {
            let heads = self.blocking();
            if heads.is_empty() {
                break;
            }
            for (message, endpoint) in heads {
                self.counts.blocked += 1;
                if round == 0 && self.chance.percent(20) {
                    self.turn_one(endpoint, true);
                } else {
                    self.resend(message, endpoint);
                }
            }
            self.pass(90_000)?;
            self.check()?;
        }
        self.pass(600_000)?;
        self.check()?;
        self.all_ended()?;
        self.calm()
    }

    /// A call of somebody who only looks.
    fn any_call(&mut self) -> Held {
        let page = PageOf {
            limit: 1,
            iterator: None,
            ascending: true,
        };
        let listed = self.tenant.call(EndpointList { page });
        self.after_call()?;
        listed
            .map(|_| ())
            .map_err(|problem| format!("a list failed: {problem}"))?;
        self.alarm_lost &= self.tenant.storage.native().alarm().is_none();
        Ok(())
    }

    pub(crate) fn all_ended(&mut self) -> Held {
        let deliveries: Vec<_> = self.owed.keys().copied().collect();
        for (message, endpoint) in deliveries {
            let (stand, attempts) = self.tenant.stand(message, endpoint);
            let known = self.owed.get(&(message, endpoint)).ok_or("a delivery of ours")?;
            let plan = self.plan_of(endpoint);
            let what = format!("{message} ({}) to {endpoint}", message.0.sequence);
            match stand {
                // Never owed: it has only what somebody did by hand.
                Stand::Open | Stand::Failed | Stand::Cancelled if known.extra => {}
                Stand::Open => return Err(format!("{what} is open for ever")),
                Stand::Delivered if !known.received => {
                    return Err(format!("{what} is delivered and was never received"));
                }
                Stand::Failed if attempts != plan + 1 => {
                    return Err(format!("{what} failed after {attempts} of {plan} + 1"));
                }
                Stand::Cancelled if known.cancelled_at.is_none() => {
                    return Err(format!("{what} is cancelled and nobody did"));
                }
                Stand::Gone if !self.short_lived => return Err(format!("{what} is gone before its time")),
                Stand::Delivered => self.counts.delivered += 1,
                Stand::Failed => self.counts.failed += 1,
                Stand::Cancelled => self.counts.cancelled += 1,
                Stand::Gone => self.counts.gone += 1,
            }
            let generation = self.endpoint(endpoint).map(|endpoint| endpoint.generation);
            if known.asked.is_some()
                && stand != Stand::Gone
                && generation == known.asked
                && known.tried.is_none()
            {
                return Err(format!("{what} was to be tried by hand and never was"));
            }
        }
        let (due, lines) = (self.tenant.count("due"), self.tenant.count("backlog"));
        if due + lines > 0 {
            return Err(format!("{due} due rows and {lines} lines stay for ever"));
        }
        Ok(())
    }

    /// When all is well again, what is published arrives at once.
    fn calm(&mut self) -> Held {
        for endpoint in &mut self.endpoints {
            endpoint.successes = endpoint.successes.max(1);
        }
        let before = self.publishes.len();
        for _ in 0..6 {
            for _ in 0..=self.chance.below(3) {
                self.publish();
            }
            let gap = self.chance.below(3000);
            self.pass(gap)?;
        }
        // A bucket of one a second, and a few hand-outs to a lane that went alone.
        let count: usize = self
            .publishes
            .iter()
            .skip(before)
            .map(|publish| publish.pieces.len())
            .sum();
        self.pass(25_000 + 1200 * count as u64)?;
        self.check()?;
        let late = self.publishes.iter().skip(before).flat_map(|publish| {
            let pieces = publish.pieces.iter().zip(&publish.messages);
            pieces
                .filter(|(piece, _)| piece.deliver_at.is_none())
                .map(|(_, message)| *message)
        });
        for message in late {
            let owed = self.owed.range((message, 0)..=(message, u32::MAX));
            for ((_, endpoint), known) in owed {
                let waits = known.line.is_some_and(|line| self.is_blocked(line));
                if !known.received && !waits && known.cancelled_at.is_none() {
                    let at = message.0.sequence;
                    return Err(format!(
                        "{message} ({at}) to {endpoint} is late, and nothing held it"
                    ));
                }
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
        if self.jumpy && self.chance.percent(10) {
            let most = 300_000;
            let jump = self.chance.below(2 * most);
            self.skew = i64::try_from(jump).unwrap_or(0) - i64::try_from(most).unwrap_or(0);
            if self.chance.percent(40) {
                self.skew = 0;
            }
            self.counts.clock_jumps += 1;
            tell!(self, "the clock is {} ms off", self.skew);
            self.set_clock(self.clock);
        }
        match self.chance.below(100) {
            0..=49 => {
                for _ in 0..=self.chance.below(4) {
                    self.publish();
                }
            }
            50..=51 => {
                for _ in 0..30 {
                    self.publish();
                }
            }
            52..=60 => self.evict(),
            61..=62 => self.tenant.ledger.forget(),
            63..=66 => self.make_endpoint(),
            67..=69 => {
                // The alarm rings though nothing is due: it may.
                self.tenant.ring();
                self.after_call()?;
            }
            70..=73 => self.turn(true),
            74..=79 => self.turn(false),
            80 => self.delete(),
            81..=83 => self.throttle(),
            84..=88 => self.reorder(),
            89..=93 => self.try_by_hand(),
            _ => self.change_manner(),
        }
        self.after_call()
    }

    pub(crate) fn evict(&mut self) {
        tell!(self, "evicted");
        self.counts.evictions += 1;
        self.tenant.evict();
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
        let order = self.chance.percent(45).then(|| self.order());
        let failed = if self.chance.percent(30) {
            1 + self.chance.below(4)
        } else {
            0
        };
        let made = self.tenant.make_endpoint(json!({
            "retrySchedule": steps, "throttleRate": rate, "eventTypes": types,
            "disableAfter": {"failed": failed, "days": 0},
            "ordering": order.map(ordering),
        }));
        let Ok(view) = made else { return };
        let manner = self.manner();
        let number = number_of(&view);
        tell!(
            self,
            "endpoint {number}: plan {steps:?}, rate {rate:?}, picky {picky}, {order:?}, off after {failed}, {manner:?}"
        );
        self.endpoints.push(Endpoint {
            number,
            id: view.id.to_string(),
            plan,
            manner,
            off_since: None,
            deleted: false,
            picky,
            rate: rate.and_then(|rate| u16::try_from(rate).ok()),
            rate_since: self.tenant.now,
            handed: Vec::new(),
            order,
            span: 0,
            generation: 0,
            paused: None,
            successes: 0,
        });
    }

    fn order(&mut self) -> Order {
        Order {
            keyed: self.chance.percent(60),
            waits: self.chance.percent(50),
        }
    }

    fn manner(&mut self) -> Manner {
        match self.chance.below(24) {
            0..=6 => Manner::Healthy,
            7..=12 => Manner::Flaky(self.chance.below(95)),
            13..=15 => Manner::Down,
            16 => Manner::Slow,
            17..=18 => Manner::Busy(self.chance.below(300_000)),
            19..=20 => Manner::TooMany,
            21..=22 => Manner::Flapping(1 + self.chance.below(60_000)),
            _ => Manner::Gone,
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

    fn change(&mut self, at: usize, change: EndpointChange) -> Result<(), Problem> {
        let endpoint = self.endpoints[at].id.clone();
        self.tenant.call(EndpointPatch { endpoint, change })?;
        let endpoint = &mut self.endpoints[at];
        // Its owner may have mended it: it is tried at once.
        endpoint.paused = None;
        endpoint.rate_since = self.tenant.now;
        endpoint.handed.clear();
        Ok(())
    }

    fn turn(&mut self, off: bool) {
        if let Some(at) = self.some_endpoint() {
            let number = self.endpoints[at].number;
            self.turn_one(number, off);
        }
    }

    pub(crate) fn turn_one(&mut self, number: u32, off: bool) {
        let Some(at) = self
            .endpoints
            .iter()
            .position(|endpoint| endpoint.number == number)
        else {
            return;
        };
        let change = EndpointChange {
            disabled: Some(off),
            ..EndpointChange::default()
        };
        if self.change(at, change).is_err() {
            self.look_at(number);
            return;
        }
        tell!(self, "endpoint {number} off: {off}");
        if off {
            self.is_off(number);
        } else {
            self.endpoints[at].off_since = None;
            if matches!(self.endpoints[at].manner, Manner::Gone) {
                self.endpoints[at].manner = Manner::Healthy;
            }
        }
    }

    /// The endpoint is off, by whoever: what it was owed is cancelled.
    pub(crate) fn is_off(&mut self, number: u32) {
        let now = self.clock;
        let Some(endpoint) = self
            .endpoints
            .iter_mut()
            .find(|endpoint| endpoint.number == number)
        else {
            return;
        };
        if endpoint.off_since.is_none() {
            endpoint.off_since = Some(now);
            endpoint.generation += 1;
            for ((_, to), known) in &mut self.owed {
                if *to == number {
                    known.cancelled_at.get_or_insert(now);
                }
            }
        }
    }

    /// Looks at an endpoint in the ledger: it may have gone off by itself.
    pub(crate) fn look_at(&mut self, number: u32) {
        let connection = self.tenant.storage.native().connection();
        let statement = "SELECT config ->> '$.disabled' FROM endpoint WHERE number = ?";
        let off: Option<bool> = connection
            .query_row(statement, [number], |row| row.get(0))
            .unwrap_or_default();
        let known_off = self
            .endpoint(number)
            .is_none_or(|endpoint| endpoint.off_since.is_some());
        if off == Some(true) && !known_off {
            tell!(self, "endpoint {number} went off by itself");
            self.counts.disabled += 1;
            self.is_off(number);
        }
    }

    fn delete(&mut self) {
        let Some(at) = self.some_endpoint() else { return };
        let endpoint = self.endpoints[at].id.clone();
        if self.tenant.call(EndpointDelete { endpoint }).is_err() {
            return;
        }
        let number = self.endpoints[at].number;
        self.is_off(number);
        self.endpoints[at].deleted = true;
        tell!(self, "endpoint {number} deleted");
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
        if self.change(at, change).is_ok() {
            self.endpoints[at].rate = rate;
            let number = self.endpoints[at].number;
            tell!(self, "endpoint {number} at {rate:?}");
        }
    }

    /// Order is switched on, off or to another key; or what a failure does is changed.
    fn reorder(&mut self) {
        let Some(at) = self.some_endpoint() else { return };
        let before = self.endpoints[at].order;
        let order = match before {
            Some(order) if self.chance.percent(40) => Some(Order {
                waits: !order.waits,
                ..order
            }),
            Some(_) if self.chance.percent(60) => None,
            _ => Some(self.order()),
        };
        let change = EndpointChange {
            ordering: Some(order.map(|order| wire::Ordering {
                key: order.keyed.then(|| "/k".to_owned()),
                on_failure: if order.waits {
                    OnFailure::Wait
                } else {
                    OnFailure::Skip
                },
            })),
            ..EndpointChange::default()
        };
        let number = self.endpoints[at].number;
        match self.change(at, change) {
            Ok(()) => {
                tell!(self, "endpoint {number} keeps {order:?}");
                let endpoint = &mut self.endpoints[at];
                endpoint.order = order;
                if before.map(|order| order.keyed) != order.map(|order| order.keyed) {
                    endpoint.span += 1;
                }
            }
            // Messages still wait in the order of before.
            Err(problem) => tell!(self, "endpoint {number} keeps its order: {:?}", problem.code),
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

    /// Somebody asks for one more try of some delivery.
    fn try_by_hand(&mut self) {
        let all: Vec<Delivery> = self.owed.keys().copied().collect();
        let recent = all.len().saturating_sub(20);
        let at = recent + usize::try_from(self.chance.below((all.len() - recent) as u64)).unwrap_or(0);
        let heads = self.blocking();
        let mut some = all.get(at).copied();
        if self.chance.percent(15)
            && let (Some((message, _)), Some(endpoint)) = (some, self.some_endpoint())
        {
            some = Some((message, self.endpoints[endpoint].number)); // perhaps one that it was never owed to
        }
        let head = heads.first().copied().filter(|_| self.chance.percent(40));
        if let Some((message, endpoint)) = head.or(some) {
            for _ in 0..=self.chance.below(2) {
                self.resend(message, endpoint);
            }
        }
    }

    /// Somebody asks for one more try.
    pub(crate) fn resend(&mut self, message: MessageId, endpoint: u32) {
        let Some(id) = self.endpoint(endpoint).filter(|known| !known.deleted) else {
            return;
        };
        let call = Resend {
            message: message.to_string(),
            endpoint: id.id.clone(),
            idempotency: None,
        };
        // An endpoint that is off gets none, nor does one whose message is about to go.
        if self.tenant.call(call).is_err() {
            return;
        }
        self.counts.manual += 1;
        tell!(self, "one more try of {} to {endpoint}", message.0.sequence);
        let generation = self.endpoint(endpoint).map_or(0, |known| known.generation);
        let known = self.owed.entry((message, endpoint)).or_insert_with(|| Known {
            extra: true,
            ..Known::default()
        });
        known.asked = Some(generation);
        known.tried = None;
    }

    pub(crate) fn publish(&mut self) {
        let count = if self.chance.percent(20) {
            1 + self.chance.below(12)
        } else {
            1
        };
        let batch = count > 1 || self.chance.percent(12);
        let pieces: Vec<Piece> = (0..count).map(|_| self.piece(batch)).collect();
        let name = format!("k{}", self.publishes.len());
        let mut call = self.tenant.publish_call(&pieces[0].event_type);
        let key = || Some(idempotency(&format!("{name:x>20}"), "body"));
        let wanted = if batch {
            self.counts.batches += 1;
            let messages = (0..).zip(&pieces).map(|(at, piece): (u32, _)| NewMessage {
                event_type: piece.event_type.clone(),
                event_id: at.is_multiple_of(3).then(|| format!("{name}-{at}")),
                channels: None,
                tags: None,
                content_type: "application/json".to_owned(),
                deliver_at: piece.deliver_at,
                payload_hours: None,
            });
            Wanted::Batch(AcceptBatch {
                nonce: call.nonce,
                sent_at: self.clock,
                repeat: false,
                hop: 0,
                idempotency: key().filter(|_| self.chance.percent(50)),
                alone: false,
                messages: messages.collect(),
            })
        } else {
            call.sent_at = self.clock;
            match self.chance.below(4) {
                0 => call.event_id = Some(name),
                1 => call.idempotency = key(),
                _ => {}
            }
            Wanted::One(call)
        };
        let publish = self.publishes.len();
        self.publishes.push(Publish {
            wanted,
            pieces,
            messages: Vec::new(),
            tries: 0,
        });
        self.send_try(publish, 0);
    }

    fn piece(&mut self, batch: bool) -> Piece {
        let event_type = if self.chance.percent(60) {
            "order.made"
        } else {
            "invoice.paid"
        };
        let key = [None, Some("a"), Some("b")][usize::try_from(self.chance.below(3)).unwrap_or(0)];
        let later = batch && self.chance.percent(15);
        // Larger than what rides in a queue message, now and then.
        let pad = if self.chance.percent(1) {
            " ".repeat(41_000)
        } else {
            String::new()
        };
        Piece {
            event_type: event_type.to_owned(),
            key,
            body: format!("{}{pad}", key.map_or(json!({}), |key| json!({"k": key}))).into_bytes(),
            deliver_at: later.then(|| self.clock.plus(self.chance.below(300_000))),
        }
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
            // A sender that asks again knows its message by a key of its own.
            let keyed = self.publishes[publish].may_be_asked_again();
            let anew = repeat && keyed && self.chance.percent(40);
            let event = Event::Try {
                publish,
                repeat: repeat && !anew,
                anew,
                answer_lost,
            };
            self.at(wait + late, event);
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
                // Within the time that its message is kept, also where the clock jumps.
                self.chance
                    .below(if self.short_lived { 100_000 } else { 300_000 })
            } else {
                self.chance.below(5000)
            };
        self.send_try(publish, wait);
    }

    pub(crate) fn at(&mut self, wait: u64, event: Event) {
        self.next_event += 1;
        self.events
            .insert((self.clock.plus(wait), self.next_event), event);
    }

    pub(crate) fn set_clock(&mut self, to: Millis) {
        self.clock = self.clock.max(to);
        let own = self.clock.0.saturating_add_signed(self.skew);
        self.tenant.now = Millis(own);
        self.latest = self.latest.max(self.tenant.now);
        if self.jumpy {
            let (clock, end) = (self.clock, self.tenant.now.plus(LEASE));
            let young = |lane: &&mut LaneKnown| clock.since(lane.left_at) <= LEASE;
            for lane in self.lanes.all.iter_mut().rev().take_while(young) {
                lane.odd |= lane.until > end;
            }
        }
    }

    /// When the alarm rings, by the true clock.
    pub(crate) fn alarm_at(&self) -> Option<Millis> {
        let alarm = self.tenant.storage.native().alarm()?;
        Some(Millis(alarm.0.saturating_add_signed(-self.skew)))
    }

    /// Time passes: events and the alarm come in their order.
    pub(crate) fn pass(&mut self, ms: u64) -> Held {
        let end = self.clock.plus(ms);
        let mut rung = 0;
        loop {
            let event = self.events.keys().next().copied().filter(|(at, _)| *at <= end);
            let alarm = self.alarm_at().filter(|at| *at <= end);
            match (event, alarm) {
                (None, None) => break,
                (Some(key), alarm) if alarm.is_none_or(|at| key.0 <= at) => {
                    self.set_clock(key.0);
                    if let Some(event) = self.events.remove(&key) {
                        self.happen(event)?;
                    }
                }
                (_, alarm) => {
                    let late = if !self.quiet && self.chance.percent(5) {
                        self.counts.late_alarms += 1;
                        self.chance.below(8000)
                    } else {
                        0
                    };
                    let at = alarm.unwrap_or(end).plus(late).min(end);
                    self.set_clock(at);
                    self.ring();
                    rung += 1;
                    if rung > ALARMS.0 + ALARMS.1 * ms / 1000 {
                        return Err(format!("the alarm spins: {rung} runs in {ms} ms"));
                    }
                }
            }
            self.after_call()?;
        }
        self.set_clock(end);
        Ok(())
    }

    pub(crate) fn ring(&mut self) {
        if !self.quiet && self.chance.percent(1) {
            tell!(self, "the alarm is lost");
            self.counts.lost_alarms += 1;
            self.alarm_lost = true;
            let storage = self.tenant.storage.native();
            storage.set_alarm(None).expect("an alarm is taken away");
            return;
        }
        tell!(self, "the alarm rings");
        // Between any two of its statements it may end, and what it had not written is as it was.
        let crash = !self.quiet && !self.tenant.storage.will_fail() && self.chance.percent(3);
        if crash {
            let at = u32::try_from(self.chance.below(12)).unwrap_or(0);
            self.tenant.storage.fail_in(Some(at));
        }
        self.tenant.ring();
        if crash {
            let fell = !self.tenant.storage.will_fail();
            self.counts.torn_alarms += u64::from(fell);
            self.tenant.storage.fail_in(None);
            if fell {
                tell!(self, "and ends in the middle");
            }
        }
        if !self.quiet && self.chance.percent(3) {
            self.counts.doubled_alarms += 1;
            self.tenant.ring();
        }
    }

    pub(crate) fn happen(&mut self, event: Event) -> Held {
        match event {
            Event::Try {
                publish,
                repeat,
                anew,
                answer_lost,
            } => self.accept(publish, repeat, anew, answer_lost),
            Event::Leave => {
                self.gathering = false;
                self.take(false)
            }
            Event::Queue { lane, attempts } => self.consume(lane, attempts),
            Event::Sent(sent) => self.sent(&sent),
            Event::Gathered { run, gathering } => self.gathered(run, gathering),
            Event::HandOver { run } => self.hand_over(run),
            Event::Dies { run } => {
                if self.runs.remove(&run).is_some() {
                    self.counts.dead_consumers += 1;
                    tell!(self, "consumer {run} dies");
                }
                Ok(())
            }
            Event::Report(telling) => self.report(telling),
            Event::Reported { run, lanes } => self.reported(run, lanes),
        }
    }

    fn accept(&mut self, at: usize, repeat: bool, anew: bool, answer_lost: bool) -> Held {
        let bodies: Vec<Vec<u8>> = self.publishes[at]
            .pieces
            .iter()
            .map(|piece| piece.body.clone())
            .collect();
        let caller = Caller::Organisation(self.tenant.organisation);
        // The first that arrives is not always the first that left.
        let answer = match self.publishes[at].wanted.clone() {
            Wanted::One(call) => {
                let mut call = Accept { repeat, ..call };
                if anew {
                    call.nonce = self.tenant.publish_call("").nonce;
                    call.sent_at = self.clock;
                }
                let taken = self.tenant.call_as(caller, call, &bodies);
                taken.map(|(accepted, _)| vec![accepted.message.id])
            }
            Wanted::Batch(call) => {
                let mut call = AcceptBatch { repeat, ..call };
                if anew {
                    call.nonce = self.tenant.publish_call("").nonce;
                    call.sent_at = self.clock;
                }
                let taken = self.tenant.call_as(caller, call, &bodies);
                taken.map(|(accepted, _)| accepted.messages.iter().map(|view| view.id).collect())
            }
        };
        match answer {
            Ok(ids) => {
                if self.publishes[at].messages.is_empty() {
                    self.publishes[at].messages.clone_from(&ids);
                    let pieces = self.publishes[at].pieces.clone();
                    for (id, piece) in ids.iter().zip(&pieces) {
                        self.owe(*id, piece);
                    }
                } else {
                    self.counts.duplicates += 1;
                    let known = &self.publishes[at].messages;
                    if *known != ids {
                        return Err(format!("one publish made two messages: {known:?} and {ids:?}"));
                    }
                }
                let numbers: Vec<u64> = ids.iter().map(|id| id.0.sequence).collect();
                tell!(
                    self,
                    "publish {at} taken: {numbers:?}, answer lost: {answer_lost}"
                );
                Ok(())
            }
            Err(problem) => self.not_taken(at, &problem),
        }
    }

    fn not_taken(&mut self, at: usize, problem: &Problem) -> Held {
        let known = !self.publishes[at].messages.is_empty();
        match problem.code {
            // A second try with an event id of its own finds it, which tells the sender that it stands.
            Code::Conflict if known => {}
            Code::Internal => {
                tell!(self, "publish {at} failed inside");
                self.repeat(at, 1000);
            }
            Code::Overloaded => {}
            code => return Err(format!("publish {at} was answered {code:?}: {problem}")),
        }
        Ok(())
    }

    fn owe(&mut self, message: MessageId, piece: &Piece) {
        self.counts.messages += 1;
        self.counts.later += u64::from(piece.deliver_at.is_some());
        let is_order = piece.event_type.starts_with("order.");
        for endpoint in &self.endpoints {
            if endpoint.off_since.is_some() || (!is_order && endpoint.picky) {
                continue;
            }
            let line = endpoint
                .order
                .map(|order| (endpoint.number, endpoint.span, piece.key.filter(|_| order.keyed)));
            if let Some(line) = line {
                self.counts.in_order += 1;
                self.lines.entry(line).or_default().messages.push(message);
            }
            let known = Known {
                line,
                deliver_at: piece.deliver_at.filter(|_| line.is_none()),
                ..Known::default()
            };
            self.owed.insert((message, endpoint.number), known);
        }
    }

    /// What left the ledger with the last call is taken at once, a few milliseconds later, or is lost with the object.
    pub(crate) fn after_call(&mut self) -> Held {
        if !self.tenant.ledger.has_lanes() || self.gathering {
            return Ok(());
        }
        if self.chance.is_scripted() {
            if !self.quiet && self.chance.mishap(0) {
                self.evict();
                self.set_clock(self.clock.plus(10));
            }
            return self.take(true);
        }
        match self.chance.below(100) {
            _ if self.quiet => self.take(true),
            0..=2 => {
                self.evict();
                Ok(())
            }
            3..=30 => {
                self.gathering = true;
                let wait = self.chance.below(9);
                self.at(wait, Event::Leave);
                Ok(())
            }
            _ => self.take(true),
        }
    }

    /// What leaves the ledger goes to the queue. `at_once`: nothing happened since it was handed out.
    fn take(&mut self, at_once: bool) -> Held {
        let failures = self.tenant.storage.failures();
        // A failure in the middle took away what the ledger knew as it handed out.
        let at_once = at_once && failures == std::mem::replace(&mut self.failures, failures);
        let Ok(lanes) = self.tenant.take_lanes() else {
            return Ok(());
        };
        for lane in lanes {
            let lane = self.leaves(&lane.frame, lane.queue, at_once)?;
            self.enqueue(lane);
        }
        Ok(())
    }

    /// The queue may lose a lane, double it, and keep it for a while.
    pub(crate) fn enqueue(&mut self, lane: usize) {
        if !self.quiet && self.chance.mishap(6) {
            self.counts.lost_lanes += 1;
            tell!(self, "the queue loses lane {lane}");
            return;
        }
        let twice = !self.quiet && self.chance.mishap(4);
        self.counts.doubled_lanes += u64::from(twice);
        self.lanes.all[lane].doubled |= twice;
        for _ in 0..=u32::from(twice) {
            let wait = match self.chance.below(100) {
                _ if self.quiet => 5,
                0..=5 => self.chance.below(120_000),
                _ => self.chance.below(300),
            };
            self.at(wait, Event::Queue { lane, attempts: 1 });
        }
    }

    pub(crate) fn endpoint(&self, number: u32) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.number == number)
    }

    pub(crate) fn endpoint_mut(&mut self, number: u32) -> Option<&mut Endpoint> {
        self.endpoints
            .iter_mut()
            .find(|endpoint| endpoint.number == number)
    }

    pub(crate) fn plan_of(&self, endpoint: u32) -> u32 {
        self.endpoint(endpoint).map_or(0, |known| known.plan)
    }

    pub(crate) fn read_message(&mut self, id: MessageId) -> Result<(), Problem> {
        let message = id.to_string();
        self.tenant.call(MessageGet { message }).map(|_| ())
    }
}

/// As an endpoint is made with it.
pub(crate) fn ordering(order: Order) -> serde_json::Value {
    json!({
        "key": order.keyed.then_some("/k"),
        "onFailure": if order.waits { "wait" } else { "skip" },
    })
}
