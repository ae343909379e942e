//! What time alone changes: access ends, and no provider says so.
//!
//! Whose access has an end has one row with the time at which it is looked at next, written with what gave access. The
//! alarm judges anew then and tells what changed since it was last told. Where the provider can be asked it is asked
//! first: in the hour before what ends, or when a period is over whose renewal was not heard of; and in the two nights
//! after an end that nobody explained. Customers are spread over those times by a digest of their names, and no more of
//! them are asked at once than [`super::fetch`] lets.
//!
//! Deliberately absent: looking through all customers when rules change. What is looked at later is judged by the rules of
//! then, and told if it is not what was told.

use postern_domain::digest;
use postern_domain::entitlement::{Change, Item, Judged, Provider, State, judge};
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::{Deserialize, Serialize};

use super::fetch::{DOUBTED_MS, IN_DOUBT};
use super::{Beside, Cause, Effect, Kept, rows_of};
use crate::Ledger;
use crate::reentry::Drawn;
use crate::sql::{Row, Sql, Value};
use crate::task::json;

/// Customers that one run of the alarm looks at.
const SLICE: u64 = 100;

/// How long before an end its provider is asked.
const BEFORE_MS: u64 = 3_600_000;

/// The hours of the night, from midnight UTC.
const NIGHT_MS: u64 = 6 * 3_600_000;

/// What of a customer was told last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    plan: Option<String>,
    until: Option<Millis>,
    state: State,
}

impl Said {
    fn of(judged: &Judged) -> Option<Self> {
        judged.active.then(|| Self {
            plan: judged.plan.clone(),
            until: judged.until,
            state: judged.state,
        })
    }

    fn judged(self, customer: &str) -> Judged {
        Judged {
            customer: customer.to_owned(),
            plan: self.plan,
            active: true,
            until: self.until,
            state: self.state,
            ..Judged::default()
        }
    }
}

/// What came of a look at a customer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Looked {
    /// What changed is told.
    pub(super) told: bool,
    /// The provider is asked.
    pub(super) asked: bool,
    /// When it was.
    pub(super) now: Millis,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    at: Millis,
    said: Option<Said>,
}

impl End {
    /// Out of `at, said`.
    fn read(row: &Row, column: usize) -> Result<Self, Problem> {
        let said = row.maybe(column + 1, Row::text)?;
        let said = said.map(|text| json::read(&text)).transpose();
        Ok(Self {
            at: row.time(column)?,
            said: said.map_err(Problem::internal)?,
        })
    }

    /// What was told last, of one who should have been looked at by now: time may have changed it since.
    pub(super) fn overdue(&self, customer: &str, now: Millis) -> Option<Judged> {
        let said = self.said.clone().filter(|_| self.at <= now)?;
        Some(said.judged(customer))
    }
}

impl<S: Sql> Ledger<S> {
    /// What is kept of a customer's end.
    pub(super) fn end_of(&self, customer: &str) -> Result<Option<End>, Problem> {
        let statement = "SELECT at, said FROM entitlement_end WHERE customer = ?";
        let row = self.sql.row(statement, &[customer.into()])?;
        row.map(|row| End::read(&row, 0)).transpose()
    }

    /// When a customer is to be looked at next.
    pub(crate) fn ends_at(&self) -> Result<Option<Millis>, Problem> {
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        if !memory
            .entitlement
            .as_deref()
            .is_some_and(|kept| kept.config.enabled)
        {
            return Ok(None);
        }
        let row = self.sql.row("SELECT min(at) FROM entitlement_end", &[])?;
        Ok(row.map(|row| row.maybe(0, Row::time)).transpose()?.flatten())
    }

    /// The alarm's part: looks at those whose time has come, tells what changed, and writes down who is to be asked for.
    /// Whether there may be more of them.
    pub(crate) fn tell_ends(&mut self, now: Millis) -> Result<bool, Problem> {
        let kept = self.memory()?.entitlement.clone();
        let Some(kept) = kept.filter(|kept| kept.config.enabled) else {
            return Ok(false);
        };
        let statement = "SELECT customer, at, said FROM entitlement_end WHERE at <= ? ORDER BY at LIMIT ?";
        let rows = self.sql.rows(statement, &[now.into(), SLICE.into()])?;
        let Some(first) = rows.first().map(|row| row.text(0)).transpose()? else {
            return Ok(false);
        };
        let mut effect = Effect::default();
        for row in &rows {
            let (customer, end) = (row.text(0)?, End::read(row, 1)?);
            let after = judge(&customer, &rows_of(&self.sql, &customer)?, &kept.config, now);
            let before = end.said.clone().map(|said| said.judged(&customer));
            let change = before.as_ref().and_then(|before| by_time(before, &after));
            if let Some((before, change)) = before.as_ref().zip(change) {
                let provider = after.source;
                let aliases = provider.map_or(Ok(Vec::new()), |of| self.stored_aliases(of, &customer))?;
                effect.tell((before, &after), change, &aliases, &Cause::default(), now);
            }
            let asked = doubtful(&after, &kept, end.said.is_none(), now);
            if let Some(item) = asked {
                let values = vec![
                    item.customer.as_str().into(),
                    item.provider.as_str().into(),
                    now.into(),
                ];
                effect.beside.push(IN_DOUBT, values);
                effect.beside.wakes(now);
            }
            let looked = Looked {
                told: change.is_some(),
                asked: asked.is_some(),
                now,
            };
            moved(&mut effect.beside, &after, Some(&end), &kept, looked)?;
        }
        // Ids of messages that nobody waits for: made of what they are about.
        let parts = [
            b"entitlement_end".as_slice(),
            first.as_bytes(),
            &now.0.to_be_bytes(),
        ];
        let mut drawn = Drawn(digest::of_parts(&parts).into_bytes());
        self.put(&effect, now, &mut drawn)?;
        Ok(rows.len() as u64 == SLICE)
    }
}

/// What a customer's row is from now on, where it is another one than stands.
pub(super) fn moved(
    beside: &mut Beside,
    judged: &Judged,
    stands: Option<&End>,
    kept: &Kept,
    looked: Looked,
) -> Result<(), Problem> {
    let customer = judged.customer.as_str();
    let Some(at) = next_look(judged, kept, looked) else {
        if stands.is_some() {
            beside.push(
                "DELETE FROM entitlement_end WHERE customer = ?",
                vec![customer.into()],
            );
        }
        return Ok(());
    };
    let said = match stands {
        Some(stands) if !looked.told => stands.said.clone(),
        _ => Said::of(judged),
    };
    let end = End { at, said };
    if stands != Some(&end) {
        let said = end.said.as_ref().map(json).transpose()?;
        beside.push(
            "INSERT INTO entitlement_end (customer, at, said) VALUES (?, ?, ?) \
             ON CONFLICT DO UPDATE SET at = excluded.at, said = excluded.said",
            vec![customer.into(), at.into(), said.unwrap_or(Value::Null)],
        );
    }
    beside.wakes(at);
    Ok(())
}

/// What time alone made of it. That a period is over and its renewal not heard of is no change: access goes on to the end
/// that was told.
fn by_time(before: &Judged, after: &Judged) -> Option<Change> {
    let what = |judged: &Judged| (judged.active, judged.plan.clone(), judged.until);
    after.change_since(before).filter(|_| what(before) != what(after))
}

/// When a customer is looked at next, if time changes anything.
fn next_look(judged: &Judged, kept: &Kept, looked: Looked) -> Option<Millis> {
    let Looked { asked, now, .. } = looked;
    if judged.active {
        let until = judged.until?;
        let ask = judged
            .items
            .first()
            .filter(|item| !asked && kept.key_of(item.provider).is_some())
            .map(|item| asks_at(item, until))
            .filter(|at| *at > now && *at < until);
        return Some(ask.unwrap_or(until));
    }
    let item = judged.items.iter().find(|item| unexplained(item, kept, now))?;
    let night = night_of(&item.customer, now);
    unexplained(item, kept, night).then_some(night)
}

/// The purchase whose provider is to be asked now. At night it is asked although it answered since: it may have known no
/// more than we do.
fn doubtful<'a>(judged: &'a Judged, kept: &Kept, at_night: bool, now: Millis) -> Option<&'a Item> {
    if judged.active {
        let (item, until) = (judged.items.first()?, judged.until?);
        let begins = window(item, until);
        let due = now >= asks_at(item, until) && now < until;
        let heard = item.fetched_at.is_some_and(|at| at >= begins);
        return (due && !heard && kept.key_of(item.provider).is_some()).then_some(item);
    }
    let silent = |item: &&Item| at_night || item.fetched_at.is_none_or(|at| Some(at) < item.period_end);
    let mut items = judged.items.iter().filter(|item| unexplained(item, kept, now));
    items.find(silent)
}

/// A period that should have been renewed is over since a while, and nobody said what became of it.
fn unexplained(item: &Item, kept: &Kept, now: Millis) -> bool {
    let end = item.period_end.filter(|end| item.will_renew && now >= *end);
    let recent = end.is_some_and(|end| now.since(end) < DOUBTED_MS);
    recent && item.state == State::Expired && kept.key_of(item.provider).is_some()
}

/// From when on it is worth asking: from the end of a period that is renewed, else an hour before the end of access.
fn window(item: &Item, until: Millis) -> Millis {
    let renewal = item.period_end.filter(|end| item.will_renew && *end < until);
    renewal.unwrap_or_else(|| until.minus(BEFORE_MS))
}

/// In the first half of that time.
fn asks_at(item: &Item, until: Millis) -> Millis {
    let begins = window(item, until);
    begins.plus(spread(&item.customer, item.provider, until.since(begins) / 2))
}

/// The customer's own time of the next night.
fn night_of(customer: &str, now: Millis) -> Millis {
    let midnight = Millis(now.0 - now.0 % Millis::DAY);
    let tonight = midnight.plus(spread(customer, Provider::Stripe, NIGHT_MS));
    if tonight > now {
        tonight
    } else {
        tonight.plus(Millis::DAY)
    }
}

/// The same for the same customer, anywhere below `within`.
fn spread(customer: &str, provider: Provider, within: u64) -> u64 {
    let half = digest::half_of(format!("{} {customer}", provider.as_str()).as_bytes());
    let number = half
        .iter()
        .take(4)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    number.checked_rem(within).unwrap_or(0)
}
