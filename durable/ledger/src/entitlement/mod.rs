//! Who may use what: a projection of what Stripe and `RevenueCat` say, written in the transaction of the message that said
//! it.
//!
//! Only a tenant that turned it on pays for it: one row for a purchase that changed, one for the object as it was seen, and
//! now and then a name. What changes for a customer becomes a message `entitlement.changed` of the same transaction.
//! Whether somebody has access is judged when it is asked ([`read`]), by the rules of now. With a key of the provider's API
//! a customer of whom an event told is asked for again, a few seconds later ([`fetch`]). What ends with its time is told
//! by the alarm ([`ends`]).

mod backfill;
mod book;
mod config;
mod ends;
mod export;
mod fetch;
mod read;

use std::rc::Rc;

use postern_domain::entitlement::{
    self, CHANGED, Change, Judged, Known, MOST_OBJECT_BYTES, Provider, Reading,
};
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use serde_json::json;

use crate::accept::Incoming;
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

use book::Book;
pub(crate) use config::Kept;
pub use fetch::FetchOut;

/// Customers that one other name may mean at the most, and names of a customer that are told of.
const MOST_NAMES: u64 = 20;

/// Everything that is known under a name, as it is judged.
type Rows = Vec<(Provider, String, String, Known)>;

/// What is written beside messages: all of it or nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beside {
    writes: Vec<(&'static str, Vec<Value>)>,
    /// When the alarm has to ring for it.
    pub(crate) wake: Option<Millis>,
}

impl Beside {
    /// Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        for (statement, values) in &self.writes {
            sql.run(statement, values)?;
        }
        Ok(())
    }

    fn push(&mut self, statement: &'static str, values: Vec<Value>) {
        self.writes.push((statement, values));
    }

    /// The alarm rings then, if nothing is earlier.
    fn wakes(&mut self, at: Millis) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// What a change comes from: the hop of the message that caused it, and the provider's id of the event; by default time.
#[derive(Debug, Clone, Default)]
struct Cause {
    hop: u8,
    event: String,
}

/// What an event comes to: what is written, and what is told.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub(crate) beside: Beside,
    told: Vec<(Accept, Vec<u8>)>,
}

impl Effect {
    /// What became of a customer, as a message.
    fn tell(
        &mut self,
        (before, after): (&Judged, &Judged),
        change: Change,
        aliases: &[String],
        cause: &Cause,
        now: Millis,
    ) {
        let short = |judged: &Judged| {
            json!({
                "plan": judged.plan,
                "active": judged.active,
                "until": judged.until.map(Millis::to_rfc3339),
                "state": judged.state,
            })
        };
        let body = json!({
            "type": CHANGED,
            "timestamp": now.to_rfc3339(),
            "data": {
                "change": change,
                "customer": after.customer,
                "aliases": aliases,
                "plan": after.plan,
                "active": after.active,
                "until": after.until.map(Millis::to_rfc3339),
                "state": after.state,
                "source": after.source,
                "observedAt": after.observed_at.map(Millis::to_rfc3339),
                "fetchedAt": after.fetched_at.map(Millis::to_rfc3339),
                "eventId": Some(&cause.event).filter(|event| !event.is_empty()),
                "previous": short(before),
            },
        });
        self.told
            .push((told(cause.hop, now), body.to_string().into_bytes()));
    }

    /// What is told, as messages to be stored.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Incoming<'_>> {
        self.told
            .iter()
            .map(|(call, body)| Incoming::of(call, body.clone(), Vec::new()))
    }
}

impl<S: Sql> Ledger<S> {
    /// What a message comes to that is about to be stored: nothing, unless the tenant asked for it and the message is of a
    /// source whose provider takes money. Nothing in a body keeps its message from being stored.
    pub(crate) fn entitlements_by(
        &mut self,
        call: &Accept,
        body: &[u8],
        now: Millis,
    ) -> Result<Effect, Problem> {
        let memory = self.memory()?;
        let Some(kept) = memory.entitlement.clone().filter(|kept| kept.config.enabled) else {
            return Ok(Effect::default());
        };
        let source = call.source.and_then(|number| memory.sources.get(&number));
        let Some(provider) = source.and_then(|source| Provider::of(&source.provider)) else {
            return Ok(Effect::default());
        };
        let Some(reading) = entitlement::read(provider, body, &kept.config) else {
            return Ok(Effect::default());
        };
        let mut effect = self.effect_of(provider, &reading, &kept, (call.hop, now))?;
        fetch::mark(&mut effect.beside, provider, &reading, &kept, now);
        Ok(effect)
    }

    /// What a reading comes to, with the hop of what caused it.
    fn effect_of(
        &self,
        provider: Provider,
        reading: &Reading,
        kept: &Rc<Kept>,
        (hop, now): (u8, Millis),
    ) -> Result<Effect, Problem> {
        let mut book = Book::new(provider);
        for change in &reading.changes {
            book.take(&self.sql, change)?;
        }
        let mut effect = Effect::default();
        for (alias, customer) in book.aliases.iter().chain(&reading.aliases) {
            effect.beside.push(
                "INSERT INTO entitlement_alias (alias, provider, customer) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                vec![alias.as_str().into(), provider.as_str().into(), customer.as_str().into()],
            );
        }
        book.write(&mut effect.beside)?;
        for seen in &reading.objects {
            let text = seen.object.to_string();
            let text = (text.len() <= MOST_OBJECT_BYTES).then_some(text);
            effect.beside.push(
                "INSERT INTO entitlement_object (customer, provider, kind, id, at, object) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET at = excluded.at, object = excluded.object \
                 WHERE excluded.at >= entitlement_object.at",
                vec![
                    seen.customer.as_str().into(),
                    provider.as_str().into(),
                    seen.kind.into(),
                    seen.id.as_str().into(),
                    seen.at.into(),
                    text.into(),
                ],
            );
        }
        let cause = Cause {
            hop,
            event: reading.event.clone(),
        };
        for (before, after) in book.judged(&kept.config, now) {
            let end = self.end_of(&after.customer)?;
            let overdue = end.as_ref().and_then(|end| end.overdue(&after.customer, now));
            let before = overdue.unwrap_or(before);
            let change = after.change_since(&before);
            let looked = ends::Looked {
                told: change.is_some(),
                asked: false,
                now,
            };
            ends::moved(&mut effect.beside, &after, end.as_ref(), kept, looked)?;
            if let Some(change) = change {
                let aliases = self.aliases_of(provider, &after.customer, reading)?;
                effect.tell((&before, &after), change, &aliases, &cause, now);
            }
        }
        Ok(effect)
    }

    /// Writes what a reading comes to that no message of a source brought, and stores what is told of it.
    fn put(&mut self, effect: &Effect, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        if effect.told.is_empty() {
            let beside = &effect.beside;
            let armed = self.sql.atomic(|sql| {
                beside.write(sql)?;
                beside.wake.map_or(Ok(self.armed), |at| self.wake_by(at, now))
            })?;
            self.armed = armed;
            return Ok(());
        }
        self.room_for(true, now)?;
        self.roll(now)?;
        self.beside = effect.beside.clone();
        self.store(effect.messages().collect(), now, random)?;
        Ok(())
    }

    fn aliases_of(
        &self,
        provider: Provider,
        customer: &str,
        reading: &Reading,
    ) -> Result<Vec<String>, Problem> {
        let mut names = self.stored_aliases(provider, customer)?;
        let new = reading.aliases.iter().filter(|(_, whose)| whose == customer);
        names.extend(new.map(|(alias, _)| alias.clone()));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn stored_aliases(&self, provider: Provider, customer: &str) -> Result<Vec<String>, Problem> {
        let statement = "SELECT alias FROM entitlement_alias WHERE customer = ? AND provider = ? LIMIT ?";
        let values = [customer.into(), provider.as_str().into(), MOST_NAMES.into()];
        let rows = self.sql.rows(statement, &values)?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

/// Customers that a name means: the one of that id, and those of whom it is another name.
fn customers_of<S: Sql>(sql: &S, name: &str) -> Result<Vec<String>, Problem> {
    let statement = "SELECT customer FROM entitlement_alias WHERE alias = ? LIMIT ?";
    let rows = sql.rows(statement, &[name.into(), MOST_NAMES.into()])?;
    let mut customers = vec![name.to_owned()];
    for row in &rows {
        let customer = row.text(0)?;
        if !customers.contains(&customer) {
            customers.push(customer);
        }
    }
    Ok(customers)
}

/// Everything that is known of one customer.
fn rows_of<S: Sql>(sql: &S, customer: &str) -> Result<Rows, Problem> {
    let statement = "SELECT provider, item, known FROM entitlement WHERE customer = ?";
    let rows = sql.rows(statement, &[customer.into()])?;
    let read = |row: &Row| {
        let provider = provider_of(&row.text(0)?)?;
        Ok((provider, customer.to_owned(), row.text(1)?, known_of(row, 2)?))
    };
    rows.iter().map(read).collect()
}

fn provider_of(text: &str) -> Result<Provider, Problem> {
    Provider::of(text).ok_or_else(|| Problem::internal("an entitlement of an unknown provider"))
}

fn known_of(row: &Row, column: usize) -> Result<Known, Problem> {
    json::read(&row.text(column)?).map_err(Problem::internal)
}

/// A message of ours beside the one that caused it.
fn told(hop: u8, now: Millis) -> Accept {
    Accept {
        nonce: 0, // a repeat finds the message that caused it
        sent_at: now,
        repeat: false,
        source: None,
        event_type: CHANGED.to_owned(),
        event_id: None,
        channels: None,
        content_type: "application/json".to_owned(),
        headers: std::collections::BTreeMap::new(),
        hop,
        idempotency: None,
        payload_hours: None,
        only_endpoint: None,
        received: None,
    }
}
