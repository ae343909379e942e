//! Payloads that go before their messages: a publisher may ask that what a message says is kept for a shorter time than
//! the message. One row for each such message, and none for any other; the alarm works them off in slices.
//!
//! A message whose payload is gone is known by its content type: empty, as no other is. What was not delivered by then
//! cannot be any more, so it is cancelled.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Ledger;
use crate::sql::{Row, Sql};

const HOUR_MS: u64 = 3_600_000;

/// No message is kept longer, whatever its tenant chooses: a payload that may stay as long needs no row.
const LONGEST_MS: u64 = 90 * Millis::DAY;

/// Payloads of one run.
const SLICE: u64 = 256;

/// When a message's payload goes: up to an hour late, so that a run does many. That retention takes the message first
/// today says nothing about tomorrow's retention.
pub(crate) fn ends_at(hours: Option<u16>, time: Millis) -> Option<Millis> {
    let kept = u64::from(hours?) * HOUR_MS;
    let end = time.plus(kept).0.div_ceil(HOUR_MS) * HOUR_MS;
    (kept < LONGEST_MS).then_some(Millis(end))
}

/// Remembers it. Part of the accept's transaction.
pub(crate) fn insert<S: Sql>(sql: &S, at: Millis, sequence: u64) -> Result<(), Problem> {
    sql.run(
        "INSERT INTO payload_end (time, sequence) VALUES (?, ?)",
        &[at.into(), sequence.into()],
    )?;
    Ok(())
}

impl<S: Sql> Ledger<S> {
    /// Takes away what is due, one slice. Answers whether more is ready.
    pub(crate) fn expunge_payloads(&mut self, now: Millis) -> Result<bool, Problem> {
        let statement =
            "SELECT time, sequence FROM payload_end WHERE time <= ? ORDER BY time, sequence LIMIT ?";
        let rows = self.sql.rows(statement, &[now.into(), SLICE.into()])?;
        for row in &rows {
            let (time, sequence) = (row.time(0)?, row.number(1)?);
            // Unless the message went first. Cut off between the two, it is taken away again: nothing changes.
            if self.memory()?.segment_of(sequence).is_some() {
                self.expunge(sequence, now)?;
            }
            let row = [time.into(), sequence.into()];
            self.sql
                .run("DELETE FROM payload_end WHERE time = ? AND sequence = ?", &row)?;
        }
        Ok(rows.len() as u64 == SLICE)
    }

    /// When the next payload goes.
    pub(crate) fn payloads_at(&self) -> Result<Option<Millis>, Problem> {
        let row = self.sql.row("SELECT min(time) FROM payload_end", &[])?;
        Ok(row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_goes_at_the_end_of_the_hour_in_which_its_time_is_over() {
        let half_past = Millis(10 * HOUR_MS + HOUR_MS / 2);
        assert_eq!(ends_at(Some(1), half_past), Some(Millis(12 * HOUR_MS)));
        assert_eq!(ends_at(Some(1), Millis(10 * HOUR_MS)), Some(Millis(11 * HOUR_MS)));
    }

    #[test]
    fn a_payload_that_may_stay_as_long_as_any_message_has_no_end_of_its_own() {
        assert_eq!(ends_at(None, Millis(0)), None);
        assert_eq!(ends_at(Some(90 * 24), Millis(0)), None);
        assert!(ends_at(Some(90 * 24 - 1), Millis(0)).is_some());
    }
}
