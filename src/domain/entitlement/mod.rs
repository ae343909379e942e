//! Who may use what, read off the events of those who take the money.
//!
//! A provider's event is read into changes ([`read`]); a change is joined to what is known of its item
//! ([`Known::joined`]), so that events may come in any order and any number of times; and whether a customer has access is
//! judged when somebody asks ([`judge()`]), from the facts, the tenant's rules and the time. A time that has passed ends
//! access by itself: the event that would have said so may be lost.
//!
//! Webhooks are hints and the provider's API is the truth: what was fetched replaces what events said, whatever their
//! order ([`Order::of_fetch`]).
//!
//! Deliberately absent: refunds and disputes at Stripe, which cancel nothing there (the events are in the ledger for who
//! wants to act on them), and one-off payments without a subscription, whose events do not say what was bought.

mod judge;
mod plans;
mod revenuecat;
mod stripe;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Millis;

pub use judge::{Change, Item, Judged, State, judge};
pub use plans::{Config, InvalidConfig, PastDue, Plan};
pub use revenuecat::{
    MOST_LISTED, fetched as fetched_from_revenuecat, fetched_page as page_from_revenuecat,
    has_purchases as has_purchases_at_revenuecat, listed as listed_by_revenuecat,
};
pub use stripe::{MOST_FETCHED, fetched as fetched_from_stripe, fetched_page as page_from_stripe};

/// Bytes of a provider's object that are kept; of a larger one only that it was seen.
pub const MOST_OBJECT_BYTES: usize = 64 * 1024;

/// Characters of a customer's name; a longer one is nobody's.
pub const MOST_NAME: usize = 256;

/// Other names of one customer that are taken from one event.
const MOST_ALIASES: usize = 50;

/// The event that says that a customer's access is another one now.
pub const CHANGED: &str = "entitlement.changed";

/// The name by which a tenant's own billing owner is asked for.
pub const OWNER: &str = "@owner";

/// Who takes the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Stripe Billing.
    Stripe,
    /// `RevenueCat`.
    RevenueCat,
}

impl Provider {
    /// By the name of the source's preset; `None`: its events say nothing of entitlements.
    #[must_use]
    pub fn of(preset: &str) -> Option<Self> {
        [Self::Stripe, Self::RevenueCat]
            .into_iter()
            .find(|provider| provider.as_str() == preset)
    }

    /// The preset's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::RevenueCat => "revenuecat",
        }
    }
}

/// Where one purchase stands at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The first payment has not come yet.
    Incomplete,
    /// Free for a while.
    Trialing,
    /// Paid.
    Active,
    /// A renewal was not paid, and is tried again.
    PastDue,
    /// A renewal was not paid, and is not tried again.
    Unpaid,
    /// Stopped for now.
    Paused,
    /// Over.
    Cancelled,
}

/// What is known of one purchase: facts alone, so that other rules judge them anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Where it stands.
    pub status: Status,
    /// What was bought, by every name that the provider gives it: price, product, lookup key, entitlement.
    #[serde(default)]
    pub products: Vec<String>,
    /// Paid up to then while it stands as [`Status::PastDue`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until: Option<Millis>,
    /// The end of the period; none: it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Millis>,
    /// When it last became past due, if an event told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past_due_since: Option<Millis>,
    /// The provider's own grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until: Option<Millis>,
    /// Another period follows.
    #[serde(default)]
    pub will_renew: bool,
    /// Bought with play money.
    #[serde(default)]
    pub sandbox: bool,
    /// Nothing follows any more: no event of this purchase changes it again.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// Everything of this customer's went to another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

impl Facts {
    /// What is known of something that stands so, and nothing more.
    #[must_use]
    pub fn of(status: Status) -> Self {
        Self {
            status,
            products: Vec::new(),
            paid_until: None,
            period_end: None,
            past_due_since: None,
            grace_until: None,
            will_renew: false,
            sandbox: false,
            is_final: false,
            moved_to: None,
        }
    }
}

/// The place of what was said among all that was said: a total order, so that the same events end the same in whatever
/// order they come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The provider's time of it.
    pub at: Millis,
    /// Of two at the same time the one that follows from the other by its kind.
    pub rank: u8,
    /// The provider's id of the event: where nothing else tells two apart.
    #[serde(default)]
    pub event: String,
}

impl Order {
    /// The rank of what was fetched.
    const FETCHED: u8 = u8::MAX;

    /// Of what the provider's API said at this time. Providers write whole seconds into their events, cut off: one that
    /// seems up to a second older may have come after.
    #[must_use]
    pub const fn of_fetch(at: Millis) -> Self {
        Self {
            at: at.minus(Millis::SECOND),
            rank: Self::FETCHED,
            event: String::new(),
        }
    }

    /// Whether it is of what the provider's API said.
    #[must_use]
    pub const fn is_fetch(&self) -> bool {
        self.rank == Self::FETCHED
    }
}

/// What stands of one purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Known {
    /// What it says.
    pub facts: Facts,
    /// How new it is.
    pub order: Order,
    /// When the provider's API was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Millis>,
}

impl Known {
    /// What an event said.
    #[must_use]
    pub const fn seen(facts: Facts, order: Order) -> Self {
        Self {
            facts,
            order,
            fetched_at: None,
        }
    }

    /// What the provider's API said at this time.
    #[must_use]
    pub const fn fetched(facts: Facts, at: Millis) -> Self {
        Self {
            facts,
            order: Order::of_fetch(at),
            fetched_at: Some(at),
        }
    }

    /// Both together. Of events the newest counts, but nothing comes after one that is final; what was fetched counts
    /// before every event that is older, final or not. Times of which the latest counts are joined for themselves.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        let past_due_since = self.facts.past_due_since.max(other.facts.past_due_since);
        let grace_until = self.facts.grace_until.max(other.facts.grace_until);
        let fetched_at = self.fetched_at.max(other.fetched_at);
        let by_event = !self.order.is_fetch() && !other.order.is_fetch();
        let key = |known: &Self| (by_event && known.facts.is_final, known.order.clone());
        let mut wins = if key(&other) > key(&self) { other } else { self };
        wins.facts.past_due_since = past_due_since;
        wins.facts.grace_until = grace_until;
        wins.fetched_at = fetched_at;
        wins
    }
}

/// What an event says of entitlements.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The provider's id of the event.
    pub event: String,
    /// What changes.
    pub changes: Vec<Told>,
    /// Other names: `(name, customer)`.
    pub aliases: BTreeSet<(String, String)>,
    /// The provider's own objects, as they were seen.
    pub objects: Vec<Seen>,
    /// Customers of whom the provider's API knows more.
    pub stale: BTreeSet<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Of one purchase.
    Item {
        /// Whose.
        customer: String,
        /// Which.
        item: String,
        /// What is known of it now.
        known: Known,
    },
    /// Everything of some goes to another, unless it is newer.
    Transfer {
        /// Whose it was, by any name.
        from: Vec<String>,
        /// Whose it is, by any name.
        to: Vec<String>,
        /// When.
        order: Order,
    },
    /// All that a customer has at the provider, of one whose API does not name purchases as its events do: whatever was
    /// known and is not newer gives way, and of what is heard later only what is newer counts.
    Whole {
        /// Whose.
        customer: String,
        /// By the provider's name of each product, with what is known of it.
        items: Vec<(String, Known)>,
        /// When.
        order: Order,
    },
}

/// A provider's object as it was last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Whose.
    pub customer: String,
    /// `customer` or `subscription`.
    pub kind: &'static str,
    /// The provider's id of it.
    pub id: String,
    /// The provider's time of it.
    pub at: Millis,
    /// As it was written.
    pub object: Value,
}

/// What stands of a customer as a whole has no item of its own.
pub const WHOLE: &str = "";

/// Reads a verified event. `None`: it says nothing of entitlements, or cannot be read: no event is refused for that.
#[must_use]
pub fn read(provider: Provider, body: &[u8], config: &Config) -> Option<Reading> {
    let event: Value = serde_json::from_slice(body).ok()?;
    match provider {
        Provider::Stripe => stripe::read(&event, config),
        Provider::RevenueCat => revenuecat::read(&event),
    }
}

/// A customer's name that can be one.
fn name(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    let fits = !text.is_empty() && text.len() <= MOST_NAME && !text.starts_with('@');
    fits.then(|| text.to_owned())
}
