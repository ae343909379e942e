//! The whole way, by chance: messages are published while the queue loses, delays and doubles its messages, consumers die
//! before and after a send, reports get lost, come late and come twice, the object is evicted, and its endpoints are
//! disabled, changed and deleted. After every step what must hold is looked at; at the end transport is well, and
//! everything that is owed must come to its end.
//!
//! `SEEDS=n` runs more of them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::id::MessageId;
use postern_domain::time::Millis;
use postern_domain::wire::EndpointView;
use postern_domain::wire::call::*;
use postern_domain::wire::lane::{Handout, Lane};
use postern_ledger::sql::{Sql, Value};
use postern_ledger::{Random, Rules, Settings};
use postern_tests::*;

/// Tries of the plan that [`config`] has: the first and two more.
const PLAN: i64 = 3;

/// Of every hand-out.
const LEASE_MS: u64 = 60_000;

/// What went wrong.
type Broken = String;

struct World {
    bench: Bench,
    chance: Seeded,
    endpoints: Vec<EndpointView>,
    /// Lanes in the queue, with the time from which they may come.
    queue: Vec<(Millis, Got)>,
    /// Reports on their way.
    reports: Vec<(Millis, Lane, Handout, u16)>,
    accepted: BTreeMap<MessageId, BTreeSet<u64>>,
    event_ids: BTreeMap<String, MessageId>,
    /// When an endpoint was disabled or deleted, and not enabled since.
    off_since: BTreeMap<u64, Millis>,
    next_event: u64,
    /// What was owed when an endpoint was disabled or deleted: up to which message, and when.
    cut: BTreeMap<u64, (u64, Millis)>,
    /// When a success of a delivery was recorded.
    delivered: BTreeMap<(u64, u64), Millis>,
    /// The lease of a delivery's latest hand-out that has no result.
    live: BTreeMap<(u64, u64), Millis>,
}

impl World {
    fn new(seed: u64, rules: Rules) -> Self {
        let settings = Settings {
            rules,
            ..Settings::default()
        };
        let mut bench = Bench::new(settings, seed);
        let mut endpoints = vec![bench.endpoint()];
        endpoints.push(bench.endpoint_with(|config| config.throttle_rate = Some(2)));
        endpoints.push(bench.endpoint());
        Self {
            bench,
            chance: Seeded(seed ^ 0x5DEE_CE66),
            endpoints,
            queue: Vec::new(),
            reports: Vec::new(),
            accepted: BTreeMap::new(),
            event_ids: BTreeMap::new(),
            off_since: BTreeMap::new(),
            next_event: 0,
            cut: BTreeMap::new(),
            delivered: BTreeMap::new(),
            live: BTreeMap::new(),
        }
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.chance.number().is_multiple_of(n)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.chance.number() % n
    }

    /// One thing that happens.
    fn step(&mut self) -> Result<(), Broken> {
        match self.below(14) {
            0..=3 => self.publish()?,
            4 => self.bench.evict(),
            5 => self.toggle(),
            6 if self.one_in(6) => self.delete(),
            7 => self.pass_time(30_000),
            _ => self.pass_time(2000),
        }
        self.transport(true)?;
        self.look()
    }

    fn publish(&mut self) -> Result<(), Broken> {
        self.next_event += self.below(2);
        let event_id = format!("evt_{}", self.next_event);
        let accept = self.bench.accept("a", Some(&event_id));
        let repeat = Accept {
            repeat: true,
            ..accept.clone()
        };
        let known = self.event_ids.get(&event_id).copied();
        let on: BTreeSet<u64> = self.endpoints.iter().map(|view| view.id.0.sequence).collect();
        let owed = on
            .into_iter()
            .filter(|number| !self.off_since.contains_key(number))
            .collect();
        let first = self.bench.ask_with(accept, &[b"{}".to_vec()]);
        let Ok((first, _)) = first else {
            return if known.is_some() {
                Ok(())
            } else {
                Err("a new event was refused".to_owned())
            };
        };
        if known.is_some() {
            return Err(format!("{event_id} was taken twice"));
        }
        self.accepted.insert(first.message.id, owed);
        self.event_ids.insert(event_id.clone(), first.message.id);
        if self.one_in(4) {
            // The answer was lost: the same again, after a while, perhaps after an eviction. The event id is left out,
            // so that nothing but the nonce tells them apart.
            self.pass_time(20_000);
            let (again, _) = self
                .bench
                .ask_with(repeat, &[b"{}".to_vec()])
                .map_err(|problem| problem.to_string())?;
            if again.message.id != first.message.id {
                return Err("a repeat made a second message".to_owned());
            }
        }
        if self.one_in(4) {
            let accept = self.bench.accept("a", None);
            let repeat = Accept {
                repeat: true,
                ..accept.clone()
            };
            let (first, _) = self.bench.ask_with(accept, &[b"{}".to_vec()]).unwrap();
            let owed = self.accepted.values().next_back().cloned().unwrap_or_default();
            self.accepted.insert(first.message.id, owed);
            self.pass_time(20_000);
            let (again, _) = self.bench.ask_with(repeat, &[b"{}".to_vec()]).unwrap();
            if again.message.id != first.message.id {
                return Err("a repeat without an event id made a second message".to_owned());
            }
        }
        Ok(())
    }

    fn toggle(&mut self) {
        let at = usize::try_from(self.below(self.endpoints.len() as u64)).unwrap();
        let id = self.endpoints[at].id;
        let off = !self.off_since.contains_key(&id.0.sequence);
        let change = EndpointChange {
            disabled: Some(off),
            ..EndpointChange::default()
        };
        if self
            .bench
            .ask(EndpointPatch {
                endpoint: id.to_string(),
                change,
            })
            .is_ok()
        {
            if off {
                self.switched_off(id.0.sequence);
            } else {
                self.off_since.remove(&id.0.sequence);
            }
        }
    }

    fn delete(&mut self) {
        let at = usize::try_from(self.below(self.endpoints.len() as u64)).unwrap();
        let id = self.endpoints[at].id;
        if self
            .bench
            .ask(EndpointDelete {
                endpoint: id.to_string(),
            })
            .is_ok()
        {
            self.switched_off(id.0.sequence);
            let new = self.bench.endpoint();
            self.endpoints[at] = new;
        }
    }

    fn pass_time(&mut self, most: u64) {
        let ms = self.below(most);
        self.bench.pass(ms);
    }

    /// What the queue and the consumers do. `bad`: they lose, delay and double.
    fn transport(&mut self, bad: bool) -> Result<(), Broken> {
        for got in self.bench.lanes() {
            for handout in &got.lane.deliveries {
                self.look_at_hand_out(got.lane.endpoint.0.sequence, handout)?;
            }
            if bad && self.one_in(5) {
                continue; // lost
            }
            let delay = if bad && self.one_in(4) {
                self.below(200_000)
            } else {
                10
            };
            self.queue.push((self.bench.now.plus(delay), got.clone()));
            if bad && self.one_in(8) {
                let later = self.below(50_000);
                self.queue.push((self.bench.now.plus(later), got)); // doubled
            }
        }
        let now = self.bench.now;
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.queue = waiting;
        for (_, got) in ready {
            for handout in &got.lane.deliveries {
                self.send(&got.lane, handout, bad)?;
            }
        }
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.reports)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.reports = waiting;
        for (_, lane, handout, status) in ready {
            self.bench.report(&lane, &handout, status);
            let delivery = (lane.endpoint.0.sequence, handout.message.0.sequence);
            self.live.remove(&delivery);
            if status == 200 {
                self.delivered.entry(delivery).or_insert(now);
            }
        }
        Ok(())
    }

    fn switched_off(&mut self, endpoint: u64) {
        self.off_since.insert(endpoint, self.bench.now);
        let last = self
            .accepted
            .keys()
            .map(|message| message.0.sequence)
            .max()
            .unwrap_or_default();
        self.cut.insert(endpoint, (last, self.bench.now));
    }

    /// What must hold of everything that is handed out.
    fn look_at_hand_out(&mut self, endpoint: u64, handout: &Handout) -> Result<(), Broken> {
        let sequence = handout.message.0.sequence;
        let handed_at = handout.until.minus(LEASE_MS);
        if self
            .cut
            .get(&endpoint)
            .is_some_and(|(last, at)| sequence <= *last && handed_at > *at)
        {
            return Err(format!(
                "message {sequence} was cancelled at endpoint {endpoint}, and is handed out after that"
            ));
        }
        if self
            .delivered
            .get(&(endpoint, sequence))
            .is_some_and(|at| handed_at > *at)
        {
            return Err(format!(
                "message {sequence} was delivered to endpoint {endpoint}, and is handed out after that"
            ));
        }
        let before = self.live.insert((endpoint, sequence), handout.until);
        if before.is_some_and(|until| handed_at < until) {
            return Err(format!(
                "message {sequence} is handed out to endpoint {endpoint} while its lease runs"
            ));
        }
        Ok(())
    }

    fn send(&mut self, lane: &Lane, handout: &Handout, bad: bool) -> Result<(), Broken> {
        let now = self.bench.now;
        if now.plus(20_000) > handout.until {
            return Ok(()); // the lease is too short
        }
        if let Some(off) = self.off_since.get(&lane.endpoint.0.sequence)
            && now.since(*off) > 60_000
        {
            return Err("sent to an endpoint that was off for longer than a lease".to_owned());
        }
        if bad && self.one_in(10) {
            return Ok(()); // the consumer died before the send
        }
        let status = if bad && self.one_in(3) { 500 } else { 200 };
        if bad && self.one_in(10) {
            return Ok(()); // it died between send and report
        }
        let delay = if bad && self.one_in(5) {
            self.below(150_000)
        } else {
            0
        };
        self.reports
            .push((now.plus(delay), lane.clone(), handout.clone(), status));
        if bad && self.one_in(8) {
            let later = self.below(100_000);
            let other = if self.one_in(2) { 500 } else { status };
            self.reports
                .push((now.plus(later), lane.clone(), handout.clone(), other));
        }
        Ok(())
    }

    /// What must hold after every step.
    fn look(&mut self) -> Result<(), Broken> {
        let stored = self
            .bench
            .sql()
            .row("SELECT count(*) FROM message_1", &[])
            .unwrap()
            .unwrap()
            .number(0)
            .unwrap();
        if stored != self.accepted.len() as u64 {
            return Err(format!(
                "{} were accepted and {stored} are stored",
                self.accepted.len()
            ));
        }
        let over = "SELECT max(attempts) FROM delivery_1";
        if let Some(Value::Int(most)) = self
            .bench
            .sql()
            .row(over, &[])
            .unwrap()
            .and_then(|row| row.0.into_iter().next())
            && most > PLAN
        {
            return Err(format!("{most} attempts of a plan of {PLAN} were recorded"));
        }
        Ok(())
    }

    /// Transport is well from now on: all that is owed comes to its end.
    fn settle(&mut self) -> Result<(), Broken> {
        for _ in 0..200 {
            self.bench.pass(1000);
            self.transport(false)?;
        }
        for _ in 0..60 {
            self.bench.pass(30_000);
            for _ in 0..10 {
                self.transport(false)?;
                self.bench.pass(200);
            }
        }
        self.look()?;
        let off: BTreeSet<u64> = self.off_since.keys().copied().collect();
        for (message, owed) in self.accepted.clone() {
            for endpoint in owed.iter().filter(|number| !off.contains(number)) {
                let statement = "SELECT state FROM delivery_1 WHERE endpoint = ? AND sequence = ?";
                let values = [(*endpoint).into(), message.0.sequence.into()];
                let row = self.bench.sql().row(statement, &values).unwrap();
                let through = "SELECT cancelled_through FROM endpoint WHERE number = ?";
                let through = self
                    .bench
                    .sql()
                    .row(through, &[(*endpoint).into()])
                    .unwrap()
                    .unwrap()
                    .number(0)
                    .unwrap();
                let cancelled = message.0.sequence <= through;
                let ended = row.is_some_and(|row| row.int(0).unwrap() != 1);
                if !ended && !cancelled {
                    return Err(format!(
                        "message {} is still owed to endpoint {endpoint}",
                        message.0.sequence
                    ));
                }
            }
        }
        for (table, what) in [("due", "due"), ("backlog", "in a line")] {
            let left = self
                .bench
                .sql()
                .row(&format!("SELECT count(*) FROM {table}"), &[])
                .unwrap()
                .unwrap();
            if left.int(0).unwrap() > 0 {
                return Err(format!("{left:?} are still {what}"));
            }
        }
        Ok(())
    }
}

fn run(seed: u64, rules: Rules) -> Result<(), Broken> {
    let mut world = World::new(seed, rules);
    for step in 0..120 {
        world
            .step()
            .map_err(|broken| format!("seed {seed}, step {step}: {broken}"))?;
    }
    world
        .settle()
        .map_err(|broken| format!("seed {seed}, at the end: {broken}"))
}

fn seeds() -> u64 {
    std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300)
}

#[test]
fn whatever_happens_on_the_way_the_guarantees_hold() {
    for seed in 0..seeds() {
        if let Err(broken) = run(seed, Rules::default()) {
            panic!("{broken}");
        }
    }
}

/// Some seed must show that the rule is needed.
fn is_needed(rules: Rules) {
    let broken = (0..seeds().max(300)).find(|seed| {
        let outcome = std::panic::catch_unwind(|| run(*seed, rules));
        matches!(outcome, Ok(Err(_)) | Err(_))
    });
    assert!(broken.is_some(), "no seed broke a guarantee without the rule");
}

#[test]
fn without_the_nonce_a_repeat_makes_a_second_message() {
    is_needed(Rules {
        nonce: false,
        ..Rules::default()
    });
}

#[test]
fn if_the_mark_did_not_wait_a_live_lease_would_be_handed_out_again() {
    is_needed(Rules {
        mark_waits: false,
        ..Rules::default()
    });
}

#[test]
fn without_the_check_of_what_is_due_a_cancelled_delivery_is_sent() {
    is_needed(Rules {
        due_checked: false,
        ..Rules::default()
    });
}

#[test]
fn if_late_failures_counted_the_plan_would_be_exceeded() {
    is_needed(Rules {
        late_changes_nothing: false,
        ..Rules::default()
    });
}

#[test]
fn without_cancelling_what_was_owed_before_a_disable_is_sent_after_it() {
    is_needed(Rules {
        cancel: false,
        ..Rules::default()
    });
}
