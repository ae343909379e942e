//! A tenant's ledger takes what its organisation's ledger routed to it.
//!
//! Each event is known by its message there, so that a push that is repeated, after a lost answer or a crash, makes nothing
//! twice. All that are new are stored in one transaction, or none.
//!
//! A body that has no room in a ledger was copied for this tenant before it is asked: the copy is its own, and goes with its
//! message. One that no message here names is taken away.

use std::collections::BTreeSet;

use postern_domain::app_level::{FORWARD, PROVIDER, SOURCE, SOURCE_NAME};
use postern_domain::digest;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use postern_domain::wire::inbound::{ForwardMode, Received, body_prefix};
use postern_domain::wire::route::{RouteTaken, RoutedEvent};

use crate::accept::Incoming;
use crate::key::{NewKey, Scope};
use crate::sql::Sql;
use crate::{Garbage, Ledger, Random};

impl<S: Sql> Ledger<S> {
    /// Stores what is new of it.
    pub(crate) fn route_in(
        &mut self,
        events: &[RoutedEvent],
        bodies: Vec<Vec<u8>>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<RouteTaken, Problem> {
        let memory = self.memory()?;
        if memory.routing.is_on() || memory.outbox.is_silent() {
            return Err(Problem::not_found()); // the hidden ledgers are nobody's tenants
        }
        if events.len() != bodies.len() {
            return Err(Problem::internal("each event has one body"));
        }
        let own = body_prefix(memory.tenant);
        let at = events.iter().filter_map(|event| event.body_at.as_ref());
        if at.into_iter().any(|at| !at.key.starts_with(&own)) {
            return Err(Problem::internal("a body that is another tenant's"));
        }
        let (mut new, mut seen) = (Vec::new(), BTreeSet::new());
        let mut unnamed = Vec::new();
        for (event, body) in events.iter().zip(bodies) {
            let hash = digest::half_of(event.message.to_string().as_bytes());
            let known = self.known(Scope::Routed, &hash, Millis(0))?;
            if let (Some(known), Some(at)) = (&known, &event.body_at) {
                let kept = self.message_view(known.message)?.and_then(|view| view.body_at);
                if kept.is_none_or(|kept| kept.key != at.key) {
                    unnamed.push(Garbage::One(at.key.clone()));
                }
            }
            if known.is_none() && seen.insert(hash.clone()) {
                let key = NewKey {
                    scope: Scope::Routed,
                    hash,
                    fingerprint: None,
                };
                new.push((accept_of(event, now), body, key));
            }
        }
        let stored = new.len();
        if stored > 0 {
            self.room_for(true, now)?;
            self.roll(now)?;
            let mut incoming = Vec::with_capacity(stored);
            let (accepts, rest): (Vec<Accept>, Vec<_>) = new
                .into_iter()
                .map(|(accept, body, key)| (accept, (body, key)))
                .unzip();
            for (accept, (body, key)) in accepts.iter().zip(rest) {
                incoming.push(Incoming::of(accept, body, vec![key]));
            }
            self.store(incoming, now, random)?;
        }
        self.garbage.extend(unnamed);
        let count = |n: usize| u32::try_from(n).map_err(Problem::internal);
        Ok(RouteTaken {
            stored: count(stored)?,
            duplicates: count(events.len() - stored)?,
        })
    }
}

fn accept_of(event: &RoutedEvent, now: Millis) -> Accept {
    let mut headers = event.headers.clone();
    headers.insert(SOURCE.to_owned(), event.source.to_string());
    headers.insert(SOURCE_NAME.to_owned(), event.source_name.clone());
    headers.insert(PROVIDER.to_owned(), event.provider.clone());
    if event.forward == ForwardMode::Envelope {
        headers.insert(FORWARD.to_owned(), "envelope".to_owned());
    }
    Accept {
        nonce: 0, // the key knows a repeat, at any age
        sent_at: now,
        repeat: false,
        source: None,
        event_type: event.event_type.clone(),
        event_id: event.event_id.clone(),
        channels: None,
        content_type: event.content_type.clone(),
        headers,
        hop: event.hop,
        idempotency: None,
        payload_hours: None,
        only_endpoint: None,
        received: event.body_at.clone().map(|at| Received {
            body_at: Some(at),
            ..Received::default()
        }),
    }
}
