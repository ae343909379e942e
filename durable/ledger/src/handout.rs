//! Handing out: what is owed leaves in lanes, with a lease each.
//!
//! A lease needs no write at accept: it is the message's time and a constant, so it survives an eviction. Whatever has
//! no result by its lease is owed again ([`crate::sweep`], [`crate::alarm`]).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use postern_domain::app_level;
use postern_domain::id::MessageId;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::inbound::{ForwardMode, Forwarded};
use postern_domain::wire::lane::{Handout, Lane, MAX_BYTES, MAX_DELIVERIES};
use postern_domain::wire::{self, AppLevel, Trigger, frame};

use crate::Ledger;
use crate::accept::Incoming;
use crate::decided::Decided;
use crate::delivery::DeliveryRow;
use crate::endpoint::Endpoint;
use crate::flight::{Given, Manner};
use crate::manual::extra_numbers;
use crate::memory::{Memory, message_id};
use crate::sql::{Row, Sql};

/// A body larger than this is fetched by the consumer, one call a lane, instead of riding in the queue.
const INLINE_BODY: usize = 40_000;

/// Lanes that an answer to a report carries at the most.
const ANSWERED: usize = 8;

/// What a hand-out takes in a lane's head, at the most, beside its content type.
const HANDOUT_BYTES: usize = 220;

/// What a webhook takes in a lane's head beside that, its headers and its id aside.
const FORWARDED_BYTES: usize = 280;

/// Which queue a lane goes through. Slow, failing and unproven endpoints have one of their own, so that they keep
/// nobody waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Endpoints whose latest result was a quick success.
    Fast,
    /// All others.
    Slow,
}

/// A lane that is ready to be sent to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneOut {
    /// Through which queue.
    pub queue: QueueKind,
    /// A frame of [`Lane`] and its bodies.
    pub frame: Vec<u8>,
}

/// A hand-out that waits to leave together with its neighbours.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) endpoint: u32,
    /// The line that it keeps its place in.
    pub(crate) line: Option<Rc<str>>,
    pub(crate) handout: Handout,
    pub(crate) body: Option<Rc<[u8]>>,
    /// What it takes in a lane: as much as it was admitted with.
    bytes: usize,
}

/// What a hand-out needs to know of a message.
#[derive(Debug, Clone)]
pub(crate) struct MessageToSend {
    pub(crate) id: MessageId,
    pub(crate) event_type: String,
    pub(crate) content_type: String,
    pub(crate) hop: u8,
    pub(crate) body: Option<Rc<[u8]>>,
    /// Of a webhook: what is sent beside its body.
    pub(crate) came: Option<Rc<Came>>,
}

/// What a webhook is sent with, as it is stored. How, its source says at each hand-out.
#[derive(Debug)]
pub(crate) struct Came {
    /// None: it was routed here, and its headers say from where.
    source: Option<u16>,
    event_id: Option<String>,
    headers: BTreeMap<String, String>,
    replay_of: Option<MessageId>,
}

impl MessageToSend {
    pub(crate) fn new(id: MessageId, message: &Incoming<'_>) -> Self {
        let call = message.call;
        let inline = message.body.len() <= INLINE_BODY && message.body_at().is_none();
        let is_webhook = call.source.is_some() || call.headers.contains_key(app_level::SOURCE);
        let came = is_webhook.then(|| Came {
            source: call.source,
            event_id: call.event_id.clone(),
            headers: call.headers.clone(),
            replay_of: message.replay_of,
        });
        Self {
            id,
            event_type: call.event_type.clone(),
            content_type: call.content_type.clone(),
            hop: call.hop,
            body: inline.then(|| Rc::from(message.body.as_slice())),
            came: came.map(Rc::new),
        }
    }

    /// What it takes in a lane.
    pub(crate) fn bytes(&self) -> usize {
        let came = self.came.as_ref().map_or(0, |came| came.bytes());
        let body = self.body.as_ref().map_or(0, |body| 4 + body.len());
        HANDOUT_BYTES + self.event_type.len() + self.content_type.len() + body + came
    }

    /// Reads it again, for a hand-out that is not the first. One whose content is gone is
    /// never sent ([`crate::expunge`]).
    pub(crate) fn read<S: Sql>(sql: &S, segment: u64, sequence: u64) -> Result<Option<Self>, Problem> {
        let statement = format!(
            "SELECT time, random, content_type, hop, CASE WHEN length(body) <= {INLINE_BODY} THEN body END, type, \
             source, event_id, headers, not_sent FROM message_{segment} WHERE sequence = ? AND content_type <> ''"
        );
        let Some(row) = sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        let source = row.maybe(6, Row::small::<u16>)?;
        let headers = row.maybe(8, Row::text)?.map(|text| json::read(&text)).transpose();
        let headers: BTreeMap<String, String> = headers.map_err(Problem::internal)?.unwrap_or_default();
        // Only what came through a source has a body elsewhere, and headers that are sent.
        let decided = match source {
            Some(_) => Decided::read(row.maybe(9, Row::text)?),
            None => Decided::default(),
        };
        let event_id = row.maybe(7, Row::text)?;
        let is_webhook = source.is_some() || headers.contains_key(app_level::SOURCE);
        let came = is_webhook.then(|| {
            Rc::new(Came {
                source,
                event_id,
                headers,
                replay_of: decided.replay_of,
            })
        });
        let body = row.maybe(4, Row::blob)?.filter(|_| decided.body_at.is_none());
        Ok(Some(Self {
            id: message_id(sequence, row.time(0)?, &row.blob(1)?),
            content_type: row.text(2)?,
            hop: row.small(3)?,
            body: body.map(Rc::from),
            event_type: row.text(5)?,
            came,
        }))
    }
}

impl Came {
    fn bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 8)
            .sum();
        FORWARDED_BYTES + headers + self.event_id.as_ref().map_or(0, String::len)
    }
}

/// The same of what was routed here, as its source said when it came.
fn routed(came: &Came, message: &MessageToSend) -> Option<Box<Forwarded>> {
    let routed = AppLevel::of(&came.headers)?;
    let envelope = came.headers.contains_key(app_level::FORWARD);
    let headers = came.headers.iter().filter(|(name, _)| !app_level::is_ours(name));
    Some(Box::new(Forwarded {
        source: Some(routed.source),
        provider: routed.provider,
        mode: if envelope {
            ForwardMode::Envelope
        } else {
            ForwardMode::Passthrough
        },
        received_at: Millis(message.id.0.time),
        event_id: came.event_id.clone(),
        headers: headers
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        replay_of: came.replay_of,
    }))
}

impl Memory {
    /// What a webhook is sent with, as its source says now.
    fn forwarded(&self, message: &MessageToSend) -> Option<Box<Forwarded>> {
        let came = message.came.as_ref()?;
        let Some(number) = came.source else {
            return routed(came, message);
        };
        let source = self.sources.get(&number)?;
        Some(Box::new(Forwarded {
            source: self.source_id(number),
            provider: source.provider.clone(),
            mode: source.options.forward,
            received_at: Millis(message.id.0.time),
            event_id: came.event_id.clone(),
            headers: came.headers.clone(),
            replay_of: came.replay_of,
        }))
    }

    /// A hand-out of this message to this endpoint, with a number of its own.
    pub(crate) fn hand_out(
        &mut self,
        endpoint: u32,
        line: Option<Rc<str>>,
        message: &MessageToSend,
        until: Millis,
        trigger: Trigger,
        now: Millis,
    ) -> Outgoing {
        let number = self.next_number(endpoint, now);
        let forwarded = self.forwarded(message);
        let flight = self.flight(endpoint);
        flight.gathers(message.id.0.sequence, until);
        Outgoing {
            endpoint,
            line,
            handout: Handout {
                message: message.id,
                number,
                until,
                trigger,
                event_type: Some(message.event_type.clone()),
                content_type: message.content_type.clone(),
                hop: message.hop,
                body: None,
                forwarded,
            },
            body: message.body.clone(),
            bytes: message.bytes(),
        }
    }
}

impl<S: Sql> Ledger<S> {
    /// The next number is larger than each that this delivery had: an object that has forgotten them begins at the clock,
    /// and they may have run ahead of that, or be of the same millisecond. Before every hand-out but the one at the accept.
    /// Answers the largest.
    pub(crate) fn goes_above(
        &mut self,
        segment: u64,
        endpoint: u32,
        sequence: u64,
        row: Option<&DeliveryRow>,
    ) -> Result<Option<u64>, Problem> {
        let by_hand = extra_numbers(&self.sql, segment, sequence, endpoint)?;
        let first = row.and_then(|row| row.first).map(|(number, _)| number);
        let of_plan = row.map(|row| row.numbers.as_slice()).unwrap_or_default();
        let largest = by_hand.iter().chain(of_plan).chain(&first).max().copied();
        if let Some(number) = largest {
            self.memory()?.gave_number(endpoint, number);
        }
        Ok(largest)
    }

    /// Whether hand-outs wait to leave.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The lanes that are to be sent now. They are gone from the ledger's memory: a queue that refuses them loses
    /// nothing, because their leases run.
    pub fn take_lanes(&mut self) -> Result<Vec<LaneOut>, Problem> {
        let outgoing = std::mem::take(&mut self.outbox);
        let lanes = self.lanes_of(outgoing);
        if lanes.is_err() {
            self.forget(); // what was to leave counts as about to; it is found again by its leases
        }
        lanes
    }

    /// The lanes of these endpoints that may go back with the answer to a report, without a hop through the queue: those
    /// whose endpoints answer quickly, and no more than the consumer can begin soon. The others stay.
    pub(crate) fn take_lanes_for(&mut self, endpoints: &BTreeSet<u32>) -> Result<Vec<Vec<u8>>, Problem> {
        let memory = self.memory()?;
        let quick: BTreeSet<u32> = endpoints
            .iter()
            .copied()
            .filter(|endpoint| !memory.is_slow(*endpoint))
            .collect();
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.outbox)
            .into_iter()
            .partition(|out| quick.contains(&out.endpoint));
        // All of an endpoint or nothing: its lanes are counted together.
        if now.len() > ANSWERED * MAX_DELIVERIES {
            self.outbox = now;
            self.outbox.extend(later);
            return Ok(Vec::new());
        }
        self.outbox = later;
        let lanes = self.lanes_of(now)?;
        Ok(lanes.into_iter().map(|lane| lane.frame).collect())
    }

    fn lanes_of(&mut self, outgoing: Vec<Outgoing>) -> Result<Vec<LaneOut>, Problem> {
        if outgoing.is_empty() {
            return Ok(Vec::new()); // nor is the memory read for that: an object that just woke does not know the time
        }
        let mut by_line: BTreeMap<(u32, Option<Rc<str>>), Vec<Outgoing>> = BTreeMap::new();
        for out in outgoing {
            by_line
                .entry((out.endpoint, out.line.clone()))
                .or_default()
                .push(out);
        }
        let mut lanes = Vec::new();
        let mut formed = BTreeSet::new();
        for ((number, line), handouts) in by_line {
            let proven = self.is_proven(number)?;
            let memory = self.memory()?;
            formed.insert(number);
            let manner = memory.manner(number);
            let free = memory.flight(number).free_unproven();
            let Some(endpoint) = memory.endpoints.get(&number) else {
                continue;
            };
            if !endpoint.is_on() {
                continue; // cancelled by derivation
            }
            let queue = if proven { QueueKind::Fast } else { QueueKind::Slow };
            // What does not go alone any more since it was admitted goes together: a lane takes one slot at least.
            let crowded = manner == Manner::Unproven && handouts.len() > free;
            let most = if line.is_some() || manner == Manner::Proven || crowded {
                MAX_DELIVERIES
            } else {
                1
            };
            let mut parts = parts(handouts, fixed_bytes(endpoint), most);
            if line.is_some() {
                parts.truncate(1); // by its making it is one; a second would go beside it
            }
            for part in parts {
                let given: Vec<Given> = part
                    .iter()
                    .map(|out| (out.handout.message.0.sequence, out.handout.until))
                    .collect();
                let flight = memory.flight(number);
                let counted = given.iter().all(|one| flight.counts(one));
                let concurrency = if counted {
                    1 // since it was handed out
                } else {
                    flight.leaves(manner, &given)
                };
                let memory = &*memory;
                let Some(endpoint) = memory.endpoints.get(&number) else {
                    continue;
                };
                lanes.push(LaneOut {
                    queue,
                    frame: frame_of(memory, endpoint, part, concurrency, line.is_some())?,
                });
            }
        }
        let memory = self.memory()?;
        for endpoint in formed {
            memory.flight(endpoint).formed();
        }
        Ok(lanes)
    }

    /// Whether an endpoint's latest result was a quick success. After an eviction the newest delivery row tells.
    pub(crate) fn is_proven(&mut self, endpoint: u32) -> Result<bool, Problem> {
        let memory = self.memory()?;
        if let Some(known) = memory.proven.get(&endpoint) {
            return Ok(*known);
        }
        let segments: Vec<u64> = memory
            .segments
            .iter()
            .rev()
            .map(|segment| segment.number)
            .collect();
        let mut proven = false;
        for segment in segments {
            let statement = format!(
                "SELECT state, duration FROM delivery_{segment} WHERE endpoint = ? AND number IS NOT NULL \
                 ORDER BY sequence DESC LIMIT 1"
            );
            if let Some(row) = self.sql.row(&statement, &[endpoint.into()])? {
                let duration = row.maybe(1, Row::small::<u32>)?;
                proven = row.int(0)? == 0 && duration.is_some_and(is_quick);
                break;
            }
        }
        self.memory()?.proven.insert(endpoint, proven);
        Ok(proven)
    }
}

/// An answer within this time lets an endpoint share a queue with others.
pub(crate) const fn is_quick(duration_ms: u32) -> bool {
    duration_ms < 2000
}

/// What a lane's head takes before its hand-outs.
pub(crate) fn fixed_bytes(endpoint: &Endpoint) -> usize {
    let keys = endpoint.signing.bytes();
    let headers = endpoint
        .headers
        .as_ref()
        .map_or(0, |headers| headers.sealed.len() + 48);
    let connection = endpoint.config.connection_id.map_or(0, |_| 64);
    512 + endpoint.config.url.len() + keys + headers + connection
}

/// Cuts hand-outs into lanes: so many at the most, and 60 KB.
fn parts(handouts: Vec<Outgoing>, fixed: usize, most: usize) -> Vec<Vec<Outgoing>> {
    let mut parts: Vec<Vec<Outgoing>> = Vec::new();
    let mut size = usize::MAX;
    for out in handouts {
        let full = parts.last().is_none_or(|part| part.len() >= most);
        if full || size.saturating_add(out.bytes) > MAX_BYTES {
            parts.push(Vec::new());
            size = fixed;
        }
        size += out.bytes;
        if let Some(part) = parts.last_mut() {
            part.push(out);
        }
    }
    parts
}

fn frame_of(
    memory: &Memory,
    endpoint: &Endpoint,
    part: Vec<Outgoing>,
    concurrency: u8,
    ordered: bool,
) -> Result<Vec<u8>, Problem> {
    let mut bodies: Vec<Rc<[u8]>> = Vec::new();
    let mut deliveries = Vec::with_capacity(part.len());
    for mut out in part {
        if let Some(body) = out.body {
            out.handout.body = u16::try_from(bodies.len()).ok();
            bodies.push(body);
        }
        deliveries.push(out.handout);
    }
    // A hand-out's number is a time, and not before now.
    let now = deliveries.iter().map(|handout| Millis(handout.number)).max();
    let now = now.unwrap_or_default();
    let lane = Lane {
        v: wire::VERSION,
        tenant: memory.tenant,
        organisation: Some(memory.organisation),
        endpoint: Memory::endpoint_id(endpoint),
        url: endpoint.config.url.clone(),
        headers: endpoint.headers.clone(),
        keys: endpoint.signing.parts(now),
        asymmetric_keys: endpoint.signing.asymmetric_parts(now),
        legacy: endpoint.signing.legacy_part(),
        connection: endpoint.config.connection_id,
        header_names: endpoint.config.header_names,
        concurrency,
        ordered,
        deliveries,
    };
    frame::encode(&lane, &bodies).map_err(Problem::internal)
}
