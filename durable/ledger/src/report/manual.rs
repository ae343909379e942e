//! Recording a manual try. It never uses up, moves or ends the plan, except that a success ends what it is for.

use postern_domain::problem::Problem;

use super::{Entry, Recording};
use crate::delivery::{self, DeliveryRow, State, numbers_text};
use crate::manual::{extra_numbers, put_extra};
use crate::sql::{Sql, Value};
use crate::sweep::owes;

/// Of an attempt by hand.
pub(super) const MANUAL: i64 = 1;

impl<S: Sql> Entry<'_, S> {
    /// Records it, and takes its row out of `due`: a manual try that failed is done.
    pub(super) fn record_manual(&self) -> Result<Recording, Problem> {
        let sequence = self.placed.result.message.0.sequence;
        let current = self.due_of_this_handout()?;
        let row = delivery::read(self.sql, self.placed.segment, self.placed.endpoint, sequence)?;
        let beside = extra_numbers(self.sql, self.placed.segment, sequence, self.placed.endpoint)?;
        let known = row
            .as_ref()
            .is_some_and(|row| row.numbers.contains(&self.placed.result.number))
            || beside.contains(&self.placed.result.number);
        match row {
            row if known => self.upgrade_manual(row.as_ref())?,
            Some(row) => self.record_beside(&row)?,
            None => self.record_alone(beside)?,
        }
        if current {
            self.delete_due(self.placed.result.until)?;
        }
        Ok(match (self.succeeded(), known) {
            (true, _) => Recording::Moved(State::Delivered, None),
            (false, true) => Recording::KnownAlready,
            (false, false) => Recording::Kept,
        })
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
        let sequence = self.placed.result.message.0.sequence;
        self.insert_attempt(MANUAL)?;
        let statement = format!(
            "SELECT owed FROM message_{} WHERE sequence = ?",
            self.placed.segment
        );
        let owed = self.sql.row(&statement, &[sequence.into()])?;
        let owed = owed.map(|row| row.text(0)).transpose()?.unwrap_or_default();
        if self.succeeded() {
            return self.insert_row(State::Delivered);
        }
        if owes(&owed, self.placed.endpoint) {
            beside.push(self.placed.result.number);
            return put_extra(
                self.sql,
                self.placed.segment,
                sequence,
                self.placed.endpoint,
                &beside,
            );
        }
        self.insert_row(State::Failed)
    }

    /// A doubled result is dropped, unless it is a success and the recorded one is not.
    fn upgrade_manual(&self, row: Option<&DeliveryRow>) -> Result<(), Problem> {
        if !self.succeeded() || !self.rules.success_replaces {
            return Ok(());
        }
        let none = DeliveryRow {
            state: State::Waiting,
            attempts: 0,
            next_at: None,
            numbers: Vec::new(),
            first: None,
        };
        self.upgrade_later(row.unwrap_or(&none))?;
        match row {
            Some(row) => self.delete_retry(row),
            None => self.insert_delivered_without_number(),
        }
    }

    /// A row without an attempt of the plan: this one's number stands in it.
    fn insert_row(&self, state: State) -> Result<(), Problem> {
        self.insert_with(state, numbers_text(&[self.placed.result.number]))
    }

    /// The same where the number stands beside already.
    fn insert_delivered_without_number(&self) -> Result<(), Problem> {
        self.insert_with(State::Delivered, None)
    }

    fn insert_with(&self, state: State, numbers: Option<String>) -> Result<(), Problem> {
        let statement = format!(
            "INSERT INTO delivery_{} (endpoint, sequence, state, attempts, updated_at, numbers) VALUES (?, ?, ?, 0, ?, ?)",
            self.placed.segment
        );
        let values = [
            self.placed.endpoint.into(),
            self.placed.result.message.0.sequence.into(),
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
        let sequence = self.placed.result.message.0.sequence;
        self.sql.run(
            "DELETE FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = 0",
            &[at.into(), self.placed.endpoint.into(), sequence.into()],
        )?;
        Ok(())
    }
}
