//! After an eviction: what was out is read back from the leases that are stored.
//!
//! A hand-out is known by one of three: the accept lease of a message whose delivery has no result of the plan yet, a `due` row that stands at
//! the end of its lease, or the `until` of a line. Whatever may be out counts as out, so that order and concurrency hold.
//!
//! Numbers of hand-outs run ahead of the clock where many leave within a millisecond. Those in `due` are stored; the others
//! are given once more, at the times at which they were: what is handed out from now on has a larger one.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::line::Line;
use crate::sql::{Row, Sql};
use crate::sweep::{OwedRow, owed_to, owes};
use crate::{Ledger, delivery};

/// Messages of one slice.
const SLICE: usize = 1000;

/// Tries by hand that are out beside another hand-out of their delivery have a lease that is longer by so much at the most.
pub(crate) const APART_MS: u64 = 1000;

impl<S: Sql> Ledger<S> {
    /// Reads it back. Part of reading the memory.
    pub(crate) fn recall(&mut self, now: Millis) -> Result<(), Problem> {
        if !self.settings.rules.recall {
            return Ok(());
        }
        let end = now.plus(self.settings.lease_ms + APART_MS);
        let statement = "SELECT time, endpoint, sequence, number FROM due WHERE time > ? AND time <= ? AND number IS NOT NULL";
        let due = self.sql.rows(statement, &[now.into(), end.into()])?;
        for row in &due {
            let (endpoint, number) = (row.small(1)?, row.number(3)?);
            self.memory()?.gave_number(endpoint, number);
        }
        self.recall_lines(now)?;
        self.recall_accepts(now)?;
        // Behind the others: a try by hand may be out beside the first hand-out of the same delivery.
        for row in &due {
            let (until, endpoint, sequence) = (row.time(0)?, row.small(1)?, row.number(2)?);
            let flight = self.memory()?.flight(endpoint);
            flight.goes_on(None, 1, &[(sequence, until)]);
        }
        self.recall_parked()
    }

    fn recall_lines(&mut self, now: Millis) -> Result<(), Problem> {
        let lines: Vec<Line> = self
            .memory()?
            .lines
            .values()
            .filter(|line| line.until > now && line.cursor < line.handed)
            .cloned()
            .collect();
        for line in lines {
            let in_order = !line.key.is_empty();
            let (rows, all) = if in_order {
                // Of its own key alone: what another line of this endpoint has out is no business of this one.
                (self.handed_in_order(&line)?, true)
            } else {
                self.handed_freely(&line)?
            };
            let mut given = Vec::new();
            for row in rows.iter().filter(|row| row.sequence < line.handed) {
                let settled = if in_order {
                    delivery::is_settled(&self.sql, row.segment, line.endpoint, row.sequence)?
                } else {
                    delivery::first_has_ended(&self.sql, row.segment, line.endpoint, row.sequence)?
                };
                let own = self.keeps_order(line.endpoint, row.sequence)? == in_order;
                if !settled && own && owes(&row.owed, line.endpoint) {
                    given.push((row.sequence, line.until));
                }
            }
            if given.is_empty() && all {
                continue; // all of it has its results: its lease says nothing any more
            }
            let began = line.until.minus(self.settings.lease_ms);
            let memory = self.memory()?;
            for _ in &given {
                memory.next_number(line.endpoint, began);
            }
            let flight = memory.flight(line.endpoint);
            if in_order {
                flight.goes_on(Some(line.key.as_str().into()), 1, &given);
            } else {
                // Which of them left together is forgotten: the end of one lane must not free the places of others. Nor
                // is it known when the lease of each ends; there was no hand-out before, of which a result could come.
                for one in given {
                    flight.recalled(None, 1, &[one]);
                }
            }
        }
        Ok(())
    }

    /// What of a line without an order was handed out, and whether that is all of it. Where it is very much: the oldest, of
    /// which one may hang since long ago, and the newest, which have only just left. What is out between them is not known.
    fn handed_freely(&mut self, line: &Line) -> Result<(Vec<OwedRow>, bool), Problem> {
        let most = self.settings.recalled;
        let last = line.handed - 1;
        let mut rows = self.owed_between(line.cursor, last, most)?;
        if rows.len() < most {
            return Ok((rows, true));
        }
        let behind = rows.last().map_or(line.cursor, |row| row.sequence + 1);
        let newest = line.handed.saturating_sub(most as u64);
        rows.extend(self.owed_between(behind.max(newest), last, most)?);
        Ok((rows, newest <= behind))
    }

    /// What of a line that keeps its order was handed out and may not be settled. A slice of it ends with its segment.
    fn handed_in_order(&mut self, line: &Line) -> Result<Vec<OwedRow>, Problem> {
        let mut all: Vec<OwedRow> = Vec::new();
        let mut from = line.cursor;
        while from < line.handed && all.len() < self.settings.recalled {
            let rows = self.messages_of(line, from)?;
            let Some(last) = rows.last().map(|row| row.sequence) else {
                break;
            };
            all.extend(rows);
            from = last + 1;
        }
        Ok(all)
    }

    /// Messages above the mark: what they owe and has no row may be out since their accept.
    fn recall_accepts(&mut self, now: Millis) -> Result<(), Problem> {
        let (lease, most) = (self.settings.lease_ms, self.settings.recalled);
        let memory = self.memory()?;
        let (mut from, last) = (memory.mark + 1, memory.last_sequence);
        let mut looked = 0;
        while from <= last {
            let rows = self.owed_between(from, last, SLICE)?;
            let Some(end) = rows.last().map(|row| row.sequence) else {
                break;
            };
            for row in rows {
                let until = row.time.plus(lease);
                for endpoint in owed_to(&row.owed) {
                    let memory = self.memory()?;
                    let Some(known) = memory.endpoints.get(&endpoint).filter(|known| !known.is_polled())
                    else {
                        continue;
                    };
                    let ordered = known.keeps_order_of(row.sequence);
                    if until > now {
                        memory.next_number(endpoint, row.time);
                    } else if !ordered {
                        continue;
                    }
                    // What a line holds back did not leave at its accept.
                    let line = memory.lines.get(&(endpoint, String::new())).filter(|_| !ordered);
                    if line.is_some_and(|line| row.sequence >= line.handed && !line.direct) {
                        continue;
                    }
                    if looked >= most && !ordered {
                        // Too many to look at each: until its lease is over each counts as out.
                        let flight = memory.flight(endpoint);
                        flight.goes_on(None, 1, &[(row.sequence, until)]);
                        continue;
                    }
                    looked += 1;
                    let came = if ordered {
                        delivery::exists(&self.sql, row.segment, endpoint, row.sequence)?
                    } else {
                        delivery::first_has_ended(&self.sql, row.segment, endpoint, row.sequence)?
                    };
                    if came {
                        continue;
                    }
                    if ordered {
                        self.recall_head(endpoint, row.segment, row.sequence, until, now)?;
                    } else {
                        let flight = self.memory()?.flight(endpoint);
                        if flight.lease_of(row.sequence, now).is_none() {
                            flight.goes_on(None, 1, &[(row.sequence, until)]);
                        }
                    }
                }
            }
            from = end + 1;
        }
        Ok(())
    }

    /// The head of an ordered line that was out since its accept; behind a line that is stored it never left.
    fn recall_head(
        &mut self,
        endpoint: u32,
        segment: u64,
        sequence: u64,
        until: Millis,
        now: Millis,
    ) -> Result<(), Problem> {
        if until <= now && self.is_cancelled(endpoint, sequence)? {
            return Ok(());
        }
        let key = self.line_key_of(endpoint, segment, sequence)?;
        let memory = self.memory()?;
        match memory.lines.get_mut(&(endpoint, key.clone())) {
            Some(line) if line.stored => return Ok(()),
            // One before it was cancelled, or its lease is over: this is what is out.
            Some(line) => {
                line.handed = sequence + 1;
                line.until = until;
                line.opens_at = until;
            }
            None => {
                let line = Line::out_since_accept(endpoint, key.clone(), sequence, until);
                memory.lines.insert(line.id(), line);
            }
        }
        if until > now {
            let flight = memory.flight(endpoint);
            flight.goes_on(Some(key.as_str().into()), 1, &[(sequence, until)]);
        }
        Ok(())
    }

    fn recall_parked(&mut self) -> Result<(), Problem> {
        let mut from = crate::due::PARKED;
        let statement = "SELECT min(time) FROM due WHERE time >= ?";
        loop {
            let found = self.sql.row(statement, &[from.into()])?;
            let Some(time) = found.map(|row| row.maybe(0, Row::time)).transpose()?.flatten() else {
                return Ok(());
            };
            if let Some(endpoint) = crate::due::parked_endpoint(time) {
                self.memory()?.parked.insert(endpoint, Millis(0));
            }
            from = time.plus(1);
        }
    }
}
