//! Recording results. Idempotent by (message, endpoint, hand-out number); only the current hand-out moves the plan; a
//! success always wins.

mod manual;

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::schedule::Schedule;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Report, Reported};
use postern_domain::wire::report::{SendResult, Stalled};
use postern_domain::wire::{DisabledReason, Trigger};

use crate::delivery::{self, DeliveryRow, Recorded, State, WRITTEN_COLUMNS, WRITTEN_SET, numbers_text};
use crate::endpoint::Endpoint;
use crate::gate::{self, Hold, Observed, Reason, Verdict};
use crate::handout::is_quick;
use crate::line::{Line, LineKey};
use crate::memory::Memory;
use crate::missed::note_off;
use crate::operational::{self, DisableReason, LastAttempt, Operational, Which};
use crate::ordered::NEVER;
use crate::sql::{Row, Sql, Value};
use crate::stat::{self, Moves};
use crate::{Ledger, Random, Rules};

/// What is kept of a response's body on success.
const RESPONSE_ON_SUCCESS: usize = 1024;

/// What is kept of a response's body on failure.
const RESPONSE_ON_FAILURE: usize = 16 * 1024;

/// Of an attempt that changed nothing.
const LATE: i64 = 2;

/// Lines of one endpoint that one report moves at the most.
const LINES: usize = 64;

impl<S: Sql> Ledger<S> {
    /// Records what a consumer says, all or nothing. What it says of a message that is gone is acknowledged and ignored.
    /// Lanes that may go at once stand beside the answer.
    pub(crate) fn report(
        &mut self,
        call: &Report,
        bodies: &[Vec<u8>],
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(Reported, Vec<Vec<u8>>), Problem> {
        self.memory()?;
        let results = self.placed(call, bodies, random)?;
        let observed = self.record(&results, now)?;
        observed.keep(self.memory()?);
        let touched = self.lanes_moved(call, &results, now)?;
        self.go_on(&touched, now)?;
        let endpoints: BTreeSet<u32> = touched.iter().map(|(endpoint, _)| *endpoint).collect();
        let lanes = self.take_lanes_for(&endpoints)?;
        let count = u16::try_from(lanes.len()).map_err(Problem::internal)?;
        Ok((Reported { lanes: count }, lanes))
    }

    /// What hangs holds up everybody whose lanes stand behind it in the queue, and its results are a deadline away: until
    /// one says otherwise, it goes alone and through the queue of slow ones. In memory only: an eviction forgets it.
    pub(crate) fn stalled(&mut self, call: &Stalled) -> Result<(), Problem> {
        let memory = self.memory()?;
        for endpoint in &call.endpoints {
            if memory.endpoints.contains_key(endpoint) {
                memory.proven.insert(*endpoint, false);
            }
        }
        Ok(())
    }

    /// The results with all that recording them needs.
    fn placed<'a>(
        &mut self,
        call: &'a Report,
        bodies: &'a [Vec<u8>],
        random: &mut dyn Random,
    ) -> Result<Vec<Placed<'a>>, Problem> {
        let mut placed = Vec::new();
        let mut responses = bodies.iter();
        for lane in &call.lanes {
            for result in &lane.results {
                let response = responses.next().map(Vec::as_slice).unwrap_or_default();
                let sequence = result.message.0.sequence;
                let memory = self.memory()?;
                let Some(segment) = memory.segment_of(sequence).map(|segment| segment.number) else {
                    continue;
                };
                let Some(endpoint) = memory.endpoints.get(&lane.endpoint) else {
                    continue;
                };
                let plan = endpoint.config.retry_schedule.clone();
                let plan = plan
                    .or_else(|| result.schedule.clone())
                    .or_else(|| memory.settings.retry_schedule.clone());
                let in_order = endpoint.keeps_order_of(sequence);
                placed.push(Placed {
                    endpoint: lane.endpoint,
                    segment,
                    result,
                    response,
                    plan: plan.unwrap_or_default(),
                    jitter: random.number(),
                    in_order,
                    line: None,
                    beside: None,
                });
                if !in_order {
                    continue;
                }
                let (mut line, mut beside) = (None, None);
                match result.trigger {
                    Trigger::Scheduled => line = Some(self.line_of_result(lane.endpoint, segment, result)?),
                    Trigger::Manual => beside = Some(self.line_key_of(lane.endpoint, segment, sequence)?),
                }
                if let Some(placed) = placed.last_mut() {
                    (placed.line, placed.beside) = (line, beside);
                }
            }
        }
        Ok(placed)
    }

    fn line_of_result(
        &mut self,
        endpoint: u32,
        segment: u64,
        result: &SendResult,
    ) -> Result<InLine, Problem> {
        let sequence = result.message.0.sequence;
        let flight = self.memory()?.flights.get(&endpoint);
        let known = flight.and_then(|flight| flight.line_of(sequence));
        let key = match known {
            Some(key) => key.to_string(),
            None => self.line_key_of(endpoint, segment, sequence)?,
        };
        let line = self.memory()?.lines.get(&(endpoint, key.clone())).cloned();
        let is_current = line
            .as_ref()
            .is_some_and(|line| line.until == result.until && (line.cursor..line.handed).contains(&sequence));
        Ok(InLine {
            line: line.unwrap_or_else(|| {
                let hold = Hold {
                    until: result.until,
                    reason: Reason::Ordering,
                };
                let line = Line::begin(endpoint, key, sequence, hold);
                Line {
                    stored: false,
                    ..line
                }
            }),
            is_current,
        })
    }

    /// Writes them, and what follows for their endpoints, in one transaction.
    fn record(&mut self, results: &[Placed<'_>], now: Millis) -> Result<Observed, Problem> {
        let rules = self.settings.rules;
        let mut wake = None;
        let mut observed = Observed::new(now);
        let mut disabled: BTreeMap<u32, Endpoint> = BTreeMap::new();
        let mut heads: BTreeMap<LineKey, Line> = BTreeMap::new();
        let mut told = Vec::new();
        let mut moves = Moves::default();
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let armed = self.sql.atomic(|sql| {
            for placed in results {
                let (result, endpoint) = (placed.result, placed.endpoint);
                if !is_stored(sql, placed.segment, result.message)? {
                    continue;
                }
                let next = |attempts: u32| {
                    placed
                        .plan
                        .next(attempts, now, result.retry_after_ms, placed.jitter)
                };
                let entry = Entry {
                    sql,
                    placed,
                    memory,
                    now,
                    cancelled: rules.cancel && memory.cancelled(endpoint, result.message.0.sequence),
                    rules,
                };
                let delivery = (endpoint, result.message.0.sequence);
                let before = Moves::before(sql, memory, delivery, Some(result.number))?;
                let recorded = entry.record(&next)?;
                moves.after(sql, memory, before)?;
                if recorded == Recording::KnownAlready {
                    continue;
                }
                let mut for_good = false;
                if let Recording::Moved(state, next_at) = recorded {
                    for_good = state == State::Failed;
                    wake = wake.into_iter().chain(next_at).min();
                    if let Some(line) = placed.new_head(state, next_at.unwrap_or(now)) {
                        heads.entry(line.id()).or_insert(line);
                    }
                }
                let Some(known) = memory.endpoints.get(&endpoint).filter(|known| known.is_on()) else {
                    continue;
                };
                match observed.see(memory, endpoint, result, for_good) {
                    Verdict::Nothing => {}
                    Verdict::Warn => {
                        told.push(("endpoint_failing", endpoint, "half way to being disabled"));
                        memory.tell(
                            sql,
                            &is_failing(known, observed.failing_since(memory, endpoint)),
                            now,
                        )?;
                    }
                    Verdict::Disable(reason) => {
                        told.push(("endpoint_disabled", endpoint, reason.sentence()));
                        if !disabled.contains_key(&endpoint) {
                            let fail_since = observed.failing_since(memory, endpoint);
                            memory.tell(sql, &is_disabled(known, reason, fail_since), now)?;
                        }
                        disabled
                            .entry(endpoint)
                            .or_insert_with(|| known.disabled_for(reason, memory.last_sequence, now));
                    }
                }
            }
            for line in heads.values() {
                line.insert(sql)?;
            }
            moves.write(sql)?;
            observed.write(sql, memory)?;
            for endpoint in disabled.values() {
                note_off(sql, endpoint.number, now)?;
                stat::cancel(sql, endpoint.number)?;
                endpoint.write(sql)?;
            }
            if !disabled.is_empty() {
                wake = Some(now.plus(1));
            }
            wake = wake.into_iter().chain(memory.outbox.wake(now)).min();
            wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
        })?;
        self.armed = armed;
        let memory = self.memory()?;
        memory.lines.extend(heads);
        for (number, endpoint) in disabled {
            memory.endpoints.insert(number, endpoint);
            memory.rouse(number, now);
        }
        for (event, endpoint, what) in told {
            self.notice(event, format!("endpoint {endpoint}: {what}"));
        }
        Ok(observed)
    }

    /// Frees the places of what came back. Answers endpoints and lines of which something did.
    fn lanes_moved(
        &mut self,
        call: &Report,
        results: &[Placed<'_>],
        now: Millis,
    ) -> Result<BTreeSet<(u32, Option<String>)>, Problem> {
        let partial_ends_nothing = self.settings.rules.partial_ends_nothing;
        let mut touched = BTreeSet::new();
        let memory = self.memory()?;
        for placed in results {
            let line = placed.line.as_ref().map(|in_line| in_line.line.key.clone());
            touched.insert((placed.endpoint, line.or_else(|| placed.beside.clone())));
        }
        for lane in &call.lanes {
            let flight = memory.flight(lane.endpoint);
            let mut number = None;
            for result in &lane.results {
                number = flight.came(result.message.0.sequence, result.until).or(number);
                if gate::overwhelms(result) {
                    flight.overwhelmed();
                } else if result.cause.is_none() {
                    flight.answered();
                }
            }
            if lane.last || !partial_ends_nothing {
                let reported: Vec<u64> = lane
                    .results
                    .iter()
                    .map(|result| result.message.0.sequence)
                    .collect();
                flight.ended(number, &reported);
            }
            flight.expire(now);
            if let Some(last) = lane.results.last() {
                let quick = last.cause.is_none() && is_quick(last.duration_ms);
                memory.proven.insert(lane.endpoint, quick);
            }
        }
        Ok(touched)
    }

    /// What waits for these endpoints moves on, as far as their gates let it.
    fn go_on(&mut self, touched: &BTreeSet<(u32, Option<String>)>, now: Millis) -> Result<(), Problem> {
        let endpoints: BTreeSet<u32> = touched.iter().map(|(endpoint, _)| *endpoint).collect();
        for endpoint in endpoints {
            self.is_proven(endpoint)?;
            let memory = self.memory()?;
            let closed_until = memory.closed_until(endpoint, now);
            let has_room = memory.has_room(endpoint, now);
            // What waits is to leave when the gate opens, and not when a lease ends that it was waiting for till now.
            if let (Some(until), Some(at)) = (closed_until, memory.parked.get_mut(&endpoint)) {
                *at = until.min(*at);
            } else if has_room {
                self.hand_out_parked(endpoint, now)?;
            }
            let own = |line: &Line| touched.contains(&(endpoint, Some(line.key.clone())));
            let held = |line: &Line| line.reason != Reason::Ordering && (has_room || closed_until.is_some());
            let lines: Vec<Line> = self
                .memory()?
                .lines_of(endpoint)
                .filter(|line| own(line) || held(line))
                .take(LINES)
                .map(|line| line.clone())
                .collect();
            for line in lines {
                self.advance(line, now)?;
            }
            let memory = self.memory()?;
            let parked = memory.parked.get(&endpoint).copied();
            let lines = memory.lines_of(endpoint).filter(|line| line.stored);
            let next = lines.map(|line| line.opens_at).chain(parked).min();
            if let Some(at) = next.filter(|at| *at < NEVER) {
                self.armed = self.wake_by(at.max(now.plus(1)), now)?;
            }
        }
        Ok(())
    }
}

/// What the organisation hears of an endpoint that is disabled by us.
fn is_failing(endpoint: &Endpoint, fail_since: Option<Millis>) -> Operational {
    Operational::EndpointFailing {
        endpoint: Which::of(endpoint),
        fail_since,
    }
}

fn is_disabled(endpoint: &Endpoint, reason: DisabledReason, fail_since: Option<Millis>) -> Operational {
    Operational::EndpointDisabled {
        endpoint: Which::of(endpoint),
        reason: match reason {
            DisabledReason::Gone => DisableReason::Gone,
            DisabledReason::DeliveriesFailed | DisabledReason::NoSuccess => DisableReason::Failing,
        },
        fail_since,
    }
}

/// A result with all that recording it needs.
struct Placed<'a> {
    endpoint: u32,
    segment: u64,
    result: &'a SendResult,
    response: &'a [u8],
    plan: Schedule,
    jitter: u64,
    /// Its message keeps its place at this endpoint.
    in_order: bool,
    /// Its line; of a manual try none.
    line: Option<InLine>,
    /// The line that a manual try goes beside: its success may be what the line waits for.
    beside: Option<String>,
}

impl Placed<'_> {
    /// The line that begins with it, where no row says so yet and it has not arrived: the head stays the head.
    fn new_head(&self, state: State, opens_at: Millis) -> Option<Line> {
        let open = matches!(state, State::Waiting | State::Failed);
        let in_line = self
            .line
            .as_ref()
            .filter(|in_line| open && !in_line.line.stored)?;
        Some(Line {
            stored: true,
            opens_at,
            ..in_line.line.clone()
        })
    }
}

/// The line of a result.
struct InLine {
    line: Line,
    /// It is of the lane that is out.
    is_current: bool,
}

/// What recording a result did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recording {
    /// It was told before.
    KnownAlready,
    /// It is kept, and the delivery stands as it stood.
    Kept,
    /// The delivery moved; while it waits, until then.
    Moved(State, Option<Millis>),
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
    placed: &'a Placed<'a>,
    memory: &'a Memory,
    now: Millis,
    cancelled: bool,
    rules: Rules,
}

impl<S: Sql> Entry<'_, S> {
    fn record(&self, next: &dyn Fn(u32) -> Option<Millis>) -> Result<Recording, Problem> {
        let result = self.placed.result;
        let sequence = result.message.0.sequence;
        if result.trigger == Trigger::Manual {
            return self.record_manual();
        }
        let Some(row) = delivery::read(self.sql, self.placed.segment, self.placed.endpoint, sequence)? else {
            return self.record_first(next);
        };
        let once = self.rules.results_once;
        if once && row.first.is_some_and(|(number, _)| number == result.number) {
            return self.upgrade_first(&row);
        }
        if once && row.numbers.contains(&result.number) {
            return self.upgrade_later(&row);
        }
        let out = match &self.placed.line {
            Some(in_line) => in_line.is_current,
            None => self.due_of_this_handout()?,
        };
        let current = out && row.state == State::Waiting && !self.cancelled;
        if self.succeeded() {
            self.write(
                &row,
                State::Delivered,
                row.attempts + u32::from(current),
                None,
                current,
            )?;
            if out && self.placed.line.is_none() {
                self.delete_due(result.until)?;
            }
            return Ok(Recording::Moved(State::Delivered, None));
        }
        if !current && self.rules.late_changes_nothing {
            return self.record_late(&row);
        }
        let attempts = row.attempts + 1;
        let next_at = next(attempts);
        let state = if next_at.is_some() {
            State::Waiting
        } else {
            State::Failed
        };
        self.write(&row, state, attempts, next_at, true)?;
        if !self.keeps_order() {
            self.delete_due(result.until)?;
            self.insert_due(next_at)?;
        }
        Ok(Recording::Moved(state, next_at))
    }

    /// A failure that changes nothing; of a delivery that was cancelled meanwhile the row says so.
    fn record_late(&self, row: &DeliveryRow) -> Result<Recording, Problem> {
        let state = if self.cancelled && row.state == State::Waiting {
            State::Cancelled
        } else {
            row.state
        };
        let next_at = row.next_at.filter(|_| state == State::Waiting);
        self.write(row, state, row.attempts, next_at, false)?;
        Ok(Recording::Kept)
    }

    /// The first result of a delivery: it makes the row, with the attempt inside.
    fn record_first(&self, next: &dyn Fn(u32) -> Option<Millis>) -> Result<Recording, Problem> {
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
            "INSERT INTO delivery_{} (endpoint, sequence, state, attempts, updated_at, next_at, {WRITTEN_COLUMNS}) \
             VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.placed.segment
        );
        let sequence = self.placed.result.message.0.sequence;
        let mut values = vec![
            self.placed.endpoint.into(),
            sequence.into(),
            Value::Int(state.stored()),
            self.now.into(),
            next_at.into(),
        ];
        values.extend(self.written());
        self.sql.run(&statement, &values)?;
        self.tell(None, 1, state)?;
        if !self.keeps_order() {
            self.insert_due(next_at)?;
        }
        Ok(Recording::Moved(state, next_at))
    }

    fn keeps_order(&self) -> bool {
        self.placed.in_order && self.rules.order_without_due
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
        self.tell(Some(row), attempts, state)?;
        let sequence = self.placed.result.message.0.sequence;
        let mut values = vec![
            Value::Int(state.stored()),
            attempts.into(),
            self.now.into(),
            next_at.into(),
        ];
        if row.first.is_none() && counts {
            let statement = format!(
                "UPDATE delivery_{} SET state = ?, attempts = ?, updated_at = ?, next_at = ?, {WRITTEN_SET} \
                 WHERE endpoint = ? AND sequence = ?",
                self.placed.segment
            );
            values.extend(self.written());
            values.extend([self.placed.endpoint.into(), sequence.into()]);
            self.sql.run(&statement, &values)?;
            return Ok(());
        }
        let numbers: Vec<u64> = row
            .numbers
            .iter()
            .copied()
            .chain([self.placed.result.number])
            .collect();
        let statement = format!(
            "UPDATE delivery_{} SET state = ?, attempts = ?, updated_at = ?, next_at = ?, numbers = ? \
             WHERE endpoint = ? AND sequence = ?",
            self.placed.segment
        );
        values.extend([
            numbers_text(&numbers).into(),
            self.placed.endpoint.into(),
            sequence.into(),
        ]);
        self.sql.run(&statement, &values)?;
        let kind = match (self.placed.result.trigger, counts) {
            (Trigger::Manual, _) => manual::MANUAL,
            (Trigger::Scheduled, true) => 0,
            (Trigger::Scheduled, false) => LATE,
        };
        self.insert_attempt(kind)
    }

    /// Keeps the attempt beside the delivery's row.
    fn insert_attempt(&self, kind: i64) -> Result<(), Problem> {
        let sequence = self.placed.result.message.0.sequence;
        let statement = format!(
            "INSERT INTO attempt_{} (endpoint, sequence, kind, {WRITTEN_COLUMNS}) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self.placed.segment
        );
        let mut values = vec![self.placed.endpoint.into(), sequence.into(), Value::Int(kind)];
        values.extend(self.written());
        self.sql.run(&statement, &values)?;
        Ok(())
    }

    /// A doubled result is dropped, unless it is a success and the recorded one is not.
    fn upgrade_first(&self, row: &DeliveryRow) -> Result<Recording, Problem> {
        if !self.succeeded() || row.first.is_some_and(|(_, ok)| ok) || !self.rules.success_replaces {
            return Ok(Recording::KnownAlready);
        }
        let statement = format!(
            "UPDATE delivery_{} SET state = 0, updated_at = ?, next_at = NULL, {WRITTEN_SET} \
             WHERE endpoint = ? AND sequence = ?",
            self.placed.segment
        );
        let mut values = vec![self.now.into()];
        values.extend(self.written());
        values.extend([
            self.placed.endpoint.into(),
            self.placed.result.message.0.sequence.into(),
        ]);
        self.sql.run(&statement, &values)?;
        self.tell(Some(row), row.attempts, State::Delivered)?;
        Ok(Recording::Moved(State::Delivered, None))
    }

    fn upgrade_later(&self, row: &DeliveryRow) -> Result<Recording, Problem> {
        if !self.succeeded() || !self.rules.success_replaces {
            return Ok(Recording::KnownAlready);
        }
        let sequence = self.placed.result.message.0.sequence;
        let statement = format!(
            "UPDATE attempt_{} SET {WRITTEN_SET} WHERE endpoint = ? AND number = ? AND sequence = ? AND ok = 0",
            self.placed.segment
        );
        let mut values = self.written();
        values.extend([
            self.placed.endpoint.into(),
            self.placed.result.number.into(),
            sequence.into(),
        ]);
        if self.sql.run(&statement, &values)? > 0 {
            let statement = format!(
                "UPDATE delivery_{} SET state = 0, updated_at = ?, next_at = NULL WHERE endpoint = ? AND sequence = ?",
                self.placed.segment
            );
            self.sql.run(
                &statement,
                &[self.now.into(), self.placed.endpoint.into(), sequence.into()],
            )?;
            self.tell(Some(row), row.attempts, State::Delivered)?;
            return Ok(Recording::Moved(State::Delivered, None));
        }
        Ok(Recording::KnownAlready)
    }

    /// Tells the organisation what this result means for the delivery, if it is worth telling.
    fn tell(&self, before: Option<&DeliveryRow>, attempts: u32, after: State) -> Result<(), Problem> {
        let (tried, stood) = (before.map_or(0, |row| row.attempts), before.map(|row| row.state));
        let Some(course) = operational::of_result(tried, attempts, stood, after) else {
            return Ok(());
        };
        let Placed {
            segment,
            endpoint,
            result,
            ..
        } = *self.placed;
        let endpoint = self.memory.endpoints.get(&endpoint);
        let Some(endpoint) = endpoint.filter(|_| self.memory.outbox.listens(self.now)) else {
            return Ok(());
        };
        let statement = format!("SELECT event_id FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[result.message.0.sequence.into()])?;
        let event = Operational::Attempt {
            course,
            endpoint: Which::of(endpoint),
            message: result.message,
            event_id: row.map(|row| row.maybe(0, Row::text)).transpose()?.flatten(),
            last: LastAttempt {
                number: result.number,
                status: result.status,
                at: result.started_at,
            },
        };
        self.memory.tell(self.sql, &event, self.now)
    }

    /// Whether this result's hand-out is the one that `due` says is out.
    fn due_of_this_handout(&self) -> Result<bool, Problem> {
        let statement =
            "SELECT number FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
        let row = self.sql.row(statement, &self.due_key(self.placed.result.until))?;
        Ok(match row {
            Some(row) => row.maybe(0, crate::sql::Row::number)? == Some(self.placed.result.number),
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
            crate::line::insert_due(
                self.sql,
                at,
                self.placed.endpoint,
                self.placed.result.message.0.sequence,
            )
        })
    }

    fn due_key(&self, at: Millis) -> [Value; 4] {
        let kind = i64::from(self.placed.result.trigger == Trigger::Manual);
        [
            at.into(),
            self.placed.endpoint.into(),
            self.placed.result.message.0.sequence.into(),
            Value::Int(kind),
        ]
    }

    fn succeeded(&self) -> bool {
        self.placed.result.cause.is_none()
    }

    /// Values of [`WRITTEN_COLUMNS`].
    fn written(&self) -> Vec<Value> {
        let headers = crate::sent::header_values(self.placed.result);
        self.recorded().values().into_iter().chain(headers).collect()
    }

    fn recorded(&self) -> Recorded {
        let keep = if self.succeeded() {
            RESPONSE_ON_SUCCESS
        } else {
            RESPONSE_ON_FAILURE
        };
        Recorded {
            number: self.placed.result.number,
            time: self.placed.result.started_at,
            ok: self.succeeded(),
            status: self.placed.result.status,
            duration: self.placed.result.duration_ms,
            cause: self.placed.result.cause,
            url: self.placed.result.url.clone(),
            response: self.placed.response.iter().take(keep).copied().collect(),
        }
    }
}
