//! Asking the provider again: an event says that something is another now, the provider's API says what is.
//!
//! The event's own transaction writes down who is to be asked for, so that none is forgotten; a few seconds later, when what
//! belongs together has come, the alarm hands out the asking to the queue, with a lease. What the answer says replaces what
//! events said, whatever their order. A failure is tried again, later each time, and shown.

use std::collections::BTreeSet;

use postern_domain::entitlement::{
    Item, Judged, Provider, Reading, State, fetched_from_revenuecat, fetched_from_stripe,
};
use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::entitlement::{EntitlementFetched, FetchAsk, FetchOrder, ListKey};
use postern_domain::wire::{self, frame};

use super::config::AskedWith;
use super::{Beside, Effect, Kept, provider_of};
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

/// What comes within this time of the first event is one question.
const GATHER_MS: u64 = 3000;

/// An asking has this long, in the queue and at the provider.
pub(super) const LEASE_MS: u64 = 90_000;

/// Customers that are asked for in one run of the alarm.
const BATCH: u64 = 20;

/// After failures it is tried again after 5 s, 10 s, 20 s … and at most this.
const BACKOFF_MS: u64 = 3_600_000;

/// What could not be asked for so long is given up: another event begins anew.
const KEPT_MS: u64 = 7 * Millis::DAY;

/// A renewal that was not heard of is asked for within this long.
pub(super) const DOUBTED_MS: u64 = 2 * Millis::DAY;

/// Characters of an error that are kept.
const MOST_ERROR: usize = 300;

/// Writes down one of whom nothing was heard: what an event said is asked for by itself.
pub(super) const IN_DOUBT: &str = "INSERT INTO entitlement_stale (customer, provider, since, next_at, tries) \
                                   VALUES (?1, ?2, ?3, ?3, 0) ON CONFLICT DO NOTHING";

/// One question on its way: a message of the queue `fetches`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOut {
    /// A frame whose head is [`FetchOrder`].
    pub frame: Vec<u8>,
}

/// Writes down who is to be asked for.
pub(super) fn mark(beside: &mut Beside, provider: Provider, reading: &Reading, kept: &Kept, now: Millis) {
    if kept.key_of(provider).is_none() {
        return;
    }
    let at = now.plus(GATHER_MS);
    for customer in &reading.stale {
        beside.push(
            "INSERT INTO entitlement_stale (customer, provider, since, next_at, tries) VALUES (?, ?, ?, ?, 0) \
             ON CONFLICT DO UPDATE SET since = excluded.since",
            vec![customer.as_str().into(), provider.as_str().into(), now.into(), at.into()],
        );
        beside.wakes(at);
    }
}

impl<S: Sql> Ledger<S> {
    /// When somebody is to be asked for next.
    pub(crate) fn fetches_at(&self) -> Result<Option<Millis>, Problem> {
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let asks = |kept: &Kept| kept.config.enabled && kept.asks();
        if !memory.entitlement.as_deref().is_some_and(asks) {
            return Ok(None);
        }
        let row = self.sql.row("SELECT min(next_at) FROM entitlement_stale", &[])?;
        Ok(row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten())
    }

    /// The alarm's part: leases whose time has come, and keeps the questions for the shell.
    pub(crate) fn offer_fetches(&mut self, now: Millis) -> Result<(), Problem> {
        let memory = self.memory()?;
        let whose = (memory.organisation, memory.tenant);
        let kept = memory.entitlement.clone();
        let Some(kept) = kept.filter(|kept| kept.config.enabled && kept.asks()) else {
            return Ok(());
        };
        let statement =
            "SELECT customer, provider FROM entitlement_stale WHERE next_at <= ? ORDER BY next_at LIMIT ?";
        let rows = self.sql.rows(statement, &[now.into(), BATCH.into()])?;
        let until = now.plus(LEASE_MS);
        let (mut outs, mut leased, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let (customer, provider) = (row.text(0)?, provider_of(&row.text(1)?)?);
            let Some(key) = kept.key_of(provider) else {
                dropped.push((customer, provider)); // its key was taken away
                continue;
            };
            let ask = FetchAsk::Customer(customer.clone());
            outs.push(question(whose, (provider, key), ask, None, until)?);
            leased.push((customer, provider));
        }
        self.sql.atomic(|sql| {
            for (customer, provider) in &leased {
                let statement =
                    "UPDATE entitlement_stale SET next_at = ? WHERE customer = ? AND provider = ?";
                let provider = provider.as_str().into();
                sql.run(statement, &[until.into(), customer.as_str().into(), provider])?;
            }
            for (customer, provider) in &dropped {
                let statement = "DELETE FROM entitlement_stale WHERE customer = ? AND provider = ?";
                sql.run(statement, &[customer.as_str().into(), provider.as_str().into()])?;
            }
            Ok(())
        })?;
        self.fetches.extend(outs);
        Ok(())
    }

    /// A period that should have been renewed is over, and nobody said anything: the event may be lost. Who is asked about is
    /// looked after, once for each period; nobody else pays for it.
    pub(super) fn doubt(&mut self, judged: &Judged, kept: &Kept, now: Millis) -> Result<(), Problem> {
        if !kept.asks() {
            return Ok(());
        }
        let silent = |item: &&Item| {
            let end = item.period_end.filter(|end| item.will_renew && now >= *end);
            let recent = end
                .is_some_and(|end| now.since(end) < DOUBTED_MS && item.fetched_at.is_none_or(|at| at < end));
            let waits = matches!(item.state, State::Grace | State::Expired);
            recent && waits && kept.key_of(item.provider).is_some() && item.observed_at < now
        };
        let customers: BTreeSet<(&str, Provider)> = judged
            .items
            .iter()
            .filter(silent)
            .map(|item| (&*item.customer, item.provider))
            .collect();
        if customers.is_empty() {
            return Ok(());
        }
        let armed = self.sql.atomic(|sql| {
            for (customer, provider) in &customers {
                let values = [(*customer).into(), provider.as_str().into(), now.into()];
                sql.run(IN_DOUBT, &values)?;
            }
            self.wake_by(now, now)
        })?;
        self.armed = armed;
        Ok(())
    }

    /// Questions that wait to leave. What is lost on its way is asked again when its lease is over.
    pub fn take_fetches(&mut self) -> Vec<FetchOut> {
        std::mem::take(&mut self.fetches)
    }

    /// What the provider's API answered.
    pub(crate) fn entitlement_fetched(
        &mut self,
        call: &EntitlementFetched,
        bodies: &[Vec<u8>],
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let customer = match &call.ask {
            FetchAsk::Customer(customer) => customer,
            FetchAsk::Page { task, after } => {
                return self.page_fetched(*task, after.as_deref(), call, bodies, (now, random));
            }
        };
        let kept = self.memory()?.entitlement.clone();
        // Turned off, or without a key, since it was asked: nobody wants the answer.
        let has_key = |kept: &Kept| kept.config.enabled && kept.key_of(call.provider).is_some();
        let Some(kept) = kept.filter(|kept| has_key(kept)) else {
            return Ok(());
        };
        let statement = "SELECT since, tries FROM entitlement_stale WHERE customer = ? AND provider = ?";
        let key = [Value::from(customer.as_str()), call.provider.as_str().into()];
        let Some(stale) = self.sql.row(statement, &key)? else {
            return Ok(()); // an answer of before, come late
        };
        let (since, tries) = (stale.time(0)?, stale.number(1)?);
        let reading = match &call.failed {
            Some(why) => Err(why.clone()),
            None => read(call, bodies, customer, &kept),
        };
        let (effect, next) = match reading {
            Ok(reading) => {
                let mut effect = self.effect_of(call.provider, &reading, &kept, (0, now))?;
                let next = if since < call.begun {
                    let [customer, provider] = key;
                    let statement = "DELETE FROM entitlement_stale WHERE customer = ? AND provider = ?";
                    effect.beside.push(statement, vec![customer, provider]);
                    None
                } else {
                    // Something was heard while it was asked.
                    Some((now.plus(GATHER_MS), 0, None))
                };
                (effect, next)
            }
            Err(why) => {
                let wait = 5000_u64.saturating_mul(1 << tries.min(20)).min(BACKOFF_MS);
                if now.since(since) > KEPT_MS {
                    self.notice("entitlement_given_up", why);
                    let [customer, provider] = key;
                    let statement = "DELETE FROM entitlement_stale WHERE customer = ? AND provider = ?";
                    self.sql.run(statement, &[customer, provider])?;
                    return Ok(());
                }
                let why: String = why.chars().take(MOST_ERROR).collect();
                self.notice("entitlement_not_fetched", why.clone());
                (Effect::default(), Some((now.plus(wait), tries + 1, Some(why))))
            }
        };
        let mut effect = effect;
        if let Some((at, tries, error)) = next {
            let statement = "UPDATE entitlement_stale SET next_at = ?, tries = ?, error = ? \
                             WHERE customer = ? AND provider = ?";
            let values = vec![
                at.into(),
                tries.into(),
                error.into(),
                customer.as_str().into(),
                call.provider.as_str().into(),
            ];
            effect.beside.push(statement, values);
            effect.beside.wakes(at);
        }
        self.put(&effect, now, random)
    }
}

/// One question to a provider, for the queue.
pub(super) fn question(
    (organisation, tenant): (OrganisationId, TenantId),
    (provider, key): (Provider, AskedWith<'_>),
    ask: FetchAsk,
    list: Option<ListKey>,
    until: Millis,
) -> Result<FetchOut, Problem> {
    let (sealed_key, generation, connection) = key.parts();
    let order = FetchOrder {
        v: wire::VERSION,
        tenant,
        provider,
        sealed_key,
        generation,
        organisation: Some(organisation),
        connection,
        list,
        ask,
        until,
    };
    let frame = frame::encode(&order, &[] as &[&[u8]]).map_err(Problem::internal)?;
    Ok(FetchOut { frame })
}

/// One of the answers.
pub(super) fn parse(bodies: &[Vec<u8>], at: usize) -> Result<serde_json::Value, String> {
    let body = bodies.get(at).map(Vec::as_slice).unwrap_or_default();
    serde_json::from_slice(body).map_err(|_| "The provider's answer is no JSON, or is too long".to_owned())
}

fn read(
    call: &EntitlementFetched,
    bodies: &[Vec<u8>],
    customer: &str,
    kept: &Kept,
) -> Result<Reading, String> {
    let whole = parse(bodies, 0)?;
    if call.provider == Provider::RevenueCat {
        return Ok(fetched_from_revenuecat(customer, &whole, call.begun)?);
    }
    if whole.get("id").and_then(serde_json::Value::as_str) != Some(customer) {
        return Err("Stripe answered with another customer".to_owned());
    }
    let list = parse(bodies, 1)?;
    Ok(fetched_from_stripe(&whole, &list, call.begun, &kept.config)?)
}
