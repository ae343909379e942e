//! Deliveries that wait for a time: retries, what was lost, and manual tries.
//!
//! What comes up and finds a gate closed is *parked*: its row moves once, to a place of its endpoint far in the future, and
//! stays there however often the gate is looked at. It leaves when the gate opens, the oldest message first.

use std::collections::BTreeSet;

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;

use crate::Ledger;
use crate::delivery::{self, State};
use crate::endpoint::Endpoint;
use crate::gate::{Hold, Reason, Wish};
use crate::handout::{MessageToSend, Outgoing};
use crate::sql::{Row, Sql, Value};

/// Rows in one run.
const SLICE: u64 = 256;

/// From here on a time is no time: an endpoint's number stands behind it.
pub(crate) const PARKED: Millis = Millis(1 << 50);

/// Whose rows are parked there.
pub(crate) fn parked_endpoint(time: Millis) -> Option<u32> {
    u32::try_from(time.0.checked_sub(PARKED.0)?).ok()
}

/// A row that came up.
#[derive(Debug, Clone, Copy)]
struct Due {
    time: Millis,
    endpoint: u32,
    sequence: u64,
    kind: i64,
    /// Of the hand-out whose lease is over.
    number: Option<u64>,
    generation: Option<u64>,
}

/// What becomes of it.
enum Move {
    /// It is not owed any more.
    Delete,
    /// It leaves: its lease, and its number.
    Out(Millis, u64),
    /// It waits where its endpoint's rows wait.
    Park,
    /// It waits until then.
    Wait(Millis),
    /// It stays where it is.
    Stay,
}

const COLUMNS: &str = "time, endpoint, sequence, kind, number, generation";

impl Due {
    fn read(row: &Row) -> Result<Self, Problem> {
        Ok(Self {
            time: row.time(0)?,
            endpoint: row.small(1)?,
            sequence: row.number(2)?,
            kind: row.int(3)?,
            number: row.maybe(4, Row::number)?,
            generation: row.maybe(5, Row::number)?,
        })
    }

    const fn is_manual(&self) -> bool {
        self.kind == 1
    }
}

impl<S: Sql> Ledger<S> {
    /// Hands out what is due. Each row moves to the end of its lease, with its number, before anything leaves.
    pub(crate) fn hand_out_due(&mut self, now: Millis) -> Result<bool, Problem> {
        let statement = format!("SELECT {COLUMNS} FROM due WHERE time <= ? ORDER BY time LIMIT {SLICE}");
        let rows = self.sql.rows(&statement, &[now.into()])?;
        let more = rows.len() as u64 == SLICE;
        let rows: Vec<Due> = rows.iter().map(Due::read).collect::<Result<_, _>>()?;
        self.hand_out_rows(&rows, now)?;
        let memory = self.memory()?;
        let ready: Vec<u32> = memory
            .parked
            .iter()
            .filter(|(_, opens_at)| **opens_at <= now)
            .map(|(endpoint, _)| *endpoint)
            .collect();
        for endpoint in ready {
            self.hand_out_parked(endpoint, now)?;
        }
        Ok(more)
    }

    /// Hands out what is parked for an endpoint, as far as its gates let it.
    pub(crate) fn hand_out_parked(&mut self, endpoint: u32, now: Millis) -> Result<(), Problem> {
        if !self.memory()?.parked.contains_key(&endpoint) {
            return Ok(());
        }
        let statement = format!(
            "SELECT {COLUMNS} FROM due WHERE time = ? AND endpoint = ? ORDER BY sequence LIMIT {SLICE}"
        );
        let place = PARKED.plus(endpoint.into());
        let rows = self.sql.rows(&statement, &[place.into(), endpoint.into()])?;
        if rows.is_empty() {
            self.memory()?.parked.remove(&endpoint);
            return Ok(());
        }
        let full = rows.len() as u64 == SLICE;
        let rows: Vec<Due> = rows.iter().map(Due::read).collect::<Result<_, _>>()?;
        // What stays says when it is looked at again; where nothing stays, the next slice or the end comes at once.
        self.memory()?.parked.remove(&endpoint);
        self.hand_out_rows(&rows, now)?;
        let parked = &mut self.memory()?.parked;
        if full {
            parked.entry(endpoint).or_insert(now.plus(1));
        }
        Ok(())
    }

    fn hand_out_rows(&mut self, rows: &[Due], now: Millis) -> Result<(), Problem> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut moves = Vec::new();
        let mut outgoing = Vec::new();
        let mut taken = BTreeSet::new();
        for due in rows {
            let to = self.decide_due(due, &mut outgoing, &mut taken, now)?;
            moves.push((due, to));
        }
        if !self.settings.rules.due_moves_first {
            self.outbox.append(&mut outgoing);
        }
        self.sql.atomic(|sql| {
            for (due, to) in &moves {
                due_moves(sql, due, to)?;
            }
            Ok(())
        })?;
        self.outbox.extend(outgoing);
        Ok(())
    }

    fn decide_due(
        &mut self,
        due: &Due,
        outgoing: &mut Vec<Outgoing>,
        taken: &mut BTreeSet<(Millis, u32, u64)>,
        now: Millis,
    ) -> Result<Move, Problem> {
        let Some(message) = self.still_owed(due)? else {
            return Ok(Move::Delete);
        };
        let until = now.plus(self.settings.lease_ms);
        self.is_proven(due.endpoint)?;
        let waits = self.settings.rules.manual_waits;
        let memory = self.memory()?;
        let flight = memory.flight(due.endpoint);
        flight.expire(now);
        // The same delivery is out by another hand-out: where there is a rate or an order, and for tries of the plan, one at
        // a time. Its result looks at what is parked.
        let lease = flight.lease_of(due.sequence, now);
        let one_at_a_time = !due.is_manual() || memory.is_capped(due.endpoint);
        if let Some(until) = lease.filter(|_| waits && one_at_a_time) {
            let reason = Reason::Capacity;
            return self.park(due, Hold { until, reason }, taken, now);
        }
        let wish = if due.is_manual() {
            Wish::Manual
        } else {
            Wish::Scheduled
        };
        if let Err(hold) = memory.admit(due.endpoint, wish, message.bytes(), now) {
            return self.park(due, hold, taken, now);
        }
        let until = self.lease_of_its_own(due, until, taken)?;
        let memory = self.memory()?;
        let trigger = if due.is_manual() {
            Trigger::Manual
        } else {
            Trigger::Scheduled
        };
        let out = memory.hand_out(due.endpoint, None, &message, until, trigger, now);
        let number = out.handout.number;
        outgoing.push(out);
        Ok(Move::Out(until, number))
    }

    /// Two hand-outs of one delivery, of which one is by hand, never have the same lease: by it one is told from the other,
    /// and each takes its slot.
    fn lease_of_its_own(
        &mut self,
        due: &Due,
        from: Millis,
        taken: &mut BTreeSet<(Millis, u32, u64)>,
    ) -> Result<Millis, Problem> {
        let mut until = from;
        loop {
            if due.is_manual() {
                until = self.free_for_manual(until, due.endpoint, due.sequence, taken)?;
            }
            if !self.memory()?.flight(due.endpoint).knows(&(due.sequence, until)) {
                return Ok(until);
            }
            until = until.plus(1);
        }
    }

    /// It waits where its endpoint's rows wait; a second manual try of one delivery, whose place there is taken, beside it.
    fn park(
        &mut self,
        due: &Due,
        hold: Hold,
        taken: &mut BTreeSet<(Millis, u32, u64)>,
        now: Millis,
    ) -> Result<Move, Problem> {
        let opens_at = self.memory()?.parked.entry(due.endpoint).or_insert(hold.until);
        *opens_at = (*opens_at).min(hold.until).max(now.plus(1));
        if due.time >= PARKED {
            return Ok(Move::Stay);
        }
        let place = PARKED.plus(due.endpoint.into());
        let key = (place, due.endpoint, due.sequence);
        let is_there = "SELECT 1 FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
        let values = [
            place.into(),
            due.endpoint.into(),
            due.sequence.into(),
            Value::Int(due.kind),
        ];
        if self.sql.row(is_there, &values)?.is_none() && (!due.is_manual() || taken.insert(key)) {
            return Ok(Move::Park);
        }
        let at = hold.until.max(now.plus(1000));
        Ok(Move::Wait(self.free_for_manual(
            at,
            due.endpoint,
            due.sequence,
            taken,
        )?))
    }

    /// A row that comes up is checked first: its message there, its delivery open, not cancelled.
    fn still_owed(&mut self, due: &Due) -> Result<Option<MessageToSend>, Problem> {
        let rules = self.settings.rules;
        let memory = self.memory()?;
        let Some(segment) = memory.open_segment_of(due.sequence) else {
            return Ok(None);
        };
        let Some(endpoint) = memory.endpoints.get(&due.endpoint) else {
            return Ok(None);
        };
        if rules.due_checked {
            let manual = due.is_manual();
            let live = if manual {
                !rules.generation || due.generation == Some(endpoint.generation)
            } else {
                endpoint.is_on()
            };
            if !live || (!manual && self.is_cancelled(due.endpoint, due.sequence)?) {
                return Ok(None);
            }
            let row = delivery::read(&self.sql, segment, due.endpoint, due.sequence)?;
            if !manual && row.as_ref().is_none_or(|row| row.state != State::Waiting) {
                return Ok(None);
            }
            if let Some(number) = due.number {
                self.memory()?.gave_number(due.endpoint, number);
            }
            self.goes_above(segment, due.endpoint, due.sequence, row.as_ref())?;
        }
        if !self
            .memory()?
            .endpoints
            .get(&due.endpoint)
            .is_some_and(Endpoint::is_on)
        {
            return Ok(None);
        }
        MessageToSend::read(&self.sql, segment, due.sequence)
    }
}

fn due_moves<S: Sql>(sql: &S, due: &Due, to: &Move) -> Result<(), Problem> {
    let key = [
        due.time.into(),
        due.endpoint.into(),
        due.sequence.into(),
        Value::Int(due.kind),
    ];
    let place = "WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
    let (time, number): (Millis, Option<u64>) = match to {
        Move::Stay => return Ok(()),
        Move::Delete => {
            sql.run(&format!("DELETE FROM due {place}"), &key)?;
            return Ok(());
        }
        Move::Out(until, number) => (*until, Some(*number)),
        Move::Park => (PARKED.plus(due.endpoint.into()), None),
        Move::Wait(at) => (*at, None),
    };
    let mut values = vec![Value::from(time), Value::from(number)];
    values.extend(key);
    // Two manual tries of one delivery may come to stand at one time: they are one then.
    sql.run(
        &format!("UPDATE OR REPLACE due SET time = ?, number = ? {place}"),
        &values,
    )?;
    Ok(())
}
