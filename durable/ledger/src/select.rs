//! Which deliveries a job is for. Endpoint after endpoint, each by the sequence of its messages, so that where it stands is
//! two numbers; every look is bounded.

use std::collections::BTreeMap;

use postern_domain::json;
use postern_domain::problem::{Fault, Problem};
use postern_domain::wire::DeliveryStatus;
use postern_domain::wire::replay::TaskPlan;
use serde::{Deserialize, Serialize};

use crate::Ledger;
use crate::delivery::{State, numbers_from};
use crate::manual::{Try, extra_numbers, is_for_named};
use crate::matching::HOP_LIMIT;
use crate::sql::{Row, Sql};
use crate::sweep::owes;

/// Messages read at a time.
const BATCH: usize = 100;

/// A plan whose names are resolved. Stored as JSON: a later release adds fields with defaults.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Selection {
    /// Numbers, each with the generation that it had: what is turned off meanwhile gets nothing more.
    pub(crate) endpoints: Vec<(u32, u64)>,
    /// The first message.
    pub(crate) low: u64,
    /// The last one: what comes later is not for this job.
    pub(crate) high: u64,
    #[serde(default)]
    pub(crate) states: Vec<DeliveryStatus>,
    #[serde(default)]
    pub(crate) missing: bool,
    #[serde(default)]
    pub(crate) event_types: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) channel: Option<String>,
    #[serde(default)]
    pub(crate) status_code_class: Option<u16>,
    /// These alone, in their order.
    #[serde(default)]
    pub(crate) messages: Option<Vec<u64>>,
}

/// Where a look goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Which of the endpoints.
    pub(crate) endpoint: usize,
    /// From this message on.
    pub(crate) sequence: u64,
}

/// How far a look goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Deliveries looked at.
    pub(crate) looked: usize,
    /// Deliveries chosen.
    pub(crate) chosen: usize,
    /// Endpoints that are off count, too: of what they missed.
    pub(crate) even_off: bool,
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) chosen: Vec<Try>,
    looked: usize,
    /// Would have been chosen, and cannot be sent any more.
    pub(crate) skipped: u64,
    /// `None`: all was looked at.
    pub(crate) next: Option<Place>,
}

/// A delivery that is looked at.
struct Candidate {
    segment: u64,
    sequence: u64,
    /// Its segment stays, and its content has not been taken away.
    sendable: bool,
    owed: String,
    event_type: String,
    channels: Option<Vec<String>>,
    sent_nowhere: bool,
    row: Option<(State, u32)>,
}

/// Where a candidate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Is(DeliveryStatus),
    /// It did not match when the message came, or was not there.
    NeverOwed,
}

impl<S: Sql> Ledger<S> {
    /// Resolves a plan's names, as things are now.
    pub(crate) fn resolve(&mut self, plan: &TaskPlan) -> Result<Selection, Problem> {
        let mut endpoints = Vec::new();
        for name in &plan.endpoints {
            let number = self.endpoint_number(name)?;
            self.is_on(number)?;
            if !endpoints.contains(&number) {
                endpoints.push(number);
            }
        }
        let memory = self.memory()?;
        if plan.endpoints.is_empty() {
            let on = memory.endpoints.values().filter(|endpoint| endpoint.is_on());
            endpoints = on.map(|endpoint| endpoint.number).collect();
        }
        let endpoints = endpoints
            .into_iter()
            .filter_map(|number| Some((number, memory.endpoints.get(&number)?.generation)))
            .collect();
        let oldest = memory.segments.first().map_or(1, |segment| segment.first);
        let last = memory.last_sequence;
        let low = plan.since.map_or(Ok(oldest), |since| self.sequence_at(since))?;
        let high = match plan.until {
            Some(until) => self.sequence_at(until)?.saturating_sub(1),
            None => last,
        };
        Ok(Selection {
            endpoints,
            low,
            high,
            states: plan.states.clone(),
            missing: plan.missing,
            event_types: plan.event_types.clone(),
            channel: plan.channel.clone(),
            status_code_class: plan.status_code_class,
            messages: plan
                .messages
                .as_ref()
                .map(|messages| self.numbers_of(messages))
                .transpose()?,
        })
    }

    /// Messages that were named one by one; each that is not there is a fault with its place.
    pub(crate) fn numbers_of(&mut self, messages: &[String]) -> Result<Vec<u64>, Problem> {
        let (mut numbers, mut faults) = (Vec::new(), Vec::new());
        for (at, name) in messages.iter().enumerate() {
            let id = self.message_named(name).ok();
            let view = id.map(|id| self.message_view(id)).transpose()?.flatten();
            match view {
                Some(view) => numbers.push(view.id.0.sequence),
                None => faults.push(Fault {
                    loc: vec!["body".to_owned(), "ids".to_owned(), at.to_string()],
                    msg: "is no message of this application, or has gone".to_owned(),
                    kind: "value_error".to_owned(),
                }),
            }
        }
        if !faults.is_empty() {
            return Err(Problem::validation(faults));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Looks on from a place, within bounds.
    pub(crate) fn select(
        &mut self,
        selection: &Selection,
        from: Place,
        bounds: Bounds,
    ) -> Result<Found, Problem> {
        let mut found = Found::default();
        let mut place = from;
        while let Some((endpoint, generation)) = selection.endpoints.get(place.endpoint).copied() {
            place.sequence = place.sequence.max(selection.low);
            let known = self.memory()?.endpoints.get(&endpoint);
            let live = known.is_some_and(|e| bounds.even_off || (e.is_on() && e.generation == generation));
            if live && !self.select_at(selection, (endpoint, generation), &mut place, bounds, &mut found)? {
                found.next = Some(place);
                return Ok(found);
            }
            place = Place {
                endpoint: place.endpoint + 1,
                sequence: selection.low,
            };
        }
        Ok(found)
    }

    /// The same at one endpoint. False: the bounds ended it, and it goes on at the place.
    fn select_at(
        &mut self,
        selection: &Selection,
        (endpoint, generation): (u32, u64),
        place: &mut Place,
        bounds: Bounds,
        found: &mut Found,
    ) -> Result<bool, Problem> {
        loop {
            let wanted = (bounds.looked - found.looked).min(BATCH);
            if wanted == 0 {
                return Ok(false);
            }
            let candidates = self.candidates(selection, endpoint, place.sequence, wanted)?;
            let last = candidates.len() < wanted;
            for candidate in candidates {
                if found.chosen.len() == bounds.chosen {
                    return Ok(false);
                }
                found.looked += 1;
                place.sequence = candidate.sequence + 1;
                let Some(stand) = self.chosen(selection, endpoint, &candidate)? else {
                    continue;
                };
                if candidate.sendable {
                    found.chosen.push(Try {
                        endpoint,
                        generation,
                        segment: candidate.segment,
                        sequence: candidate.sequence,
                        extra: stand == Stand::NeverOwed,
                    });
                } else {
                    found.skipped += 1;
                }
            }
            if last {
                return Ok(true);
            }
        }
    }

    /// The next deliveries of one endpoint, oldest first; fewer than `most`: there are no more.
    fn candidates(
        &mut self,
        selection: &Selection,
        endpoint: u32,
        from: u64,
        most: usize,
    ) -> Result<Vec<Candidate>, Problem> {
        let only_failed = selection.states == [DeliveryStatus::Failed] && !selection.missing;
        let mut found = Vec::new();
        for (segment, low, high) in self.segments_within(from, selection.high, true)? {
            let rest = most - found.len();
            if rest == 0 {
                break;
            }
            let open = self.memory()?.open_segment_of(low).is_some();
            let ranges = if let Some(messages) = &selection.messages {
                let own = messages.iter().filter(|n| (low..=high).contains(n));
                own.take(rest).map(|n| (*n, *n)).collect()
            } else if only_failed {
                self.failed_between(segment, endpoint, low, high, rest)?
            } else {
                vec![(low, high)]
            };
            for (low, high) in ranges {
                self.read_candidates(&mut found, segment, open, endpoint, (low, high), most)?;
            }
        }
        Ok(found)
    }

    /// What failed for good, by the index that is kept for it.
    fn failed_between(
        &self,
        segment: u64,
        endpoint: u32,
        low: u64,
        high: u64,
        most: usize,
    ) -> Result<Vec<(u64, u64)>, Problem> {
        let statement = format!(
            "SELECT sequence FROM delivery_{segment} WHERE state = 2 AND endpoint = ? AND sequence >= ? AND sequence <= ? \
             ORDER BY sequence LIMIT ?"
        );
        let values = [endpoint.into(), low.into(), high.into(), (most as u64).into()];
        let rows = self.sql.rows(&statement, &values)?;
        let numbers = rows.iter().map(|row| row.number(0).map(|n| (n, n)));
        numbers.collect::<Result<_, _>>()
    }

    /// Messages of a range with where they stand at one endpoint: two statements, however many there are.
    fn read_candidates(
        &self,
        found: &mut Vec<Candidate>,
        segment: u64,
        open: bool,
        endpoint: u32,
        (low, high): (u64, u64),
        most: usize,
    ) -> Result<(), Problem> {
        let rest = (most - found.len()) as u64;
        let statement = format!(
            "SELECT sequence, owed, type, channels, hop, content_type <> '' FROM message_{segment} \
             WHERE sequence >= ? AND sequence <= ? ORDER BY sequence LIMIT ?"
        );
        let messages = self
            .sql
            .rows(&statement, &[low.into(), high.into(), rest.into()])?;
        let Some(end) = messages.last().map(|row| row.number(0)).transpose()? else {
            return Ok(());
        };
        let statement = format!(
            "SELECT sequence, state, attempts FROM delivery_{segment} WHERE endpoint = ? AND sequence >= ? AND sequence <= ?"
        );
        let mut rows = BTreeMap::new();
        for row in self
            .sql
            .rows(&statement, &[endpoint.into(), low.into(), end.into()])?
        {
            rows.insert(row.number(0)?, (State::read(&row, 1)?, row.small(2)?));
        }
        for row in messages {
            let sequence = row.number(0)?;
            let channels = row.maybe(3, Row::text)?.map(|text| json::read(&text)).transpose();
            found.push(Candidate {
                segment,
                sequence,
                sendable: open && row.int(5)? == 1,
                owed: row.text(1)?,
                event_type: row.text(2)?,
                channels: channels.map_err(Problem::internal)?,
                sent_nowhere: row.small::<u8>(4)? >= HOP_LIMIT,
                row: rows.get(&sequence).copied(),
            });
        }
        Ok(())
    }

    /// Whether the selection is for it, and how it stands then.
    fn chosen(
        &mut self,
        selection: &Selection,
        endpoint: u32,
        candidate: &Candidate,
    ) -> Result<Option<Stand>, Problem> {
        let of_type = |types: &Vec<String>| types.contains(&candidate.event_type);
        let heard = |channel: &String| {
            candidate
                .channels
                .as_ref()
                .is_some_and(|channels| channels.contains(channel))
        };
        if !selection.event_types.as_ref().is_none_or(of_type)
            || !selection.channel.as_ref().is_none_or(heard)
        {
            return Ok(None);
        }
        let stand = self.stand(endpoint, candidate)?;
        let by_state = matches!(stand, Stand::Is(status) if selection.states.contains(&status));
        let wanted = by_state || (selection.missing && self.missed_it(endpoint, candidate, stand)?);
        if !wanted {
            return Ok(None);
        }
        if selection.status_code_class.is_some() {
            let class = self.latest_class(candidate.segment, endpoint, candidate.sequence)?;
            if class != selection.status_code_class {
                return Ok(None);
            }
        }
        Ok(Some(stand))
    }

    fn stand(&mut self, endpoint: u32, candidate: &Candidate) -> Result<Stand, Problem> {
        let cancelled = self.is_cancelled(endpoint, candidate.sequence)?;
        Ok(match candidate.row {
            Some((State::Delivered, _)) => Stand::Is(DeliveryStatus::Delivered),
            Some((State::Failed, _)) => Stand::Is(DeliveryStatus::Failed),
            Some((State::Cancelled, _)) => Stand::Is(DeliveryStatus::Cancelled),
            None if !owes(&candidate.owed, endpoint) => Stand::NeverOwed,
            _ if cancelled => Stand::Is(DeliveryStatus::Cancelled),
            Some((State::Waiting, attempts)) if attempts > 0 => Stand::Is(DeliveryStatus::Waiting),
            _ => Stand::Is(DeliveryStatus::Pending),
        })
    }

    /// The endpoint never got it and would get it today. What was sent nowhere on purpose, or to named endpoints alone,
    /// nobody missed.
    fn missed_it(&mut self, endpoint: u32, candidate: &Candidate, stand: Stand) -> Result<bool, Problem> {
        let open = matches!(stand, Stand::NeverOwed | Stand::Is(DeliveryStatus::Cancelled));
        if !open || candidate.sent_nowhere {
            return Ok(false);
        }
        let known = self.memory()?.endpoints.get(&endpoint);
        let matches = known
            .is_some_and(|endpoint| endpoint.matches(&candidate.event_type, candidate.channels.as_deref()));
        Ok(matches
            && (stand != Stand::NeverOwed
                || !is_for_named(&self.sql, candidate.segment, candidate.sequence)?)
            && self.passes_filter(endpoint, candidate.segment, candidate.sequence)?)
    }

    /// How the latest attempt was answered: 0 (no answer), 100 … 500; `None`: there was none.
    fn latest_class(&self, segment: u64, endpoint: u32, sequence: u64) -> Result<Option<u16>, Problem> {
        let class = |status: Option<u16>| status.map_or(0, |status| status / 100 * 100);
        let statement = format!(
            "SELECT number, status, numbers FROM delivery_{segment} WHERE endpoint = ? AND sequence = ?"
        );
        let row = self.sql.row(&statement, &[endpoint.into(), sequence.into()])?;
        let mut numbers = extra_numbers(&self.sql, segment, sequence, endpoint)?;
        if let Some(row) = row {
            numbers.extend(numbers_from(&row.maybe(2, Row::text)?.unwrap_or_default()));
            let first = row.maybe(0, Row::number)?;
            if first.is_some_and(|first| numbers.iter().all(|number| *number < first)) {
                return Ok(Some(class(row.maybe(1, Row::small)?)));
            }
        }
        let Some(number) = numbers.into_iter().max() else {
            return Ok(None);
        };
        let statement = format!(
            "SELECT status FROM attempt_{segment} WHERE endpoint = ? AND number = ? AND sequence = ?"
        );
        let values = [endpoint.into(), number.into(), sequence.into()];
        let row = self.sql.row(&statement, &values)?;
        let status = row.map(|row| row.maybe(0, Row::small)).transpose()?;
        Ok(status.map(class))
    }
}
