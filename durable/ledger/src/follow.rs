//! Reading the log forward. A place is a sequence number, and those never fall: what was accepted while somebody read
//! stands behind it, so nothing is skipped and nothing comes twice.

use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::follow::{Follow, Gap, LogMessage, LogPage, Place, Wanted};

use crate::Ledger;
use crate::messages::{VIEW, read_view};
use crate::page::{MOST_BYTES, MOST_ROWS, invalid_iterator};
use crate::sql::{Row, Sql};
use crate::sweep::owes;

/// Messages looked at in one statement. Bodies are read one by one, of those only that are wanted: a batch of large ones
/// does not fit into an object's memory.
const BATCH: usize = 256;

/// What is read.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// Behind this message.
    pub(crate) behind: u64,
    /// Nothing was read yet: what retention took is no gap.
    pub(crate) from_start: bool,
    /// Later than.
    pub(crate) after: Option<Millis>,
    /// Only what this endpoint was decided for at accept.
    pub(crate) sink: Option<u32>,
    pub(crate) wanted: &'a Wanted,
    pub(crate) limit: u16,
}

impl<S: Sql> Ledger<S> {
    /// The tenant's log, from a place on.
    pub(crate) fn follow(&mut self, call: &Follow) -> Result<(LogPage, Vec<Vec<u8>>), Problem> {
        let behind = match call.from {
            Place::Sequence(sequence) => sequence,
            Place::Message(id) => {
                let memory = self.memory()?;
                let still_there = memory.segment_of(id.0.sequence).is_some();
                let was_there = id.0.sequence <= memory.last_sequence;
                // Of one that is gone only the number can be believed: it is a place, and there is a gap behind it.
                if !was_there || (still_there && self.message_view(id)?.is_none()) {
                    return Err(invalid_iterator());
                }
                id.0.sequence
            }
        };
        self.read_on(&Reading {
            behind,
            from_start: false,
            after: None,
            sink: None,
            wanted: &call.wanted,
            limit: call.limit,
        })
    }

    /// One page, oldest first; bodies beside it. It stops at the limit, at 4 MiB or at 5,000 messages looked at.
    pub(crate) fn read_on(&mut self, reading: &Reading<'_>) -> Result<(LogPage, Vec<Vec<u8>>), Problem> {
        let memory = self.memory()?;
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let last = memory.last_sequence;
        if reading.behind > last {
            return Err(invalid_iterator()); // nobody was given a place where nothing is yet
        }
        let later = reading
            .after
            .map(|after| self.sequence_at(after.plus(1)))
            .transpose()?;
        let next = reading.behind + 1;
        let gone = !reading.from_start && next < oldest && later.is_none_or(|later| later <= oldest);
        let low = next.max(oldest).max(later.unwrap_or(0));
        let limit = usize::from(reading.limit.clamp(1, 250));

        let (mut messages, mut bodies, mut bytes, mut looked) = (Vec::new(), Vec::new(), 0, 0);
        let (mut through, mut done) = (reading.behind, true);
        'segments: for (segment, first, end) in self.segments_within(low, last, true)? {
            let statement = format!(
                "SELECT headers, owed, {VIEW} FROM message_{segment} WHERE sequence >= ? AND sequence <= ? \
                 ORDER BY sequence LIMIT {BATCH}"
            );
            let mut from = first;
            while from <= end {
                let rows = self.sql.rows(&statement, &[from.into(), end.into()])?;
                let whole = rows.len() == BATCH;
                for mut row in rows {
                    if messages.len() == limit || bytes >= MOST_BYTES || looked == MOST_ROWS {
                        done = false;
                        break 'segments;
                    }
                    looked += 1;
                    let view = Row(row.0.split_off(2));
                    let view = read_view(self.memory()?, &view)?;
                    let sequence = view.id.0.sequence;
                    (through, from) = (sequence, sequence + 1);
                    let owed = row.text(1)?;
                    if reading.sink.is_some_and(|sink| !owes(&owed, sink))
                        || !reading.wanted.takes(&view.event_type, view.channels.as_deref())
                    {
                        continue;
                    }
                    let body = format!("SELECT body FROM message_{segment} WHERE sequence = ?");
                    let body = self.sql.row(&body, &[sequence.into()])?;
                    let body = body.ok_or_else(|| Problem::internal("a message without a body"))?;
                    let body = body.blob(0)?;
                    bytes += body.len();
                    bodies.push(body);
                    let headers = row
                        .maybe(0, Row::text)?
                        .map(|text| json::read(&text))
                        .transpose()
                        .map_err(Problem::internal)?
                        .unwrap_or_default();
                    messages.push(LogMessage { view, headers });
                }
                if !whole {
                    break;
                }
            }
        }
        let page = LogPage {
            messages,
            through: if done { last } else { through },
            done,
            gap: gone.then(|| Gap {
                missed: oldest - next,
                first: oldest,
            }),
        };
        Ok((page, bodies))
    }
}
