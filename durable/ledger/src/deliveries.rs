//! Deliveries from both of their ends: the messages that one endpoint has, and the endpoints that one message has.
//!
//! A delivery that has a row is found by it. One that has none is derived from what its message owes: it lies above the
//! low-water mark or in its endpoint's line, or was cancelled before it was tried. A list of an endpoint's messages
//! merges the two, and its iterator is one place for both.

use std::collections::VecDeque;

use postern_domain::event_type;
use postern_domain::id::EndpointId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::call::Page;
use postern_domain::wire::reads::{
    EndpointMessageView, EndpointsOfMessage, MessageEndpointView, MessagesOfEndpoint, Precheck, Prechecked,
};

use crate::Ledger;
use crate::delivery::{self, DeliveryRow, ROW_COLUMNS, standing};
use crate::memory::Memory;
use crate::messages::matches;
use crate::page::{self, MOST_BYTES, MOST_ROWS, Place, Turn, check_of};
use crate::sql::Sql;
use crate::sweep::owes;

/// Delivery rows read at a time.
const ROWS: u64 = 64;

/// Messages read at a time, to see what they owe.
const MESSAGES: u64 = 500;

/// What a place in a list of an endpoint's messages begins with.
const PLACE: &str = "em_";

impl<S: Sql> Ledger<S> {
    /// Messages that were decided for an endpoint, with where each stands, newest first.
    pub(crate) fn messages_of_endpoint(
        &mut self,
        call: &MessagesOfEndpoint,
        now: Millis,
    ) -> Result<(Page<EndpointMessageView>, Vec<Vec<u8>>), Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let random = self.memory()?.endpoints.get(&endpoint).map(|e| e.random);
        let check = check_of(&random.unwrap_or_default());
        let turn: Turn<u64> = Turn::parse_with(&call.page, |text| {
            Place::<1>::read(text, PLACE, check).map(|Place([sequence])| sequence)
        })?;
        let place = |sequence| Place([sequence]).text(PLACE, check);
        let (low, high) = self.bounds(&call.filter.message)?;
        let (low, high) = turn.within(low, high);
        let mut walk = self.walk(endpoint, low, high, turn.backwards)?;
        let (mut data, mut bodies, mut bytes, mut done) = (Vec::new(), Vec::new(), 0, true);
        let mut seen = None;
        loop {
            let (sequence, row) = match walk.next(self)? {
                Step::End => break,
                Step::Paused(at) => {
                    seen = Some(at);
                    done = false;
                    break;
                }
                Step::At(sequence, row) => (sequence, row),
            };
            if data.len() == turn.limit || bytes >= MOST_BYTES {
                done = false;
                break;
            }
            seen = Some(sequence);
            let status = self.status_of(endpoint, sequence, row.as_ref())?;
            if !call
                .filter
                .status
                .is_none_or(|wanted| same_for_svix(wanted, status))
            {
                continue;
            }
            let Some((message, body)) = self.message_at(sequence, call.with_content)? else {
                continue;
            };
            if !matches(&call.filter.message, &message) {
                continue;
            }
            bytes += body.len();
            if call.with_content {
                bodies.push(body);
            }
            let waits_for = self.waiting_reason(endpoint, sequence, now)?;
            data.push((
                sequence,
                EndpointMessageView {
                    message,
                    status,
                    next_attempt: next_attempt(row.as_ref(), status),
                    waits_for,
                },
            ));
        }
        if turn.backwards {
            data.reverse();
            bodies.reverse();
        }
        // A page may be short, even empty, with more to come: the iterator is where the look ended.
        let ended = seen.filter(|_| !done);
        let first = data.first().map(|(sequence, _)| *sequence);
        let last = data.last().map(|(sequence, _)| *sequence);
        let (next, before) = if turn.backwards {
            (last, ended.or(first))
        } else {
            (ended.or(last), first)
        };
        let page = Page {
            data: data.into_iter().map(|(_, view)| view).collect(),
            iterator: next.map(place),
            prev_iterator: before.map(|sequence| format!("-{}", place(sequence))),
            done,
        };
        Ok((page, bodies))
    }

    /// Endpoints that a message was decided for, in the order they were made. There are few: all are named, and cut.
    pub(crate) fn endpoints_of_message(
        &mut self,
        call: &EndpointsOfMessage,
        now: Millis,
    ) -> Result<Page<MessageEndpointView>, Problem> {
        let id = self.message_named(&call.message)?;
        self.message_view(id)?.ok_or_else(Problem::not_found)?;
        let sequence = id.0.sequence;
        let memory = self.memory()?;
        let segment = memory
            .segment_of(sequence)
            .map(|s| s.number)
            .ok_or_else(Problem::not_found)?;
        let turn = Turn::parse_with(&call.page, |text| {
            let id: EndpointId = text.parse().ok()?;
            let number = u32::try_from(id.0.sequence).ok()?;
            // One that is gone since is no endpoint of another: there is no number twice.
            let own = memory
                .endpoints
                .get(&number)
                .is_none_or(|endpoint| Memory::endpoint_id(endpoint) == id);
            own.then_some(u64::from(number))
        })?;
        let statement = format!("SELECT owed FROM message_{segment} WHERE sequence = ?");
        let owed = self
            .sql
            .row(&statement, &[sequence.into()])?
            .ok_or_else(Problem::not_found)?
            .text(0)?;
        let endpoints = self.endpoints_of(segment, sequence, &owed)?;
        let memory = self.memory()?;
        let numbers: Vec<u64> = endpoints
            .into_iter()
            .filter(|number| memory.endpoints.contains_key(number) && !memory.is_polled(*number))
            .map(u64::from)
            .collect();
        let (numbers, done) = turn.cut(&numbers, true);
        let mut data = Vec::with_capacity(numbers.len());
        for number in numbers {
            let number = u32::try_from(number).map_err(Problem::internal)?;
            let row = delivery::read(&self.sql, segment, number, sequence)?;
            let status = self.status_of(number, sequence, row.as_ref())?;
            let waits_for = self.waiting_reason(number, sequence, now)?;
            let endpoint = self.memory()?.endpoints.get(&number);
            let deleted = endpoint.is_some_and(|endpoint| endpoint.deleted_at.is_some());
            data.push(MessageEndpointView {
                endpoint: self.endpoint_view(number)?,
                deleted,
                status,
                next_attempt: next_attempt(row.as_ref(), status),
                waits_for,
            });
        }
        Ok(page::of(data, done, |view| view.endpoint.id.to_string()))
    }

    /// Whether a message of this type, to these channels, would go to any endpoint now.
    pub(crate) fn precheck(&mut self, call: &Precheck) -> Result<Prechecked, Problem> {
        let active = self.memory()?.endpoints.values().any(|endpoint| {
            endpoint.takes_messages()
                && event_type::wants(endpoint.config.event_types.as_deref(), &call.event_type)
                && event_type::hears(endpoint.config.channels.as_deref(), call.channels.as_deref())
        });
        Ok(Prechecked { active })
    }

    /// Where a delivery stands; `row`: its row, if it has one. What is open in a segment that is about to go is expired.
    pub(crate) fn status_of(
        &mut self,
        endpoint: u32,
        sequence: u64,
        row: Option<&DeliveryRow>,
    ) -> Result<DeliveryStatus, Problem> {
        let expired = self.memory()?.open_segment_of(sequence).is_none();
        Ok(standing(row, expired || self.is_cancelled(endpoint, sequence)?))
    }

    /// A walk over an endpoint's deliveries whose messages have these numbers.
    fn walk(&mut self, endpoint: u32, low: u64, high: u64, backwards: bool) -> Result<Walk, Problem> {
        let memory = self.memory()?;
        let row = memory.endpoints.get(&endpoint);
        let (made, cancelled) = row.map_or((Millis(0), 0), |e| (e.created_at, e.cancelled_through));
        let polled = memory.is_polled(endpoint);
        let lines = memory.lines_of(endpoint).map(|line| line.cursor);
        let line = lines.min().unwrap_or(u64::MAX);
        let open = line.min(memory.mark + 1).max(cancelled + 1);
        // Nothing that came before an endpoint was made is owed to it.
        let born = self.sequence_at(made)?;
        let mut derived: VecDeque<(u64, u64)> = [(born, cancelled), (open, u64::MAX)]
            .into_iter()
            .map(|(first, last)| (first.max(low), last.min(high)))
            .filter(|(first, last)| first <= last && !polled)
            .collect();
        if !backwards {
            derived = derived.into_iter().rev().collect();
        }
        Ok(Walk {
            endpoint,
            backwards,
            rows: VecDeque::new(),
            rows_left: Some((low, high)).filter(|(low, high)| low <= high),
            owed: VecDeque::new(),
            derived,
            looked: 0,
        })
    }
}

/// One step of a [`Walk`].
enum Step {
    /// A delivery, with its row if it has one.
    At(u64, Option<DeliveryRow>),
    /// Enough was looked at; all before this number (in the walk's direction), and itself, was shown.
    Paused(u64),
    /// There are no more.
    End,
}

/// A walk over an endpoint's deliveries in the order of their messages, in either direction: those with a row, and those
/// that are derived.
struct Walk {
    endpoint: u32,
    backwards: bool,
    rows: VecDeque<(u64, DeliveryRow)>,
    /// Where rows were not read yet.
    rows_left: Option<(u64, u64)>,
    owed: VecDeque<u64>,
    /// Where messages were not read yet, in the walk's order.
    derived: VecDeque<(u64, u64)>,
    looked: usize,
}

impl Walk {
    fn next<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<Step, Problem> {
        self.fill_rows(ledger)?;
        let scanned = self.fill_owed(ledger)?;
        let row = self.rows.front().map(|(sequence, _)| *sequence);
        let owed = self.owed.front().copied();
        let row_first = match (row, owed, scanned) {
            (None, None, None) => return Ok(Step::End),
            (None, None, Some(at)) => return Ok(Step::Paused(at)),
            // Messages behind this one were not looked at.
            (Some(row), None, Some(at)) if row != at && !self.precedes(row, at) => {
                return Ok(Step::Paused(at));
            }
            (Some(_), None, _) => true,
            (None, Some(_), _) => false,
            (Some(row), Some(owed), _) => row == owed || self.precedes(row, owed),
        };
        if self.looked >= MOST_ROWS {
            // The next one is there already, and is left for the next page.
            let next = if row_first { row } else { owed }.unwrap_or(0);
            return Ok(Step::Paused(if self.backwards { next - 1 } else { next + 1 }));
        }
        self.looked += 1;
        if !row_first {
            return Ok(self
                .owed
                .pop_front()
                .map_or(Step::End, |sequence| Step::At(sequence, None)));
        }
        if row == owed {
            self.owed.pop_front();
        }
        Ok(self
            .rows
            .pop_front()
            .map_or(Step::End, |(sequence, row)| Step::At(sequence, Some(row))))
    }

    fn precedes(&self, one: u64, other: u64) -> bool {
        if self.backwards { one < other } else { one > other }
    }

    fn fill_rows<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<(), Problem> {
        let Some((low, high)) = self.rows_left.filter(|_| self.rows.is_empty()) else {
            return Ok(());
        };
        let order = if self.backwards { "ASC" } else { "DESC" };
        for (segment, low, high) in ledger.segments_within(low, high, self.backwards)? {
            let statement = format!(
                "SELECT {ROW_COLUMNS}, sequence FROM delivery_{segment} \
                 WHERE endpoint = ? AND sequence >= ? AND sequence <= ? ORDER BY sequence {order} LIMIT ?"
            );
            let rest = ROWS - self.rows.len() as u64;
            let values = [self.endpoint.into(), low.into(), high.into(), rest.into()];
            for row in ledger.sql.rows(&statement, &values)? {
                self.rows.push_back((row.number(6)?, DeliveryRow::read(&row)?));
            }
            if self.rows.len() as u64 == ROWS {
                break;
            }
        }
        self.rows_left = match self.rows.back() {
            Some((last, _)) if self.rows.len() as u64 == ROWS => self.left_of((low, high), *last),
            _ => None,
        };
        Ok(())
    }

    /// Reads messages until one of them owes the endpoint something. Answers, if it stopped before, how far it got.
    fn fill_owed<S: Sql>(&mut self, ledger: &mut Ledger<S>) -> Result<Option<u64>, Problem> {
        let order = if self.backwards { "ASC" } else { "DESC" };
        while self.owed.is_empty() {
            let Some((low, high)) = self.derived.pop_front() else {
                return Ok(None);
            };
            if self.looked >= MOST_ROWS {
                self.derived.push_front((low, high));
                return Ok(Some(if self.backwards { low - 1 } else { high + 1 }));
            }
            let mut last = None;
            if let Some((segment, low, high)) = ledger.segments_within(low, high, self.backwards)?.first() {
                let statement = format!(
                    "SELECT sequence, owed FROM message_{segment} WHERE sequence >= ? AND sequence <= ? \
                     ORDER BY sequence {order} LIMIT ?"
                );
                let rows = ledger
                    .sql
                    .rows(&statement, &[(*low).into(), (*high).into(), MESSAGES.into()])?;
                let full = rows.len() as u64 == MESSAGES;
                self.looked += rows.len();
                for row in &rows {
                    let sequence = row.number(0)?;
                    last = Some(sequence).filter(|_| full);
                    if owes(&row.text(1)?, self.endpoint) {
                        self.owed.push_back(sequence);
                    }
                }
                // The rest of the range lies in other segments.
                let end = if self.backwards { *high } else { *low };
                last = last.or(Some(end));
            }
            if let Some(left) = last.and_then(|last| self.left_of((low, high), last)) {
                self.derived.push_front(left);
            }
        }
        Ok(None)
    }

    /// What is left of a range behind a number.
    fn left_of(&self, (low, high): (u64, u64), last: u64) -> Option<(u64, u64)> {
        let left = if self.backwards {
            (last.saturating_add(1), high)
        } else {
            (low, last.saturating_sub(1))
        };
        Some(left).filter(|(low, high)| low <= high)
    }
}

/// Svix has one number for what failed and what was cancelled.
fn same_for_svix(wanted: DeliveryStatus, status: DeliveryStatus) -> bool {
    wanted == status || (wanted == DeliveryStatus::Failed && status == DeliveryStatus::Cancelled)
}

fn next_attempt(row: Option<&DeliveryRow>, status: DeliveryStatus) -> Option<Millis> {
    let open = matches!(status, DeliveryStatus::Pending | DeliveryStatus::Waiting);
    row.filter(|_| open).and_then(|row| row.next_at)
}
