//! Recording a manual try. It never uses up, moves or ends the plan, except that a success ends what it is for.

use postern_domain::problem::Problem;

use super::Entry;
use crate::delivery::{self, DeliveryRow, State, numbers_text};
use crate::manual::{extra_numbers, put_extra};
use crate::sql::{Sql, Value};
use crate::sweep::owes;

/// Of an attempt by hand.
const MANUAL: i64 = 1;

impl<S: Sql> Entry<'_, S> {
    /// Records it, and takes its row out of `due`: a manual try that failed is done.
    pub(super) fn record_manual(&self) -> Result<(), Problem> {
        let sequence = self.result.message.0.sequence;
        let current = self.due_of_this_handout()?;
        let row = delivery::read(self.sql, self.segment, self.endpoint, sequence)?;
        let beside = extra_numbers(self.sql, self.segment, sequence, self.endpoint)?;
        let known = row
            .as_ref()
            .is_some_and(|row| row.numbers.contains(&self.result.number))
            || beside.contains(&self.result.number);
        match row {
            row if known => self.upgrade_manual(row.as_ref())?,
            Some(row) => self.record_beside(&row)?,
            None => self.record_alone(beside)?,
        }
        if current {
            self.delete_due(self.result.until)?;
        }
        Ok(())
    }

    /// The delivery has a row: only success changes it. A failure leaves the plan as it is, with the retry that waits.
    fn record_beside(&self, row: &DeliveryRow) -> Result<(), Problem> {
        let state = match row.state {
            _ if self.succeeded() => State::Delivered,
            State::Waiting if self.cancelled => State::Cancelled,
            state => state,
        };
        let next_at = row.next_at.filter(|_| state == State::Waiting);
        self.write(row, state, row.attempts, next_at, false)?;
        if self.succeeded() {
            self.delete_retry(row)?;
        }
        Ok(())
    }

    /// No try of the plan has ended yet, or there is no plan. A failure of what is owed is kept beside, so that the first
    /// result of the plan finds what it would have found.
    fn record_alone(&self, mut beside: Vec<u64>) -> Result<(), Problem> {
        let sequence = self.result.message.0.sequence;
        self.insert_attempt(MANUAL)?;
        let statement = format!("SELECT owed FROM message_{} WHERE sequence = ?", self.segment);
        let owed = self.sql.row(&statement, &[sequence.into()])?;
        let owed = owed.map(|row| row.text(0)).transpose()?.unwrap_or_default();
        if self.succeeded() {
            return self.insert_row(State::Delivered);
        }
        if owes(&owed, self.endpoint) {
            beside.push(self.result.number);
            return put_extra(self.sql, self.segment, sequence, self.endpoint, &beside);
        }
        self.insert_row(State::Failed)
    }

    /// A doubled result is dropped, unless it is a success and the recorded one is not.
    fn upgrade_manual(&self, row: Option<&DeliveryRow>) -> Result<(), Problem> {
        if !self.succeeded() {
            return Ok(());
        }
        self.upgrade_later()?;
        match row {
            Some(row) => self.delete_retry(row),
            None => self.insert_delivered_without_number(),
        }
    }

    /// A row without an attempt of the plan: this one's number stands in it.
    fn insert_row(&self, state: State) -> Result<(), Problem> {
        self.insert_with(state, numbers_text(&[self.result.number]))
    }

    /// The same where the number stands beside already.
    fn insert_delivered_without_number(&self) -> Result<(), Problem> {
        self.insert_with(State::Delivered, None)
    }

    fn insert_with(&self, state: State, numbers: Option<String>) -> Result<(), Problem> {
        let statement = format!(
            "INSERT INTO delivery_{} (endpoint, sequence, state, attempts, updated_at, numbers) VALUES (?, ?, ?, 0, ?, ?)",
            self.segment
        );
        let values = [
            self.endpoint.into(),
            self.result.message.0.sequence.into(),
            Value::Int(state.stored()),
            self.now.into(),
            numbers.into(),
        ];
        self.sql.run(&statement, &values)?;
        Ok(())
    }

    /// The retry that waited for what is delivered now. One that is out finds the delivery settled.
    fn delete_retry(&self, row: &DeliveryRow) -> Result<(), Problem> {
        let (State::Waiting, Some(at)) = (row.state, row.next_at) else {
            return Ok(());
        };
        let sequence = self.result.message.0.sequence;
        self.sql.run(
            "DELETE FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = 0",
            &[at.into(), self.endpoint.into(), sequence.into()],
        )?;
        Ok(())
    }
}
