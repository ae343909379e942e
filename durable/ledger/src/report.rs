//! Recording results. Idempotent by (message, endpoint, hand-out number); only the current hand-out moves the plan; a
//! success always wins.

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;
use postern_domain::wire::call::{Report, Reported};
use postern_domain::wire::report::SendResult;

use crate::delivery::{self, ATTEMPT_COLUMNS, DeliveryRow, Recorded, State, numbers_text};
use crate::handout::is_quick;
use crate::sql::{Sql, Value};
use crate::{Ledger, Random};

mod manual;

/// What is kept of a response's body on success.
const RESPONSE_ON_SUCCESS: usize = 1024;

/// What is kept of a response's body on failure.
const RESPONSE_ON_FAILURE: usize = 16 * 1024;

/// Of an attempt that changed nothing.
const LATE: i64 = 2;

impl<S: Sql> Ledger<S> {
    /// Records what a consumer says, all or nothing. What it says of a message that is gone is acknowledged and ignored.
    pub(crate) fn report(
        &mut self,
        call: &Report,
        bodies: &[Vec<u8>],
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Reported, Problem> {
        self.memory()?;
        let mut changes = Vec::new();
        let mut responses = bodies.iter();
        for lane in &call.lanes {
            for result in &lane.results {
                let response = responses.next().map(Vec::as_slice).unwrap_or_default();
                changes.push((lane.endpoint, result, response));
            }
        }
        let plans: Vec<_> = changes
            .iter()
            .map(|(endpoint, _, _)| {
                let memory = self.memory.as_ref();
                let own = memory.and_then(|m| m.endpoints.get(endpoint)?.config.retry_schedule.clone());
                own.or_else(|| memory?.settings.retry_schedule.clone())
                    .unwrap_or_default()
            })
            .collect();
        let jitter: Vec<u64> = changes.iter().map(|_| random.number()).collect();
        let rules = self.settings.rules;
        let mut wake = None;
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let armed = self.sql.atomic(|sql| {
            for (((endpoint, result, response), plan), jitter) in changes.iter().zip(&plans).zip(&jitter) {
                let Some(segment) = memory.segment_of(result.message.0.sequence).map(|s| s.number) else {
                    continue;
                };
                if !memory.endpoints.contains_key(endpoint) || !is_stored(sql, segment, result.message)? {
                    continue;
                }
                let cancelled = rules.cancel && memory.cancelled(*endpoint, result.message.0.sequence);
                let next = |attempts: u32| plan.next(attempts, now, result.retry_after_ms, *jitter);
                let entry = Entry {
                    sql,
                    segment,
                    endpoint: *endpoint,
                    result,
                    response,
                    now,
                    cancelled,
                };
                let due = entry.record(&next, rules.late_changes_nothing)?;
                wake = wake.into_iter().chain(due).min();
            }
            wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
        })?;
        self.armed = armed;
        let memory = self.memory()?;
        for (endpoint, result, _) in changes {
            memory
                .proven
                .insert(endpoint, result.cause.is_none() && is_quick(result.duration_ms));
        }
        Ok(Reported { lanes: 0 })
    }
}

/// Whether the message with this whole id is there.
fn is_stored<S: Sql>(sql: &S, segment: u64, message: MessageId) -> Result<bool, Problem> {
    let statement = format!("SELECT 1 FROM message_{segment} WHERE sequence = ? AND random = ?");
    let values = [message.0.sequence.into(), Value::Blob(message.0.random.to_vec())];
    Ok(sql.row(&statement, &values)?.is_some())
}

/// One result on its way into the tables.
struct Entry<'a, S> {
    sql: &'a S,
    segment: u64,
    endpoint: u32,
    result: &'a SendResult,
    response: &'a [u8],
    now: Millis,
    cancelled: bool,
}

impl<S: Sql> Entry<'_, S> {
    /// Records it; answers when the delivery is tried next, if that was decided now.
    fn record(
        &self,
        next: &dyn Fn(u32) -> Option<Millis>,
        late_changes_nothing: bool,
    ) -> Result<Option<Millis>, Problem> {
        let sequence = self.result.message.0.sequence;
        if self.result.trigger == Trigger::Manual {
            return self.record_manual().map(|()| None);
        }
        let Some(row) = delivery::read(self.sql, self.segment, self.endpoint, sequence)? else {
            return self.record_first(next);
        };
        if row.first.is_some_and(|(number, _)| number == self.result.number) {
            return self.upgrade_first(&row).map(|()| None);
        }
        if row.numbers.contains(&self.result.number) {
            return self.upgrade_later().map(|()| None);
        }
        let due = self.due_of_this_handout()?;
        let current = due && row.state == State::Waiting && !self.cancelled;
        if self.succeeded() {
            self.write(
                &row,
                State::Delivered,
                row.attempts + u32::from(current),
                None,
                current,
            )?;
            if due {
                self.delete_due(self.result.until)?;
            }
            return Ok(None);
        }
        if !current && late_changes_nothing {
            let state = if self.cancelled && row.state == State::Waiting {
                State::Cancelled
            } else {
                row.state
            };
            let next_at = row.next_at.filter(|_| state == State::Waiting);
            self.write(&row, state, row.attempts, next_at, false)?;
            return Ok(None);
        }
        let attempts = row.attempts + 1;
        let next_at = next(attempts);
        let state = if next_at.is_some() {
            State::Waiting
        } else {
            State::Failed
        };
        self.write(&row, state, attempts, next_at, true)?;
        self.delete_due(self.result.until)?;
        self.insert_due(next_at)?;
        Ok(next_at)
    }

    /// The first result of a delivery: it makes the row, with the attempt inside.
    fn record_first(&self, next: &dyn Fn(u32) -> Option<Millis>) -> Result<Option<Millis>, Problem> {
        let next_at = if self.succeeded() || self.cancelled {
            None
        } else {
            next(1)
        };
        let state = match (self.succeeded(), self.cancelled, next_at) {
            (true, _, _) => State::Delivered,
            (false, true, _) => State::Cancelled,
            (false, false, Some(_)) => State::Waiting,
            (false, false, None) => State::Failed,
        };
        let statement = format!(
            "INSERT INTO delivery_{} (endpoint, sequence, state, attempts, updated_at, next_at, {ATTEMPT_COLUMNS}) \
             VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.segment
        );
        let sequence = self.result.message.0.sequence;
        let mut values = vec![
            self.endpoint.into(),
            sequence.into(),
            Value::Int(state.stored()),
            self.now.into(),
            next_at.into(),
        ];
        values.extend(self.recorded().values());
        self.sql.run(&statement, &values)?;
        self.insert_due(next_at)?;
        Ok(next_at)
    }

    /// Moves an existing row, and keeps the attempt: inside, if none stands there and this one counts, else beside it.
    fn write(
        &self,
        row: &DeliveryRow,
        state: State,
        attempts: u32,
        next_at: Option<Millis>,
        counts: bool,
    ) -> Result<(), Problem> {
        let sequence = self.result.message.0.sequence;
        let mut values = vec![
            Value::Int(state.stored()),
            attempts.into(),
            self.now.into(),
            next_at.into(),
        ];
        if row.first.is_none() && counts {
            let statement = format!(
                "UPDATE delivery_{} SET state = ?, attempts = ?, updated_at = ?, next_at = ?, number = ?, time = ?, \
                 ok = ?, status = ?, duration = ?, cause = ?, url = ?, response = ? WHERE endpoint = ? AND sequence = ?",
                self.segment
            );
            values.extend(self.recorded().values());
            values.extend([self.endpoint.into(), sequence.into()]);
            self.sql.run(&statement, &values)?;
            return Ok(());
        }
        let numbers: Vec<u64> = row.numbers.iter().copied().chain([self.result.number]).collect();
        let statement = format!(
            "UPDATE delivery_{} SET state = ?, attempts = ?, updated_at = ?, next_at = ?, numbers = ? \
             WHERE endpoint = ? AND sequence = ?",
            self.segment
        );
        values.extend([
            numbers_text(&numbers).into(),
            self.endpoint.into(),
            sequence.into(),
        ]);
        self.sql.run(&statement, &values)?;
        let kind = match (self.result.trigger, counts) {
            (Trigger::Manual, _) => 1,
            (Trigger::Scheduled, true) => 0,
            (Trigger::Scheduled, false) => LATE,
        };
        self.insert_attempt(kind)
    }

    fn insert_attempt(&self, kind: i64) -> Result<(), Problem> {
        let statement = format!(
            "INSERT INTO attempt_{} (endpoint, sequence, kind, {ATTEMPT_COLUMNS}) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.segment
        );
        let sequence = self.result.message.0.sequence;
        let mut values = vec![self.endpoint.into(), sequence.into(), Value::Int(kind)];
        values.extend(self.recorded().values());
        self.sql.run(&statement, &values)?;
        Ok(())
    }

    /// A doubled result is dropped, unless it is a success and the recorded one is not.
    fn upgrade_first(&self, row: &DeliveryRow) -> Result<(), Problem> {
        if !self.succeeded() || row.first.is_some_and(|(_, ok)| ok) {
            return Ok(());
        }
        let statement = format!(
            "UPDATE delivery_{} SET state = 0, updated_at = ?, next_at = NULL, number = ?, time = ?, ok = ?, status = ?, \
             duration = ?, cause = ?, url = ?, response = ? WHERE endpoint = ? AND sequence = ?",
            self.segment
        );
        let mut values = vec![self.now.into()];
        values.extend(self.recorded().values());
        values.extend([self.endpoint.into(), self.result.message.0.sequence.into()]);
        self.sql.run(&statement, &values)?;
        Ok(())
    }

    fn upgrade_later(&self) -> Result<(), Problem> {
        if !self.succeeded() {
            return Ok(());
        }
        let sequence = self.result.message.0.sequence;
        let statement = format!(
            "UPDATE attempt_{} SET number = ?, time = ?, ok = ?, status = ?, duration = ?, cause = ?, url = ?, \
             response = ? WHERE endpoint = ? AND number = ? AND sequence = ? AND ok = 0",
            self.segment
        );
        let mut values = self.recorded().values().to_vec();
        values.extend([self.endpoint.into(), self.result.number.into(), sequence.into()]);
        if self.sql.run(&statement, &values)? > 0 {
            let statement = format!(
                "UPDATE delivery_{} SET state = 0, updated_at = ?, next_at = NULL WHERE endpoint = ? AND sequence = ?",
                self.segment
            );
            self.sql.run(
                &statement,
                &[self.now.into(), self.endpoint.into(), sequence.into()],
            )?;
        }
        Ok(())
    }

    /// Whether this result's hand-out is the one that `due` says is out.
    fn due_of_this_handout(&self) -> Result<bool, Problem> {
        let statement =
            "SELECT number FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
        let row = self.sql.row(statement, &self.due_key(self.result.until))?;
        Ok(match row {
            Some(row) => row.maybe(0, crate::sql::Row::number)? == Some(self.result.number),
            None => false,
        })
    }

    fn delete_due(&self, at: Millis) -> Result<(), Problem> {
        let statement = "DELETE FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
        self.sql.run(statement, &self.due_key(at))?;
        Ok(())
    }

    fn insert_due(&self, at: Option<Millis>) -> Result<(), Problem> {
        at.map_or(Ok(()), |at| {
            crate::line::insert_due(self.sql, at, self.endpoint, self.result.message.0.sequence)
        })
    }

    fn due_key(&self, at: Millis) -> [Value; 4] {
        let kind = i64::from(self.result.trigger == Trigger::Manual);
        [
            at.into(),
            self.endpoint.into(),
            self.result.message.0.sequence.into(),
            Value::Int(kind),
        ]
    }

    fn succeeded(&self) -> bool {
        self.result.cause.is_none()
    }

    fn recorded(&self) -> Recorded {
        let keep = if self.succeeded() {
            RESPONSE_ON_SUCCESS
        } else {
            RESPONSE_ON_FAILURE
        };
        Recorded {
            number: self.result.number,
            time: self.result.started_at,
            ok: self.succeeded(),
            status: self.result.status,
            duration: self.result.duration_ms,
            cause: self.result.cause,
            url: self.result.url.clone(),
            response: self.response.iter().take(keep).copied().collect(),
        }
    }
}
