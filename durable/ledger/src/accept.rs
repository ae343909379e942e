//! Taking a message: dedupe, store, owe, in one transaction; then the answer.

use std::rc::Rc;

use postern_domain::event_type;
use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Accepted};
use postern_domain::wire::{MessageView, Trigger};

use crate::gate::Wish;
use crate::handout::MessageToSend;
use crate::key::{self, NewKey, Scope};
use crate::line::Line;
use crate::memory::{Memory, message_id};
use crate::ordered::{is_keyed, line_key};
use crate::sql::{Sql, Value};
use crate::{Ledger, Random, payload};

/// A first try that was on its way longer than this is refused: its sender has given up, and a repeat may have stood.
const FIRST_TRY_MS: u64 = 30_000;

/// A repeat looks for its nonce among the messages of this long after its first try.
const NONCE_SPAN_MS: u64 = 60_000;

/// Clocks of the edge and of the object may differ by this.
const CLOCK_SKEW_MS: u64 = 5000;

/// From this hop on a message is stored and goes nowhere: two gateways that point at each other stop.
const HOP_LIMIT: u8 = 3;

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
        if self.settings.rules.nonce && !call.repeat && now.since(call.sent_at) > FIRST_TRY_MS {
            return Err(Problem::new(
                Code::Overloaded,
                "The application is busy; try again in a few seconds",
            ));
        }
        if let Some(source) = call.source {
            let known = self.memory()?.sources.get(&source);
            known
                .filter(|source| source.deleted_at.is_none())
                .ok_or_else(Problem::not_found)?;
        }
        let stood = match (self.settings.rules.nonce, call.repeat) {
            (true, true) => self.find_nonce(call.nonce, call.sent_at)?,
            (true, false) => self.find_overtaken(call.nonce, call.sent_at)?,
            (false, _) => None,
        };
        if let Some(message) = stood {
            return Ok(Accepted {
                message: self.view_of(message, call),
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
        self.store(call, body, &keys, now, random)
    }

    fn store(
        &mut self,
        call: &Accept,
        body: Vec<u8>,
        keys: &[NewKey],
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Accepted, Problem> {
        let lease = self.settings.lease_ms;
        let memory = self.memory()?;
        let time = now.max(memory.last_time);
        let sequence = memory.last_sequence + 1;
        let mut part = [0; 7];
        random.fill(&mut part);
        let id = message_id(sequence, time, &part);
        let to_send = MessageToSend::new(id, &call.event_type, &call.content_type, call.hop, &body);
        let (owed, not_sent) = memory.matching(call);
        for endpoint in &owed {
            self.is_proven(*endpoint)?;
        }
        let until = time.plus(lease);
        let memory = self.memory()?;
        let Owing {
            free,
            lines,
            looked_at,
            keyed,
        } = memory.leaves(&owed, &to_send, &body, until, now);
        let segment = memory
            .segments
            .last()
            .map(|s| s.number)
            .ok_or_else(|| Problem::internal("no segment"))?;
        let generation = memory.key_generations.last().map(|g| g.number);
        let generation = generation.ok_or_else(|| Problem::internal("no generation of keys"))?;
        let payload_end = payload::ends_at(call.payload_hours, time);
        let lease_over = (!free.is_empty()).then(|| time.plus(lease));
        let wake = lease_over
            .into_iter()
            .chain(lines.iter().map(|line| line.opens_at))
            .chain(looked_at)
            .chain(payload_end)
            .min();
        // A message that nobody wants still has to go one day.
        let wake = wake.or_else(|| {
            self.memory
                .as_ref()
                .and_then(|memory| self.retention_wake(memory, time))
        });

        let row = row_of(call, id, &owed, not_sent.as_deref(), body)?;
        let armed = self.sql.atomic(|sql| {
            for new in keys {
                key::insert(sql, generation, new, id)?;
            }
            sql.run(
                &format!("INSERT INTO message_{segment} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
                &row,
            )?;
            for line in &lines {
                line.insert(sql)?;
            }
            for (endpoint, line) in &keyed {
                let statement = format!("INSERT INTO ordered_{segment} VALUES (?, ?, ?)");
                sql.run(
                    &statement,
                    &[(*endpoint).into(), line.as_str().into(), sequence.into()],
                )?;
            }
            if let Some(at) = payload_end {
                payload::insert(sql, at, sequence)?;
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
        memory.last_sequence = sequence;
        memory.last_time = time;
        for line in lines {
            // Those that were there have gone on in memory already.
            memory.lines.entry(line.id()).or_insert(line);
        }
        let outgoing: Vec<_> = free
            .into_iter()
            .map(|(endpoint, line)| memory.hand_out(endpoint, line, &to_send, until, Trigger::Scheduled, now))
            .collect();
        self.outbox.extend(outgoing);
        let mut view = self.view_of(id, call);
        view.not_sent = not_sent;
        Ok(Accepted {
            message: view,
            duplicate: false,
        })
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
    fn keys_of(&mut self, call: &Accept) -> Result<Keys, Problem> {
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

    fn view_of(&self, id: MessageId, call: &Accept) -> MessageView {
        MessageView {
            id,
            event_type: call.event_type.clone(),
            event_id: call.event_id.clone(),
            channels: call.channels.clone(),
            timestamp: Millis(id.0.time),
            content_type: call.content_type.clone(),
            source: call
                .source
                .and_then(|number| self.memory.as_ref()?.source_id(number)),
            not_sent: None,
        }
    }

    /// The message that was there already, as it is stored; once it is gone, as the duplicate says it.
    fn known_view(&mut self, id: MessageId, call: &Accept) -> Result<MessageView, Problem> {
        Ok(self.message_view(id)?.unwrap_or_else(|| self.view_of(id, call)))
    }
}

/// How what a message owes leaves.
#[derive(Default)]
struct Owing {
    /// Endpoints that get it now, with the line that it keeps its place in.
    free: Vec<(u32, Option<Rc<str>>)>,
    /// Lines that are stored with it: those that begin with it, and those that were one head until now.
    lines: Vec<Line>,
    /// When a line that was caught up has to be looked at.
    looked_at: Vec<Millis>,
    /// Endpoints with an ordering key, and the line that it stands in there.
    keyed: Vec<(u32, String)>,
}

impl Memory {
    /// The endpoints that want a message; or why it goes to none at all.
    fn matching(&self, call: &Accept) -> (Vec<u32>, Option<String>) {
        if call.hop >= HOP_LIMIT {
            let why = format!(
                "it passed {} gateways already; it is stored, and not sent on",
                call.hop
            );
            return (Vec::new(), Some(why));
        }
        let owed = self
            .endpoints
            .values()
            .filter(|endpoint| endpoint.is_on())
            .filter(|endpoint| event_type::wants(endpoint.config.event_types.as_deref(), &call.event_type))
            .filter(|endpoint| {
                event_type::hears(endpoint.config.channels.as_deref(), call.channels.as_deref())
            })
            .map(|endpoint| endpoint.number)
            .collect();
        (owed, None)
    }

    /// Decides which endpoints get it now, and takes what that takes. What it changes here stands with the message or is
    /// forgotten.
    fn leaves(
        &mut self,
        owed: &[u32],
        message: &MessageToSend,
        body: &[u8],
        until: Millis,
        now: Millis,
    ) -> Owing {
        let mut owing = Owing::default();
        for endpoint in owed {
            let span = self
                .endpoints
                .get(endpoint)
                .filter(|endpoint| endpoint.keeps_order_of(message.id.0.sequence))
                .and_then(|endpoint| endpoint.config.ordered.clone());
            match span {
                None => self.leaves_freely(*endpoint, message, until, now, &mut owing),
                Some(span) => {
                    let key = line_key(&span, body);
                    if is_keyed(&key) {
                        owing.keyed.push((*endpoint, key.clone()));
                    }
                    self.leaves_in_order(*endpoint, key, message, until, now, &mut owing);
                }
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
        match (admitted, self.lines.get_mut(&key)) {
            (Ok(()), line) => {
                if let Some(line) = line {
                    if !std::mem::replace(&mut line.direct, true) {
                        owing.lines.push(line.clone());
                    }
                    line.hands_out(sequence, until);
                }
                owing.free.push((endpoint, None));
            }
            (Err(hold), Some(line)) => {
                line.opens_at = line.opens_at.min(hold.until);
                line.reason = hold.reason;
                if std::mem::replace(&mut line.direct, false) {
                    owing.lines.push(line.clone());
                }
                owing.looked_at.push(hold.until);
            }
            (Err(hold), None) => owing
                .lines
                .push(Line::begin(endpoint, String::new(), sequence, hold)),
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
                owing.lines.push(line.clone());
            }
            return;
        }
        match self.admit(endpoint, Wish::Scheduled, message.bytes(), now) {
            Ok(()) => {
                let name: Rc<str> = key.as_str().into();
                let flight = self.flights.entry(endpoint).or_default();
                flight.gathers(sequence, until);
                flight.goes_on(Some(name.clone()), 1, &[sequence], until);
                let line = Line::out_since_accept(endpoint, key, sequence, until);
                self.lines.insert(line.id(), line);
                owing.free.push((endpoint, Some(name)));
            }
            Err(hold) => owing.lines.push(Line::begin(endpoint, key, sequence, hold)),
        }
    }
}

/// What the keys of a message say.
enum Keys {
    /// It is there already.
    Known(MessageId),
    /// It is new, and these are its keys.
    New(Vec<NewKey>),
}

fn row_of(
    call: &Accept,
    id: MessageId,
    owed: &[u32],
    not_sent: Option<&str>,
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
        not_sent.map(str::to_owned).into(),
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
