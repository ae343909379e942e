//! Why a delivery waits.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::reads::{RateLimitStatus, RateLimited, WaitReason, WaitsFor};

use crate::Ledger;
use crate::delivery::{self, DeliveryRow, State};
use crate::gate::Reason;
use crate::ordered::NEVER;
use crate::page::MOST_ROWS;
use crate::sql::{Row, Sql};
use crate::sweep::owes;

/// Chance moves a step of the plan by no more than this, in percent.
const JITTER_PERCENT: u64 = 15;

impl<S: Sql> Ledger<S> {
    /// Why this delivery waits, and until when; `None`: it is settled, or on its way. The one place that says so.
    pub(crate) fn waiting_reason(
        &mut self,
        endpoint: u32,
        sequence: u64,
        now: Millis,
    ) -> Result<Option<WaitsFor>, Problem> {
        let Some(segment) = self.memory()?.open_segment_of(sequence) else {
            return Ok(None);
        };
        if self.is_cancelled(endpoint, sequence)? {
            return Ok(None);
        }
        match delivery::read(&self.sql, segment, endpoint, sequence)? {
            None => self.reason_of_line(endpoint, sequence, now),
            Some(row) if row.state == State::Waiting => self.reason_of_row(endpoint, sequence, &row, now),
            Some(_) => Ok(None),
        }
    }

    /// Whether the endpoint's rate holds anything back, and since when.
    pub(crate) fn rate_limit_status(&mut self, call: &RateLimitStatus) -> Result<RateLimited, Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let memory = self.memory()?;
        let last = memory.last_sequence;
        let line = memory
            .lines
            .get(&(endpoint, String::new()))
            .filter(|line| line.reason == Reason::RateLimited)
            .map(|line| line.handed);
        // The line ends a little later than it is caught up.
        let Some(from) = line.filter(|from| *from <= last) else {
            return Ok(RateLimited { since: None });
        };
        let rows = self.owed_between(from, last, MOST_ROWS)?;
        let full = rows.len() == MOST_ROWS;
        let waits = rows.iter().find(|row| owes(&row.owed, endpoint));
        // Behind so many that go elsewhere something waits, else the line would have ended.
        let waits = waits.or_else(|| rows.last().filter(|_| full));
        Ok(RateLimited {
            since: waits.map(|row| row.time),
        })
    }

    /// One that was never handed out lies in its endpoint's line.
    fn reason_of_line(
        &mut self,
        endpoint: u32,
        sequence: u64,
        now: Millis,
    ) -> Result<Option<WaitsFor>, Problem> {
        let mut key = String::new();
        if self.keeps_order(endpoint, sequence)? {
            let Some(segment) = self.memory()?.segment_of(sequence).map(|s| s.number) else {
                return Ok(None);
            };
            key = self.line_key_of(endpoint, segment, sequence)?;
        }
        let in_order = !key.is_empty();
        let memory = self.memory()?;
        let flight = memory.flights.get(&endpoint);
        let is_out = flight.is_some_and(|flight| flight.lease_of(sequence, now).is_some());
        // What a lane in order did not get to was handed out, and waits again.
        let waits = |handed: u64| if in_order { !is_out } else { sequence >= handed };
        let line = memory
            .lines
            .get(&(endpoint, key))
            .filter(|line| waits(line.handed));
        Ok(line.map(|line| WaitsFor {
            reason: named(line.reason),
            until: Some(line.opens_at).filter(|at| *at > now && *at < NEVER),
        }))
    }

    /// One that has a row waits for its time, or for its gate when that has come.
    fn reason_of_row(
        &mut self,
        endpoint: u32,
        sequence: u64,
        row: &DeliveryRow,
        now: Millis,
    ) -> Result<Option<WaitsFor>, Problem> {
        if let Some(at) = row.next_at.filter(|at| *at > now) {
            let reason = if self.was_told_when(endpoint, sequence, row, at)? {
                WaitReason::RetryAfter
            } else {
                WaitReason::Schedule
            };
            return Ok(Some(WaitsFor {
                reason,
                until: Some(at),
            }));
        }
        if self.keeps_order(endpoint, sequence)? {
            return self.reason_of_line(endpoint, sequence, now);
        }
        let memory = self.memory()?;
        if let Some(health) = memory
            .health
            .get(&endpoint)
            .filter(|health| health.opens_at > now)
        {
            return Ok(Some(WaitsFor {
                reason: named(health.reason),
                until: Some(health.opens_at),
            }));
        }
        if memory.tokens(endpoint, now) == 0 {
            return Ok(Some(WaitsFor {
                reason: WaitReason::RateLimited,
                until: Some(memory.gate_opens_at(endpoint, now)),
            }));
        }
        Ok(memory.parked.get(&endpoint).map(|opens_at| WaitsFor {
            reason: WaitReason::Capacity,
            until: Some(*opens_at).filter(|at| *at > now),
        }))
    }

    /// Whether `Retry-After` put the next try off: the latest answer was one that may carry it, and the wait is longer
    /// than the plan as it is now could make it.
    fn was_told_when(
        &mut self,
        endpoint: u32,
        sequence: u64,
        row: &DeliveryRow,
        at: Millis,
    ) -> Result<bool, Problem> {
        let Some(segment) = self.memory()?.segment_of(sequence).map(|s| s.number) else {
            return Ok(false);
        };
        let statement =
            format!("SELECT updated_at, status FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?");
        let Some(stored) = self.sql.row(&statement, &[endpoint.into(), sequence.into()])? else {
            return Ok(false);
        };
        let first = stored.maybe(1, Row::small::<u16>)?;
        let latest = match row.numbers.iter().max() {
            Some(number) if row.first.is_none_or(|(first, _)| *number > first) => {
                let statement = format!(
                    "SELECT status FROM attempt_{segment} WHERE endpoint = ? AND number = ? AND sequence = ?"
                );
                let values = [endpoint.into(), (*number).into(), sequence.into()];
                let attempt = self.sql.row(&statement, &values)?;
                attempt
                    .map(|row| row.maybe(0, Row::small::<u16>))
                    .transpose()?
                    .flatten()
            }
            _ => first,
        };
        let memory = self.memory()?;
        let own = memory.endpoints.get(&endpoint);
        let plan = own
            .and_then(|endpoint| endpoint.config.retry_schedule.clone())
            .or_else(|| memory.settings.retry_schedule.clone())
            .unwrap_or_default();
        let step = usize::try_from(row.attempts.saturating_sub(1))
            .ok()
            .and_then(|index| plan.steps().get(index));
        let most = step.map_or(0, |step| u64::from(*step) * 10 * (100 + JITTER_PERCENT));
        Ok(latest.is_some_and(|status| matches!(status, 429 | 503)) && at.since(stored.time(0)?) > most)
    }
}

/// A gate's reason, as it is shown.
const fn named(reason: Reason) -> WaitReason {
    match reason {
        Reason::RateLimited => WaitReason::RateLimited,
        Reason::Capacity => WaitReason::Capacity,
        Reason::BreakerOpen => WaitReason::BreakerOpen,
        Reason::Paused => WaitReason::Paused,
        Reason::Ordering => WaitReason::Ordering,
    }
}
