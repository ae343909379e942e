//! Reading attempts back.
//!
//! First attempts stand inside delivery rows, in the order of messages; later ones in a table of their own, in the order
//! of hand-outs. A list of an endpoint's attempts merges the two; its iterator holds a position in each.

use postern_domain::id::{AttemptId, MAX_48};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{AttemptFilter, AttemptsOfEndpoint, AttemptsOfMessage, Page};
use postern_domain::wire::reads::{AttemptCount, AttemptGet, Counted};
use postern_domain::wire::{AttemptStatus, AttemptView, DeliveryStatus, MessageView, Trigger};

use crate::Ledger;
use crate::delivery::{self, ATTEMPT_COLUMNS, DeliveryRow, Recorded, State, numbers_from};
use crate::manual::extra_numbers;
use crate::memory::Memory;
use crate::messages::matches;
use crate::page::{Base36, MOST_BYTES, MOST_ROWS, Turn};
use crate::sql::{Row, Sql};

/// Rows read at a time.
const BATCH: usize = 64;

/// Clocks of the consumer and of the object may differ by this, and a hand-out's number may run ahead of the clock where
/// many leave in one millisecond.
const CLOCK_SKEW_MS: u64 = 60_000;

/// Where a list of an endpoint's attempts stands: all before (towards the newest) both positions was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// Message of the last first attempt.
    sequence: u64,
    /// Hand-out number and message of the last later attempt.
    later: (u64, u64),
}

/// An attempt with what a list needs to decide on it.
pub(crate) struct Found {
    sequence: u64,
    /// Where it stands among the others: of a first attempt the time of its message, of a later one its hand-out number.
    /// Each grows within its stream, so that the merge is the same in both directions.
    place: u64,
    trigger: Trigger,
    recorded: Recorded,
}

impl<S: Sql> Ledger<S> {
    /// One attempt with its response.
    pub(crate) fn attempt_get(&mut self, call: &AttemptGet) -> Result<(AttemptView, Vec<Vec<u8>>), Problem> {
        let (id, segment) = self.attempt_named(&call.message, &call.attempt)?;
        let (endpoint, sequence) = (id.endpoint(), id.0.sequence);
        let (message, _) = self.message_at(sequence, false)?.ok_or_else(Problem::not_found)?;
        let found = self
            .attempts_of_delivery(segment, endpoint, sequence)?
            .into_iter()
            .find(|found| found.recorded.number == id.0.time)
            .ok_or_else(Problem::not_found)?;
        let (view, response) = self.view(&message, endpoint, segment, found)?;
        Ok((view, vec![response]))
    }

    /// How many attempts at an endpoint a filter leaves: exact as far as a page may look, else reckoned from the counters,
    /// which know hours, types and how attempts ended.
    pub(crate) fn attempt_count(&mut self, call: &AttemptCount) -> Result<Counted, Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let filter = &call.filter;
        let mut stream = Merge::new(endpoint, Position::NEWEST, false);
        let (mut looked, mut count) = (0_u64, 0_u64);
        while let Some(found) = stream.peek(self)? {
            if looked >= MOST_ROWS as u64 {
                let (succeeded, failed) = self.attempts_at(
                    endpoint,
                    filter.message.after,
                    filter.message.before,
                    filter.message.event_types.as_deref(),
                )?;
                let by_status = match (filter.status, filter.delivery) {
                    (_, Some(DeliveryStatus::Pending | DeliveryStatus::Waiting)) => 0,
                    (Some(AttemptStatus::Success), _) => succeeded,
                    (Some(AttemptStatus::Failure), _) => failed,
                    (None, _) => succeeded + failed,
                };
                // What the counters do not know is taken to be spread as among the newest.
                let known = filter.message.channel.is_none() && filter.status_code_class.is_none();
                let share = || succeeded.saturating_add(failed).saturating_mul(count) / looked;
                return Ok(Counted {
                    count: if known { by_status } else { share() },
                    approximated: true,
                });
            }
            looked += 1;
            stream.advance();
            let Some(segment) = self.memory()?.segment_of(found.sequence).map(|s| s.number) else {
                continue;
            };
            let Some((message, _)) = self.message_at(found.sequence, false)? else {
                continue;
            };
            let (view, _) = self.view(&message, endpoint, segment, found)?;
            count += u64::from(wanted(filter, &message, &view));
        }
        Ok(Counted {
            count,
            approximated: false,
        })
    }

    /// The attempt of a message that an id names, compared whole, with the segment that it stands in. That it is
    /// recorded is not said yet.
    pub(crate) fn attempt_named(
        &mut self,
        message: &str,
        attempt: &str,
    ) -> Result<(AttemptId, u64), Problem> {
        let id: AttemptId = attempt.parse().map_err(|_| Problem::not_found())?;
        let message = self.message_named(message)?;
        if self.message_view(message)?.is_none() || AttemptId::new(message, id.endpoint(), id.0.time) != id {
            return Err(Problem::not_found());
        }
        let segment = self.memory()?.segment_of(message.0.sequence).map(|s| s.number);
        Ok((id, segment.ok_or_else(Problem::not_found)?))
    }

    /// Attempts of one message over all its endpoints, newest first. There are few: all are read, and cut.
    pub(crate) fn attempts_of_message(
        &mut self,
        call: &AttemptsOfMessage,
    ) -> Result<(Page<AttemptView>, Vec<Vec<u8>>), Problem> {
        let id = self.message_named(&call.message)?;
        let message = self.message_view(id)?.ok_or_else(Problem::not_found)?;
        let only = call
            .filter
            .endpoint
            .as_ref()
            .map(|endpoint| self.endpoint_number(endpoint))
            .transpose()?;
        let segment = self
            .memory()?
            .segment_of(id.0.sequence)
            .map(|s| s.number)
            .ok_or_else(Problem::not_found)?;
        let statement = format!("SELECT owed FROM message_{segment} WHERE sequence = ?");
        let owed = self
            .sql
            .row(&statement, &[id.0.sequence.into()])?
            .ok_or_else(Problem::not_found)?
            .text(0)?;

        let mut all = Vec::new();
        let endpoints = self.endpoints_of(segment, id.0.sequence, &owed)?;
        for endpoint in endpoints
            .into_iter()
            .filter(|endpoint| only.is_none_or(|only| only == *endpoint))
        {
            for found in self.attempts_of_delivery(segment, endpoint, id.0.sequence)? {
                let (view, response) = self.view(&message, endpoint, segment, found)?;
                if wanted(&call.filter, &message, &view) {
                    all.push((view, response));
                }
            }
        }
        all.sort_by_key(|(view, _)| std::cmp::Reverse((view.id.0.time, view.id)));
        let turn = Turn::parse_with(&call.page, |text| text.parse::<AttemptId>().ok())?;
        let place = |from: AttemptId| (from.0.time, from);
        let mut page: Vec<_> = all
            .into_iter()
            .filter(|(view, _)| match (turn.from, turn.backwards) {
                (Some(from), false) => place(view.id) < place(from),
                (Some(from), true) => place(view.id) > place(from),
                (None, _) => true,
            })
            .collect();
        let done = page.len() <= turn.limit;
        if turn.backwards {
            page.drain(..page.len().saturating_sub(turn.limit));
        } else {
            page.truncate(turn.limit);
        }
        let (data, bodies): (Vec<_>, Vec<_>) = page.into_iter().unzip();
        Ok((crate::page::of(data, done, |view| view.id.to_string()), bodies))
    }

    /// Attempts at one endpoint, newest first.
    pub(crate) fn attempts_of_endpoint(
        &mut self,
        call: &AttemptsOfEndpoint,
    ) -> Result<(Page<AttemptView>, Vec<Vec<u8>>), Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let turn = Turn::parse_with(&call.page, Position::read)?;
        let start = match (turn.from, call.filter.message.before) {
            (Some(from), _) => from,
            (None, Some(before)) => self.before(before)?,
            (None, None) => Position::NEWEST,
        };
        let mut stream = Merge::new(endpoint, start, turn.backwards);
        let (mut data, mut bodies, mut bytes, mut looked, mut done) = (Vec::new(), Vec::new(), 0, 0, true);
        let newest = stream.bounds(self)?;
        while let Some(found) = stream.peek(self)? {
            if data.len() == turn.limit || bytes >= MOST_BYTES || looked >= MOST_ROWS {
                done = false;
                break;
            }
            looked += 1;
            stream.advance();
            let Some(segment) = self.memory()?.segment_of(found.sequence).map(|s| s.number) else {
                continue;
            };
            let Some((message, _)) = self.message_at(found.sequence, false)? else {
                continue;
            };
            let (view, response) = self.view(&message, endpoint, segment, found)?;
            if wanted(&call.filter, &message, &view) {
                bytes += response.len();
                data.push(view);
                bodies.push(response);
            }
        }
        let end = stream.position;
        if turn.backwards {
            data.reverse();
            bodies.reverse();
        }
        // Backwards, the page before begins where the look ended, and the one behind where it began.
        let before = if turn.from.is_none() { newest } else { start };
        let (next, previous) = if turn.backwards {
            (start, end)
        } else {
            (end, before)
        };
        let any = !data.is_empty() || !done;
        Ok((
            Page {
                data,
                iterator: any.then(|| next.to_string()),
                prev_iterator: any.then(|| format!("-{previous}")),
                done,
            },
            bodies,
        ))
    }

    /// Nothing from here towards the newest was begun before this time: an attempt is begun after its message came, and
    /// after it was handed out, as far as clocks agree.
    fn before(&mut self, time: Millis) -> Result<Position, Problem> {
        Ok(Position {
            sequence: self.sequence_at(time.plus(CLOCK_SKEW_MS))?,
            later: (time.plus(CLOCK_SKEW_MS).0.min(MAX_48), 0),
        })
    }

    pub(crate) fn attempts_of_delivery(
        &self,
        segment: u64,
        endpoint: u32,
        sequence: u64,
    ) -> Result<Vec<Found>, Problem> {
        let statement = format!(
            "SELECT {ATTEMPT_COLUMNS}, numbers FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?"
        );
        let row = self.sql.row(&statement, &[endpoint.into(), sequence.into()])?;
        let mut numbers = extra_numbers(&self.sql, segment, sequence, endpoint)?;
        let mut found = Vec::new();
        if let Some(row) = row {
            if row.maybe(0, Row::number)?.is_some() {
                let recorded = Recorded::read(&row, 0)?;
                found.push(Found {
                    sequence,
                    place: recorded.number,
                    trigger: Trigger::Scheduled,
                    recorded,
                });
            }
            numbers.extend(numbers_from(&row.maybe(8, Row::text)?.unwrap_or_default()));
        }
        for number in numbers {
            let statement = format!(
                "SELECT {ATTEMPT_COLUMNS}, kind FROM attempt_{segment} \
                 WHERE endpoint = ? AND number = ? AND sequence = ?"
            );
            if let Some(row) = self
                .sql
                .row(&statement, &[endpoint.into(), number.into(), sequence.into()])?
            {
                let recorded = Recorded::read(&row, 0)?;
                found.push(Found {
                    sequence,
                    place: recorded.number,
                    trigger: trigger(row.int(8)?),
                    recorded,
                });
            }
        }
        Ok(found)
    }

    /// The first attempt of a delivery that there is, with its response.
    pub(crate) fn first_attempt(
        &mut self,
        message: &MessageView,
        endpoint: u32,
    ) -> Result<Option<(AttemptView, Vec<u8>)>, Problem> {
        let sequence = message.id.0.sequence;
        let segment = self.memory()?.segment_of(sequence).map(|s| s.number);
        let segment = segment.ok_or_else(Problem::not_found)?;
        let found = self.attempts_of_delivery(segment, endpoint, sequence)?;
        let first = found.into_iter().min_by_key(|found| found.recorded.number);
        first
            .map(|found| self.view(message, endpoint, segment, found))
            .transpose()
    }

    pub(crate) fn view(
        &mut self,
        message: &MessageView,
        number: u32,
        segment: u64,
        found: Found,
    ) -> Result<(AttemptView, Vec<u8>), Problem> {
        let row = delivery::read(&self.sql, segment, number, found.sequence)?;
        let cancelled = self.is_cancelled(number, found.sequence)?;
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&number).ok_or_else(Problem::not_found)?;
        let recorded = found.recorded;
        // The one that stands inside may be newer than what came late from a hand-out before it.
        let is_latest = |row: &DeliveryRow| {
            let first = row.first.map(|(number, _)| number);
            row.numbers.iter().copied().chain(first).max() == Some(recorded.number)
        };
        let delivery = row.as_ref().map(|row| match row.state {
            State::Delivered => DeliveryStatus::Delivered,
            State::Waiting if cancelled => DeliveryStatus::Cancelled,
            State::Waiting => DeliveryStatus::Waiting,
            State::Failed => DeliveryStatus::Failed,
            State::Cancelled => DeliveryStatus::Cancelled,
        });
        let waits = row
            .filter(|row| row.state == State::Waiting && !cancelled)
            .filter(is_latest);
        let view = AttemptView {
            id: AttemptId::new(message.id, number, recorded.number),
            endpoint: Memory::endpoint_id(endpoint),
            message: message.id,
            url: recorded.url,
            status: if recorded.ok {
                AttemptStatus::Success
            } else {
                AttemptStatus::Failure
            },
            response_status: recorded.status,
            cause: recorded.cause,
            duration_ms: recorded.duration,
            trigger: found.trigger,
            timestamp: recorded.time,
            next_attempt: waits.and_then(|row| row.next_at),
            event_type: Some(message.event_type.clone()),
            delivery,
            header_names: endpoint.config.header_names,
        };
        Ok((view, recorded.response))
    }
}

fn trigger(kind: i64) -> Trigger {
    if kind == 1 {
        Trigger::Manual
    } else {
        Trigger::Scheduled
    }
}

fn wanted(filter: &AttemptFilter, message: &MessageView, view: &AttemptView) -> bool {
    let class = |class: u16| match view.response_status {
        None => class == 0,
        Some(status) => status / 100 * 100 == class,
    };
    let delivery = |status: DeliveryStatus| match status {
        // An attempt has ended: none is pending or being sent.
        DeliveryStatus::Pending | DeliveryStatus::Waiting => false,
        DeliveryStatus::Delivered => view.status == AttemptStatus::Success,
        DeliveryStatus::Failed | DeliveryStatus::Cancelled => view.status == AttemptStatus::Failure,
    };
    matches(&filter.message, message)
        && filter.status.is_none_or(|status| status == view.status)
        && filter.delivery.is_none_or(delivery)
        && filter.status_code_class.is_none_or(class)
        && filter.message.before.is_none_or(|before| view.timestamp < before)
        && filter.message.after.is_none_or(|after| view.timestamp > after)
}

impl Position {
    const NEWEST: Self = Self {
        sequence: u64::MAX >> 16,
        later: (u64::MAX >> 16, u64::MAX >> 16),
    };

    fn read(text: &str) -> Option<Self> {
        let mut parts = text
            .strip_prefix("at_")?
            .split('_')
            .map(|part| u64::from_str_radix(part, 36).ok());
        let position = Self {
            sequence: parts.next()??,
            later: (parts.next()??, parts.next()??),
        };
        (parts.next().is_none()
            && position.sequence.max(position.later.0).max(position.later.1) <= u64::MAX >> 16)
            .then_some(position)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, sequence) = self.later;
        write!(
            f,
            "at_{}_{}_{}",
            Base36(self.sequence),
            Base36(number),
            Base36(sequence)
        )
    }
}

/// The merge of the two streams, in either direction.
struct Merge {
    endpoint: u32,
    backwards: bool,
    position: Position,
    first: Vec<Found>,
    later: Vec<Found>,
    first_end: bool,
    later_end: bool,
    /// Where the next batch of each begins.
    read_to: Position,
}

impl Merge {
    fn new(endpoint: u32, position: Position, backwards: bool) -> Self {
        Self {
            endpoint,
            backwards,
            position,
            first: Vec::new(),
            later: Vec::new(),
            first_end: false,
            later_end: false,
            read_to: position,
        }
    }

    /// Just behind the newest that there is now: what comes later lies before it.
    fn bounds<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<Position, Problem> {
        self.fill(ledger)?;
        Ok(Position {
            sequence: self.first.last().map_or(0, |found| found.sequence + 1),
            later: self
                .later
                .last()
                .map_or((0, 0), |found| (found.recorded.number, found.sequence + 1)),
        })
    }

    /// The next attempt, without going on.
    fn peek<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<Option<Found>, Problem> {
        self.fill(ledger)?;
        Ok(self.next_is_later().and_then(|later| {
            let from = if later {
                self.later.last()
            } else {
                self.first.last()
            };
            from.map(|found| Found {
                recorded: found.recorded.clone(),
                ..*found
            })
        }))
    }

    fn advance(&mut self) {
        match self.next_is_later() {
            Some(true) => {
                if let Some(found) = self.later.pop() {
                    // Going backwards a position is a bound that belongs to what was shown.
                    let step = u64::from(self.backwards);
                    self.position.later = (found.recorded.number, found.sequence + step);
                }
            }
            Some(false) => {
                if let Some(found) = self.first.pop() {
                    self.position.sequence = found.sequence + u64::from(self.backwards);
                }
            }
            None => {}
        }
    }

    /// Buffers are kept with the next one last.
    fn next_is_later(&self) -> Option<bool> {
        match (self.first.last(), self.later.last()) {
            (None, None) => None,
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (Some(first), Some(later)) => Some((later.place > first.place) != self.backwards),
        }
    }

    fn fill<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<(), Problem> {
        if self.first.is_empty() && !self.first_end {
            self.first = self.read_first(ledger)?;
            self.first_end = self.first.len() < BATCH;
            if let Some(end) = self.first.last() {
                self.read_to.sequence = end.sequence + u64::from(self.backwards);
            }
            self.first.reverse();
        }
        if self.later.is_empty() && !self.later_end {
            self.later = self.read_later(ledger)?;
            self.later_end = self.later.len() < BATCH;
            if let Some(end) = self.later.last() {
                self.read_to.later = (end.recorded.number, end.sequence + u64::from(self.backwards));
            }
            self.later.reverse();
        }
        Ok(())
    }

    fn read_first<S: Sql>(&self, ledger: &mut Ledger<S>) -> Result<Vec<Found>, Problem> {
        let last = ledger.memory()?.last_sequence;
        let (low, high) = if self.backwards {
            (self.read_to.sequence, last)
        } else {
            (1, last.min(self.read_to.sequence.saturating_sub(1)))
        };
        let order = if self.backwards { "ASC" } else { "DESC" };
        let mut found = Vec::new();
        for (segment, low, high) in ledger.segments_within(low, high, self.backwards)? {
            let statement = format!(
                "SELECT {ATTEMPT_COLUMNS}, sequence, \
                 (SELECT message.time FROM message_{segment} AS message WHERE message.sequence = delivery.sequence) \
                 FROM delivery_{segment} AS delivery WHERE endpoint = ? AND sequence >= ? AND sequence <= ? AND number IS NOT NULL \
                 ORDER BY sequence {order} LIMIT ?"
            );
            let rest = (BATCH - found.len()) as u64;
            for row in ledger.sql.rows(
                &statement,
                &[self.endpoint.into(), low.into(), high.into(), rest.into()],
            )? {
                let recorded = Recorded::read(&row, 0)?;
                let (sequence, place) = (row.number(8)?, row.number(9)?);
                found.push(Found {
                    sequence,
                    place,
                    trigger: Trigger::Scheduled,
                    recorded,
                });
            }
            if found.len() == BATCH {
                break;
            }
        }
        Ok(found)
    }

    fn read_later<S: Sql>(&self, ledger: &mut Ledger<S>) -> Result<Vec<Found>, Problem> {
        let segments: Vec<u64> = ledger
            .memory()?
            .segments
            .iter()
            .map(|segment| segment.number)
            .collect();
        let (number, sequence) = self.read_to.later;
        let (compare, order) = if self.backwards {
            (">=", "ASC")
        } else {
            ("<", "DESC")
        };
        let mut found = Vec::new();
        for segment in segments {
            let statement = format!(
                "SELECT {ATTEMPT_COLUMNS}, sequence, kind FROM attempt_{segment} \
                 WHERE endpoint = ? AND (number, sequence) {compare} (?, ?) \
                 ORDER BY number {order}, sequence {order} LIMIT ?"
            );
            let values = [
                self.endpoint.into(),
                number.into(),
                sequence.into(),
                (BATCH as u64).into(),
            ];
            for row in ledger.sql.rows(&statement, &values)? {
                let recorded = Recorded::read(&row, 0)?;
                let (sequence, trigger) = (row.number(8)?, trigger(row.int(9)?));
                found.push(Found {
                    sequence,
                    place: recorded.number,
                    trigger,
                    recorded,
                });
            }
        }
        found.sort_by_key(|found| (found.recorded.number, found.sequence));
        if !self.backwards {
            found.reverse();
        }
        found.truncate(BATCH);
        Ok(found)
    }
}
