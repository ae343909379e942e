//! Statistics: counters by hour, and what is not in them yet.
//!
//! The tables are the truth. A task of the alarm adds messages to the counters in slices, some thousands at a time, in
//! the order of their numbers and behind the low-water mark; what changes of such a message later is added in the
//! transaction that changes it ([`Moves`]). Whatever is newer is counted from the tables when somebody asks. So nothing
//! of it stands in memory only, no crash loses a count, and a message costs a small part of a row.
//!
//! Messages and deliveries are counted in the hour of the message, attempts in their own. Whole hours only. Counters
//! reach back as far as messages are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::reads::{
    AttemptCounts, AttemptStats, AttemptsCounted, DeliveryCounts, EndpointStats, Usage, Used,
};

use crate::Ledger;
use crate::delivery::{self, DeliveryRow, ROW_COLUMNS, standing};
use crate::memory::Memory;
use crate::sql::{Row, Sql, Value};
use crate::sweep::owed_to;

const HOUR: u64 = 3_600_000;

/// The counters that stand for all of the tenant.
const TENANT: u32 = 0;

/// So many messages are added to the counters at a time: with fewer, an hour's row would be written too often.
const SLICE: u64 = 2000;

/// Deliveries of a slice at the most.
const SLICE_DELIVERIES: usize = 20_000;

/// So many messages that are not in the counters are counted from the tables when somebody asks.
const TAIL: u64 = 50_000;

/// What one row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    messages: i64,
    pending: i64,
    waiting: i64,
    delivered: i64,
    failed: i64,
    cancelled: i64,
    attempts_succeeded: i64,
    attempts_failed: i64,
}

const COLUMNS: &str =
    "messages, pending, waiting, delivered, failed, cancelled, attempts_succeeded, attempts_failed";

impl Counts {
    fn of(status: DeliveryStatus, by: i64) -> Self {
        let mut counts = Self::default();
        match status {
            DeliveryStatus::Pending => counts.pending = by,
            DeliveryStatus::Waiting => counts.waiting = by,
            DeliveryStatus::Delivered => counts.delivered = by,
            DeliveryStatus::Failed => counts.failed = by,
            DeliveryStatus::Cancelled => counts.cancelled = by,
        }
        counts
    }

    fn of_attempt(succeeded: bool, by: i64) -> Self {
        let mut counts = Self::default();
        if succeeded {
            counts.attempts_succeeded = by;
        } else {
            counts.attempts_failed = by;
        }
        counts
    }

    const fn values(self) -> [i64; 8] {
        [
            self.messages,
            self.pending,
            self.waiting,
            self.delivered,
            self.failed,
            self.cancelled,
            self.attempts_succeeded,
            self.attempts_failed,
        ]
    }

    fn read(row: &Row, from: usize) -> Result<Self, Problem> {
        Ok(Self {
            messages: row.int(from)?,
            pending: row.int(from + 1)?,
            waiting: row.int(from + 2)?,
            delivered: row.int(from + 3)?,
            failed: row.int(from + 4)?,
            cancelled: row.int(from + 5)?,
            attempts_succeeded: row.int(from + 6)?,
            attempts_failed: row.int(from + 7)?,
        })
    }

    fn deliveries(self) -> DeliveryCounts {
        DeliveryCounts {
            pending: shown(self.pending),
            waiting: shown(self.waiting),
            delivered: shown(self.delivered),
            failed: shown(self.failed),
            cancelled: shown(self.cancelled),
        }
    }

    const fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.pending += other.pending;
        self.waiting += other.waiting;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        self.attempts_succeeded += other.attempts_succeeded;
        self.attempts_failed += other.attempts_failed;
    }
}

/// A release before this one may have changed deliveries without counting them: no count is shown as less than none.
fn shown(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Counts by endpoint, hour and type.
#[derive(Debug, Default)]
struct Table(BTreeMap<(u32, u64, String), Counts>);

impl Table {
    /// Counts it for the endpoint and for the tenant.
    fn add(&mut self, endpoint: u32, hour: u64, event_type: &str, counts: Counts) {
        for of in [endpoint, TENANT] {
            self.add_to(of, hour, event_type, counts);
        }
    }

    fn add_to(&mut self, endpoint: u32, hour: u64, event_type: &str, counts: Counts) {
        self.0
            .entry((endpoint, hour, event_type.to_owned()))
            .or_default()
            .add(counts);
    }

    /// Adds it to what is stored. Part of the caller's transaction.
    fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let sums: Vec<String> = COLUMNS
            .split(", ")
            .map(|name| format!("{name} = {name} + excluded.{name}"))
            .collect();
        let statement = format!(
            "INSERT INTO stat (endpoint, hour, type, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT DO UPDATE SET {}",
            sums.join(", ")
        );
        for ((endpoint, hour, event_type), counts) in &self.0 {
            if *counts == Counts::default() {
                continue;
            }
            let mut values = vec![(*endpoint).into(), (*hour).into(), event_type.as_str().into()];
            values.extend(counts.values().map(Value::Int));
            sql.run(&statement, &values)?;
        }
        Ok(())
    }
}

/// What changes of deliveries whose messages stand in the counters: taken before a change and after it, and written with
/// it. Of all other deliveries nothing is looked at.
#[derive(Debug, Default)]
pub(crate) struct Moves(Table);

/// A delivery before it is changed.
#[derive(Debug)]
pub(crate) struct Before {
    segment: u64,
    endpoint: u32,
    sequence: u64,
    /// Of the attempt that the change may record.
    number: Option<u64>,
    hour: u64,
    event_type: String,
    status: DeliveryStatus,
    attempt: Option<(bool, Millis)>,
}

impl Moves {
    /// Looks at the delivery of (endpoint, message) before it is changed, and at the attempt of this hand-out number.
    pub(crate) fn before<S: Sql>(
        sql: &S,
        memory: &Memory,
        (endpoint, sequence): (u32, u64),
        number: Option<u64>,
    ) -> Result<Option<Before>, Problem> {
        if sequence > memory.counted {
            return Ok(None);
        }
        let Some(segment) = memory.segment_of(sequence).map(|segment| segment.number) else {
            return Ok(None);
        };
        let statement = format!("SELECT time, type FROM message_{segment} WHERE sequence = ?");
        let Some(message) = sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        let (status, attempt) = look(sql, memory, segment, (endpoint, sequence), number)?;
        Ok(Some(Before {
            segment,
            endpoint,
            sequence,
            number,
            hour: message.number(0)? / HOUR,
            event_type: message.text(1)?,
            status,
            attempt,
        }))
    }

    /// Looks at it again, after the change.
    pub(crate) fn after<S: Sql>(
        &mut self,
        sql: &S,
        memory: &Memory,
        before: Option<Before>,
    ) -> Result<(), Problem> {
        let Some(before) = before else { return Ok(()) };
        let delivery = (before.endpoint, before.sequence);
        let (status, attempt) = look(sql, memory, before.segment, delivery, before.number)?;
        let (endpoint, event_type) = (before.endpoint, before.event_type.as_str());
        if status != before.status {
            self.0
                .add(endpoint, before.hour, event_type, Counts::of(before.status, -1));
            self.0
                .add(endpoint, before.hour, event_type, Counts::of(status, 1));
        }
        if attempt != before.attempt {
            for (attempt, by) in [(before.attempt, -1), (attempt, 1)] {
                if let Some((succeeded, time)) = attempt {
                    let counts = Counts::of_attempt(succeeded, by);
                    self.0.add(endpoint, time.0 / HOUR, event_type, counts);
                }
            }
        }
        Ok(())
    }

    /// Writes what changed. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        self.0.write(sql)
    }
}

/// All that is open of an endpoint's deliveries is cancelled: for whoever raises `cancelled_through` to the newest
/// message. Part of the caller's transaction.
pub(crate) fn cancel<S: Sql>(sql: &S, endpoint: u32) -> Result<(), Problem> {
    let statement =
        "SELECT hour, type, pending, waiting FROM stat WHERE endpoint = ? AND pending + waiting <> 0";
    let mut table = Table::default();
    for row in sql.rows(statement, &[endpoint.into()])? {
        let (pending, waiting) = (row.int(2)?, row.int(3)?);
        let counts = Counts {
            pending: -pending,
            waiting: -waiting,
            cancelled: pending + waiting,
            ..Counts::default()
        };
        table.add(endpoint, row.number(0)?, &row.text(1)?, counts);
    }
    table.write(sql)
}

/// Forgets all counters, so that they are counted anew from the messages that are there: for what cancels part of an
/// endpoint's deliveries, which counters by the hour cannot tell apart. Part of the caller's transaction.
pub(crate) fn recount<S: Sql>(sql: &S, counted: u64) -> Result<(), Problem> {
    sql.run("DELETE FROM stat", &[])?;
    let statement = "INSERT INTO meta VALUES ('counted', ?) ON CONFLICT DO UPDATE SET value = excluded.value";
    sql.run(statement, &[counted.into()])?;
    Ok(())
}

impl<S: Sql> Ledger<S> {
    /// Adds a slice of messages to the counters, if there is one behind the low-water mark. Answers whether more is
    /// ready.
    pub(crate) fn count_messages(&mut self) -> Result<bool, Problem> {
        let memory = self.memory()?;
        let (counted, mark) = (memory.counted, memory.mark);
        self.forget_old_counts()?;
        if mark < counted + SLICE {
            return Ok(false);
        }
        let (table, to) = self.census(counted + 1, counted + SLICE, None, SLICE_DELIVERIES)?;
        self.sql.atomic(|sql| {
            table.write(sql)?;
            let statement =
                "INSERT INTO meta VALUES ('counted', ?) ON CONFLICT DO UPDATE SET value = excluded.value";
            sql.run(statement, &[to.into()])?;
            Ok(())
        })?;
        self.memory()?.counted = to;
        Ok(mark >= to + SLICE)
    }

    /// Deliveries to one endpoint by where they stand.
    pub(crate) fn endpoint_stats(&mut self, call: &EndpointStats) -> Result<DeliveryCounts, Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let hours = hours(call.since.unwrap_or(Millis(0)), call.until);
        let mut sum = Counts::default();
        self.each_count(endpoint, hours, |_, counts| sum.add(counts))?;
        Ok(sum.deliveries())
    }

    /// Attempts of the tenant by type.
    pub(crate) fn attempt_stats(&mut self, call: &AttemptStats) -> Result<AttemptsCounted, Problem> {
        let hours = hours(call.since, Some(call.until));
        let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
        self.each_count(TENANT, hours, |event_type, counts| {
            let wanted = |types: &Vec<String>| types.iter().any(|name| name == event_type);
            if call.event_types.as_ref().is_none_or(wanted) {
                sums.entry(event_type.to_owned()).or_default().add(counts);
            }
        })?;
        let shape = |counts: Counts| AttemptCounts {
            succeeded: shown(counts.attempts_succeeded),
            failed: shown(counts.attempts_failed),
            cancelled: shown(counts.cancelled),
        };
        let types = sums.into_iter().map(|(name, counts)| (name, shape(counts)));
        Ok(AttemptsCounted {
            types: types
                .filter(|(_, counts)| *counts != AttemptCounts::default())
                .collect(),
            since: Millis(hours.0.saturating_mul(HOUR)),
            until: Millis(hours.1.saturating_mul(HOUR)),
        })
    }

    /// What the tenant used.
    pub(crate) fn usage(&mut self, call: &Usage) -> Result<Used, Problem> {
        let mut sum = Counts::default();
        self.each_count(TENANT, hours(call.since, Some(call.until)), |_, counts| {
            sum.add(counts);
        })?;
        Ok(Used {
            messages: shown(sum.messages),
            succeeded: shown(sum.attempts_succeeded),
            failed: shown(sum.attempts_failed),
            deliveries: sum.deliveries(),
        })
    }

    /// Attempts at an endpoint: those that succeeded and those that failed, of these types.
    pub(crate) fn attempts_at(
        &mut self,
        endpoint: u32,
        since: Option<Millis>,
        until: Option<Millis>,
        types: Option<&[String]>,
    ) -> Result<(u64, u64), Problem> {
        let mut sum = Counts::default();
        let hours = hours(since.unwrap_or(Millis(0)), until);
        self.each_count(endpoint, hours, |event_type, counts| {
            if types.is_none_or(|types| types.iter().any(|name| name == event_type)) {
                sum.add(counts);
            }
        })?;
        Ok((shown(sum.attempts_succeeded), shown(sum.attempts_failed)))
    }

    /// Goes over all counts of an endpoint (or of the tenant) in these hours: the stored ones, and what is counted now.
    fn each_count(
        &mut self,
        endpoint: u32,
        (first, end): (u64, u64),
        mut take: impl FnMut(&str, Counts),
    ) -> Result<(), Problem> {
        while self.memory()?.last_sequence > self.memory()?.counted + TAIL {
            let before = self.memory()?.counted;
            self.count_messages()?;
            if self.memory()?.counted == before {
                return Err(Problem::new(
                    Code::Overloaded,
                    "Too much came in within the last minute to count it now; try again after a moment",
                ));
            }
        }
        let statement =
            format!("SELECT type, {COLUMNS} FROM stat WHERE endpoint = ? AND hour >= ? AND hour < ?");
        for row in self
            .sql
            .rows(&statement, &[endpoint.into(), first.into(), end.into()])?
        {
            take(&row.text(0)?, Counts::read(&row, 1)?);
        }
        let memory = self.memory()?;
        let (from, last) = (memory.counted + 1, memory.last_sequence);
        let only = (endpoint != TENANT).then_some(endpoint);
        let (tail, _) = self.census(from, last, only, usize::MAX)?;
        for ((of, hour, event_type), counts) in &tail.0 {
            if *of == endpoint && (first..end).contains(hour) {
                take(event_type, *counts);
            }
        }
        Ok(())
    }

    /// Counts messages of these numbers from the tables, as far as `most` deliveries; answers the last that was counted.
    fn census(
        &mut self,
        from: u64,
        to: u64,
        only: Option<u32>,
        most: usize,
    ) -> Result<(Table, u64), Problem> {
        let (mut table, mut end, mut deliveries) = (Table::default(), to, 0);
        // What is polled has no deliveries.
        let all = self.memory()?.endpoints.values();
        let polled: BTreeSet<u32> = all.filter(|e| e.is_polled()).map(|e| e.number).collect();
        for (segment, low, high) in self.segments_within(from, to, true)? {
            let mut messages: HashMap<u64, (u64, String)> = HashMap::new();
            let mut owed: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
            let statement = format!(
                "SELECT sequence, time, type, owed FROM message_{segment} WHERE sequence >= ? AND sequence <= ? \
                 ORDER BY sequence"
            );
            for row in self.sql.rows(&statement, &[low.into(), high.into()])? {
                let (sequence, hour, event_type) = (row.number(0)?, row.number(1)? / HOUR, row.text(2)?);
                if deliveries >= most {
                    end = sequence - 1;
                    break;
                }
                if only.is_none() {
                    let counts = Counts {
                        messages: 1,
                        ..Counts::default()
                    };
                    table.add_to(TENANT, hour, &event_type, counts);
                }
                for endpoint in owed_to(&row.text(3)?).filter(|endpoint| {
                    only.is_none_or(|only| only == *endpoint) && !polled.contains(endpoint)
                }) {
                    owed.entry(endpoint).or_default().push(sequence);
                    deliveries += 1;
                }
                messages.insert(sequence, (hour, event_type));
            }
            for (endpoint, sequences) in owed {
                self.census_of(&mut table, segment, endpoint, &sequences, &messages)?;
            }
            if end < to {
                break;
            }
        }
        Ok((table, end))
    }

    /// The same for one endpoint: `sequences` are its messages, in order.
    fn census_of(
        &self,
        table: &mut Table,
        segment: u64,
        endpoint: u32,
        sequences: &[u64],
        messages: &HashMap<u64, (u64, String)>,
    ) -> Result<(), Problem> {
        let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else {
            return Ok(());
        };
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let statement = format!(
            "SELECT {ROW_COLUMNS}, time, sequence FROM delivery_{segment} \
             WHERE endpoint = ? AND sequence >= ? AND sequence <= ?"
        );
        let mut rows: HashMap<u64, (DeliveryRow, Option<Millis>)> = HashMap::new();
        for row in self
            .sql
            .rows(&statement, &[endpoint.into(), (*first).into(), (*last).into()])?
        {
            let read = (DeliveryRow::read(&row)?, row.maybe(6, Row::time)?);
            rows.insert(row.number(7)?, read);
        }
        for sequence in sequences {
            let Some((hour, event_type)) = messages.get(sequence) else {
                continue;
            };
            let row = rows.get(sequence);
            let status = standing(row.map(|(row, _)| row), memory.cancelled(endpoint, *sequence));
            table.add(endpoint, *hour, event_type, Counts::of(status, 1));
            let Some((row, time)) = row else { continue };
            if let (Some((_, succeeded)), Some(time)) = (row.first, time) {
                let counts = Counts::of_attempt(succeeded, 1);
                table.add(endpoint, time.0 / HOUR, event_type, counts);
            }
            for number in &row.numbers {
                if let Some((succeeded, time)) =
                    later_attempt(&self.sql, segment, (endpoint, *sequence), *number)?
                {
                    let counts = Counts::of_attempt(succeeded, 1);
                    table.add(endpoint, time.0 / HOUR, event_type, counts);
                }
            }
        }
        Ok(())
    }

    /// Counters go with the messages that they count.
    fn forget_old_counts(&mut self) -> Result<(), Problem> {
        let memory = self.memory()?;
        let oldest = memory
            .segments
            .first()
            .map_or(0, |segment| segment.opened_at.0 / HOUR);
        if memory.stats_since >= oldest {
            return Ok(());
        }
        let statement = "SELECT hour FROM stat WHERE endpoint = 0 ORDER BY hour LIMIT 1";
        let first = self
            .sql
            .row(statement, &[])?
            .map(|row| row.number(0))
            .transpose()?;
        if first.is_some_and(|hour| hour < oldest) {
            self.sql.atomic(|sql| {
                // Endpoints that are gone altogether have counters, too.
                let mut endpoint = Some(0);
                while let Some(number) = endpoint {
                    let values: [Value; 2] = [number.into(), oldest.into()];
                    sql.run("DELETE FROM stat WHERE endpoint = ? AND hour < ?", &values)?;
                    let next = sql.row(
                        "SELECT endpoint FROM stat WHERE endpoint > ? ORDER BY endpoint LIMIT 1",
                        &[number.into()],
                    )?;
                    endpoint = next.map(|row| row.small::<u32>(0)).transpose()?;
                }
                Ok(())
            })?;
        }
        self.memory()?.stats_since = oldest;
        Ok(())
    }
}

/// Where a delivery stands, and how the attempt of this number ended, if it is recorded.
fn look<S: Sql>(
    sql: &S,
    memory: &Memory,
    segment: u64,
    (endpoint, sequence): (u32, u64),
    number: Option<u64>,
) -> Result<(DeliveryStatus, Option<(bool, Millis)>), Problem> {
    let row = delivery::read(sql, segment, endpoint, sequence)?;
    let status = standing(row.as_ref(), memory.cancelled(endpoint, sequence));
    let (Some(row), Some(number)) = (row, number) else {
        return Ok((status, None));
    };
    let attempt = match row.first {
        Some((first, succeeded)) if first == number => {
            let statement =
                format!("SELECT time FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?");
            let time = sql.row(&statement, &[endpoint.into(), sequence.into()])?;
            time.map(|row| row.time(0))
                .transpose()?
                .map(|time| (succeeded, time))
        }
        _ if row.numbers.contains(&number) => later_attempt(sql, segment, (endpoint, sequence), number)?,
        _ => None,
    };
    Ok((status, attempt))
}

fn later_attempt<S: Sql>(
    sql: &S,
    segment: u64,
    (endpoint, sequence): (u32, u64),
    number: u64,
) -> Result<Option<(bool, Millis)>, Problem> {
    let statement =
        format!("SELECT ok, time FROM attempt_{segment} WHERE endpoint = ? AND number = ? AND sequence = ?");
    let row = sql.row(&statement, &[endpoint.into(), number.into(), sequence.into()])?;
    row.map(|row| Ok::<_, Problem>((row.int(0)? == 1, row.time(1)?)))
        .transpose()
}

/// Whole hours that hold these times: the first, and the one behind the last.
fn hours(since: Millis, until: Option<Millis>) -> (u64, u64) {
    /// Hours stay numbers that every storage keeps exactly.
    const END: u64 = (1 << 48) / HOUR;
    let end = until.map_or(END, |until| until.0.div_ceil(HOUR).min(END));
    (since.0 / HOUR, end)
}
