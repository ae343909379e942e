//! Segments: messages, deliveries and attempts of one stretch of time, dropped whole; and generations of dedupe keys.

use postern_domain::id::TenantId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::memory::Memory;
use crate::size::Fullness;
use crate::sql::{Row, Sql, Value};
use crate::{Garbage, Ledger, schema};

/// Parts that the retention is cut into: a message is kept for the retention, and at most an eighth longer.
const PARTS: u64 = 8;

/// Dedupe keys are kept this long at least: the longest horizon over which a provider repeats itself.
const KEYS_KEPT_MS: u64 = 8 * Millis::DAY;

/// One segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) opened_at: Millis,
    pub(crate) size_before: i64,
    pub(crate) closed_at: Option<Millis>,
    /// Of its last message. `None`: it is the newest, or has none.
    pub(crate) last_time: Option<Millis>,
}

/// One generation of keys.
#[derive(Debug, Clone)]
pub(crate) struct KeyGeneration {
    pub(crate) number: u64,
    pub(crate) opened_at: Millis,
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_segments(&self) -> Result<Vec<Segment>, Problem> {
        let statement =
            "SELECT number, first, opened_at, size_before, closed_at FROM segment ORDER BY number";
        let read = |row: Row| {
            Ok(Segment {
                number: row.number(0)?,
                first: row.number(1)?,
                opened_at: row.time(2)?,
                size_before: row.int(3)?,
                closed_at: row.maybe(4, Row::time)?,
                last_time: None,
            })
        };
        let mut segments: Vec<Segment> = self
            .sql
            .rows(statement, &[])?
            .into_iter()
            .map(read)
            .collect::<Result<_, Problem>>()?;
        let ends: Vec<u64> = segments.iter().skip(1).map(|next| next.first - 1).collect();
        for (segment, end) in segments.iter_mut().zip(ends) {
            let statement = format!("SELECT time FROM message_{} WHERE sequence = ?", segment.number);
            segment.last_time = self
                .sql
                .row(&statement, &[end.into()])?
                .map(|row| row.time(0))
                .transpose()?;
        }
        Ok(segments)
    }

    pub(crate) fn read_key_generations(&self) -> Result<Vec<KeyGeneration>, Problem> {
        let statement = "SELECT number, opened_at FROM key_generation ORDER BY number";
        let read = |row: Row| {
            Ok(KeyGeneration {
                number: row.number(0)?,
                opened_at: row.time(1)?,
            })
        };
        self.sql.rows(statement, &[])?.into_iter().map(read).collect()
    }

    /// Opens a new segment and a new generation of keys where the last is old or large enough. Before an accept, so
    /// that the newest segment is where the message goes.
    pub(crate) fn roll(&mut self, now: Millis) -> Result<(), Problem> {
        self.memory()?;
        let (part, most) = (self.retention_ms() / PARTS, self.settings.segment_bytes);
        let keys_part = self.keys_kept_ms() / PARTS;
        let size = i64::try_from(self.sql.size()).map_err(Problem::internal)?;
        let memory = self.memory()?;
        let newest = memory
            .segments
            .last()
            .ok_or_else(|| Problem::internal("no segment"))?;
        let used = memory.last_sequence >= newest.first;
        let large = size.saturating_sub(newest.size_before) >= i64::try_from(most).unwrap_or(i64::MAX);
        let segment = (used && (large || now.since(newest.opened_at) >= part)).then(|| Segment {
            number: newest.number + 1,
            first: memory.last_sequence + 1,
            opened_at: now,
            size_before: size,
            closed_at: None,
            last_time: None,
        });
        let keys = memory
            .key_generations
            .last()
            .ok_or_else(|| Problem::internal("no generation of keys"))?;
        let keys = (now.since(keys.opened_at) >= keys_part).then(|| KeyGeneration {
            number: keys.number + 1,
            opened_at: now,
        });
        if segment.is_none() && keys.is_none() {
            return Ok(());
        }
        self.sql.atomic(|sql| {
            if let Some(segment) = &segment {
                let values = [
                    segment.number.into(),
                    segment.first.into(),
                    now.into(),
                    Value::Int(segment.size_before),
                ];
                sql.run("INSERT INTO segment VALUES (?, ?, ?, ?, NULL)", &values)?;
                schema::create_segment(sql, segment.number)?;
            }
            if let Some(keys) = &keys {
                sql.run(
                    "INSERT INTO key_generation VALUES (?, ?)",
                    &[keys.number.into(), now.into()],
                )?;
                schema::create_keys(sql, keys.number)?;
            }
            Ok(())
        })?;
        let memory = self.memory()?;
        if let (Some(_), Some(newest)) = (&segment, memory.segments.last_mut()) {
            newest.last_time = Some(memory.last_time);
        }
        memory.segments.extend(segment);
        memory.key_generations.extend(keys);
        Ok(())
    }

    /// How long messages are kept: as the tenant chose, else as the deployment says. Asked where the memory is there.
    pub(crate) fn retention_ms(&self) -> u64 {
        let own = self
            .memory
            .as_ref()
            .and_then(|memory| memory.settings.retention_days);
        own.map_or(self.settings.retention_ms, |days| u64::from(days) * Millis::DAY)
    }

    fn keys_kept_ms(&self) -> u64 {
        self.retention_ms().max(KEYS_KEPT_MS)
    }

    /// When retention has something to do next.
    pub(crate) fn retention_at(&self, memory: &Memory) -> Option<Millis> {
        let closing = memory
            .segments
            .iter()
            .filter_map(|s| s.closed_at)
            .map(|at| at.plus(self.drop_after_ms()));
        let oldest = memory
            .segments
            .iter()
            .position(|segment| segment.closed_at.is_none());
        let ages = oldest
            .and_then(|at| last_time_of(memory, at))
            .map(|time| time.plus(self.retention_ms()));
        let keys = memory
            .key_generations
            .get(1)
            .map(|next| next.opened_at.plus(self.keys_kept_ms()));
        closing.chain(ages).chain(keys).min()
    }

    /// Whether the oldest segment has to go early. One at a time: whether that was enough shows when it is gone.
    pub(crate) fn must_shorten(&self, memory: &Memory) -> bool {
        let full = matches!(self.fullness(), Fullness::Shortening | Fullness::Refusing);
        full && memory.segments.len() > 1 && memory.segments.iter().all(|segment| segment.closed_at.is_none())
    }

    /// A lease can end this long after the last hand-out; a little more, for clocks.
    fn drop_after_ms(&self) -> u64 {
        if self.settings.rules.segments_close {
            self.settings.lease_ms + 1000
        } else {
            0
        }
    }

    /// Closes what is older than the retention, and drops what was closed and has no lease out any more. Dropping costs
    /// no billed rows.
    pub(crate) fn retain(&mut self, now: Millis) -> Result<(), Problem> {
        self.memory()?;
        let retention = self.retention_ms();
        let drop_after = self.drop_after_ms();
        let memory = self.memory()?;
        // The newest one is where messages go: when its last message is old, a new one takes its place first.
        let newest = memory.segments.len().saturating_sub(1);
        let old =
            |memory: &Memory, at| last_time_of(memory, at).is_some_and(|time| now.since(time) >= retention);
        if old(memory, newest) {
            self.roll(now)?;
        }
        let memory = self.memory()?;
        let last = memory.segments.len().saturating_sub(1);
        let mut close: Vec<u64> = (0..last)
            .filter(|at| memory.segments.get(*at).is_some_and(|s| s.closed_at.is_none()) && old(memory, *at))
            .filter_map(|at| memory.segments.get(at).map(|segment| segment.number))
            .collect();
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        if close.is_empty() && self.must_shorten(memory) {
            // Too full: the oldest segment goes early, and the log says so.
            if let Some(number) = memory.segments.first().map(|segment| segment.number) {
                close.push(number);
                self.notice(
                    "retention_shortened",
                    format!("segment {number} goes early: the ledger is filling"),
                );
            }
        }
        for number in close {
            self.sql.run(
                "UPDATE segment SET closed_at = ? WHERE number = ?",
                &[now.into(), number.into()],
            )?;
            for segment in &mut self.memory()?.segments {
                if segment.number == number {
                    segment.closed_at = Some(now);
                }
            }
            // What waits for something in it waits no longer.
            for line in self.memory()?.lines.values_mut() {
                line.opens_at = line.opens_at.min(now);
            }
        }
        let done: Vec<u64> = self
            .memory()?
            .segments
            .iter()
            .filter(|segment| segment.closed_at.is_some_and(|at| now.since(at) >= drop_after))
            .map(|segment| segment.number)
            .collect();
        for number in done {
            self.drop_segment(number)?;
        }
        self.drop_old_keys(now)
    }

    fn drop_segment(&mut self, number: u64) -> Result<(), Problem> {
        let before = self.sql.size();
        self.sql.atomic(|sql| {
            schema::drop_segment(sql, number)?;
            sql.run("DELETE FROM segment WHERE number = ?", &[number.into()])?;
            Ok(())
        })?;
        // The newest segment's own size is what the storage grew by since it was opened: what went is not its shrinking.
        let freed = i64::try_from(before.saturating_sub(self.sql.size())).unwrap_or(0);
        let memory = self.memory()?;
        memory.segments.retain(|segment| segment.number != number);
        let oldest = memory.segments.first().map_or(0, |segment| segment.first);
        memory.mark = memory.mark.max(oldest.saturating_sub(1));
        if let Some(newest) = memory.segments.last_mut() {
            newest.size_before -= freed;
            let values = [Value::Int(newest.size_before), newest.number.into()];
            self.sql
                .run("UPDATE segment SET size_before = ? WHERE number = ?", &values)?;
        }
        self.drop_received(oldest)?;
        self.drop_bodies()?;
        self.bury_endpoints(oldest)
    }

    /// Bodies in the bucket that came before the oldest segment was opened are nobody's any more.
    fn drop_bodies(&mut self) -> Result<(), Problem> {
        let memory = self.memory()?;
        let opened_at = memory.segments.first().map(|segment| segment.opened_at);
        let tenant = memory.tenant;
        self.garbage
            .extend(opened_at.map(|time| Garbage::Before(tenant, time)));
        Ok(())
    }

    /// All of them: the tenant is gone.
    pub(crate) fn drop_all_bodies(&mut self, tenant: TenantId) {
        self.garbage.push(Garbage::Before(tenant, Millis(u64::MAX)));
    }

    fn drop_old_keys(&mut self, now: Millis) -> Result<(), Problem> {
        let kept = self.keys_kept_ms();
        let memory = self.memory()?;
        let ends = memory
            .key_generations
            .iter()
            .zip(memory.key_generations.iter().skip(1));
        let old: Vec<u64> = ends
            .filter(|(_, next)| now.since(next.opened_at) >= kept)
            .map(|(generation, _)| generation.number)
            .collect();
        for number in old {
            self.sql.atomic(|sql| {
                schema::drop_keys(sql, number)?;
                sql.run("DELETE FROM key_generation WHERE number = ?", &[number.into()])?;
                Ok(())
            })?;
            self.memory()?
                .key_generations
                .retain(|generation| generation.number != number);
        }
        Ok(())
    }
}

/// The time of a segment's last message. `None`: it has no message.
fn last_time_of(memory: &Memory, at: usize) -> Option<Millis> {
    let segment = memory.segments.get(at)?;
    let newest = at + 1 == memory.segments.len();
    let own = (newest && memory.last_sequence >= segment.first).then_some(memory.last_time);
    segment.last_time.or(own)
}
