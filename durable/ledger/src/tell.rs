//! The operational tenant hears what the other tenants of its organisation have to tell.

use std::collections::BTreeMap;

use postern_domain::digest;
use postern_domain::event_type;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use postern_domain::wire::operational::{Happened, Tell, Told};

use crate::sql::Sql;
use crate::{Ledger, Random};

impl<S: Sql> Ledger<S> {
    /// Stores what an endpoint wants, each event once. No API reads this ledger's messages, so what nobody wants is not
    /// stored. When one cannot be stored the whole is refused and told again: those that stand by then are known.
    pub(crate) fn hear(
        &mut self,
        call: &Tell,
        bodies: Vec<Vec<u8>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Told, Problem> {
        let memory = self.memory()?;
        if !memory.outbox.is_silent() {
            return Err(Problem::not_found()); // an ordinary tenant hears nothing of others
        }
        if call.events.len() != bodies.len() {
            return Err(Problem::internal("each event has one body"));
        }
        let listening: Vec<Option<Vec<String>>> = memory
            .endpoints
            .values()
            .filter(|endpoint| endpoint.is_on())
            .map(|endpoint| endpoint.config.event_types.clone())
            .collect();
        if listening.is_empty() {
            return Ok(Told { nobody: true });
        }
        for (event, body) in call.events.iter().zip(bodies) {
            let wanted = listening
                .iter()
                .any(|types| event_type::wants(types.as_deref(), &event.event_type));
            if !wanted {
                continue;
            }
            match self.accept(&accept_of(event, now), body, now, random) {
                // The event id says so: it was told before.
                Err(problem) if problem.code == Code::Conflict => {}
                done => {
                    done?;
                }
            }
        }
        Ok(Told { nobody: false })
    }
}

fn accept_of(event: &Happened, now: Millis) -> Accept {
    let nonce = digest::half_of(event.event_id.as_bytes())
        .iter()
        .take(6)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Accept {
        nonce,
        sent_at: now,
        repeat: false, // the event id knows a repeat, at any age
        source: None,
        event_type: event.event_type.clone(),
        event_id: Some(event.event_id.clone()),
        channels: None,
        content_type: "application/json".to_owned(),
        headers: BTreeMap::new(),
        payload_hours: None,
        only_endpoint: None,
        received: None,
        hop: 0,
        idempotency: None,
    }
}
