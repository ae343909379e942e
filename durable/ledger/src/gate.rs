//! Gates: reasons not to hand out. Token bucket, window, breaker, pause and the tenant's share of the slow queue; the
//! order of a line is its own ([`crate::ordered`]).
//!
//! What a gate holds back waits in its line or is parked ([`crate::due`]), and is due when the gate opens, never in the
//! past. Breaker and pause are stored in `health`, so that they outlive an eviction; the others may be forgotten, and
//! forgetting makes them stricter.

use std::collections::BTreeMap;

use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::report::SendResult;
use postern_domain::wire::{DisableAfter, DisabledReason, EndpointConfig};

use crate::flight::Manner;
use crate::memory::Memory;
use crate::sql::{Sql, Value};

/// The breaker looks at this long.
const BREAKER_SPAN_MS: u64 = 300_000;

/// It opens when so many of a hundred failed.
const BREAKER_PERCENT: u32 = 70;

/// Until its first probe; doubled for each that fails.
const PROBE_AFTER_MS: u64 = 30_000;

/// Between probes at the most.
const PROBE_AFTER_MOST_MS: u64 = 900_000;

/// A 429 or 503 that does not say how long.
const PAUSE_MS: u64 = 10_000;

/// What an endpoint may ask for at the most.
const PAUSE_MOST_MS: u64 = Millis::DAY;

/// Not disabled for a time without success unless it was tried so often.
const NO_SUCCESS_ATTEMPTS: u32 = 10;

/// Why a delivery waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The token bucket of the endpoint or of the tenant is empty.
    RateLimited,
    /// As much is out as the endpoint takes at a time.
    Capacity,
    /// It failed too often: a probe goes first.
    BreakerOpen,
    /// It asked for time: 429, 503 or `Retry-After`.
    Paused,
    /// One before it in its line has not arrived yet.
    Ordering,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Capacity => "capacity",
            Self::BreakerOpen => "breaker_open",
            Self::Paused => "paused",
            Self::Ordering => "ordering",
        }
    }

    /// What a newer release wrote is taken for the mildest.
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "rate_limited" => Self::RateLimited,
            "breaker_open" => Self::BreakerOpen,
            "paused" => Self::Paused,
            "ordering" => Self::Ordering,
            _ => Self::Capacity,
        }
    }
}

/// A gate that is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// When it is worth while to look again. A result that comes may open it earlier.
    pub(crate) until: Millis,
    pub(crate) reason: Reason,
}

/// How an endpoint is doing since its last success. One that does well has none, unless it asked for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) failing_since: Millis,
    /// Failed attempts since then.
    pub(crate) attempts: u32,
    /// Deliveries that failed for good since then.
    pub(crate) failed: u32,
    /// Half way to being disabled was told.
    pub(crate) warned: bool,
    /// How often the breaker opened since then; 0: it is closed.
    pub(crate) opened: u32,
    pub(crate) opens_at: Millis,
    pub(crate) reason: Reason,
    /// It asked to be left alone until then, whatever the breaker says.
    pub(crate) paused_until: Millis,
}

/// What followed from a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing that anybody has to be told.
    Nothing,
    /// Half way to being disabled.
    Warn,
    /// Nothing more is sent to it.
    Disable(DisabledReason),
}

/// Attempts of the last minutes, for the breaker. In memory only: an eviction begins anew.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Samples {
    since: Millis,
    now: (u32, u32),
    before: (u32, u32),
}

impl Samples {
    fn add(&mut self, failed: bool, now: Millis) {
        let half = BREAKER_SPAN_MS / 2;
        if now.since(self.since) >= 2 * half {
            self.before = (0, 0);
            self.now = (0, 0);
            self.since = now;
        } else if now.since(self.since) >= half {
            self.before = std::mem::take(&mut self.now);
            self.since = now;
        }
        self.now.0 += 1;
        self.now.1 += u32::from(failed);
    }

    fn trips(&self, samples: u32) -> bool {
        let (all, failed) = (self.now.0 + self.before.0, self.now.1 + self.before.1);
        all >= samples && failed * 100 >= all * BREAKER_PERCENT
    }
}

impl Health {
    const fn new(now: Millis) -> Self {
        Self {
            failing_since: now,
            attempts: 0,
            failed: 0,
            warned: false,
            opened: 0,
            opens_at: Millis(0),
            reason: Reason::BreakerOpen,
            paused_until: Millis(0),
        }
    }

    /// A failed attempt. `for_good`: its delivery's plan is used up.
    fn fail(
        &mut self,
        result: &SendResult,
        trips: bool,
        for_good: bool,
        config: &EndpointConfig,
        now: Millis,
    ) -> Verdict {
        if self.attempts == 0 {
            self.failing_since = now;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(for_good));
        let probe = self.opened > 0 && now >= self.opens_at;
        if let Some(ms) = asked_to_wait(result) {
            let until = self.close(now.plus(ms), Reason::Paused);
            self.paused_until = self.paused_until.max(until);
        }
        if probe || (self.opened == 0 && trips) {
            let wait = PROBE_AFTER_MS << self.opened.min(10);
            self.opened = self.opened.saturating_add(1);
            self.close(now.plus(wait.min(PROBE_AFTER_MOST_MS)), Reason::BreakerOpen);
        }
        self.verdict(result, config, now)
    }

    /// What a success leaves: nothing, or the rest of a pause. What succeeds while one lasts was sent before it.
    fn after_success(self, now: Millis) -> Option<Self> {
        let paused_until = self.paused_until;
        (paused_until > now).then(|| Self {
            opens_at: paused_until,
            reason: Reason::Paused,
            paused_until,
            ..Self::new(now)
        })
    }

    /// The later of two closings counts. Up to a whole second: so each second costs a row at the most, and what is
    /// stored is never behind.
    fn close(&mut self, until: Millis, reason: Reason) -> Millis {
        let until = Millis(until.0.next_multiple_of(1000));
        if until > self.opens_at {
            self.opens_at = until;
            self.reason = reason;
        }
        until
    }

    /// What holds this one back now. A person need not wait for a probe, but for a pause.
    fn holds(&self, wish: Wish, now: Millis) -> Option<Hold> {
        let (until, reason) = if wish == Wish::Manual && self.opened > 0 {
            (self.paused_until, Reason::Paused)
        } else {
            (self.opens_at, self.reason)
        };
        (until > now).then_some(Hold { until, reason })
    }

    fn verdict(&mut self, result: &SendResult, config: &EndpointConfig, now: Millis) -> Verdict {
        // The release before has one cause for all of 4xx. What a firewall says is not the endpoint's word.
        if result.status == Some(410) && matches!(result.cause, Some(Cause::Gone | Cause::ClientError)) {
            return Verdict::Disable(DisabledReason::Gone);
        }
        let DisableAfter { failed, days } = config.disable_after.unwrap_or_default();
        let span = u64::from(days) * Millis::DAY;
        let silent = now.since(self.failing_since);
        let tried = self.attempts >= NO_SUCCESS_ATTEMPTS;
        if failed > 0 && self.failed >= failed {
            return Verdict::Disable(DisabledReason::DeliveriesFailed);
        }
        if span > 0 && silent >= span && tried {
            return Verdict::Disable(DisabledReason::NoSuccess);
        }
        let half = (failed > 1 && self.failed * 2 >= failed) || (span > 0 && silent * 2 >= span && tried);
        if half && !self.warned {
            self.warned = true;
            return Verdict::Warn;
        }
        Verdict::Nothing
    }

    /// Whether the stored row must follow. Attempts are counted exactly as far as they decide something.
    fn differs(&self, stored: Option<&Self>) -> bool {
        stored.is_none_or(|stored| {
            self.attempts < stored.attempts
                || (self.attempts > stored.attempts && stored.attempts < NO_SUCCESS_ATTEMPTS)
                || self.failed != stored.failed
                || self.warned != stored.warned
                || self.opened != stored.opened
                || self.opens_at > stored.opens_at
                || self.paused_until > stored.paused_until
        })
    }

    pub(crate) fn write<S: Sql>(&self, sql: &S, endpoint: u32) -> Result<(), Problem> {
        let values: [Value; 9] = [
            endpoint.into(),
            self.failing_since.into(),
            self.attempts.into(),
            self.failed.into(),
            self.warned.into(),
            self.opened.into(),
            self.opens_at.into(),
            self.reason.as_str().into(),
            self.paused_until.into(),
        ];
        let statement = "INSERT OR REPLACE INTO health (endpoint, failing_since, attempts, failed, warned, opened, \
                         opens_at, reason, paused_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sql.run(statement, &values)?;
        Ok(())
    }

    pub(crate) fn delete<S: Sql>(sql: &S, endpoint: u32) -> Result<(), Problem> {
        sql.run("DELETE FROM health WHERE endpoint = ?", &[endpoint.into()])?;
        Ok(())
    }

    pub(crate) fn read_all<S: Sql>(sql: &S) -> Result<BTreeMap<u32, Self>, Problem> {
        let statement = "SELECT endpoint, failing_since, attempts, failed, warned, opened, opens_at, reason, \
                         paused_until FROM health";
        let mut all = BTreeMap::new();
        for row in sql.rows(statement, &[])? {
            let health = Self {
                failing_since: row.time(1)?,
                attempts: row.small(2)?,
                failed: row.small(3)?,
                warned: row.int(4)? == 1,
                opened: row.small(5)?,
                opens_at: row.time(6)?,
                reason: Reason::read(&row.text(7)?),
                paused_until: row.time(8)?,
            };
            all.insert(row.small(0)?, health);
        }
        Ok(all)
    }
}

/// How long an answer asks to be left alone: `Retry-After`, and 429 and 503 without one.
fn asked_to_wait(result: &SendResult) -> Option<u64> {
    result.cause?;
    match (result.retry_after_ms, result.status) {
        (Some(ms), _) => Some(ms.min(PAUSE_MOST_MS)),
        (None, Some(429 | 503)) => Some(PAUSE_MS),
        (None, _) => None,
    }
}

/// Whether a result says that less should be sent at a time.
pub(crate) fn overwhelms(result: &SendResult) -> bool {
    matches!(
        result.cause,
        Some(Cause::Timeout | Cause::BodyTimeout | Cause::NoAnswer)
    ) || asked_to_wait(result).is_some()
}

/// The health of endpoints while results are recorded: a copy that is stored with them, or not at all.
#[derive(Debug)]
pub(crate) struct Observed {
    now: Millis,
    changed: BTreeMap<u32, Option<Health>>,
    samples: BTreeMap<u32, Samples>,
}

impl Observed {
    pub(crate) const fn new(now: Millis) -> Self {
        Self {
            now,
            changed: BTreeMap::new(),
            samples: BTreeMap::new(),
        }
    }

    /// One result. `for_good`: it used up its delivery's plan.
    pub(crate) fn see(
        &mut self,
        memory: &Memory,
        endpoint: u32,
        result: &SendResult,
        for_good: bool,
    ) -> Verdict {
        if result.cause.is_some_and(|cause| !cause.is_of_endpoint()) {
            return Verdict::Nothing; // no endpoint's fault
        }
        let failed = result.cause.is_some();
        let known = memory.samples.get(&endpoint).copied().unwrap_or_default();
        let samples = self.samples.entry(endpoint).or_insert(known);
        samples.add(failed, self.now);
        let trips = samples.trips(memory.gates.breaker_samples);
        let stored = memory.health.get(&endpoint);
        let health = self
            .changed
            .get(&endpoint)
            .copied()
            .unwrap_or_else(|| stored.copied());
        if !failed {
            if let Some(health) = health {
                self.changed.insert(endpoint, health.after_success(self.now));
                self.samples.insert(endpoint, Samples::default());
            }
            return Verdict::Nothing;
        }
        let Some(config) = memory.endpoints.get(&endpoint).map(|endpoint| &endpoint.config) else {
            return Verdict::Nothing;
        };
        let mut health = health.unwrap_or_else(|| Health::new(self.now));
        let verdict = health.fail(result, trips, for_good, config, self.now);
        self.changed.insert(endpoint, Some(health));
        verdict
    }

    /// The first failure since the last success, as it stands now.
    pub(crate) fn failing_since(&self, memory: &Memory, endpoint: u32) -> Option<Millis> {
        let changed = self.changed.get(&endpoint).copied();
        let health = changed.unwrap_or_else(|| memory.health.get(&endpoint).copied());
        health.map(|health| health.failing_since)
    }

    /// Stores what changed. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S, memory: &Memory) -> Result<(), Problem> {
        for (endpoint, health) in &self.changed {
            let stored = memory.health.get(endpoint);
            match health {
                Some(health) if health.differs(stored) => health.write(sql, *endpoint)?,
                None if stored.is_some() => Health::delete(sql, *endpoint)?,
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Takes it over, once it is stored.
    pub(crate) fn keep(self, memory: &mut Memory) {
        memory.samples.extend(self.samples);
        for (endpoint, health) in self.changed {
            match health {
                Some(health) => memory.health.insert(endpoint, health),
                None => memory.health.remove(&endpoint),
            };
        }
    }
}

/// Who wants to hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The plan.
    Scheduled,
    /// The plan, in a line that keeps its order.
    InOrder,
    /// A person: need not wait for a probe.
    Manual,
}

impl Memory {
    /// How this endpoint's deliveries leave. Whether it is proven must have been looked up before.
    pub(crate) fn manner(&self, endpoint: u32) -> Manner {
        let ordered = self
            .endpoints
            .get(&endpoint)
            .is_some_and(|endpoint| endpoint.config.ordering.is_some());
        match (ordered, self.proven.get(&endpoint)) {
            (true, _) => Manner::Ordered,
            (false, Some(true)) => Manner::Proven,
            (false, _) => Manner::Unproven,
        }
    }

    /// Lets one delivery pass all gates, or says which is closed. What passes has taken its token and its slot.
    pub(crate) fn admit(
        &mut self,
        endpoint: u32,
        wish: Wish,
        own_bytes: usize,
        now: Millis,
    ) -> Result<(), Hold> {
        let flight = self.flight(endpoint);
        flight.expire(now);
        // With nothing out there is no lease to wait for: then whatever holds is looked at again soon.
        let first_end = flight.first_end().unwrap_or(now.plus(1000));
        let empty = flight.is_empty();
        if let Some(health) = self.health.get(&endpoint) {
            if let Some(hold) = health.holds(wish, now) {
                return Err(hold);
            }
            // Half open: one probe, and nothing of the plan beside it.
            if health.opened > 0 && !empty && wish != Wish::Manual {
                return Err(Hold {
                    until: first_end,
                    reason: Reason::BreakerOpen,
                });
            }
        }
        if self.tokens(endpoint, now) == 0 {
            return Err(Hold {
                until: self.gate_opens_at(endpoint, now),
                reason: Reason::RateLimited,
            });
        }
        let manner = match wish {
            // Also where the order was given up and is kept to its end.
            Wish::InOrder => Manner::Ordered,
            Wish::Scheduled | Wish::Manual => self.manner(endpoint),
        };
        let full = Hold {
            until: first_end,
            reason: Reason::Capacity,
        };
        let slow = self.is_slow(endpoint) && self.slow_deliveries(now) >= self.gates.slow;
        let fixed = self
            .endpoints
            .get(&endpoint)
            .map_or(0, crate::handout::fixed_bytes);
        let flight = self.flight(endpoint);
        if slow || !flight.admit(manner, fixed, own_bytes) {
            return Err(full);
        }
        self.take_tokens(endpoint, 1);
        Ok(())
    }

    /// What of this tenant is out through the slow queue. An endpoint that nothing is handed out to any more has nobody
    /// else who lets its leases end.
    fn slow_deliveries(&mut self, now: Millis) -> usize {
        let proven = &self.proven;
        self.flights
            .iter_mut()
            .filter(|(endpoint, _)| proven.get(endpoint) != Some(&true))
            .map(|(_, flight)| {
                flight.expire(now);
                flight.deliveries()
            })
            .sum()
    }

    /// Whether it asks for a rate or an order.
    pub(crate) fn is_capped(&self, endpoint: u32) -> bool {
        let config = self.endpoints.get(&endpoint).map(|endpoint| &endpoint.config);
        self.settings.throttle_rate.is_some()
            || config.is_some_and(|config| config.throttle_rate.is_some() || config.ordering.is_some())
    }

    /// Whether its lanes go through the queue for endpoints that may keep others waiting.
    pub(crate) fn is_slow(&self, endpoint: u32) -> bool {
        self.proven.get(&endpoint) != Some(&true)
    }

    /// When the gate of an endpoint opens that is closed for its health.
    pub(crate) fn closed_until(&self, endpoint: u32, now: Millis) -> Option<Millis> {
        let health = self.health.get(&endpoint)?;
        (health.opens_at > now).then_some(health.opens_at)
    }

    /// Whether a slot of this endpoint may be free.
    pub(crate) fn has_room(&mut self, endpoint: u32, now: Millis) -> bool {
        let manner = self.manner(endpoint);
        let flight = self.flight(endpoint);
        flight.expire(now);
        flight.has_room(manner)
    }
}
