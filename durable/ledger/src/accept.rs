//! Taking a message: dedupe, store, owe, in one transaction; then the answer.

use std::collections::BTreeSet;
use std::rc::Rc;

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Accepted};
use postern_domain::wire::inbound::BodyAt;
use postern_domain::wire::{AppLevel, MessageView, Trigger};

use crate::decided::Decided;
use crate::gate::Wish;
use crate::handout::MessageToSend;
use crate::key::{self, NewKey, Scope};
use crate::line::{Line, LineKey, insert_due};
use crate::manual::put_extra;
use crate::memory::{Memory, message_id};
use crate::ordered::{is_keyed, line_key};
use crate::sql::{Sql, Value};
use crate::{Ledger, Random, delivery, payload};

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
            return self.accept_from_source(source, call, body, now, random);
        }
        if let Some(message) = self.stood(call.nonce, call.sent_at, call.repeat, now)? {
            return Ok(Accepted {
                message: self.known_view(message, call)?,
                duplicate: false,
                watchers: Vec::new(),
            });
        }
        let keys = match self.keys_of(call)? {
            Keys::Known(message) => {
                return Ok(Accepted {
                    message: self.known_view(message, call)?,
                    duplicate: true,
                    watchers: Vec::new(),
                });
            }
            Keys::New(keys) => keys,
        };
        self.room_for(false, now)?;
        self.roll(now)?;
        let mut stored = self.store(vec![Incoming::of(call, body, keys)], now, random)?;
        let message = stored
            .pop()
            .ok_or_else(|| Problem::internal("nothing was stored"))?;
        Ok(Accepted {
            message,
            duplicate: false,
            watchers: Vec::new(),
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
        self.store_with(incoming, None, now, random)
    }

    /// The same with the request that they are parts of: its content type, its body, how many events it had.
    pub(crate) fn store_with(
        &mut self,
        incoming: Vec<Incoming<'_>>,
        request: Option<(&str, &[u8], u64)>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Vec<MessageView>, Problem> {
        let lease = self.settings.lease_ms;
        let beside = std::mem::take(&mut self.beside);
        let memory = self.memory()?;
        let time = now.max(memory.last_time);
        let first = memory.last_sequence + 1;
        let mut part = [0; 7];
        random.fill(&mut part);
        let (segment, generation) = memory.newest_tables()?;
        let until = time.plus(lease);
        let mut stored_lines = BTreeSet::new();
        let (mut views, mut rows, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, message) in (first..).zip(incoming) {
            let id = message_id(sequence, time, &nth_part(part, sequence - first));
            let call = message.call;
            let to_send = MessageToSend::new(id, &message);
            let (mut owed, mut decided) = self.memory()?.wanted_by(call, &message.body);
            message.narrows(&mut owed, &mut decided);
            for endpoint in &owed {
                self.is_proven(*endpoint)?;
            }
            let memory = self.memory()?;
            let mut owing = memory.leaves(owed, decided, &message, &to_send, until, now);
            owing.payload_end = payload::ends_at(call.payload_hours, time);
            owing.named_alone = call.only_endpoint.is_some() || message.held || message.only.is_some();
            stored_lines.append(&mut owing.lines);
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
        let memory = self.memory()?;
        let lines: Vec<Line> = stored_lines
            .iter()
            .filter_map(|key| memory.lines.get(key).cloned())
            .collect();
        let wake = kept
            .iter()
            .filter_map(|(_, _, owing, _)| owing.wake(until))
            .chain(lines.iter().map(|line| line.opens_at))
            .chain(beside.wake)
            .min();
        let wake = wake.into_iter().chain(self.routing_wake(now)).min();
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
                owing.insert(sql, segment, id.0.sequence, now)?;
            }
            if let Some((content_type, body, count)) = request {
                let statement =
                    "INSERT INTO request (sequence, count, content_type, body) VALUES (?, ?, ?, ?)";
                sql.run(
                    statement,
                    &[first.into(), count.into(), content_type.into(), body.into()],
                )?;
            }
            for line in &lines {
                line.insert(sql)?;
            }
            beside.write(sql)?;
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
        let (mut outgoing, mut owed_lists) = (Vec::new(), Vec::new());
        for (_, _, owing, to_send) in kept {
            owed_lists.push(owing.owed);
            for (endpoint, line) in owing.free {
                outgoing.push(memory.hand_out(endpoint, line, &to_send, until, Trigger::Scheduled, now));
            }
        }
        self.outbox.extend(outgoing);
        for (view, owed) in views.iter().zip(&owed_lists) {
            self.note(view, owed.clone());
        }
        Ok(views)
    }

    /// Where nothing else wakes the object, the first message of a segment arranges for its end.
    fn retention_wake(&self, memory: &Memory, time: Millis) -> Option<Millis> {
        let alone = matches!(self.armed, crate::Armed::No | crate::Armed::Unknown);
        alone.then(|| {
            self.retention_at(memory)
                .unwrap_or_else(|| time.plus(self.retention_ms()))
        })
    }

    /// The keys that the message brings, or the message that one of them is of already.
    pub(crate) fn keys_of(&mut self, call: &Accept) -> Result<Keys, Problem> {
        let mut keys = Vec::new();
        if !self.settings.rules.dedupe {
            return Ok(Keys::New(keys));
        }
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
            let hash = event_id_hash(event_id);
            if self.known(Scope::EventId, &hash, Millis(0))?.is_some() {
                return Err(Problem::new(
                    Code::Conflict,
                    "A message with this eventId exists already in this application",
                ));
            }
            keys.push(NewKey {
                scope: Scope::EventId,
                hash,
                fingerprint: None,
            });
        }
        keys.extend(self.nonce_key(call)?);
        Ok(Keys::New(keys))
    }

    /// The key that a repeat leaves, and what would not be found by its time.
    pub(crate) fn nonce_key(&mut self, call: &Accept) -> Result<Option<NewKey>, Problem> {
        let out_of_time = call.nonce != 0 && self.is_out_of_time(call.sent_at)?;
        let leaves = (call.repeat || out_of_time) && self.settings.rules.nonce;
        Ok(leaves.then(|| NewKey {
            scope: Scope::Nonce,
            hash: nonce_hash(call.nonce),
            fingerprint: None,
        }))
    }

    /// Whether a message that is stored now gets a time at which no repeat of it would look: a clock is wrong. It leaves
    /// its nonce as a key, as a repeat does.
    fn is_out_of_time(&mut self, sent_at: Millis) -> Result<bool, Problem> {
        let time = self.clock.max(self.memory()?.last_time);
        Ok(time.plus(CLOCK_SKEW_MS) < sent_at || time.since(sent_at) > NONCE_SPAN_MS)
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
        let since = sent_at.min(self.clock).minus(CLOCK_SKEW_MS);
        let known = self.known(Scope::Nonce, &nonce_hash(nonce), since)?;
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
    /// Its source is paused: it is owed to nobody yet.
    pub(crate) held: bool,
    /// It is part of the request whose first message has this number.
    pub(crate) batch: Option<u64>,
    /// The message that it repeats.
    pub(crate) replay_of: Option<MessageId>,
    /// The message with which it shares what may be used once: somebody may have sent that again.
    pub(crate) used: Option<MessageId>,
    /// Of those that want it, these alone get it.
    pub(crate) only: Option<&'a [u32]>,
}

impl<'a> Incoming<'a> {
    /// With nothing asked beside the call.
    pub(crate) const fn of(call: &'a Accept, body: Vec<u8>, keys: Vec<NewKey>) -> Self {
        Self {
            call,
            body,
            keys,
            tags: None,
            deliver_at: None,
            held: false,
            batch: None,
            replay_of: None,
            used: None,
            only: None,
        }
    }

    /// Where its body stands, if not in it.
    pub(crate) fn body_at(&self) -> Option<&'a BodyAt> {
        self.call.received.as_ref()?.body_at.as_ref()
    }

    /// What it says itself of who gets it, and what is written down of it.
    fn narrows(&self, owed: &mut Vec<u32>, decided: &mut Decided) {
        if let Some(only) = self.only {
            owed.retain(|endpoint| only.contains(endpoint));
            decided.nowhere = owed.is_empty();
        }
        if self.held {
            owed.clear();
            *decided = Decided {
                held: true,
                ..Decided::default()
            };
        }
        decided.batch = self.batch;
        decided.replay_of = self.replay_of;
        decided.used = self.used;
        decided.body_at = self.body_at().cloned();
    }
}

/// What a message owes, and how each of it leaves.
#[derive(Default)]
struct Owing {
    /// Endpoints that want it.
    owed: Vec<u32>,
    /// Those that get it now, with the line that it keeps its place in.
    free: Vec<(u32, Option<Rc<str>>)>,
    /// Lines that are stored with it.
    lines: BTreeSet<LineKey>,
    /// When a line that was caught up has to be looked at.
    looked_at: Vec<Millis>,
    /// Endpoints with an ordering key, and the line that it stands in there.
    keyed: Vec<(u32, String)>,
    /// Those that get it at the message's own time.
    waiting: Vec<u32>,
    /// It is for the endpoints that were named, and nobody else missed it.
    named_alone: bool,
    /// When its payload goes, if before the message does.
    payload_end: Option<Millis>,
    /// Why the others do not get it, and what else was decided.
    decided: Decided,
}

impl Owing {
    /// When the object has to look at it: what left with the accept is looked at when its lease ends.
    fn wake(&self, until: Millis) -> Option<Millis> {
        (!self.free.is_empty())
            .then_some(until)
            .into_iter()
            .chain(self.looked_at.iter().copied())
            .chain(self.leaves_at())
            .chain(self.payload_end)
            .min()
    }

    /// What the message's own row does not say.
    fn insert<S: Sql>(&self, sql: &S, segment: u64, sequence: u64, now: Millis) -> Result<(), Problem> {
        self.insert_waiting(sql, segment, sequence, now)?;
        self.insert_keyed(sql, segment, sequence)?;
        if self.named_alone {
            put_extra(sql, segment, sequence, 0, &[])?;
        }
        if let Some(at) = self.payload_end {
            payload::insert(sql, at, sequence)?;
        }
        Ok(())
    }

    fn leaves_at(&self) -> Option<Millis> {
        self.decided.at.filter(|_| !self.waiting.is_empty())
    }

    fn insert_keyed<S: Sql>(&self, sql: &S, segment: u64, sequence: u64) -> Result<(), Problem> {
        for (endpoint, line) in &self.keyed {
            let statement = format!("INSERT INTO ordered_{segment} VALUES (?, ?, ?)");
            let values = [(*endpoint).into(), line.as_str().into(), sequence.into()];
            sql.run(&statement, &values)?;
        }
        Ok(())
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
    /// Numbers of the segment that messages go to, and of the generation that their keys do.
    fn newest_tables(&self) -> Result<(u64, u64), Problem> {
        let segment = self.segments.last().map(|segment| segment.number);
        let keys = self.key_generations.last().map(|keys| keys.number);
        Ok((
            segment.ok_or_else(|| Problem::internal("no segment"))?,
            keys.ok_or_else(|| Problem::internal("no generation of keys"))?,
        ))
    }

    /// Decides which endpoints get it now, and takes what that takes. What it changes here stands with the message, or is
    /// forgotten.
    fn leaves(
        &mut self,
        owed: Vec<u32>,
        mut decided: Decided,
        message: &Incoming<'_>,
        to_send: &MessageToSend,
        until: Millis,
        now: Millis,
    ) -> Owing {
        decided.at = message.deliver_at;
        decided.tags.clone_from(&message.tags);
        let mut owing = Owing {
            owed,
            decided,
            ..Owing::default()
        };
        for endpoint in owing.owed.clone() {
            // What is polled fetches for itself.
            let Some(known) = self.endpoints.get(&endpoint).filter(|known| !known.is_polled()) else {
                continue;
            };
            let in_order = known.keeps_order_of(to_send.id.0.sequence);
            match known.config.ordered.clone().filter(|_| in_order) {
                Some(span) => {
                    let key = line_key(&span, &message.body);
                    if is_keyed(&key) {
                        owing.keyed.push((endpoint, key.clone()));
                    }
                    self.leaves_in_order(endpoint, key, to_send, until, now, &mut owing);
                }
                // What waits leaves from `due`, beside whatever comes meanwhile: an endpoint that keeps an order gets it
                // in its line's turn instead, at once.
                None if message.deliver_at.is_some() => owing.waiting.push(endpoint),
                None => self.leaves_freely(endpoint, to_send, until, now, &mut owing),
            }
        }
        owing
    }

    fn leaves_freely(
        &mut self,
        endpoint: u32,
        message: &MessageToSend,
        until: Millis,
        now: Millis,
        owing: &mut Owing,
    ) {
        let (sequence, key) = (message.id.0.sequence, (endpoint, String::new()));
        // Behind others it waits for its turn.
        if self.lines.get(&key).is_some_and(|line| line.handed < sequence) {
            return;
        }
        let admitted = self.admit(endpoint, Wish::Scheduled, message.bytes(), now);
        if admitted.is_ok() {
            self.flight(endpoint).gathers(sequence, until);
        }
        match (admitted, self.lines.get_mut(&key)) {
            (Ok(()), line) => {
                if let Some(line) = line {
                    if !std::mem::replace(&mut line.direct, true) {
                        owing.lines.insert(line.id());
                    }
                    line.hands_out(sequence, until);
                }
                owing.free.push((endpoint, None));
            }
            (Err(hold), Some(line)) => {
                line.opens_at = line.opens_at.min(hold.until);
                line.reason = hold.reason;
                if std::mem::replace(&mut line.direct, false) {
                    owing.lines.insert(line.id());
                }
                owing.looked_at.push(hold.until);
            }
            (Err(hold), None) => {
                let line = Line::begin(endpoint, String::new(), sequence, hold);
                owing.lines.insert(line.id());
                self.lines.insert(line.id(), line);
            }
        }
    }

    /// A line keeps its order: only with nothing before it does a message leave at once.
    fn leaves_in_order(
        &mut self,
        endpoint: u32,
        key: String,
        message: &MessageToSend,
        until: Millis,
        now: Millis,
        owing: &mut Owing,
    ) {
        let sequence = message.id.0.sequence;
        if let Some(line) = self.lines.get_mut(&(endpoint, key.clone())) {
            if !line.stored {
                line.stored = true;
                line.opens_at = line.until;
                owing.lines.insert(line.id());
            }
            return;
        }
        match self.admit(endpoint, Wish::InOrder, message.bytes(), now) {
            Ok(()) => {
                let name: Rc<str> = key.as_str().into();
                let flight = self.flight(endpoint);
                flight.goes_on(Some(name.clone()), 1, &[(sequence, until)]);
                let line = Line::out_since_accept(endpoint, key, sequence, until);
                self.lines.insert(line.id(), line);
                owing.free.push((endpoint, Some(name)));
            }
            Err(hold) => {
                let line = Line::begin(endpoint, key, sequence, hold);
                owing.lines.insert(line.id());
                self.lines.insert(line.id(), line);
            }
        }
    }

    /// A message as it is answered to whoever brought it.
    fn new_view(&self, id: MessageId, call: &Accept, decided: &Decided) -> MessageView {
        let app_level = call.source.map_or_else(|| AppLevel::of(&call.headers), |_| None);
        MessageView {
            id,
            event_type: call.event_type.clone(),
            event_id: call.event_id.clone(),
            channels: call.channels.clone(),
            timestamp: Millis(id.0.time),
            content_type: call.content_type.clone(),
            source: call
                .source
                .and_then(|number| self.source_id(number))
                .or(app_level.as_ref().map(|routed| routed.source)),
            app_level,
            not_sent: decided.sentence(),
            skipped: self.skipped(decided),
            skipped_more: decided.more,
            deliver_at: decided.at,
            tags: decided.tags.clone(),
            expunged: false,
            body_at: decided.body_at.clone(),
            replay_of: decided.replay_of,
            same_as: decided.used,
            in_batch: decided.batch.is_some(),
            duplicates: 0,
        }
    }
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
