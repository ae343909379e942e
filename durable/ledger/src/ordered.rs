//! Lines that keep their order: one lane at a time, sent one after another, stopping at the first that does not arrive.
//!
//! Such a line never uses `due`: what failed or was lost is its head again, and the line waits for it. What is handed out
//! begins at the first delivery that is not settled, after the leases of its accepts were swept.
//!
//! An endpoint keeps an order from the message on that came after it was told to; what was owed before goes its own way.
//! So a line's messages are those of its span, and with an ordering key those that have it (`ordered_<s>`).

use std::rc::Rc;

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::lane::{MAX_BYTES, MAX_DELIVERIES};
use postern_domain::wire::{OnFailure, OrderedSpan, Trigger};

use crate::delivery::State;
use crate::endpoint::Endpoint;
use crate::flight::Given;
use crate::gate::{Hold, Reason, Wish};
use crate::handout::{MessageToSend, fixed_bytes};
use crate::line::Line;
use crate::memory::Memory;
use crate::recall::APART_MS;
use crate::sql::Sql;
use crate::sweep::{OwedRow, owes};
use crate::{Ledger, delivery};

/// Messages looked at in one slice.
const SLICE: usize = 500;

/// The line of an endpoint that keeps one order.
const WHOLE: &str = "o";

/// Before the hash of a value at the ordering key; alone: of messages that have none there.
const KEYED: &str = "k";

impl Endpoint {
    /// Whether this message keeps its place at this endpoint.
    pub(crate) fn keeps_order_of(&self, sequence: u64) -> bool {
        self.config
            .ordered
            .as_ref()
            .is_some_and(|span| span.holds(sequence))
    }
}

/// The key of the line that a message with this body stands in.
pub(crate) fn line_key(span: &OrderedSpan, body: &[u8]) -> String {
    let Some(pointer) = &span.key else {
        return WHOLE.to_owned();
    };
    let value = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|body| body.pointer(pointer).cloned());
    match value {
        None | Some(serde_json::Value::Null) => KEYED.to_owned(),
        Some(value) => {
            let hash = postern_domain::digest::half_of(value.to_string().as_bytes());
            format!("{KEYED}{}", postern_domain::seal::to_text(&hash))
        }
    }
}

/// Whether the line's messages have rows of their own.
pub(crate) fn is_keyed(key: &str) -> bool {
    key.starts_with(KEYED)
}

/// What stands at the head of a line.
enum Head {
    /// Nothing: all is settled.
    Empty,
    /// It may go now.
    Ready(OwedRow),
    /// It is tried again then.
    Waits(Millis),
    /// It failed for good, and those behind it wait.
    Blocked,
}

/// What one message means for its line.
enum Step {
    Settled,
    Unsent,
    Waits(Millis),
    Blocked,
}

impl Memory {
    /// Refuses an order that would tear a line which is behind: its messages stand under the old key.
    pub(crate) fn may_reorder(&mut self, endpoint: u32) -> Result<(), Problem> {
        if self.lines_of(endpoint).any(|line| !line.key.is_empty()) {
            return Err(Problem::new(
                Code::Conflict,
                "Messages still wait in this endpoint's order; let them arrive, or disable the endpoint and enable it again",
            ));
        }
        Ok(())
    }
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn advance_ordered(&mut self, mut line: Line, now: Millis) -> Result<(), Problem> {
        let before = line.clone();
        let (one_lane, lease) = (self.settings.rules.one_lane_a_line, self.settings.lease_ms);
        self.is_proven(line.endpoint)?;
        let memory = self.memory()?;
        let flight = memory.flight(line.endpoint);
        flight.expire(now);
        let out = flight.holds(&line.key) && one_lane;
        let head = self.head(&mut line, now)?;
        let memory = self.memory()?;
        let on = memory.endpoints.get(&line.endpoint).is_some_and(Endpoint::is_on);
        let mut leaving = Vec::new();
        let (opens_at, reason) = if out {
            (line.until, Reason::Ordering)
        } else {
            match head {
                Head::Empty => (now, line.reason),
                Head::Waits(at) => (at, Reason::Ordering),
                // A success by hand, a cancel or the end of its message wakes it.
                Head::Blocked => (NEVER, Reason::Ordering),
                Head::Ready(_) if !on => (NEVER, Reason::Ordering),
                Head::Ready(head) => match self.lane(&mut line, &head, now)? {
                    // Its payload went a moment ago: it is settled soon, and nothing is to spin until then.
                    Ok(messages) if messages.is_empty() => (now.plus(lease), Reason::Ordering),
                    Ok(messages) => {
                        leaving = messages;
                        (line.until, Reason::Ordering)
                    }
                    Err(hold) => (hold.until, hold.reason),
                },
            }
        };
        line.opens_at = opens_at.max(now.plus(1));
        line.reason = reason;
        let done = !out && leaving.is_empty() && matches!(self.head(&mut line, now)?, Head::Empty);
        let moved = !leaving.is_empty() || line.reason != before.reason || !line.stored;
        if done && line.stored {
            line.delete(&self.sql)?;
        } else if !done && moved {
            line.stored = true;
            line.insert(&self.sql)?;
        }
        let key: Rc<str> = line.key.as_str().into();
        let memory = self.memory()?;
        if !leaving.is_empty() {
            let given: Vec<Given> = leaving
                .iter()
                .map(|message| (message.id.0.sequence, line.until))
                .collect();
            let flight = memory.flight(line.endpoint);
            flight.goes_on(Some(key.clone()), 1, &given);
        }
        let outgoing: Vec<_> = leaving
            .iter()
            .map(|message| {
                let line_key = Some(key.clone());
                memory.hand_out(
                    line.endpoint,
                    line_key,
                    message,
                    line.until,
                    Trigger::Scheduled,
                    now,
                )
            })
            .collect();
        if done {
            memory.lines.remove(&line.id());
        } else {
            memory.lines.insert(line.id(), line);
        }
        self.outbox.extend(outgoing);
        Ok(())
    }

    /// Numbers of a lane's hand-outs are larger than each that its deliveries had. Only the first of them may have been
    /// tried by the plan. Answers when the lease of the last of those hand-outs was over.
    fn number_above(&mut self, endpoint: u32, leaving: &[MessageToSend]) -> Result<Millis, Problem> {
        let mut last = None;
        for (place, message) in leaving.iter().enumerate() {
            let sequence = message.id.0.sequence;
            let Some(segment) = self.memory()?.open_segment_of(sequence) else {
                continue;
            };
            let row = match place {
                0 => delivery::read(&self.sql, segment, endpoint, sequence)?,
                _ => None,
            };
            last = last.max(self.goes_above(segment, endpoint, sequence, row.as_ref())?);
        }
        // A number is never before the time of its hand-out.
        Ok(last.map_or(Millis(0), |number| {
            Millis(number).plus(self.settings.lease_ms + APART_MS)
        }))
    }

    /// Moves the cursor to the first delivery that is not settled.
    fn head(&mut self, line: &mut Line, now: Millis) -> Result<Head, Problem> {
        let from_head = self.settings.rules.order_from_head;
        loop {
            let rows = self.messages_of(line, line.cursor)?;
            if rows.is_empty() {
                return Ok(Head::Empty);
            }
            for row in rows {
                match self.step(line, &row)? {
                    Step::Settled => line.cursor = row.sequence + 1,
                    Step::Waits(_) | Step::Blocked if !from_head => line.cursor = row.sequence + 1,
                    Step::Waits(at) if at > now => return Ok(Head::Waits(at)),
                    Step::Unsent | Step::Waits(_) => return Ok(Head::Ready(row)),
                    Step::Blocked => return Ok(Head::Blocked),
                }
            }
        }
    }

    fn step(&mut self, line: &Line, row: &OwedRow) -> Result<Step, Problem> {
        if !row.open || self.is_cancelled(line.endpoint, row.sequence)? {
            return Ok(Step::Settled);
        }
        let Some(delivery) = delivery::read(&self.sql, row.segment, line.endpoint, row.sequence)? else {
            return Ok(Step::Unsent);
        };
        let waits_for_ever = self.on_failure(line.endpoint)? == OnFailure::Wait;
        Ok(match delivery.state {
            State::Waiting => Step::Waits(delivery.next_at.unwrap_or_default()),
            State::Failed if waits_for_ever => Step::Blocked,
            State::Delivered | State::Cancelled | State::Failed => Step::Settled,
        })
    }

    fn on_failure(&mut self, endpoint: u32) -> Result<OnFailure, Problem> {
        let endpoint = self.memory()?.endpoints.get(&endpoint);
        let ordering = endpoint.and_then(|endpoint| endpoint.config.ordering.as_ref());
        // An order that was given up is kept to its end, and waits for nobody.
        Ok(ordering.map_or(OnFailure::Skip, |ordering| ordering.on_failure))
    }

    /// The lane that goes now, from its head on; or what holds it.
    fn lane(
        &mut self,
        line: &mut Line,
        head: &OwedRow,
        now: Millis,
    ) -> Result<Result<Vec<MessageToSend>, Hold>, Problem> {
        let from = head.sequence;
        let Some(first) = MessageToSend::read(&self.sql, head.segment, from)? else {
            return Ok(Ok(Vec::new()));
        };
        if let Some(until) = self.out_by_hand(line.endpoint, from, now)? {
            let reason = Reason::Capacity;
            return Ok(Err(Hold { until, reason }));
        }
        let memory = self.memory()?;
        if let Err(hold) = memory.admit(line.endpoint, Wish::InOrder, first.bytes(), now) {
            return Ok(Err(hold));
        }
        let probe = memory.health.contains_key(&line.endpoint);
        let fixed = memory.endpoints.get(&line.endpoint).map_or(0, fixed_bytes);
        let mut bytes = fixed + first.bytes();
        let mut leaving = vec![first];
        let mut handed = from + 1;
        // An endpoint that failed since its last success gets one, to see.
        if !probe {
            for row in self.messages_of(line, from + 1)? {
                if leaving.len() == MAX_DELIVERIES {
                    break;
                }
                match self.step(line, &row)? {
                    Step::Settled => {}
                    Step::Unsent if self.out_by_hand(line.endpoint, row.sequence, now)?.is_some() => break,
                    Step::Unsent => {
                        let Some(message) = MessageToSend::read(&self.sql, row.segment, row.sequence)? else {
                            break;
                        };
                        bytes += message.bytes();
                        let memory = self.memory()?;
                        if bytes > MAX_BYTES || memory.tokens(line.endpoint, now) == 0 {
                            break;
                        }
                        memory.take_tokens(line.endpoint, 1);
                        leaving.push(message);
                    }
                    Step::Waits(_) | Step::Blocked => break,
                }
                handed = row.sequence + 1;
            }
        }
        line.handed = handed;
        // Two lanes of a line never have the same lease, nor a lane and a try by hand of what it holds: a result says by it
        // which of them it is of, and one that comes twice must end no other.
        let before = self.number_above(line.endpoint, &leaving)?.max(line.until);
        line.until = now.plus(self.settings.lease_ms).max(before.plus(1));
        Ok(Ok(leaving))
    }

    /// Until when a message of a line of which no lane is out is on its way all the same: somebody had it sent by hand.
    /// One hand-out of it at a time.
    fn out_by_hand(&mut self, endpoint: u32, sequence: u64, now: Millis) -> Result<Option<Millis>, Problem> {
        let waits = self.settings.rules.manual_waits;
        let flight = self.memory()?.flights.get(&endpoint);
        let until = flight.and_then(|flight| flight.lease_of(sequence, now));
        Ok(until.filter(|_| waits))
    }

    /// Messages of a line from a number on, oldest first: a slice.
    pub(crate) fn messages_of(&mut self, line: &Line, from: u64) -> Result<Vec<OwedRow>, Problem> {
        let last = self.memory()?.last_sequence;
        if !is_keyed(&line.key) {
            let mut from = from;
            // A slice may hold nothing of this line.
            while from <= last {
                let rows = self.owed_between(from, last, SLICE)?;
                let Some(end) = rows.last().map(|row| row.sequence) else {
                    break;
                };
                let endpoint = self.memory()?.endpoints.get(&line.endpoint);
                let own: Vec<OwedRow> = rows
                    .into_iter()
                    .filter(|row| owes(&row.owed, line.endpoint))
                    .filter(|row| endpoint.is_some_and(|endpoint| endpoint.keeps_order_of(row.sequence)))
                    .collect();
                if !own.is_empty() {
                    return Ok(own);
                }
                from = end + 1;
            }
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (segment, low, high) in self.segments_within(from, last, true)? {
            let open = self.memory()?.open_segment_of(low).is_some();
            let statement = format!(
                "SELECT sequence FROM ordered_{segment} WHERE endpoint = ? AND line = ? AND sequence >= ? \
                 AND sequence <= ? ORDER BY sequence LIMIT {SLICE}"
            );
            let values = [
                line.endpoint.into(),
                line.key.as_str().into(),
                low.into(),
                high.into(),
            ];
            for row in self.sql.rows(&statement, &values)? {
                found.push(OwedRow {
                    sequence: row.number(0)?,
                    time: Millis(0),
                    owed: line.endpoint.to_string(),
                    segment,
                    open,
                });
            }
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// The key of the line that a stored message stands in.
    pub(crate) fn line_key_of(
        &mut self,
        endpoint: u32,
        segment: u64,
        sequence: u64,
    ) -> Result<String, Problem> {
        let endpoint = self.memory()?.endpoints.get(&endpoint);
        let Some(span) = endpoint.and_then(|endpoint| endpoint.config.ordered.clone()) else {
            return Ok(WHOLE.to_owned());
        };
        if span.key.is_none() {
            return Ok(WHOLE.to_owned());
        }
        let statement = format!("SELECT body FROM message_{segment} WHERE sequence = ?");
        let body = self.sql.row(&statement, &[sequence.into()])?;
        let body = body.map(|row| row.blob(0)).transpose()?.unwrap_or_default();
        Ok(line_key(&span, &body))
    }
}

/// Nothing but an event opens it.
pub(crate) const NEVER: Millis = Millis(1 << 52);
