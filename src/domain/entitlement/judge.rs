//! Whether a customer has access: from facts, rules and the time.

use serde::{Deserialize, Serialize};

use super::{Config, Known, PastDue, Provider, Status, WHOLE};
use crate::time::Millis;

/// Where a customer stands, as the tenant sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is known.
    #[default]
    None,
    /// The first payment has not come yet.
    Incomplete,
    /// Access, free for a while.
    Trialing,
    /// Access, paid.
    Active,
    /// Access for a while although a renewal is not paid, or not heard of.
    Grace,
    /// A renewal is not paid.
    PastDue,
    /// A renewal was not paid, and is not tried again.
    Unpaid,
    /// Stopped for now.
    Paused,
    /// Its time has passed, and nobody said what follows.
    Expired,
    /// Over.
    Cancelled,
}

/// One purchase, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Who told.
    pub provider: Provider,
    /// Whose it is there.
    pub customer: String,
    /// The provider's id of it.
    pub id: String,
    /// Which plan it buys by the tenant's rules; none: none.
    pub plan: Option<String>,
    /// Whether it gives access: by its state and time, whatever it buys.
    pub active: bool,
    /// Where it stands.
    pub state: State,
    /// When access ends if nothing more is heard; none: never, or there is none.
    pub until: Option<Millis>,
    /// The end of the period, as the provider has it.
    pub period_end: Option<Millis>,
    /// Another period follows.
    pub will_renew: bool,
    /// Bought with play money.
    pub sandbox: bool,
    /// What was bought, by every name of it.
    pub products: Vec<String>,
    /// The provider's time of the latest word on it.
    pub observed_at: Millis,
    /// When the provider's API was last asked.
    pub fetched_at: Option<Millis>,
    /// The event that said so; empty: the provider's API did.
    pub event: String,
    #[serde(skip)]
    place: Option<usize>,
}

/// A customer, judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// By the name that was asked for.
    pub customer: String,
    /// The greatest plan that the customer has now; none: no access.
    pub plan: Option<String>,
    /// Whether the customer has a plan now.
    pub active: bool,
    /// When access ends if nothing more is heard; none: never, or there is none.
    pub until: Option<Millis>,
    /// Where the purchase stands that decides.
    pub state: State,
    /// Who told of it; none: nobody told of this customer.
    pub source: Option<Provider>,
    /// When.
    pub observed_at: Option<Millis>,
    /// When its provider's API was last asked.
    pub fetched_at: Option<Millis>,
    /// All purchases, the one that decides first.
    pub items: Vec<Item>,
}

/// How a customer's access became another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// There is access, and there was none.
    Granted,
    /// Another plan, end or state.
    Changed,
    /// Access goes on for a while only.
    Grace,
    /// There is none, and there was.
    Revoked,
}

/// Judges a customer by all that is known under the name: `(provider, customer, item, known)`.
#[must_use]
pub fn judge(
    customer: &str,
    known: &[(Provider, String, String, Known)],
    config: &Config,
    now: Millis,
) -> Judged {
    let gone = |provider: Provider, customer: &str| {
        let mut whole = known.iter().filter(|(_, _, item, _)| item == WHOLE);
        whole.any(|(of, whose, _, known)| *of == provider && whose == customer && known.facts.is_final)
    };
    let mut items: Vec<Item> = known
        .iter()
        .filter(|(_, _, item, _)| item != WHOLE)
        .map(|(provider, whose, item, known)| {
            let over = gone(*provider, whose);
            item_of((*provider, whose, item), known, config, now, over)
        })
        .collect();
    // Of one purchase that stands under two customers (one was joined to the other) the newer word counts.
    items.sort_by_key(|item| std::cmp::Reverse(item.observed_at));
    let mut seen = std::collections::BTreeSet::new();
    items.retain(|item| seen.insert((item.provider, item.id.clone())));
    let has = |item: &Item| item.active && item.plan.is_some();
    items.sort_by_key(|item| {
        let until = item.until.map_or(u64::MAX, |until| until.0);
        let weight = (has(item), item.active, item.place, item.active.then_some(until));
        std::cmp::Reverse((weight, item.observed_at))
    });
    let Some(first) = items.first() else {
        return Judged {
            customer: customer.to_owned(),
            ..Judged::default()
        };
    };
    let active = has(first);
    Judged {
        customer: customer.to_owned(),
        plan: first.plan.clone().filter(|_| active),
        active,
        until: first.until.filter(|_| active),
        state: first.state,
        source: Some(first.provider),
        observed_at: Some(first.observed_at),
        fetched_at: first.fetched_at,
        items,
    }
}

impl Judged {
    /// What became of it, if it is worth telling.
    #[must_use]
    pub fn change_since(&self, before: &Self) -> Option<Change> {
        let what = |judged: &Self| (judged.active, judged.plan.clone(), judged.until, judged.state);
        match (before.active, self.active) {
            (false, true) => Some(Change::Granted),
            (true, false) => Some(Change::Revoked),
            // Who had none and has none has lost nothing.
            (false, false) => None,
            (true, true) if what(self) == what(before) => None,
            (true, true) if self.state == State::Grace && before.state != State::Grace => Some(Change::Grace),
            (true, true) => Some(Change::Changed),
        }
    }
}

fn item_of(
    (provider, customer, item): (Provider, &str, &str),
    known: &Known,
    config: &Config,
    now: Millis,
    over: bool,
) -> Item {
    let facts = &known.facts;
    let (state, access) = if over {
        (State::Cancelled, Access::No)
    } else {
        access(provider, known, config, now)
    };
    let access = if facts.sandbox && !config.allow_sandbox {
        Access::No
    } else {
        access
    };
    let plan = config.plan_of(&facts.products);
    Item {
        provider,
        customer: customer.to_owned(),
        id: item.to_owned(),
        plan: plan.map(|(_, plan)| plan.to_owned()),
        place: plan.map(|(place, _)| place),
        active: access != Access::No,
        state,
        until: match access {
            Access::Until(until) => Some(until),
            Access::No | Access::Forever => None,
        },
        period_end: facts.period_end,
        will_renew: facts.will_renew,
        sandbox: facts.sandbox,
        products: facts.products.clone(),
        observed_at: known.order.at,
        fetched_at: known.fetched_at,
        event: known.order.event.clone(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    No,
    Until(Millis),
    Forever,
}

/// Access is there while now is before the end of the period or of the grace, in a state that grants.
fn access(provider: Provider, known: &Known, config: &Config, now: Millis) -> (State, Access) {
    let facts = &known.facts;
    let good = match facts.status {
        Status::Trialing => State::Trialing,
        Status::Active => State::Active,
        Status::PastDue => return past_due(provider, known, config, now),
        Status::Incomplete => return (State::Incomplete, Access::No),
        Status::Unpaid => return (State::Unpaid, Access::No),
        Status::Paused => return (State::Paused, Access::No),
        Status::Cancelled => return (State::Cancelled, Access::No),
    };
    let Some(end) = facts.period_end else {
        return (good, Access::Forever);
    };
    let leeway = if facts.will_renew {
        u64::from(config.renewal_leeway_minutes) * 60 * Millis::SECOND
    } else {
        0
    };
    let until = end.plus(leeway);
    if now < end {
        (good, Access::Until(until))
    } else if now < until {
        (State::Grace, Access::Until(until))
    } else {
        (State::Expired, Access::No)
    }
}

fn past_due(provider: Provider, known: &Known, config: &Config, now: Millis) -> (State, Access) {
    let facts = &known.facts;
    // Nothing was paid for that is known of: what was paid ended when it became past due.
    let paid = facts
        .paid_until
        .or(facts.past_due_since)
        .unwrap_or(known.order.at);
    let until = match config.past_due {
        PastDue::Deny => paid,
        PastDue::Grant => facts
            .period_end
            .unwrap_or(paid)
            .max(facts.grace_until.unwrap_or(paid)),
        PastDue::Grace => match provider {
            Provider::Stripe => {
                // An older turn than what was paid since is another one's.
                let since = facts.past_due_since.map_or(paid, |since| since.max(paid));
                since.plus(u64::from(config.grace_days) * Millis::DAY)
            }
            Provider::RevenueCat => facts.grace_until.map_or(paid, |grace| grace.max(paid)),
        },
    };
    let state = if now >= paid && now < until && config.past_due == PastDue::Grace {
        State::Grace
    } else {
        State::PastDue
    };
    if now < until {
        (state, Access::Until(until))
    } else {
        (state, Access::No)
    }
}
