//! Taking a message: dedupe, store, owe, in one transaction; then the answer.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Accepted};
use postern_domain::wire::{MessageView, Trigger};

use crate::decided::Decided;
use crate::endpoint::Endpoint;
use crate::handout::MessageToSend;
use crate::key::{self, NewKey, Scope};
use crate::line::{Line, insert_due};
use crate::memory::{Memory, message_id};
use crate::sql::{Sql, Value};
use crate::{Ledger, Random, delivery};

/// A first try that was on its way longer than this is refused: its sender has given up, and a repeat may have stood.
const FIRST_TRY_MS: u64 = 30_000;

/// A repeat looks for its nonce among the messages of this long after its first try.
const NONCE_SPAN_MS: u64 = 60_000;

/// Clocks of the edge and of the object may differ by this.
const CLOCK_SKEW_MS: u64 = 5000;

impl<S: Sql> Ledger<S> {
    /// Takes a message. Whoever sees `Ok` has it stored; a duplicate gets the answer of the first.
    pub(crate) fn accept(
        &mut self,
        call: &Accept,
        body: Vec<u8>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Accepted, Problem> {
        self.memory()?;
        if let Some(source) = call.source {
            let known = self.memory()?.sources.get(&source);
            known
                .filter(|source| source.deleted_at.is_none())
                .ok_or_else(Problem::not_found)?;
        }
        if let Some(message) = self.stood(call.nonce, call.sent_at, call.repeat, now)? {
            return Ok(Accepted {
                message: self.known_view(message, call)?,
                duplicate: false,
            });
        }
        let keys = match self.keys_of(call)? {
            Keys::Known(message) => {
                return Ok(Accepted {
                    message: self.known_view(message, call)?,
                    duplicate: true,
                });
            }
            Keys::New(keys) => keys,
        };
        self.room_for(call.source.is_some(), now)?;
        self.roll(now)?;
        let incoming = Incoming {
            call,
            body,
            keys,
            tags: None,
            deliver_at: None,
        };
        let mut stored = self.store(vec![incoming], now, random)?;
        let message = stored
            .pop()
            .ok_or_else(|| Problem::internal("nothing was stored"))?;
        Ok(Accepted {
            message,
            duplicate: false,
        })
    }

    /// The message of an earlier try of the same accept, if there was one and it stands. A first try that comes too late
    /// is refused.
    pub(crate) fn stood(
        &mut self,
        nonce: u64,
        sent_at: Millis,
        repeat: bool,
        now: Millis,
    ) -> Result<Option<MessageId>, Problem> {
        if !self.settings.rules.nonce {
            return Ok(None);
        }
        if repeat {
            return self.find_nonce(nonce, sent_at);
        }
        if now.since(sent_at) > FIRST_TRY_MS {
            return Err(Problem::new(
                Code::Overloaded,
                "The application is busy; try again in a few seconds",
            ));
        }
        self.find_overtaken(nonce, sent_at)
    }

    /// Stores messages with what they owe, all or none, and hands out what may go now. They get consecutive numbers.
    pub(crate) fn store(
        &mut self,
        incoming: Vec<Incoming<'_>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Vec<MessageView>, Problem> {
        let lease = self.settings.lease_ms;
        let memory = self.memory()?;
        let time = now.max(memory.last_time);
        let first = memory.last_sequence + 1;
        let mut part = [0; 7];
        random.fill(&mut part);
        let segment = memory
            .segments
            .last()
            .map(|s| s.number)
            .ok_or_else(|| Problem::internal("no segment"))?;
        let generation = memory.key_generations.last().map(|g| g.number);
        let generation = generation.ok_or_else(|| Problem::internal("no generation of keys"))?;
        let mut lines = BTreeMap::new();
        let (mut views, mut rows, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, message) in (first..).zip(incoming) {
            let id = message_id(sequence, time, &nth_part(part, sequence - first));
            let owing = memory.decide(&message, sequence, now, &mut lines);
            let to_send = MessageToSend::new(id, &message.call.content_type, message.call.hop, &message.body);
            views.push(memory.new_view(id, message.call, &owing.decided));
            rows.push(row_of(
                message.call,
                id,
                &owing.owed,
                owing.decided.column()?,
                message.body,
            )?);
            kept.push((id, message.keys, owing, to_send));
        }
        let owings = || kept.iter().map(|(_, _, owing, _)| owing);
        let free = owings().any(|owing| !owing.free.is_empty());
        let wake = free
            .then(|| time.plus(lease))
            .into_iter()
            .chain(lines.values().map(|line: &Line| line.opens_at))
            .chain(owings().flat_map(|owing| owing.behind.iter().map(|(_, opens_at)| *opens_at)))
            .chain(owings().filter_map(Owing::leaves_at))
            .min();
        // A message that nobody wants still has to go one day.
        let wake = wake.or_else(|| {
            self.memory
                .as_ref()
                .and_then(|memory| self.retention_wake(memory, time))
        });

        let armed = self.sql.atomic(|sql| {
            let insert =
                format!("INSERT INTO message_{segment} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
            for ((id, keys, owing, _), row) in kept.iter().zip(&rows) {
                for new in keys {
                    key::insert(sql, generation, new, *id)?;
                }
                sql.run(&insert, row)?;
                owing.insert_waiting(sql, segment, id.0.sequence, now)?;
            }
            for line in lines.values() {
                line.insert(sql)?;
            }
            wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
        });
        let armed = match armed {
            Ok(armed) => armed,
            Err(problem) => {
                self.forget(); // the buckets gave tokens for what does not stand
                return Err(problem);
            }
        };

        self.armed = armed;
        let memory = self.memory()?;
        memory.last_sequence = first + kept.len() as u64 - 1;
        memory.last_time = time;
        memory.lines.extend(lines);
        let until = time.plus(lease);
        let mut outgoing = Vec::new();
        for (_, _, owing, to_send) in kept {
            for (endpoint, opens_at) in owing.behind {
                if let Some(line) = memory.lines.get_mut(&endpoint) {
                    line.opens_at = line.opens_at.min(opens_at);
                }
            }
            let free = owing.free.into_iter();
            outgoing.extend(
                free.map(|endpoint| memory.hand_out(endpoint, &to_send, until, Trigger::Scheduled, now)),
            );
        }
        self.outbox.extend(outgoing);
        Ok(views)
    }

    /// Where nothing else wakes the object, the first message of a segment arranges for its end.
    fn retention_wake(&self, memory: &Memory, time: Millis) -> Option<Millis> {
        let alone = matches!(self.armed, crate::Armed::No | crate::Armed::Unknown);
        alone.then(|| {
            self.retention_at(memory)
                .unwrap_or_else(|| time.plus(self.settings.retention_ms))
        })
    }

    /// The keys that the message brings, or the message that one of them is of already.
    pub(crate) fn keys_of(&mut self, call: &Accept) -> Result<Keys, Problem> {
        let mut keys = Vec::new();
        if let Some(idempotency) = &call.idempotency {
            let hash = digest(&idempotency.key)?;
            let fingerprint = digest(&idempotency.fingerprint)?;
            if let Some(known) = self.known(Scope::Idempotency, &hash, Millis(0))? {
                return if known.fingerprint.as_deref() == Some(fingerprint.as_slice()) {
                    Ok(Keys::Known(known.message))
                } else {
                    Err(crate::idempotency::reused())
                };
            }
            keys.push(NewKey {
                scope: Scope::Idempotency,
                hash,
                fingerprint: Some(fingerprint),
            });
        }
        if let Some(event_id) = &call.event_id {
            let scope = call.source.map_or(Scope::EventId, Scope::Source);
            let hash = event_id_hash(event_id);
            if let Some(known) = self.known(scope, &hash, Millis(0))? {
                return match scope {
                    Scope::Source(_) => Ok(Keys::Known(known.message)),
                    _ => Err(Problem::new(
                        Code::Conflict,
                        "A message with this eventId exists already in this application",
                    )),
                };
            }
            keys.push(NewKey {
                scope,
                hash,
                fingerprint: None,
            });
        }
        if call.repeat && self.settings.rules.nonce {
            keys.push(NewKey {
                scope: Scope::Nonce,
                hash: nonce_hash(call.nonce),
                fingerprint: None,
            });
        }
        Ok(Keys::New(keys))
    }

    /// The message of an earlier try whose answer was lost. A first try stands among the messages of the minute after
    /// it; a repeat comes at any time (the overflow is drained when it can be), so it leaves its nonce as a key.
    fn find_nonce(&mut self, nonce: u64, sent_at: Millis) -> Result<Option<MessageId>, Problem> {
        if let Some(known) = self.known(Scope::Nonce, &nonce_hash(nonce), Millis(0))? {
            return Ok(Some(known.message));
        }
        let from = self.sequence_at(sent_at.minus(CLOCK_SKEW_MS))?;
        let to = self.sequence_at(sent_at.plus(NONCE_SPAN_MS + CLOCK_SKEW_MS))?;
        let memory = self.memory()?;
        let segments: Vec<u64> = memory.segments.iter().map(|segment| segment.number).collect();
        for segment in segments {
            let statement = format!(
                "SELECT sequence, time, random FROM message_{segment} \
                 WHERE sequence >= ? AND sequence < ? AND nonce = ? LIMIT 1"
            );
            if let Some(row) = self
                .sql
                .row(&statement, &[from.into(), to.into(), nonce.into()])?
            {
                return Ok(Some(message_id(row.number(0)?, row.time(1)?, &row.blob(2)?)));
            }
        }
        Ok(None)
    }

    /// The message of a repeat that arrived before its first try did: it stands since that began, so that one look is
    /// enough.
    fn find_overtaken(&mut self, nonce: u64, sent_at: Millis) -> Result<Option<MessageId>, Problem> {
        let known = self.known(Scope::Nonce, &nonce_hash(nonce), sent_at.minus(CLOCK_SKEW_MS))?;
        Ok(known.map(|known| known.message))
    }

    /// The message that was there already, as it is stored; once it is gone, as the duplicate says it.
    pub(crate) fn known_view(&mut self, id: MessageId, call: &Accept) -> Result<MessageView, Problem> {
        if let Some(view) = self.message_view(id)? {
            return Ok(view);
        }
        Ok(self.memory()?.new_view(id, call, &Decided::default()))
    }
}

/// A message on its way into the tables.
pub(crate) struct Incoming<'a> {
    pub(crate) call: &'a Accept,
    pub(crate) body: Vec<u8>,
    pub(crate) keys: Vec<NewKey>,
    pub(crate) tags: Option<Vec<String>>,
    /// In the future.
    pub(crate) deliver_at: Option<Millis>,
}

/// What a message owes, and how each of it leaves.
struct Owing {
    /// Endpoints that want it.
    owed: Vec<u32>,
    /// Those that get it now.
    free: Vec<u32>,
    /// Those whose line is behind already, and when its gate opens.
    behind: Vec<(u32, Millis)>,
    /// Those that get it at the message's own time.
    waiting: Vec<u32>,
    /// Why the others do not get it, and what else was decided.
    decided: Decided,
}

impl Owing {
    fn leaves_at(&self) -> Option<Millis> {
        self.decided.at.filter(|_| !self.waiting.is_empty())
    }

    /// What leaves at a later time stands among what is due from the beginning, as if a lease had been lost.
    fn insert_waiting<S: Sql>(
        &self,
        sql: &S,
        segment: u64,
        sequence: u64,
        now: Millis,
    ) -> Result<(), Problem> {
        let Some(at) = self.leaves_at() else { return Ok(()) };
        for endpoint in &self.waiting {
            delivery::insert_waiting(sql, segment, *endpoint, sequence, now, at)?;
            insert_due(sql, at, *endpoint, sequence)?;
        }
        Ok(())
    }
}

impl Memory {
    /// Decides it, and takes the tokens of those that get it now. `lines` are those that begin with messages of the same
    /// transaction; more may come to them.
    fn decide(
        &mut self,
        message: &Incoming<'_>,
        sequence: u64,
        now: Millis,
        lines: &mut BTreeMap<u32, Line>,
    ) -> Owing {
        let (owed, mut decided) = self.wanted_by(message.call, &message.body);
        decided.at = message.deliver_at;
        decided.tags.clone_from(&message.tags);
        let (mut free, mut behind, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
        for endpoint in &owed {
            let waits = self.endpoints.get(endpoint).is_some_and(may_wait);
            if message.deliver_at.is_some() && waits {
                waiting.push(*endpoint);
            } else if self.lines.contains_key(endpoint) || lines.contains_key(endpoint) {
                behind.push((*endpoint, self.gate_opens_at(*endpoint, now)));
            } else if self.tokens(*endpoint, now) > 0 {
                self.take_tokens(*endpoint, 1);
                free.push(*endpoint);
            } else {
                let line = Line::begin(*endpoint, sequence, self.gate_opens_at(*endpoint, now));
                lines.insert(*endpoint, line);
            }
        }
        Owing {
            owed,
            free,
            behind,
            waiting,
            decided,
        }
    }

    /// A message as it is answered to whoever brought it.
    fn new_view(&self, id: MessageId, call: &Accept, decided: &Decided) -> MessageView {
        MessageView {
            id,
            event_type: call.event_type.clone(),
            event_id: call.event_id.clone(),
            channels: call.channels.clone(),
            timestamp: Millis(id.0.time),
            content_type: call.content_type.clone(),
            source: call.source.and_then(|number| self.source_id(number)),
            not_sent: decided.sentence(),
            skipped: self.skipped(decided),
            skipped_more: decided.more,
            deliver_at: decided.at,
            tags: decided.tags.clone(),
        }
    }
}

/// Whether a message's `deliverAt` holds for an endpoint. What waits leaves from `due`, beside whatever comes meanwhile:
/// an endpoint that asks for strict order gets the message in its line's turn instead, at once.
const fn may_wait(endpoint: &Endpoint) -> bool {
    endpoint.is_on()
}

/// The random part of the n-th message of a call: made of the first one's, so that a repeat is answered with the same ids
/// from the first one's key alone.
pub(crate) fn nth_part(first: [u8; 7], n: u64) -> [u8; 7] {
    if n == 0 {
        return first;
    }
    let mut part = [0; 7];
    let digest = postern_domain::digest::half_of(&[first.as_slice(), &n.to_be_bytes()].concat());
    for (to, from) in part.iter_mut().zip(digest) {
        *to = from;
    }
    part
}

/// What the keys of a message say.
pub(crate) enum Keys {
    /// It is there already.
    Known(MessageId),
    /// It is new, and these are its keys.
    New(Vec<NewKey>),
}

fn row_of(
    call: &Accept,
    id: MessageId,
    owed: &[u32],
    decided: Option<String>,
    body: Vec<u8>,
) -> Result<[Value; 14], Problem> {
    let channels = call
        .channels
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(Problem::internal)?;
    let headers = (!call.headers.is_empty())
        .then(|| serde_json::to_string(&call.headers))
        .transpose();
    Ok([
        id.0.sequence.into(),
        id.0.time.into(),
        owed.iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")
            .into(),
        Value::Blob(id.0.random.to_vec()),
        call.nonce.into(),
        call.event_type.as_str().into(),
        call.source.into(),
        call.hop.into(),
        call.event_id.clone().into(),
        channels.into(),
        decided.into(),
        call.content_type.as_str().into(),
        headers.map_err(Problem::internal)?.into(),
        body.into(),
    ])
}

/// The first half of a SHA-256 that came as hex: enough to tell keys of one tenant apart.
fn digest(hex: &str) -> Result<Vec<u8>, Problem> {
    postern_domain::digest::half_of_hex(hex).ok_or_else(|| Problem::internal("a digest that is none"))
}

/// What a repeat's nonce is stored as.
fn nonce_hash(nonce: u64) -> Vec<u8> {
    nonce.to_be_bytes().to_vec()
}

/// What an event id is stored as.
pub(crate) fn event_id_hash(event_id: &str) -> Vec<u8> {
    postern_domain::digest::half_of(event_id.as_bytes())
}
