//! Events of app-level sources that nobody got: listed by key, counted, and routed later to whoever claims the key then.
//! They stand as long as their messages.

use std::collections::BTreeMap;

use postern_domain::app_level::MAX_CLAIMS;
use postern_domain::id::{MessageId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::replay::{TaskKind, TaskProgress, TaskState, TaskView};
use postern_domain::wire::route::{
    RouteReplay, Unrouted, UnroutedEvent, UnroutedEvents, UnroutedEventsPage, UnroutedKey, UnroutedKeys,
    UnroutedKeysPage,
};
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::memory::message_id;
use crate::page::{self, Turn};
use crate::routing::{insert_behind, insert_routing};
use crate::sql::{Row, Sql, Value};
use crate::task::{self, Job, Progress};

/// Events that a slice of a replay queues up.
const SLICE: u64 = 250;

/// Events that may queue up before a replay goes on.
const WAITING: u64 = 1000;

/// Until a replay looks again whether fewer queue up.
const HOLD_MS: u64 = 500;

/// Between slices.
const PAUSE_MS: u64 = 5;

/// Rows that a run of the alarm forgets.
const PRUNED: u64 = 500;

/// Events that a count looks at.
const COUNTED: u64 = 5000;

/// An event that nobody gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) sequence: u64,
    pub(crate) source: u16,
    /// Empty: it has none.
    pub(crate) key: String,
    pub(crate) why: Unrouted,
    pub(crate) time: Millis,
    pub(crate) event_type: String,
}

/// What a replay is for. Stored as JSON: a later release adds fields with defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reroute {
    source: u16,
    key: String,
    /// The last message that there was when it was asked for.
    high: u64,
    to: Vec<TenantId>,
    unsigned: bool,
}

/// Writes down what nobody gets, each event once. Part of the caller's transaction.
pub(crate) fn insert<S: Sql>(sql: &S, missed: &[Missed]) -> Result<(), Problem> {
    let mut counts: BTreeMap<(u16, &str), (u64, &Missed, &Missed)> = BTreeMap::new();
    for event in missed {
        let sequence = [event.sequence.into()];
        if sql
            .row("SELECT 1 FROM unrouted WHERE sequence = ?", &sequence)?
            .is_some()
        {
            continue;
        }
        let values = [
            event.sequence.into(),
            event.source.into(),
            event.key.as_str().into(),
            Value::from(stored(event.why)),
        ];
        sql.run("INSERT INTO unrouted VALUES (?, ?, ?, ?)", &values)?;
        let counted = counts.entry((event.source, event.key.as_str()));
        let (count, _, last) = counted.or_insert((0, event, event));
        *count += 1;
        *last = event;
    }
    for ((source, key), (count, first, last)) in counts {
        let statement = "INSERT INTO unrouted_key VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
                         count = count + ?3, last_at = max(last_at, ?5), type = ?6";
        let values = [
            source.into(),
            key.into(),
            count.into(),
            first.time.into(),
            last.time.into(),
            Value::from(last.event_type.as_str()),
        ];
        sql.run(statement, &values)?;
    }
    Ok(())
}

/// Forgets events of one key. Part of the caller's transaction.
fn remove<S: Sql>(sql: &S, source: u16, key: &str, sequences: &[u64]) -> Result<(), Problem> {
    for sequence in sequences {
        sql.run("DELETE FROM unrouted WHERE sequence = ?", &[(*sequence).into()])?;
    }
    let count = sequences.len() as u64;
    let values = [count.into(), source.into(), key.into()];
    let statement = "UPDATE unrouted_key SET count = max(count - ?, 0) WHERE source = ? AND key = ?";
    sql.run(statement, &values)?;
    let statement = "DELETE FROM unrouted_key WHERE source = ? AND key = ? AND count = 0";
    sql.run(statement, &values[1..])?;
    Ok(())
}

impl<S: Sql> Ledger<S> {
    /// Keys of which events were not routed.
    pub(crate) fn unrouted_keys(&mut self, call: &UnroutedKeys) -> Result<UnroutedKeysPage, Problem> {
        let number = self.source_number(&call.source)?;
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let text = call.page.iterator.as_deref();
        let (from, backwards) =
            match text.map(|text| text.strip_prefix('-').map_or((text, false), |rest| (rest, true))) {
                None => (None, false),
                Some((text, backwards)) => (Some(read_key(text)?), backwards),
            };
        let upwards = call.page.ascending != backwards;
        let (past, order) = if upwards { (">", "ASC") } else { ("<", "DESC") };
        let columns = "key, count, first_at, last_at, type";
        let mut values = vec![number.into(), (limit as u64 + 1).into()];
        let behind = if let Some(from) = from {
            values.push(Value::from(from));
            format!("AND key {past} ?3")
        } else {
            String::new()
        };
        let statement = format!(
            "SELECT {columns} FROM unrouted_key WHERE source = ?1 {behind} ORDER BY key {order} LIMIT ?2"
        );
        let mut keys = Vec::new();
        for row in self.sql.rows(&statement, &values)? {
            keys.push(UnroutedKey {
                key: row.text(0)?,
                count: row.number(1)?,
                first_at: row.time(2)?,
                last_at: row.time(3)?,
                event_type: row.text(4)?,
            });
        }
        let done = keys.len() <= limit;
        keys.truncate(limit);
        if backwards {
            keys.reverse();
        }
        Ok(page::of(keys, done, |key| write_key(&key.key)))
    }

    /// Events of a key that were not routed, newest first.
    pub(crate) fn unrouted_events(&mut self, call: &UnroutedEvents) -> Result<UnroutedEventsPage, Problem> {
        let number = self.source_number(&call.source)?;
        let turn = Turn::parse::<MessageId>(&call.page, |id| id.0.sequence)?;
        let memory = self.memory()?;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let (low, high) = turn.within(oldest, memory.last_sequence);
        let order = if turn.backwards { "ASC" } else { "DESC" };
        let statement = format!(
            "SELECT sequence, why FROM unrouted WHERE source = ? AND key = ? AND sequence >= ? AND sequence <= ? \
             ORDER BY sequence {order} LIMIT ?"
        );
        let values = [
            number.into(),
            call.key.as_str().into(),
            low.into(),
            high.into(),
            Value::from(turn.limit as u64 + 1),
        ];
        let mut rows = self.sql.rows(&statement, &values)?;
        let done = rows.len() <= turn.limit;
        rows.truncate(turn.limit);
        let mut events = Vec::new();
        for row in rows {
            events.extend(self.unrouted_event(row.number(0)?, why(row.int(1)?))?);
        }
        if turn.backwards {
            events.reverse();
        }
        Ok(page::of(events, done, |event| event.message.to_string()))
    }

    fn unrouted_event(&mut self, sequence: u64, why: Unrouted) -> Result<Option<UnroutedEvent>, Problem> {
        let Some(segment) = self.memory()?.segment_of(sequence).map(|segment| segment.number) else {
            return Ok(None);
        };
        let statement =
            format!("SELECT time, random, type, event_id FROM message_{segment} WHERE sequence = ?");
        let Some(row) = self.sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        Ok(Some(UnroutedEvent {
            message: message_id(sequence, row.time(0)?, &row.blob(1)?),
            event_type: row.text(2)?,
            event_id: row.maybe(3, Row::text)?,
            why,
        }))
    }

    /// Starts a replay to those who claim the key by now, or says what it would do. Once more with the same id: nothing
    /// changes.
    pub(crate) fn route_replay(&mut self, call: &RouteReplay, now: Millis) -> Result<TaskView, Problem> {
        if let Some(stands) = self.task(call.id)? {
            return Ok(stands);
        }
        let source = self.source_number(&call.source)?;
        if call.to.is_empty() || call.to.len() > MAX_CLAIMS {
            return Err(Problem::new(
                Code::Conflict,
                "Nobody claims this key; give it to an application first",
            ));
        }
        let reroute = Reroute {
            source,
            key: call.key.clone(),
            high: self.memory()?.last_sequence,
            to: call.to.clone(),
            unsigned: call.unsigned,
        };
        let found = self.reroutable(&reroute, COUNTED + 1)?.len() as u64;
        let shown = TaskProgress {
            total: found.min(COUNTED),
            approximated: found > COUNTED,
            rate: 1000,
            ..TaskProgress::default()
        };
        if call.dry_run {
            return Ok(task::planned(call.id, TaskKind::RouteReplay, shown, now));
        }
        self.task_begin(
            call.id,
            TaskKind::RouteReplay,
            &reroute,
            &Progress::of(shown),
            now,
        )
    }

    /// One slice of a replay: its events queue up for the tenants, and are unrouted no more, in one transaction with where
    /// the job stands.
    pub(crate) fn reroute(
        &mut self,
        job: &Job,
        reroute: Reroute,
        mut progress: Progress,
        now: Millis,
    ) -> Result<(), Problem> {
        let statement = "SELECT count(*) FROM (SELECT 1 FROM routing LIMIT ?)";
        let waiting = self.sql.row(statement, &[WAITING.into()])?;
        if waiting.map_or(Ok(0), |row| row.number(0))? >= WAITING {
            let at = now.plus(HOLD_MS);
            return self.moved_with(job, &progress, TaskState::Running, (at, now), |_| Ok(()));
        }
        let sequences = self.reroutable(&reroute, SLICE)?;
        progress.shown.done += sequences.len() as u64;
        let state = if (sequences.len() as u64) < SLICE {
            progress.finish();
            TaskState::Finished
        } else {
            TaskState::Running
        };
        let at = now.plus(PAUSE_MS);
        self.moved_with(job, &progress, state, (at, now), |sql| {
            for tenant in &reroute.to {
                for sequence in &sequences {
                    insert_routing(sql, *tenant, *sequence)?;
                }
                if !sequences.is_empty() {
                    insert_behind(sql, *tenant, 0, now)?;
                }
            }
            remove(sql, reroute.source, &reroute.key, &sequences)
        })?;
        if !sequences.is_empty() {
            let routing = &mut self.memory()?.routing;
            for tenant in reroute.to {
                routing.lacks(tenant, now);
            }
        }
        Ok(())
    }

    /// What a replay has before it, oldest first.
    fn reroutable(&mut self, reroute: &Reroute, limit: u64) -> Result<Vec<u64>, Problem> {
        let memory = self.memory()?;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let statement = "SELECT sequence FROM unrouted WHERE source = ? AND key = ? AND sequence >= ? AND sequence <= ? \
                         AND (why <> ? OR ?) ORDER BY sequence LIMIT ?";
        let values = [
            reroute.source.into(),
            reroute.key.as_str().into(),
            oldest.into(),
            reroute.high.into(),
            stored(Unrouted::UnsignedKey).into(),
            reroute.unsigned.into(),
            Value::from(limit),
        ];
        let rows = self.sql.rows(statement, &values)?;
        rows.iter().map(|row| row.number(0)).collect()
    }

    /// Forgets a slice of what went with its messages; whether there is more of it.
    pub(crate) fn prune_unrouted(&mut self) -> Result<bool, Problem> {
        let oldest = self.memory()?.segments.first().map_or(1, |segment| segment.first);
        let statement =
            "SELECT source, key, sequence FROM unrouted WHERE sequence < ? ORDER BY sequence LIMIT ?";
        let rows = self.sql.rows(statement, &[oldest.into(), PRUNED.into()])?;
        if rows.is_empty() {
            return Ok(false);
        }
        let mut gone: BTreeMap<(u16, String), Vec<u64>> = BTreeMap::new();
        for row in &rows {
            let of_key = gone.entry((row.small(0)?, row.text(1)?)).or_default();
            of_key.push(row.number(2)?);
        }
        self.sql.atomic(|sql| {
            for ((source, key), sequences) in &gone {
                remove(sql, *source, key, sequences)?;
            }
            Ok(())
        })?;
        Ok(rows.len() as u64 == PRUNED)
    }
}

const fn stored(why: Unrouted) -> i64 {
    match why {
        Unrouted::Unclaimed => 0,
        Unrouted::NoKey => 1,
        Unrouted::UnsignedKey => 2,
        Unrouted::ClaimantGone => 3,
    }
}

const fn why(stored: i64) -> Unrouted {
    match stored {
        1 => Unrouted::NoKey,
        2 => Unrouted::UnsignedKey,
        3 => Unrouted::ClaimantGone,
        _ => Unrouted::Unclaimed,
    }
}

/// An iterator of the list of keys: any key, the empty one included, in hex.
fn write_key(key: &str) -> String {
    let digits = key.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    std::iter::once('k').chain(digits).collect()
}

fn read_key(text: &str) -> Result<String, Problem> {
    let digits = text.strip_prefix('k').filter(|digits| digits.is_ascii());
    let bytes = digits.and_then(|digits| {
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        (0..digits.len())
            .step_by(2)
            .map(byte)
            .collect::<Option<Vec<u8>>>()
    });
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(page::invalid_iterator)
}
