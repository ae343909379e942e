//! Reading messages back.

use postern_domain::id::{Address, MessageId, SourceId};
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Bodies, BodiesFound, MessageFilter, MessageGet, MessageList, Page};
use postern_domain::wire::{AppLevel, MessageView};

use crate::Ledger;
use crate::accept::event_id_hash;
use crate::decided::Decided;
use crate::key::Scope;
use crate::memory::{Memory, message_id};
use crate::page::{self, MOST_BYTES, MOST_ROWS, Turn};
use crate::sql::{Row, Sql, Value};

/// Columns of a view, in the order that [`read_view`] takes them. Where no source of its own stands, the kept headers say
/// whether it was routed here.
pub(crate) const VIEW: &str =
    "sequence, time, random, type, event_id, channels, content_type, coalesce(source, headers), not_sent";

impl Memory {
    pub(crate) fn source_id(&self, number: u16) -> Option<SourceId> {
        let source = self.sources.get(&number)?;
        let (time, random) = (source.created_at.0, source.random);
        Some(SourceId(Address {
            time,
            shard: 0,
            sequence: number.into(),
            random,
        }))
    }
}

impl<S: Sql> Ledger<S> {
    /// One message with its body; one that was expunged says so, and has an empty one.
    pub(crate) fn message_get(&mut self, call: &MessageGet) -> Result<(MessageView, Vec<Vec<u8>>), Problem> {
        let id = self.message_named(&call.message)?;
        let view = self.message_view(id)?.ok_or_else(Problem::not_found)?;
        let body = match self.body(id)? {
            Some(body) => body,
            None if view.expunged => Vec::new(),
            None => return Err(Problem::not_found()),
        };
        let duplicates = self.duplicates_of(id.0.sequence)?;
        let view = MessageView { duplicates, ..view };
        Ok((view, vec![body]))
    }

    /// A page of messages, newest first.
    pub(crate) fn message_list(
        &mut self,
        call: &MessageList,
    ) -> Result<(Page<MessageView>, Vec<Vec<u8>>), Problem> {
        let turn = Turn::parse_with(&call.page, |text| text.parse::<MessageId>().ok())?;
        self.not_foreign(turn.from)?;
        let turn = Turn {
            from: turn.from.map(|id| id.0.sequence),
            limit: turn.limit,
            backwards: turn.backwards,
        };
        let filter = &call.filter;
        let (low, high) = self.bounds(filter)?;
        let (low, high) = turn.within(low, high);
        let (mut data, mut bodies, mut bytes, mut looked) = (Vec::new(), Vec::new(), 0, 0);
        let mut done = true;
        let mut last_seen = None;
        'segments: for (segment, first, last) in self.segments_within(low, high, turn.backwards)? {
            let (mut from, mut to) = (first, last);
            loop {
                let order = if turn.backwards { "ASC" } else { "DESC" };
                let body = if call.with_content { "body" } else { "NULL" };
                let statement = format!(
                    "SELECT {VIEW}, {body} FROM message_{segment} WHERE sequence >= ? AND sequence <= ? \
                     ORDER BY sequence {order} LIMIT 64"
                );
                let rows = self.sql.rows(&statement, &[from.into(), to.into()])?;
                let Some(end) = rows.last().map(|row| row.number(0)).transpose()? else {
                    break;
                };
                for row in rows {
                    if data.len() == turn.limit || bytes >= MOST_BYTES || looked >= MOST_ROWS {
                        done = false;
                        break 'segments;
                    }
                    looked += 1;
                    let mut view = read_view(self.memory()?, &row)?;
                    view.skipped.clear(); // of one message alone: a page of them would be long
                    view.skipped_more = 0;
                    last_seen = Some(view.id);
                    if matches(filter, &view) {
                        if call.with_content {
                            let body = row.blob(9)?;
                            bytes += body.len();
                            bodies.push(body);
                        }
                        data.push(view);
                    }
                }
                if turn.backwards {
                    from = end + 1;
                } else {
                    to = end.saturating_sub(1);
                }
                if from > to {
                    break;
                }
            }
        }
        if turn.backwards {
            data.reverse();
            bodies.reverse();
        }
        let mut page = page::of(data, done, |view| view.id.to_string());
        // A page may be short, even empty, with more to come: the iterator is where the look ended.
        if let (false, Some(seen)) = (done, last_seen) {
            if turn.backwards {
                page.prev_iterator = Some(format!("-{seen}"));
            } else {
                page.iterator = Some(seen.to_string());
            }
        }
        Ok((page, bodies))
    }

    /// Numbers of the messages that a filter's times leave; none: the second is smaller than the first.
    pub(crate) fn bounds(&mut self, filter: &MessageFilter) -> Result<(u64, u64), Problem> {
        let memory = self.memory()?;
        let mut low = memory.segments.first().map_or(1, |segment| segment.first);
        let mut high = memory.last_sequence;
        if let Some(after) = filter.after {
            low = low.max(self.sequence_at(after.plus(1))?);
        }
        if let Some(before) = filter.before {
            high = high.min(self.sequence_at(before)?.saturating_sub(1));
        }
        Ok((low, high))
    }

    /// An iterator that names another message of the same number was not given here. One of a message that is gone
    /// since goes on.
    fn not_foreign(&mut self, from: Option<MessageId>) -> Result<(), Problem> {
        let Some(id) = from else { return Ok(()) };
        let memory = self.memory()?;
        let stored = memory.segment_of(id.0.sequence).is_some();
        if id.0.sequence > memory.last_sequence || (stored && self.message_view(id)?.is_none()) {
            return Err(page::invalid_iterator());
        }
        Ok(())
    }

    /// The message of a number, with its body if it is wanted.
    pub(crate) fn message_at(
        &mut self,
        sequence: u64,
        with_content: bool,
    ) -> Result<Option<(MessageView, Vec<u8>)>, Problem> {
        let Some(segment) = self.memory()?.segment_of(sequence).map(|s| s.number) else {
            return Ok(None);
        };
        let body = if with_content { "body" } else { "NULL" };
        let statement = format!("SELECT {VIEW}, {body} FROM message_{segment} WHERE sequence = ?");
        let Some(row) = self.sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        let body = row.maybe(9, Row::blob)?.unwrap_or_default();
        Ok(Some((read_view(self.memory()?, &row)?, body)))
    }

    /// Bodies for a consumer, where a lane could not carry them.
    pub(crate) fn bodies(&mut self, call: &Bodies) -> Result<(BodiesFound, Vec<Vec<u8>>), Problem> {
        let (mut messages, mut bodies) = (Vec::new(), Vec::new());
        let mut elsewhere = Vec::new();
        for id in &call.messages {
            if let Some(at) = self.message_view(*id)?.and_then(|view| view.body_at) {
                elsewhere.push((*id, at));
                continue;
            }
            // Only what is too large for a lane is asked for: an empty one is a payload that is gone.
            if let Some(body) = self.body(*id)?.filter(|body| !body.is_empty()) {
                messages.push(*id);
                bodies.push(body);
            }
        }
        Ok((BodiesFound { messages, elsewhere }, bodies))
    }

    /// The message of an id, or of a publisher's event id.
    pub(crate) fn message_named(&mut self, text: &str) -> Result<MessageId, Problem> {
        self.memory()?;
        if let Ok(id) = text.parse::<MessageId>() {
            return Ok(id);
        }
        let known = self.known(Scope::EventId, &event_id_hash(text), Millis(0))?;
        known.map(|known| known.message).ok_or_else(Problem::not_found)
    }

    /// A message as the API shows it; `None`: not there, or another of the same number.
    pub(crate) fn message_view(&mut self, id: MessageId) -> Result<Option<MessageView>, Problem> {
        let Some(segment) = self.memory()?.segment_of(id.0.sequence).map(|s| s.number) else {
            return Ok(None);
        };
        let statement = format!("SELECT {VIEW} FROM message_{segment} WHERE sequence = ?");
        let Some(row) = self.sql.row(&statement, &[id.0.sequence.into()])? else {
            return Ok(None);
        };
        let view = read_view(self.memory()?, &row)?;
        Ok((view.id == id).then_some(view))
    }

    /// Its body; `None`: the message is gone, or its body is.
    fn body(&mut self, id: MessageId) -> Result<Option<Vec<u8>>, Problem> {
        let Some(segment) = self.memory()?.segment_of(id.0.sequence).map(|s| s.number) else {
            return Ok(None);
        };
        let statement = format!(
            "SELECT time, random, CASE WHEN content_type <> '' THEN body END FROM message_{segment} WHERE sequence = ?"
        );
        let Some(row) = self.sql.row(&statement, &[id.0.sequence.into()])? else {
            return Ok(None);
        };
        let whole = message_id(id.0.sequence, row.time(0)?, &row.blob(1)?);
        Ok(if whole == id {
            row.maybe(2, Row::blob)?
        } else {
            None
        })
    }

    /// The first sequence number whose message is not earlier than `time`: times never go back, so halves will do.
    pub(crate) fn sequence_at(&mut self, time: Millis) -> Result<u64, Problem> {
        let memory = self.memory()?;
        let last = memory.last_sequence;
        if time > memory.last_time {
            return Ok(last + 1);
        }
        let mut low = memory.segments.first().map_or(1, |segment| segment.first);
        let mut high = last + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.time_of(middle)?;
            if found.is_some_and(|found| found >= time) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    fn time_of(&mut self, sequence: u64) -> Result<Option<Millis>, Problem> {
        let Some(segment) = self.memory()?.segment_of(sequence).map(|s| s.number) else {
            return Ok(None);
        };
        let statement = format!("SELECT time FROM message_{segment} WHERE sequence = ?");
        self.sql
            .row(&statement, &[sequence.into()])?
            .map(|row| row.time(0))
            .transpose()
    }

    /// Segments that hold part of a range, with that part: the newest first, or the oldest.
    pub(crate) fn segments_within(
        &mut self,
        low: u64,
        high: u64,
        oldest_first: bool,
    ) -> Result<Vec<(u64, u64, u64)>, Problem> {
        let memory = self.memory()?;
        let ends = memory
            .segments
            .iter()
            .skip(1)
            .map(|next| next.first - 1)
            .chain([u64::MAX]);
        let mut within: Vec<(u64, u64, u64)> = memory
            .segments
            .iter()
            .zip(ends)
            .filter(|(segment, end)| segment.first <= high && *end >= low)
            .map(|(segment, end)| (segment.number, segment.first.max(low), end.min(high)))
            .collect();
        if !oldest_first {
            within.reverse();
        }
        Ok(within)
    }
}

/// Whether a message is among those that were asked for; times were bounded before.
pub(crate) fn matches(filter: &MessageFilter, view: &MessageView) -> bool {
    let of_type = |types: &Vec<String>| types.contains(&view.event_type);
    let heard = |channel: &String| {
        view.channels
            .as_ref()
            .is_some_and(|channels| channels.contains(channel))
    };
    let tagged = |tag: &String| view.tags.as_ref().is_some_and(|tags| tags.contains(tag));
    filter.event_types.as_ref().is_none_or(of_type)
        && filter.channel.as_ref().is_none_or(heard)
        && filter.tag.as_ref().is_none_or(tagged)
}

pub(crate) fn read_view(memory: &Memory, row: &Row) -> Result<MessageView, Problem> {
    let channels = row.maybe(5, Row::text)?.map(|text| json::read(&text)).transpose();
    let (source, app_level) = match row.0.get(7) {
        Some(Value::Text(headers)) => (
            None,
            AppLevel::of(&json::read(headers).map_err(Problem::internal)?),
        ),
        _ => (row.maybe(7, Row::small::<u16>)?, None),
    };
    let decided = Decided::read(row.maybe(8, Row::text)?);
    let id: Result<_, Problem> = Ok(message_id(row.number(0)?, row.time(1)?, &row.blob(2)?));
    let content_type = row.text(6)?;
    let expunged = content_type.is_empty();
    Ok(MessageView {
        id: id?,
        event_type: row.text(3)?,
        event_id: row.maybe(4, Row::text)?,
        channels: channels.map_err(Problem::internal)?,
        timestamp: row.time(1)?,
        expunged,
        content_type,
        source: source
            .and_then(|number| memory.source_id(number))
            .or(app_level.as_ref().map(|routed| routed.source)),
        app_level,
        not_sent: decided.sentence(),
        skipped: memory.skipped(&decided),
        skipped_more: decided.more,
        deliver_at: decided.at,
        tags: decided.tags,
        body_at: decided.body_at.filter(|_| !expunged),
        replay_of: decided.replay_of,
        same_as: decided.used,
        in_batch: decided.batch.is_some(),
        duplicates: 0,
    })
}
