//! Taking several messages at once, all or none: one transaction, consecutive numbers, one answer.

use std::collections::BTreeSet;

use postern_domain::id::MessageId;
use postern_domain::problem::{Code, Fault, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::Accept;
use postern_domain::wire::publish::{AcceptBatch, BatchAccepted, MAX_BATCH, NewMessage};

use crate::accept::{Incoming, Keys, nth_part};
use crate::memory::message_id;
use crate::sql::Sql;
use crate::{Ledger, Random};

/// A message may wait so long at the most.
const LONGEST_WAIT_MS: u64 = 30 * Millis::DAY;

impl<S: Sql> Ledger<S> {
    /// Takes them. Whoever sees `Ok` has all of them stored; a repeat gets the answers of the first.
    pub(crate) fn accept_batch(
        &mut self,
        call: &AcceptBatch,
        bodies: Vec<Vec<u8>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<BatchAccepted, Problem> {
        let count = call.messages.len();
        if !(1..=MAX_BATCH).contains(&count) || bodies.len() != count {
            return Err(Problem::fault(
                &["body", "messages"],
                format!("must be 1 to {MAX_BATCH} messages"),
            ));
        }
        let accepts: Vec<Accept> = (0..).zip(&call.messages).map(|at| accept_of(call, at)).collect();
        if let Some(first) = self.stood(call.nonce, call.sent_at, call.repeat, now)? {
            return self.answer_again(first, &accepts, false);
        }
        let mut keys = Vec::with_capacity(count);
        let mut seen = BTreeSet::new();
        for (at, accept) in accepts.iter().enumerate() {
            let new = match self
                .keys_of(accept)
                .map_err(|problem| at_place(call, at, problem))?
            {
                // Only the first one carries the key of the whole request.
                Keys::Known(first) => return self.answer_again(first, &accepts, true),
                Keys::New(new) => new,
            };
            if let Some(event_id) = &accept.event_id
                && !seen.insert(event_id)
            {
                let twice = Problem::new(Code::Conflict, "This eventId stands twice in the request");
                return Err(at_place(call, at, twice));
            }
            keys.push(new);
        }
        let longest = LONGEST_WAIT_MS.min(self.longest_wait());
        for (at, message) in call.messages.iter().enumerate() {
            if message.deliver_at.is_some_and(|time| time.since(now) > longest) {
                return Err(too_late(call, at, longest));
            }
        }
        self.room_for(false, now)?;
        self.roll(now)?;
        let incoming = accepts.iter().zip(&call.messages).zip(bodies).zip(keys);
        let incoming = incoming.map(|(((accept, message), body), keys)| Incoming {
            tags: message.tags.clone(),
            deliver_at: message.deliver_at.filter(|at| *at > now),
            ..Incoming::of(accept, body, keys)
        });
        Ok(BatchAccepted {
            messages: self.store(incoming.collect(), now, random)?,
            duplicate: false,
        })
    }

    /// A message that leaves later than it is kept would never leave; a lease is left for its first try.
    fn longest_wait(&self) -> u64 {
        self.retention_ms().saturating_sub(self.settings.lease_ms)
    }

    fn answer_again(
        &mut self,
        first: MessageId,
        accepts: &[Accept],
        duplicate: bool,
    ) -> Result<BatchAccepted, Problem> {
        let messages = (0..).zip(accepts).map(|(n, accept)| {
            let part = nth_part(first.0.random, n);
            let id = message_id(first.0.sequence + n, Millis(first.0.time), &part);
            self.known_view(id, accept)
        });
        Ok(BatchAccepted {
            messages: messages.collect::<Result<Vec<MessageView>, Problem>>()?,
            duplicate,
        })
    }
}

/// One message as an accept. The first stands for all of them: it carries the nonce and the key of the request.
fn accept_of(call: &AcceptBatch, (at, message): (usize, &NewMessage)) -> Accept {
    let first = at == 0;
    Accept {
        nonce: if first { call.nonce } else { 0 },
        sent_at: call.sent_at,
        repeat: first && call.repeat,
        source: None,
        event_type: message.event_type.clone(),
        event_id: message.event_id.clone(),
        channels: message.channels.clone(),
        content_type: message.content_type.clone(),
        headers: std::collections::BTreeMap::new(),
        hop: call.hop,
        idempotency: call.idempotency.clone().filter(|_| first),
        payload_hours: message.payload_hours,
        only_endpoint: None,
        received: None,
    }
}

/// Says which message a conflict is about.
fn at_place(call: &AcceptBatch, at: usize, mut problem: Problem) -> Problem {
    if call.alone || problem.code != Code::Conflict {
        return problem;
    }
    problem.detail = format!("messages[{at}]: {}; nothing was stored", problem.detail);
    problem
}

fn too_late(call: &AcceptBatch, at: usize, longest: u64) -> Problem {
    let mut loc = vec!["body".to_owned()];
    if !call.alone {
        loc.extend(["messages".to_owned(), at.to_string()]);
    }
    loc.push("deliverAt".to_owned());
    let hours = longest / 3_600_000;
    Problem::validation(vec![Fault {
        loc,
        msg: format!("must be within {hours} hours: the application does not keep messages for longer"),
        kind: "value_error".to_owned(),
    }])
}
