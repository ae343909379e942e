//! Taking what came through a source: each event deduped by the provider's id, all that are new or none, in the one
//! transaction of [`crate::accept`].
//!
//! Guaranteed: a missing id never equals a missing id; a duplicate is answered as the first was and counted on it; what
//! is held is stored and owed to nobody, until its source is opened again ([`crate::reentry`]). The same id with another
//! body is the same event (Stripe renders one anew at a retry), counted as changed.

use std::collections::BTreeSet;

use postern_domain::digest;
use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Accepted};
use postern_domain::wire::inbound::{
    Intake, MAX_EVENTS, REPLAYED, Receive, ReceiveDone, Received, ReceivedEvent,
};

use crate::accept::{Incoming, event_id_hash};
use crate::entitlement::Effect;
use crate::key::{NewKey, Scope};
use crate::sql::{Sql, Value};
use crate::{Ledger, Random};

/// What came in excess of a source's rate may come within this time at once.
const BURST_US: u64 = 1_000_000;

impl<S: Sql> Ledger<S> {
    /// Takes one event.
    pub(crate) fn accept_from_source(
        &mut self,
        source: u16,
        call: &Accept,
        body: Vec<u8>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Accepted, Problem> {
        let mut done = self.take_events(source, vec![(call.clone(), body)], None, now, random)?;
        let done = done
            .pop()
            .ok_or_else(|| Problem::internal("one event has one answer"))?;
        Ok(Accepted {
            watchers: self.watchers_of(source, call)?,
            ..done
        })
    }

    /// Takes a request of several events.
    pub(crate) fn receive(
        &mut self,
        call: &Receive,
        bodies: Vec<Vec<u8>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<ReceiveDone, Problem> {
        let source = call.accept.source.ok_or_else(Problem::not_found)?;
        let mut bodies = bodies.into_iter();
        let whole = bodies.next().unwrap_or_default();
        let parts: Vec<Vec<u8>> = bodies.collect();
        if !(1..=MAX_EVENTS).contains(&call.events.len()) || parts.len() != call.events.len() {
            return Err(Problem::internal("each event has one part"));
        }
        let own = |(name, value): (&String, &String)| (name.clone(), value.clone());
        let events = (0..).zip(&call.events).zip(parts).map(|((at, event), part)| {
            let first = at == 0_usize;
            let accept = Accept {
                nonce: if first { call.accept.nonce } else { 0 },
                repeat: first && call.accept.repeat,
                event_type: event.event_type.clone(),
                event_id: event.event_id.clone(),
                headers: call
                    .accept
                    .headers
                    .iter()
                    .chain(&event.headers)
                    .map(own)
                    .collect(),
                received: received(call, event),
                ..call.accept.clone()
            };
            (accept, part)
        });
        let done = self.take_events(source, events.collect(), Some(&whole), now, random)?;
        let duplicates = done.iter().filter(|one| one.duplicate).count();
        let count = |n: usize| u32::try_from(n).map_err(Problem::internal);
        Ok(ReceiveDone {
            stored: count(done.len() - duplicates)?,
            duplicates: count(duplicates)?,
        })
    }

    fn take_events(
        &mut self,
        source: u16,
        events: Vec<(Accept, Vec<u8>)>,
        whole: Option<&[u8]>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Vec<Accepted>, Problem> {
        let first = events.first().map(|(call, _)| call.clone());
        let first = first.ok_or_else(|| Problem::internal("a request without an event"))?;
        let intake = self.intake_of(source, now)?;
        if let Some(message) = self.stood(first.nonce, first.sent_at, first.repeat, now)? {
            let message = self.known_view(message, &first)?;
            return Ok(vec![Accepted {
                message,
                duplicate: false,
                watchers: Vec::new(),
            }]);
        }
        let received = first.received.clone().unwrap_or_default();
        self.within_rate(source, &received, now)?;

        let mut answers: Vec<Option<Accepted>> = Vec::with_capacity(events.len());
        let (mut again, mut twice) = (Vec::new(), Vec::new());
        let (mut new, mut bodies, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (at, (call, body)) in events.into_iter().enumerate() {
            let body_hash = body_hash(&call, &body);
            match self.known_event(source, &call, &body_hash)? {
                Some((message, changed)) => {
                    again.push((message, changed));
                    let message = self.known_view(message, &call)?;
                    answers.push(Some(Accepted {
                        message,
                        duplicate: true,
                        watchers: Vec::new(),
                    }));
                }
                // Twice in one request: the first of the two counts.
                None if call.event_id.as_ref().is_some_and(|id| !seen.insert(id.clone())) => {
                    twice.push((at, call.event_id.clone()));
                    answers.push(None);
                }
                None => {
                    answers.push(None);
                    new.push((at, call));
                    bodies.push((body, body_hash));
                }
            }
        }
        if let Some((_, carrier)) = new.first_mut() {
            // Whichever of them is new, the nonce of the request stands with the first.
            (carrier.nonce, carrier.repeat) = (first.nonce, first.repeat);
            let used = self.used_before(source, &first)?;
            self.room_for(true, now)?;
            self.roll(now)?;
            let batch = whole.is_some().then_some(self.memory()?.last_sequence + 1);
            // No provider that takes money sends several events at once.
            let effect = match (new.as_slice(), bodies.as_slice()) {
                ([(_, call)], [(body, _)]) => self.entitlements_by(call, body, now)?,
                _ => Effect::default(),
            };
            let mut incoming = Vec::with_capacity(new.len());
            for ((_, call), (body, body_hash)) in new.iter().zip(bodies) {
                let mut keys = event_keys(source, call, &body_hash);
                keys.extend(self.nonce_key(call)?);
                if incoming.is_empty() && used.is_none() {
                    keys.extend(once_key(source, &first));
                }
                incoming.push(Incoming {
                    held: intake == Intake::Held,
                    batch,
                    used,
                    ..Incoming::of(call, body, keys)
                });
            }
            let count = incoming.len() as u64;
            // One that is too large to stand beside its parts is not kept: they say what it said.
            let request = whole.filter(|body| !body.is_empty());
            let request = request.map(|body| (first.content_type.as_str(), body, count));
            incoming.extend(effect.messages());
            self.beside = effect.beside.clone();
            let views = self.store_with(incoming, request, now, random)?;
            for ((at, _), message) in new.iter().zip(views) {
                if let Some(answer) = answers.get_mut(*at) {
                    *answer = Some(Accepted {
                        message,
                        duplicate: false,
                        watchers: Vec::new(),
                    });
                }
            }
        }
        for (at, id) in twice {
            let first = answers
                .iter()
                .flatten()
                .find(|one| one.message.event_id == id)
                .cloned();
            if let (Some(answer), Some(first)) = (answers.get_mut(at), first) {
                again.push((first.message.id, false));
                *answer = Some(Accepted {
                    duplicate: true,
                    ..first
                });
            }
        }
        self.came_again(&again, &received, now)?;
        self.saw(source, &received, &again, now)?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// Whether the source takes anything.
    fn intake_of(&mut self, source: u16, now: Millis) -> Result<Intake, Problem> {
        let known = self.memory()?.sources.get(&source);
        let source = known.filter(|source| source.deleted_at.is_none());
        let options = &source.ok_or_else(Problem::not_found)?.options;
        let intake = options.intake;
        if intake == Intake::Closed || options.is_over(now) {
            // The edge knew it as it was before.
            return Err(Problem::new(Code::Forbidden, "This source is disabled"));
        }
        Ok(intake)
    }

    /// Refuses what is faster than the owner allows, unless its provider would not come again.
    fn within_rate(&mut self, source: u16, received: &Received, now: Millis) -> Result<(), Problem> {
        let memory = self.memory()?;
        let rate = memory
            .sources
            .get(&source)
            .and_then(|source| source.options.rate_limit);
        let Some(rate) = rate.filter(|_| !received.only_once) else {
            return Ok(());
        };
        let now = now.0 * 1000;
        let next = memory.intake_next.entry(source).or_default();
        if *next > now + BURST_US {
            return Err(Problem::new(
                Code::RateLimited,
                "More came than the source's rateLimit allows",
            ));
        }
        *next = (*next).max(now) + 1_000_000 / u64::from(rate.max(1));
        Ok(())
    }

    /// The message that an event is of already, and whether it came with another body then.
    fn known_event(
        &mut self,
        source: u16,
        call: &Accept,
        body_hash: &[u8],
    ) -> Result<Option<(MessageId, bool)>, Problem> {
        if let Some(id) = call.event_id.as_ref().filter(|id| !id.is_empty()) {
            let known = self.known(Scope::Source(source), &event_id_hash(id), Millis(0))?;
            if let Some(known) = known {
                let changed = known.fingerprint.is_some_and(|before| before != body_hash);
                return Ok(Some((known.message, changed)));
            }
        }
        Ok(None)
    }

    /// The message that used what may be used once, if another one did. A provider that never does that is not believed.
    fn used_before(&mut self, source: u16, call: &Accept) -> Result<Option<MessageId>, Problem> {
        let Some(once) = call.received.as_ref().and_then(|received| received.once.as_ref()) else {
            return Ok(None);
        };
        let known = self.known(Scope::Source(source), &once_hash(&once.key), Millis(0))?;
        if known.is_some() && once.refuse {
            return Err(Problem::new(Code::SignatureInvalid, REPLAYED));
        }
        Ok(known.map(|known| known.message))
    }

    /// Counts on the first what came again.
    fn came_again(
        &self,
        again: &[(MessageId, bool)],
        received: &Received,
        now: Millis,
    ) -> Result<(), Problem> {
        let statement = "INSERT INTO duplicate (sequence, count, changed, retry, last_at) VALUES (?1, 1, ?2, ?3, ?4) \
                         ON CONFLICT DO UPDATE SET count = count + 1, changed = changed + ?2, retry = max(retry, ?3), \
                         last_at = ?4";
        for (message, changed) in again {
            let values = [
                message.0.sequence.into(),
                Value::from(*changed),
                received.retry.unwrap_or(0).into(),
                now.into(),
            ];
            self.sql.run(statement, &values)?;
        }
        Ok(())
    }

    /// How often a message came again.
    pub(crate) fn duplicates_of(&self, sequence: u64) -> Result<u32, Problem> {
        let row = self.sql.row(
            "SELECT count FROM duplicate WHERE sequence = ?",
            &[sequence.into()],
        )?;
        row.map_or(Ok(0), |row| row.small(0))
    }

    /// What of received requests goes with the messages before this one.
    pub(crate) fn drop_received(&self, before: u64) -> Result<(), Problem> {
        self.sql
            .run("DELETE FROM duplicate WHERE sequence < ?", &[before.into()])?;
        self.sql
            .run("DELETE FROM request WHERE sequence < ?", &[before.into()])?;
        Ok(())
    }
}

/// Keys of one event. A missing id is none, and equals nothing.
/// What the edge knows of one event of a request: as of the request, and where its own part stands.
fn received(call: &Receive, event: &ReceivedEvent) -> Option<Received> {
    let common = call.accept.received.clone();
    let Some(at) = &event.body_at else {
        return common;
    };
    Some(Received {
        body_at: Some(at.clone()),
        ..common.unwrap_or_default()
    })
}

fn event_keys(source: u16, call: &Accept, body_hash: &[u8]) -> Vec<NewKey> {
    let mut keys = Vec::new();
    if let Some(id) = call.event_id.as_ref().filter(|id| !id.is_empty()) {
        keys.push(NewKey {
            scope: Scope::Source(source),
            hash: event_id_hash(id),
            fingerprint: Some(body_hash.to_vec()),
        });
    }
    keys
}

/// The key of what the request used up.
fn once_key(source: u16, call: &Accept) -> Option<NewKey> {
    let once = call.received.as_ref()?.once.as_ref()?;
    Some(NewKey {
        scope: Scope::Source(source),
        hash: once_hash(&once.key),
        fingerprint: None,
    })
}

/// Of the body, wherever it stands: where it is not beside the call, its key is as good as it.
fn body_hash(call: &Accept, body: &[u8]) -> Vec<u8> {
    match call
        .received
        .as_ref()
        .and_then(|received| received.body_at.as_ref())
    {
        Some(at) => digest::half_of(at.digest.as_bytes()),
        None => digest::half_of(body),
    }
}

/// What is used once, apart from every id.
fn once_hash(key: &str) -> Vec<u8> {
    digest::half_of(&[b"once: ", key.as_bytes()].concat())
}
