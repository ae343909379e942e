//! Handing out: what is owed leaves in lanes, with a lease each.
//!
//! A lease needs no write at accept: it is the message's time and a constant, so it survives an eviction. Whatever has
//! no result by its lease is owed again ([`crate::sweep`], [`crate::alarm`]).

use std::collections::BTreeMap;
use std::rc::Rc;

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::lane::{Handout, Lane, MAX_BYTES, MAX_DELIVERIES};
use postern_domain::wire::{self, Trigger, frame};

use crate::Ledger;
use crate::endpoint::Endpoint;
use crate::memory::{Memory, message_id};
use crate::sql::{Row, Sql};

/// A body larger than this is fetched by the consumer, one call a lane, instead of riding in the queue.
const INLINE_BODY: usize = 40_000;

/// What a hand-out takes in a lane's head, at the most, beside its content type.
const HANDOUT_BYTES: usize = 220;

/// Sends at the same time to an endpoint that answers.
const CONCURRENCY: u8 = 16;

/// Sends at the same time to an endpoint that has not shown yet that it answers.
const CONCURRENCY_UNPROVEN: u8 = 4;

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
    pub(crate) handout: Handout,
    pub(crate) body: Option<Rc<[u8]>>,
}

/// What a hand-out needs to know of a message.
#[derive(Debug, Clone)]
pub(crate) struct MessageToSend {
    pub(crate) id: MessageId,
    pub(crate) content_type: String,
    pub(crate) hop: u8,
    pub(crate) body: Option<Rc<[u8]>>,
}

impl MessageToSend {
    pub(crate) fn new(id: MessageId, content_type: &str, hop: u8, body: &[u8]) -> Self {
        let body = (body.len() <= INLINE_BODY).then(|| Rc::from(body));
        Self {
            id,
            content_type: content_type.to_owned(),
            hop,
            body,
        }
    }

    /// Reads it again, for a hand-out that is not the first.
    pub(crate) fn read<S: Sql>(sql: &S, segment: u64, sequence: u64) -> Result<Option<Self>, Problem> {
        let statement = format!(
            "SELECT time, random, content_type, hop, CASE WHEN length(body) <= {INLINE_BODY} THEN body END \
             FROM message_{segment} WHERE sequence = ?"
        );
        let Some(row) = sql.row(&statement, &[sequence.into()])? else {
            return Ok(None);
        };
        Ok(Some(Self {
            id: message_id(sequence, row.time(0)?, &row.blob(1)?),
            content_type: row.text(2)?,
            hop: row.small(3)?,
            body: row.maybe(4, Row::blob)?.map(Rc::from),
        }))
    }
}

impl Memory {
    /// A hand-out of this message to this endpoint, with a number of its own.
    pub(crate) fn hand_out(
        &mut self,
        endpoint: u32,
        message: &MessageToSend,
        until: Millis,
        trigger: Trigger,
        now: Millis,
    ) -> Outgoing {
        let number = self.next_number(endpoint, now);
        Outgoing {
            endpoint,
            handout: Handout {
                message: message.id,
                number,
                until,
                trigger,
                content_type: message.content_type.clone(),
                hop: message.hop,
                body: None,
            },
            body: message.body.clone(),
        }
    }
}

impl<S: Sql> Ledger<S> {
    /// Whether hand-outs wait to leave.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The lanes that are to be sent now. They are gone from the ledger's memory: a queue that refuses them loses
    /// nothing, because their leases run.
    pub fn take_lanes(&mut self) -> Result<Vec<LaneOut>, Problem> {
        let outgoing = std::mem::take(&mut self.outbox);
        let mut by_endpoint: BTreeMap<u32, Vec<Outgoing>> = BTreeMap::new();
        for out in outgoing {
            by_endpoint.entry(out.endpoint).or_default().push(out);
        }
        let mut lanes = Vec::new();
        for (number, handouts) in by_endpoint {
            let proven = self.is_proven(number)?;
            let memory = self.memory()?;
            let Some(endpoint) = memory.endpoints.get(&number) else {
                continue;
            };
            if endpoint.deleted_at.is_some() || endpoint.config.disabled {
                continue; // cancelled by derivation
            }
            let queue = if proven { QueueKind::Fast } else { QueueKind::Slow };
            let concurrency = if proven { CONCURRENCY } else { CONCURRENCY_UNPROVEN };
            for part in parts(handouts, fixed_bytes(endpoint)) {
                lanes.push(LaneOut {
                    queue,
                    frame: frame_of(memory, endpoint, part, concurrency)?,
                });
            }
        }
        Ok(lanes)
    }

    /// Whether an endpoint's latest result was a quick success. After an eviction the newest delivery row tells.
    fn is_proven(&mut self, endpoint: u32) -> Result<bool, Problem> {
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
                "SELECT state, duration FROM delivery_{segment} WHERE endpoint = ? ORDER BY sequence DESC LIMIT 1"
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
fn fixed_bytes(endpoint: &Endpoint) -> usize {
    let keys = endpoint.signing.bytes();
    let headers = endpoint
        .headers
        .as_ref()
        .map_or(0, |headers| headers.sealed.len() + 48);
    512 + endpoint.config.url.len() + keys + headers
}

/// Cuts hand-outs into lanes: 32 at the most, and 60 KB.
fn parts(handouts: Vec<Outgoing>, fixed: usize) -> Vec<Vec<Outgoing>> {
    let mut parts: Vec<Vec<Outgoing>> = Vec::new();
    let mut size = usize::MAX;
    for out in handouts {
        let own = HANDOUT_BYTES
            + out.handout.content_type.len()
            + out.body.as_ref().map_or(0, |body| 4 + body.len());
        let full = parts.last().is_none_or(|part| part.len() >= MAX_DELIVERIES);
        if full || size.saturating_add(own) > MAX_BYTES {
            parts.push(Vec::new());
            size = fixed;
        }
        size += own;
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
        endpoint: Memory::endpoint_id(endpoint),
        url: endpoint.config.url.clone(),
        headers: endpoint.headers.clone(),
        keys: endpoint.signing.parts(now),
        asymmetric_keys: endpoint.signing.asymmetric_parts(now),
        legacy: endpoint.signing.legacy_part(),
        header_names: endpoint.config.header_names,
        concurrency,
        deliveries,
    };
    frame::encode(&lane, &bodies).map_err(Problem::internal)
}
