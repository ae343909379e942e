//! Lines that are behind: an endpoint that is held back has one row, however much waits; one that keeps an order has one
//! for each ordering key ([`crate::ordered`]).
//!
//! What waits is derived: every message from the cursor on that owes the endpoint something. A cursor moves only over
//! what has a delivery row, is cancelled or gone.

use std::collections::{BTreeMap, VecDeque};

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;

use crate::endpoint::Endpoint;
use crate::gate::{Hold, Reason, Wish};
use crate::handout::MessageToSend;
use crate::memory::Memory;
use crate::sql::{Sql, Value};
use crate::sweep::owes;
use crate::throttle::Bucket;
use crate::{Ledger, delivery};

/// Messages looked at in one slice.
const SLICE: usize = 2000;

/// Hand-outs of one slice at the most.
const HANDOUTS: usize = 256;

/// What stands as the reason of a line that is caught up.
const DIRECT: &str = "open";

/// An endpoint's number, and the line's key: empty for the one that keeps no order.
pub(crate) type LineKey = (u32, String);

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) endpoint: u32,
    pub(crate) key: String,
    /// All before it has a delivery row, is cancelled or gone.
    pub(crate) cursor: u64,
    /// End of what was handed out.
    pub(crate) handed: u64,
    /// The latest lease over its hand-outs; 0: none is out.
    pub(crate) until: Millis,
    /// When the gate opens.
    pub(crate) opens_at: Millis,
    pub(crate) reason: Reason,
    /// It is caught up, and messages leave at their accept again: what came after `handed` as it is stored may be out. A
    /// line that is not so holds all of that back.
    pub(crate) direct: bool,
    /// It has a row. Without one it is the head of an ordered line, out since its accept.
    pub(crate) stored: bool,
    /// Ends of hand-outs with their leases, oldest first; in memory only. While a line moves, its latest lease never
    /// ends: what was lost is found by the lease of its own. After an eviction `until` stands for what is not here.
    pub(crate) out: VecDeque<(u64, Millis)>,
}

impl Line {
    /// A line that begins with this message, which is held back.
    pub(crate) fn begin(endpoint: u32, key: String, sequence: u64, hold: Hold) -> Self {
        Self {
            endpoint,
            key,
            cursor: sequence,
            handed: sequence,
            until: Millis(0),
            opens_at: hold.until,
            reason: hold.reason,
            direct: false,
            stored: true,
            out: VecDeque::new(),
        }
    }

    /// The head of an ordered line, which is out since its accept and has no row.
    pub(crate) fn out_since_accept(endpoint: u32, key: String, sequence: u64, until: Millis) -> Self {
        Self {
            endpoint,
            key,
            cursor: sequence,
            handed: sequence + 1,
            until,
            opens_at: until,
            reason: Reason::Ordering,
            direct: false,
            stored: false,
            out: VecDeque::new(),
        }
    }

    /// When the hand-out of a message that is out ends.
    fn lease_of(&self, sequence: u64) -> Millis {
        self.out
            .iter()
            .find(|(end, _)| sequence < *end)
            .map_or(self.until, |(_, until)| *until)
    }

    /// One more message of this line was handed out.
    pub(crate) fn hands_out(&mut self, sequence: u64, until: Millis) {
        self.handed = sequence + 1;
        self.until = self.until.max(until);
        match self.out.back_mut() {
            Some((end, lease)) if *lease == self.until => *end = self.handed,
            _ => self.out.push_back((self.handed, self.until)),
        }
    }

    pub(crate) fn id(&self) -> LineKey {
        (self.endpoint, self.key.clone())
    }

    pub(crate) fn insert<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let values = [
            self.endpoint.into(),
            self.key.as_str().into(),
            self.cursor.into(),
            self.handed.into(),
            self.until.into(),
            self.opens_at.into(),
            Value::from(if self.direct { DIRECT } else { self.reason.as_str() }),
        ];
        sql.run(
            "INSERT OR REPLACE INTO backlog VALUES (?, ?, ?, ?, ?, ?, ?)",
            &values,
        )?;
        Ok(())
    }

    pub(crate) fn delete<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        sql.run(
            "DELETE FROM backlog WHERE endpoint = ? AND line = ?",
            &[self.endpoint.into(), self.key.as_str().into()],
        )?;
        Ok(())
    }
}

impl Memory {
    /// How many deliveries to this endpoint may go now.
    pub(crate) fn tokens(&mut self, endpoint: u32, now: Millis) -> u64 {
        let of_endpoint = self
            .bucket(endpoint, now)
            .map_or(u64::MAX, |bucket| bucket.available(now));
        of_endpoint.min(
            self.own_bucket(now)
                .map_or(u64::MAX, |bucket| bucket.available(now)),
        )
    }

    /// Takes tokens that [`Memory::tokens`] showed.
    pub(crate) fn take_tokens(&mut self, endpoint: u32, tokens: u64) {
        if let Some(bucket) = self.buckets.get_mut(&endpoint) {
            bucket.take(tokens);
        }
        if let Some(bucket) = &mut self.tenant_bucket {
            bucket.take(tokens);
        }
    }

    /// When there are tokens again.
    pub(crate) fn gate_opens_at(&mut self, endpoint: u32, now: Millis) -> Millis {
        let of_endpoint = self
            .bucket(endpoint, now)
            .map_or(now, |bucket| bucket.opens_at(now));
        of_endpoint.max(self.own_bucket(now).map_or(now, |bucket| bucket.opens_at(now)))
    }

    fn bucket(&mut self, endpoint: u32, now: Millis) -> Option<&mut Bucket> {
        let Some(rate) = self.endpoints.get(&endpoint).and_then(|e| e.config.throttle_rate) else {
            self.buckets.remove(&endpoint);
            return None;
        };
        let bucket = self
            .buckets
            .entry(endpoint)
            .or_insert_with(|| Bucket::empty(rate, now));
        if bucket.rate() != rate {
            *bucket = Bucket::empty(rate, now);
        }
        Some(bucket)
    }

    fn own_bucket(&mut self, now: Millis) -> Option<&mut Bucket> {
        let rate = self.settings.throttle_rate?;
        Some(self.tenant_bucket.get_or_insert_with(|| Bucket::empty(rate, now)))
    }

    /// Something changed for this endpoint: its lines and what is parked are looked at with the next alarm. Answers
    /// whether anything waits.
    pub(crate) fn rouse(&mut self, endpoint: u32, now: Millis) -> bool {
        let mut waits = false;
        for line in self.lines_of(endpoint) {
            line.opens_at = line.opens_at.min(now);
            waits |= line.stored;
        }
        if let Some(at) = self.parked.get_mut(&endpoint) {
            *at = now;
            waits = true;
        }
        waits
    }

    /// The lines of one endpoint.
    pub(crate) fn lines_of(&mut self, endpoint: u32) -> impl Iterator<Item = &mut Line> {
        self.lines
            .range_mut((endpoint, String::new())..)
            .take_while(move |((of, _), _)| *of == endpoint)
            .map(|(_, line)| line)
    }
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_lines(&self) -> Result<BTreeMap<LineKey, Line>, Problem> {
        let statement = "SELECT endpoint, line, cursor, handed, until, reason FROM backlog";
        let mut lines = BTreeMap::new();
        for row in self.sql.rows(statement, &[])? {
            let line = Line {
                endpoint: row.small(0)?,
                key: row.text(1)?,
                cursor: row.number(2)?,
                handed: row.number(3)?,
                until: row.time(4)?,
                opens_at: Millis(0), // what is not stored was forgotten: looked at with the next alarm
                reason: Reason::read(&row.text(5)?),
                direct: row.text(5)? == DIRECT,
                stored: true,
                out: VecDeque::new(),
            };
            lines.insert(line.id(), line);
        }
        Ok(lines)
    }

    /// Moves every line whose gate is open or whose lease is over. The one that stands at the oldest message goes first:
    /// lines of one endpoint share its tokens, and none of them may always come too late for one.
    pub(crate) fn advance_lines(&mut self, now: Millis) -> Result<(), Problem> {
        let mut ready: Vec<Line> = self
            .memory()?
            .lines
            .values()
            .filter(|line| line.stored && line.opens_at <= now)
            .cloned()
            .collect();
        ready.sort_by_key(|line| line.cursor);
        for line in ready {
            self.advance(line, now)?;
        }
        Ok(())
    }

    /// Moves one line, as far as it goes now.
    pub(crate) fn advance(&mut self, line: Line, now: Millis) -> Result<(), Problem> {
        if line.key.is_empty() {
            self.advance_unordered(line, now)
        } else {
            self.advance_ordered(line, now)
        }
    }

    fn advance_unordered(&mut self, mut line: Line, now: Millis) -> Result<(), Problem> {
        let lease = self.settings.lease_ms;
        let before = line.clone();
        let lost = self.settle(&mut line, now)?;
        let settled = line.cursor == line.handed;
        let (next, hold) = self.pick(&mut line, now)?;
        if settled && next.is_empty() {
            line.cursor = line.handed;
        }
        let memory = self.memory()?;
        let on = memory.endpoints.get(&line.endpoint).is_some_and(Endpoint::is_on);
        let caught_up = line.handed > memory.last_sequence;
        // Caught up, or its endpoint is off, and nothing is out any more: the line ends.
        let done = line.cursor == line.handed && (caught_up || !on);
        line.opens_at = match hold {
            Some(_) if !self.settings.rules.gates_open_later => now,
            Some(hold) if on && !caught_up => hold.until,
            None if on && !caught_up => now, // a slice is done, and there is more
            // Nothing to hand out: the first lease that ends is next, but not one wake-up for each.
            _ => line.lease_of(line.cursor).max(now.plus(lease / 4)),
        };
        line.opens_at = line.opens_at.max(now.plus(1)); // never in the past: the alarm would spin
        if let Some(hold) = hold {
            line.reason = hold.reason;
        }
        // The cursor may lag in storage: that costs a second look after an eviction, and spares a row for each result.
        let moved = line.handed != before.handed || line.reason != before.reason;
        if done || moved || !lost.is_empty() {
            let lost_is_one = self.settings.rules.lost_is_one;
            if !lost_is_one {
                for (segment, sequence) in &lost {
                    delivery::insert_lost(&self.sql, *segment, line.endpoint, *sequence, now)?;
                }
            }
            self.sql.atomic(|sql| {
                for (segment, sequence) in &lost {
                    if lost_is_one {
                        delivery::insert_lost(sql, *segment, line.endpoint, *sequence, now)?;
                    }
                    insert_due(sql, now, line.endpoint, *sequence)?;
                }
                if done { line.delete(sql) } else { line.insert(sql) }
            })?;
        }
        let memory = self.memory()?;
        let outgoing: Vec<_> = next
            .iter()
            .map(|message| memory.hand_out(line.endpoint, None, message, line.until, Trigger::Scheduled, now))
            .collect();
        if done {
            memory.lines.remove(&line.id());
        } else {
            memory.lines.insert(line.id(), line);
        }
        self.outbox.extend(outgoing);
        Ok(())
    }

    /// What goes now: the next that are owed behind what was handed out, as many as the gates let pass. Says which held.
    fn pick(&mut self, line: &mut Line, now: Millis) -> Result<(Vec<MessageToSend>, Option<Hold>), Problem> {
        let until = now.plus(self.settings.lease_ms);
        self.is_proven(line.endpoint)?;
        let memory = self.memory()?;
        let last = memory.last_sequence;
        let mut next = Vec::new();
        if !memory.endpoints.get(&line.endpoint).is_some_and(Endpoint::is_on) || line.handed > last {
            return Ok((next, None));
        }
        let mut looked = 0;
        while next.len() < HANDOUTS && line.handed <= last && looked < SLICE {
            let rows = self.owed_between(line.handed, last, SLICE)?;
            if rows.is_empty() {
                line.handed = last + 1;
            }
            for row in rows {
                if next.len() == HANDOUTS {
                    break;
                }
                looked += 1;
                let wanted = row.open
                    && owes(&row.owed, line.endpoint)
                    && !self.keeps_order(line.endpoint, row.sequence)?
                    && !self.is_cancelled(line.endpoint, row.sequence)?
                    && !delivery::exists(&self.sql, row.segment, line.endpoint, row.sequence)?;
                if wanted {
                    // It may have left at its accept, before an eviction.
                    let out = self.memory()?.flights.get(&line.endpoint);
                    if let Some(until) = out.and_then(|flight| flight.lease_of(row.sequence, now)) {
                        let reason = Reason::Capacity;
                        return Ok((next, Some(Hold { until, reason })));
                    }
                    let Some(message) = MessageToSend::read(&self.sql, row.segment, row.sequence)? else {
                        line.handed = row.sequence + 1;
                        continue;
                    };
                    let admitted = self
                        .memory()?
                        .admit(line.endpoint, Wish::Scheduled, message.bytes(), now);
                    if let Err(hold) = admitted {
                        return Ok((next, Some(hold)));
                    }
                    // It has no result of the plan yet, but may have been tried by hand.
                    self.goes_above(row.segment, line.endpoint, row.sequence, None)?;
                    line.hands_out(row.sequence, until);
                    let flight = self.memory()?.flight(line.endpoint);
                    flight.gathers(row.sequence, line.until);
                    next.push(message);
                } else {
                    line.handed = row.sequence + 1;
                    if let Some((end, _)) = line.out.back_mut() {
                        *end = line.handed;
                    }
                }
            }
        }
        Ok((next, None))
    }

    /// Whether a message stands in a line that keeps its order.
    pub(crate) fn keeps_order(&mut self, endpoint: u32, sequence: u64) -> Result<bool, Problem> {
        let endpoint = self.memory()?.endpoints.get(&endpoint);
        Ok(endpoint.is_some_and(|endpoint| endpoint.keeps_order_of(sequence)))
    }

    /// Moves the cursor over what is settled. What has no row when its lease is over was lost: it is answered, to go on
    /// from `due`.
    fn settle(&mut self, line: &mut Line, now: Millis) -> Result<Vec<(u64, u64)>, Problem> {
        let mut lost = Vec::new();
        while line.cursor < line.handed {
            let rows = self.owed_between(line.cursor, line.handed - 1, SLICE)?;
            if rows.is_empty() {
                line.cursor = line.handed;
            }
            for row in rows {
                let settled = !row.open
                    || !owes(&row.owed, line.endpoint)
                    || self.keeps_order(line.endpoint, row.sequence)?
                    || delivery::exists(&self.sql, row.segment, line.endpoint, row.sequence)?;
                // What was cancelled keeps its slot, and with it the line its row, until its lease is over.
                if !settled && self.settings.rules.cursor_waits {
                    if now < line.lease_of(row.sequence) {
                        return Ok(lost);
                    }
                    if !self.is_cancelled(line.endpoint, row.sequence)? {
                        lost.push((row.segment, row.sequence));
                    }
                }
                line.cursor = row.sequence + 1;
                while line.out.front().is_some_and(|(end, _)| *end <= line.cursor) {
                    line.out.pop_front();
                }
            }
        }
        line.out.clear();
        Ok(lost)
    }
}

/// Puts a delivery among those that are handed out at a time.
pub(crate) fn insert_due<S: Sql>(sql: &S, at: Millis, endpoint: u32, sequence: u64) -> Result<(), Problem> {
    let values = [at.into(), endpoint.into(), sequence.into()];
    sql.run(
        "INSERT OR REPLACE INTO due VALUES (?, ?, ?, 0, NULL, NULL)",
        &values,
    )?;
    Ok(())
}
