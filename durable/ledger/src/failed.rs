//! What failed for good, newest message first: of one endpoint, or of all that a tenant has.
//!
//! A partial index of each segment holds it, by endpoint; statements name it, as the planner would take the key and read
//! all that was delivered. A list over all endpoints merges those that have something in
//! a segment, so that a page costs by what it shows and by how many endpoints fail, not by what is stored.

use std::collections::VecDeque;

use postern_domain::problem::Problem;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::Page;
use postern_domain::wire::reads::{FailedList, FailedView};

use crate::Ledger;
use crate::delivery::{DeliveryRow, ROW_COLUMNS, cause_from};
use crate::endpoint::Endpoint;
use crate::memory::Memory;
use crate::messages::matches;
use crate::page::{MOST_BYTES, MOST_ROWS, Place, Turn, check_of};
use crate::sql::{Row, Sql};

/// What a place in this list begins with: number of the message and of the endpoint.
const PLACE: &str = "fd_";

/// Rows of one endpoint that are read at a time.
const ROWS: u64 = 16;

/// A delivery: message first, as the list is ordered.
type Key = (u64, u32);

impl<S: Sql> Ledger<S> {
    /// A page of it.
    pub(crate) fn failed_list(
        &mut self,
        call: &FailedList,
    ) -> Result<(Page<FailedView>, Vec<Vec<u8>>), Problem> {
        let only = call
            .endpoint
            .as_ref()
            .map(|endpoint| self.endpoint_number(endpoint))
            .transpose()?;
        let memory = self.memory()?;
        let check = match only.and_then(|number| memory.endpoints.get(&number)) {
            Some(endpoint) => check_of(&endpoint.random),
            None => check_of(&memory.tenant.0),
        };
        let turn: Turn<Key> = Turn::parse_with(&call.page, |text| {
            let Place([sequence, endpoint]) = Place::<2>::read(text, PLACE, check)?;
            Some((sequence, u32::try_from(endpoint).ok()?))
        })?;
        let place = |(sequence, endpoint): Key| Place([sequence, endpoint.into()]).text(PLACE, check);
        let bounds = self.bounds(&call.filter)?;
        let mut look = Look {
            only,
            from: turn.from,
            backwards: turn.backwards,
            looked: 0,
        };
        let (mut data, mut bodies, mut bytes, mut done) = (Vec::new(), Vec::new(), 0, true);
        let mut seen = None;
        'segments: for (segment, low, high) in self.look_in(&look, bounds)? {
            let mut streams = look.begin(self, segment, (low, high))?;
            while let Some(key) = look.next(self, segment, (low, high), &mut streams)? {
                if data.len() == turn.limit || bytes >= MOST_BYTES || look.looked >= MOST_ROWS {
                    done = false;
                    break 'segments;
                }
                look.looked += 1;
                seen = Some(key);
                let Some((message, body)) = self.message_at(key.0, call.with_content)? else {
                    continue;
                };
                if !matches(&call.filter, &message) {
                    continue;
                }
                data.push((key, self.failed_view(segment, key, message)?));
                bytes += body.len();
                if call.with_content {
                    bodies.push(body);
                }
            }
        }
        if turn.backwards {
            data.reverse();
            bodies.reverse();
        }
        let ended = seen.filter(|_| !done);
        let (first, last) = (
            data.first().map(|(key, _)| *key),
            data.last().map(|(key, _)| *key),
        );
        let (next, before) = if turn.backwards {
            (last, ended.or(first))
        } else {
            (ended.or(last), first)
        };
        let page = Page {
            data: data.into_iter().map(|(_, view)| view).collect(),
            iterator: next.map(place),
            prev_iterator: before.map(|key| format!("-{}", place(key))),
            done,
        };
        Ok((page, bodies))
    }

    /// Segments that a page looks into, in its order.
    fn look_in(&mut self, look: &Look, (low, high): (u64, u64)) -> Result<Vec<(u64, u64, u64)>, Problem> {
        // The message that a page begins at may have failed at other endpoints, too.
        let (low, high) = match (look.from, look.backwards) {
            (Some((from, _)), true) => (low.max(from), high),
            (Some((from, _)), false) => (low, high.min(from)),
            (None, _) => (low, high),
        };
        if low > high {
            return Ok(Vec::new());
        }
        self.segments_within(low, high, look.backwards)
    }

    fn failed_view(
        &mut self,
        segment: u64,
        (sequence, number): Key,
        message: MessageView,
    ) -> Result<FailedView, Problem> {
        let statement = format!(
            "SELECT {ROW_COLUMNS}, cause, status, updated_at FROM delivery_{segment} \
             WHERE endpoint = ? AND sequence = ?"
        );
        let stored = self
            .sql
            .row(&statement, &[number.into(), sequence.into()])?
            .ok_or_else(|| Problem::internal("an index names a row that is not there"))?;
        let row = DeliveryRow::read(&stored)?;
        let mut ended = (stored.maybe(6, Row::text)?, stored.maybe(7, Row::small)?);
        let latest = row.numbers.iter().max();
        if let Some(latest) = latest.filter(|latest| row.first.is_none_or(|(first, _)| **latest > first)) {
            let statement = format!(
                "SELECT cause, status FROM attempt_{segment} WHERE endpoint = ? AND number = ? AND sequence = ?"
            );
            let values = [number.into(), (*latest).into(), sequence.into()];
            if let Some(attempt) = self.sql.row(&statement, &values)? {
                ended = (attempt.maybe(0, Row::text)?, attempt.maybe(1, Row::small)?);
            }
        }
        let endpoint = self
            .memory()?
            .endpoints
            .get(&number)
            .ok_or_else(Problem::not_found)?;
        Ok(FailedView {
            message,
            endpoint: Memory::endpoint_id(endpoint),
            attempts: row.attempts,
            cause: ended.0.map(|word| cause_from(&word)),
            response_status: ended.1,
            failed_at: stored.time(8)?,
        })
    }
}

/// One endpoint's part of a segment.
struct Stream {
    endpoint: u32,
    ready: VecDeque<u64>,
    /// Nothing is left to read.
    read: bool,
}

/// How a page looks.
struct Look {
    only: Option<u32>,
    from: Option<Key>,
    backwards: bool,
    looked: usize,
}

impl Look {
    /// The endpoints that have something in a segment.
    fn begin<S: Sql>(
        &mut self,
        ledger: &mut Ledger<S>,
        segment: u64,
        bounds: (u64, u64),
    ) -> Result<Vec<Stream>, Problem> {
        let mut streams = Vec::new();
        if let Some(endpoint) = self.only {
            streams.push(self.stream(ledger, segment, bounds, endpoint)?);
            return Ok(streams);
        }
        let statement = format!(
            "SELECT endpoint FROM delivery_{segment} INDEXED BY failed_{segment} WHERE state = 2 AND endpoint > ? ORDER BY endpoint LIMIT 1"
        );
        let mut last = 0;
        while let Some(row) = ledger.sql.row(&statement, &[last.into()])? {
            last = row.small::<u32>(0)?;
            // Nothing can be sent again to one that was deleted.
            let there = |endpoint: &Endpoint| endpoint.deleted_at.is_none();
            if ledger.memory()?.endpoints.get(&last).is_some_and(there) {
                streams.push(self.stream(ledger, segment, bounds, last)?);
            }
        }
        Ok(streams)
    }

    fn stream<S: Sql>(
        &mut self,
        ledger: &Ledger<S>,
        segment: u64,
        bounds: (u64, u64),
        endpoint: u32,
    ) -> Result<Stream, Problem> {
        let mut stream = Stream {
            endpoint,
            ready: VecDeque::new(),
            read: false,
        };
        let bounds = match self.from {
            // Of the message that the page begins at, endpoints behind the one that was shown.
            Some((from, shown)) if self.backwards => {
                (bounds.0.max(from + u64::from(endpoint <= shown)), bounds.1)
            }
            Some((from, shown)) => {
                let behind = if endpoint >= shown {
                    from.saturating_sub(1)
                } else {
                    from
                };
                (bounds.0, bounds.1.min(behind))
            }
            None => bounds,
        };
        self.fill(ledger, segment, bounds, &mut stream)?;
        Ok(stream)
    }

    /// The next delivery over all streams.
    fn next<S: Sql>(
        &mut self,
        ledger: &Ledger<S>,
        segment: u64,
        bounds: (u64, u64),
        streams: &mut [Stream],
    ) -> Result<Option<Key>, Problem> {
        let heads = streams.iter().enumerate().filter_map(|(at, stream)| {
            stream
                .ready
                .front()
                .map(|sequence| ((*sequence, stream.endpoint), at))
        });
        let next = if self.backwards { heads.min() } else { heads.max() };
        let Some((key, at)) = next else { return Ok(None) };
        if let Some(stream) = streams.get_mut(at) {
            stream.ready.pop_front();
            if stream.ready.is_empty() && !stream.read {
                let bounds = if self.backwards {
                    (key.0 + 1, bounds.1)
                } else {
                    (bounds.0, key.0.saturating_sub(1))
                };
                self.fill(ledger, segment, bounds, stream)?;
            }
        }
        Ok(Some(key))
    }

    fn fill<S: Sql>(
        &self,
        ledger: &Ledger<S>,
        segment: u64,
        (low, high): (u64, u64),
        stream: &mut Stream,
    ) -> Result<(), Problem> {
        let order = if self.backwards { "ASC" } else { "DESC" };
        let statement = format!(
            "SELECT sequence FROM delivery_{segment} INDEXED BY failed_{segment} WHERE state = 2 AND endpoint = ? \
             AND sequence >= ? AND sequence <= ? ORDER BY sequence {order} LIMIT ?"
        );
        let values = [stream.endpoint.into(), low.into(), high.into(), ROWS.into()];
        for row in ledger.sql.rows(&statement, &values)? {
            stream.ready.push_back(row.number(0)?);
        }
        stream.read = (stream.ready.len() as u64) < ROWS;
        Ok(())
    }
}
