//! The low-water mark: every (message, endpoint) at or below it has a delivery row, lies in its endpoint's line, or is
//! cancelled. The sweep moves it on, and finds what was handed out at accept and never answered.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::gate::{Hold, Reason};
use crate::line::{Line, LineKey, insert_due};
use crate::memory::Memory;
use crate::sql::Sql;
use crate::{Ledger, delivery};

/// Messages of one slice. Rows of a slice and the mark are one transaction.
const SLICE: usize = 1000;

/// The mark is stored when it moved this far; until then a restart looks a second time, which costs reads only.
const STORE_EVERY: u64 = 64;

/// A message as far as the question goes what it owes.
#[derive(Debug, Clone)]
pub(crate) struct OwedRow {
    pub(crate) sequence: u64,
    pub(crate) time: Millis,
    pub(crate) owed: String,
    pub(crate) segment: u64,
    /// Its segment is not about to be dropped.
    pub(crate) open: bool,
}

/// The endpoints that a message was decided for at accept.
pub(crate) fn owed_to(owed: &str) -> impl Iterator<Item = u32> + '_ {
    owed.split(',').filter_map(|number| number.parse().ok())
}

/// Whether a message was decided for this endpoint.
pub(crate) fn owes(owed: &str, endpoint: u32) -> bool {
    owed_to(owed).any(|number| number == endpoint)
}

fn store_mark<S: Sql>(sql: &S, mark: u64) -> Result<(), Problem> {
    let statement = "INSERT INTO meta VALUES ('mark', ?) ON CONFLICT DO UPDATE SET value = excluded.value";
    sql.run(statement, &[mark.into()])?;
    Ok(())
}

impl Memory {
    /// Whether what is owed to an endpoint at this message was cancelled by disable or delete.
    pub(crate) fn cancelled(&self, endpoint: u32, sequence: u64) -> bool {
        self.endpoints
            .get(&endpoint)
            .is_none_or(|endpoint| sequence <= endpoint.cancelled_through)
    }
}

impl<S: Sql> Ledger<S> {
    /// The same, with the rule that can be switched off.
    pub(crate) fn is_cancelled(&mut self, endpoint: u32, sequence: u64) -> Result<bool, Problem> {
        let on = self.settings.rules.cancel;
        let memory = self.memory()?;
        Ok(memory.cancelled(endpoint, sequence) && (on || !memory.endpoints.contains_key(&endpoint)))
    }

    /// Messages from `from` through `to`, oldest first, over all segments that are there.
    pub(crate) fn owed_between(&mut self, from: u64, to: u64, limit: usize) -> Result<Vec<OwedRow>, Problem> {
        let memory = self.memory()?;
        let first = memory
            .segments
            .partition_point(|segment| segment.first <= from)
            .saturating_sub(1);
        let segments: Vec<(u64, bool)> = memory
            .segments
            .iter()
            .skip(first)
            .filter(|segment| segment.first <= to)
            .map(|segment| (segment.number, segment.closed_at.is_none()))
            .collect();
        let mut found = Vec::new();
        for (segment, open) in segments {
            let statement = format!(
                "SELECT sequence, time, owed FROM message_{segment} WHERE sequence >= ? AND sequence <= ? \
                 ORDER BY sequence LIMIT ?"
            );
            let rest = (limit - found.len()) as u64;
            for row in self
                .sql
                .rows(&statement, &[from.into(), to.into(), rest.into()])?
            {
                let (sequence, time, owed) = (row.number(0)?, row.time(1)?, row.text(2)?);
                found.push(OwedRow {
                    sequence,
                    time,
                    owed,
                    segment,
                    open,
                });
            }
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// Moves the mark over one slice. Answers whether more is ready.
    pub(crate) fn sweep(&mut self, now: Millis) -> Result<bool, Problem> {
        let lease = self.settings.lease_ms;
        let rules = self.settings.rules;
        let waits = rules.mark_waits;
        let memory = self.memory()?;
        let (mark, newest, stored) = (memory.mark, memory.last_sequence, memory.mark_stored);
        let rows = self.owed_between(mark + 1, newest, SLICE)?;
        let full = rows.len() == SLICE;
        let (mut moved, mut every, mut lost) = (mark, true, Vec::new());
        let mut heads: BTreeMap<LineKey, Line> = BTreeMap::new();
        for row in rows {
            if waits && row.time.plus(lease) > now {
                every = false;
                break;
            }
            for endpoint in owed_to(&row.owed) {
                if !row.open || !rules.lost_is_found || !self.is_lost(endpoint, &row)? {
                    continue;
                }
                if self.keeps_order(endpoint, row.sequence)? {
                    // It never uses `due`: what was lost is the head of its line again.
                    if let Some(head) = self.lost_head(endpoint, &row, now)? {
                        heads.entry(head.id()).or_insert(head);
                    }
                } else {
                    lost.push((row.segment, endpoint, row.sequence));
                }
            }
            moved = row.sequence;
        }
        if moved == mark {
            return Ok(false);
        }
        let found = lost.len() + heads.len();
        if found > 0 || moved - stored >= STORE_EVERY {
            if !rules.sweep_is_one {
                store_mark(&self.sql, moved)?;
            }
            if !rules.lost_is_one {
                for (segment, endpoint, sequence) in &lost {
                    delivery::insert_lost(&self.sql, *segment, *endpoint, *sequence, now)?;
                }
            }
            self.sql.atomic(|sql| {
                for line in heads.values() {
                    line.insert(sql)?;
                }
                for (segment, endpoint, sequence) in &lost {
                    if rules.lost_is_one {
                        delivery::insert_lost(sql, *segment, *endpoint, *sequence, now)?;
                    }
                    insert_due(sql, now, *endpoint, *sequence)?;
                }
                store_mark(sql, moved)
            })?;
            let memory = self.memory()?;
            memory.mark_stored = moved;
            memory.lines.extend(heads);
        }
        self.memory()?.mark = moved;
        if found > 0 {
            self.notice(
                "leases_lost",
                format!("{found} first hand-outs had no result in time"),
            );
        }
        Ok(full && every)
    }

    fn is_lost(&mut self, endpoint: u32, row: &OwedRow) -> Result<bool, Problem> {
        // What is polled was never handed out.
        if self.memory()?.is_polled(endpoint) || self.is_cancelled(endpoint, row.sequence)? {
            return Ok(false);
        }
        if !self.keeps_order(endpoint, row.sequence)? {
            let line = self.memory()?.lines.get(&(endpoint, String::new()));
            if line.is_some_and(|line| row.sequence >= line.cursor) {
                return Ok(false);
            }
        }
        Ok(!delivery::exists(&self.sql, row.segment, endpoint, row.sequence)?)
    }

    /// The line that a lost delivery is the head of, unless it stands in one that is stored.
    fn lost_head(&mut self, endpoint: u32, row: &OwedRow, now: Millis) -> Result<Option<Line>, Problem> {
        let key = self.line_key_of(endpoint, row.segment, row.sequence)?;
        let id = (endpoint, key);
        let hold = Hold {
            until: now,
            reason: Reason::Ordering,
        };
        Ok(match self.memory()?.lines.get(&id) {
            Some(line) if line.stored && line.cursor <= row.sequence => None,
            Some(line) => Some(Line {
                cursor: line.cursor.min(row.sequence),
                stored: true,
                opens_at: now,
                ..line.clone()
            }),
            None => Some(Line::begin(endpoint, id.1, row.sequence, hold)),
        })
    }

    /// When the sweep has something to do next: a quarter of a lease after the last look at the earliest, so that a busy
    /// ledger is not woken for each message.
    pub(crate) fn sweep_at(&mut self, now: Millis) -> Result<Option<Millis>, Problem> {
        let lease = self.settings.lease_ms;
        let memory = self.memory()?;
        let (from, last) = (memory.mark + 1, memory.last_sequence);
        let mut next = from;
        while next <= last {
            let rows = self.owed_between(next, last, SLICE)?;
            if let Some(row) = rows.iter().find(|row| !row.owed.is_empty()) {
                return Ok(Some(row.time.plus(lease).max(now.plus(lease / 4))));
            }
            next = rows.last().map_or(last, |row| row.sequence) + 1;
        }
        Ok(None)
    }
}
