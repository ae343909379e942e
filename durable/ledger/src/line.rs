//! Lines that are behind: an endpoint (later: an ordering key) that is held back has one row, however much waits.
//!
//! What waits is derived: every message from the cursor on that owes the endpoint something. A cursor moves only over
//! what has a delivery row, is cancelled or gone.

use std::collections::{BTreeMap, VecDeque};

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;

use crate::endpoint::Endpoint;
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

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) endpoint: u32,
    /// All before it has a delivery row, is cancelled or gone.
    pub(crate) cursor: u64,
    /// End of what was handed out.
    pub(crate) handed: u64,
    /// The latest lease over its hand-outs; 0: none is out.
    pub(crate) until: Millis,
    /// When the gate opens.
    pub(crate) opens_at: Millis,
    pub(crate) reason: String,
    /// Ends of hand-outs with their leases, oldest first; in memory only. While a line moves, its latest lease never
    /// ends: what was lost is found by the lease of its own. After an eviction `until` stands for what is not here.
    pub(crate) out: VecDeque<(u64, Millis)>,
}

impl Line {
    /// A line that begins with this message.
    pub(crate) fn begin(endpoint: u32, sequence: u64, opens_at: Millis) -> Self {
        let reason = "rate_limited".to_owned();
        let out = VecDeque::new();
        Self {
            endpoint,
            cursor: sequence,
            handed: sequence,
            until: Millis(0),
            opens_at,
            reason,
            out,
        }
    }

    /// When the hand-out of a message that is out ends.
    fn lease_of(&self, sequence: u64) -> Millis {
        self.out
            .iter()
            .find(|(end, _)| sequence < *end)
            .map_or(self.until, |(_, until)| *until)
    }

    pub(crate) fn insert<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let values = [
            self.endpoint.into(),
            self.cursor.into(),
            self.handed.into(),
            self.until.into(),
            self.opens_at.into(),
            Value::from(self.reason.as_str()),
        ];
        sql.run(
            "INSERT OR REPLACE INTO backlog VALUES (?, '', ?, ?, ?, ?, ?)",
            &values,
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

    /// When a closed gate opens.
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
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_lines(&self) -> Result<BTreeMap<u32, Line>, Problem> {
        let statement = "SELECT endpoint, cursor, handed, until, reason FROM backlog";
        let mut lines = BTreeMap::new();
        for row in self.sql.rows(statement, &[])? {
            let line = Line {
                endpoint: row.small(0)?,
                cursor: row.number(1)?,
                handed: row.number(2)?,
                until: row.time(3)?,
                opens_at: Millis(0), // the buckets were forgotten: looked at with the next alarm
                reason: row.text(4)?,
                out: VecDeque::new(),
            };
            lines.insert(line.endpoint, line);
        }
        Ok(lines)
    }

    /// Moves every line whose gate is open or whose lease is over.
    pub(crate) fn advance_lines(&mut self, now: Millis) -> Result<(), Problem> {
        let ready: Vec<Line> = self
            .memory()?
            .lines
            .values()
            .filter(|line| line.opens_at <= now)
            .cloned()
            .collect();
        for line in ready {
            self.advance(line, now)?;
        }
        Ok(())
    }

    fn advance(&mut self, mut line: Line, now: Millis) -> Result<(), Problem> {
        let lease = self.settings.lease_ms;
        let lost = self.settle(&mut line, now)?;
        let settled = line.cursor == line.handed;
        let next = self.pick(&mut line, now)?;
        if settled && next.is_empty() {
            line.cursor = line.handed;
        }
        let memory = self.memory()?;
        let on = memory.endpoints.get(&line.endpoint).is_some_and(Endpoint::is_on);
        let caught_up = line.handed > memory.last_sequence;
        // Caught up, or its endpoint is off, and nothing is out any more: the line ends.
        let done = line.cursor == line.handed && (caught_up || !on);
        // Nothing to hand out: the first lease that ends is next, but not one wake-up for each.
        let lease_over = line.lease_of(line.cursor).max(now.plus(lease / 4));
        line.opens_at = if on && !caught_up {
            memory.gate_opens_at(line.endpoint, now)
        } else {
            lease_over
        };
        line.opens_at = line.opens_at.max(now.plus(1)); // never in the past: the alarm would spin
        self.sql.atomic(|sql| {
            for (segment, sequence) in &lost {
                delivery::insert_lost(sql, *segment, line.endpoint, *sequence, now)?;
                insert_due(sql, now, line.endpoint, *sequence)?;
            }
            if done {
                sql.run(
                    "DELETE FROM backlog WHERE endpoint = ? AND line = ''",
                    &[line.endpoint.into()],
                )?;
                Ok(())
            } else {
                line.insert(sql)
            }
        })?;
        let memory = self.memory()?;
        let outgoing: Vec<_> = next
            .iter()
            .map(|message| memory.hand_out(line.endpoint, message, line.until, Trigger::Scheduled, now))
            .collect();
        if done {
            memory.lines.remove(&line.endpoint);
        } else {
            memory.lines.insert(line.endpoint, line);
        }
        self.outbox.extend(outgoing);
        Ok(())
    }

    /// What goes now: the next that are owed behind what was handed out, as many as there are tokens.
    fn pick(&mut self, line: &mut Line, now: Millis) -> Result<Vec<MessageToSend>, Problem> {
        let lease = self.settings.lease_ms;
        let memory = self.memory()?;
        let last = memory.last_sequence;
        if !memory.endpoints.get(&line.endpoint).is_some_and(Endpoint::is_on) {
            return Ok(Vec::new());
        }
        let tokens = usize::try_from(memory.tokens(line.endpoint, now))
            .unwrap_or(usize::MAX)
            .min(HANDOUTS);
        let mut next = Vec::new();
        let mut looked = 0;
        while next.len() < tokens && line.handed <= last && looked < SLICE {
            let rows = self.owed_between(line.handed, last, SLICE)?;
            if rows.is_empty() {
                line.handed = last + 1;
            }
            for row in rows {
                if next.len() == tokens {
                    break;
                }
                looked += 1;
                line.handed = row.sequence + 1;
                let open = row.open && owes(&row.owed, line.endpoint);
                if open
                    && !self.is_cancelled(line.endpoint, row.sequence)?
                    && !delivery::exists(&self.sql, row.segment, line.endpoint, row.sequence)?
                {
                    next.extend(MessageToSend::read(&self.sql, row.segment, row.sequence)?);
                }
            }
        }
        if !next.is_empty() {
            line.until = now.plus(lease);
            line.out.push_back((line.handed, line.until));
            self.memory()?.take_tokens(line.endpoint, next.len() as u64);
        }
        Ok(next)
    }

    /// Moves the cursor over what is settled. What has no row when its lease is over was lost: it is answered, to go on from `due`.
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
                    || self.is_cancelled(line.endpoint, row.sequence)?
                    || delivery::exists(&self.sql, row.segment, line.endpoint, row.sequence)?;
                if !settled {
                    if now < line.lease_of(row.sequence) {
                        return Ok(lost);
                    }
                    lost.push((row.segment, row.sequence));
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
