//! Taking a message: dedupe, store, owe, in one transaction; then the answer.

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Accepted};
use postern_domain::wire::{MessageView, Trigger};

use crate::handout::MessageToSend;
use crate::key::{self, NewKey, Scope};
use crate::line::Line;
use crate::memory::{Memory, message_id};
use crate::sql::{Sql, Value};
use crate::{Ledger, Random};

/// A first try that was on its way longer than this is refused: its sender has given up, and a repeat may have stood.
const FIRST_TRY_MS: u64 = 30_000;

/// A repeat looks for its nonce among the messages of this long after its first try.
const NONCE_SPAN_MS: u64 = 60_000;

/// Clocks of the edge and of the object may differ by this.
const CLOCK_SKEW_MS: u64 = 5000;

/// From this hop on a message is stored and goes nowhere: two gateways that point at each other stop.
pub(crate) const HOP_LIMIT: u8 = 3;

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
        let Owing {
            owed,
            free,
            behind,
            lines,
            not_sent,
        } = memory.decide(call, sequence, now);
        let segment = memory
            .segments
            .last()
            .map(|s| s.number)
            .ok_or_else(|| Problem::internal("no segment"))?;
        let generation = memory.key_generations.last().map(|g| g.number);
        let generation = generation.ok_or_else(|| Problem::internal("no generation of keys"))?;
        let lease_over = (!free.is_empty()).then(|| time.plus(lease));
        let wake = lease_over
            .into_iter()
            .chain(lines.iter().map(|line| line.opens_at))
            .chain(behind.iter().map(|(_, opens_at)| *opens_at))
            .min();
        // A message that nobody wants still has to go one day.
        let wake = wake.or_else(|| {
            self.memory
                .as_ref()
                .and_then(|memory| self.retention_wake(memory, time))
        });
        let to_send = MessageToSend::new(id, &call.content_type, call.hop, &body);

        let row = row_of(call, id, &owed, not_sent.as_deref(), body)?;
        let armed = self.sql.atomic(|sql| {
            for new in keys {
                key::insert(sql, generation, new, id)?;
            }
            sql.run(
                &format!("INSERT INTO message_{segment} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
                &row,
            )?;
            if call.only_endpoint.is_some() {
                crate::manual::put_extra(sql, segment, sequence, 0, &[])?;
            }
            for line in &lines {
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
        memory.last_sequence = sequence;
        memory.last_time = time;
        for line in lines {
            memory.lines.insert(line.endpoint, line);
        }
        for (endpoint, opens_at) in behind {
            if let Some(line) = memory.lines.get_mut(&endpoint) {
                line.opens_at = line.opens_at.min(opens_at);
            }
        }
        let until = time.plus(lease);
        let outgoing: Vec<_> = free
            .into_iter()
            .map(|endpoint| memory.hand_out(endpoint, &to_send, until, Trigger::Scheduled, now))
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
                .unwrap_or_else(|| time.plus(self.settings.retention_ms))
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

/// What a message owes, and how each of it leaves.
struct Owing {
    /// Endpoints that want it.
    owed: Vec<u32>,
    /// Those that get it now.
    free: Vec<u32>,
    /// Those whose line is behind already, and when its gate opens.
    behind: Vec<(u32, Millis)>,
    /// Lines that begin with it.
    lines: Vec<Line>,
    /// Why it owes nothing at all.
    not_sent: Option<String>,
}

impl Memory {
    /// Decides it, and takes the tokens of those that get it now.
    fn decide(&mut self, call: &Accept, sequence: u64, now: Millis) -> Owing {
        let not_sent = (call.hop >= HOP_LIMIT).then(|| {
            format!(
                "it passed {} gateways already; it is stored, and not sent on",
                call.hop
            )
        });
        let owed: Vec<u32> = match not_sent {
            Some(_) => Vec::new(),
            None => self
                .endpoints
                .values()
                .filter(|endpoint| endpoint.is_on())
                .filter(|endpoint| call.only_endpoint.is_none_or(|only| only == endpoint.number))
                .filter(|endpoint| {
                    call.only_endpoint.is_some()
                        || endpoint.matches(&call.event_type, call.channels.as_deref())
                })
                .map(|endpoint| endpoint.number)
                .collect(),
        };
        let mut free = Vec::new();
        let mut behind = Vec::new();
        let mut lines = Vec::new();
        for endpoint in &owed {
            if self.lines.contains_key(endpoint) {
                behind.push((*endpoint, self.gate_opens_at(*endpoint, now)));
                continue;
            }
            if self.tokens(*endpoint, now) > 0 {
                self.take_tokens(*endpoint, 1);
                free.push(*endpoint);
            } else {
                lines.push(Line::begin(
                    *endpoint,
                    sequence,
                    self.gate_opens_at(*endpoint, now),
                ));
            }
        }
        Owing {
            owed,
            free,
            behind,
            lines,
            not_sent,
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
