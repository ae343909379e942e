//! What is known of the customers that a reading touches, before and after.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::entitlement::{
    Config, Facts, Judged, Known, Order, Provider, Status, Told, WHOLE, judge,
};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use super::{Beside, Rows, customers_of, rows_of};
use crate::sql::Sql;

/// How often what was bought may have gone from one customer to the next.
const MOST_MOVES: usize = 5;

type Items = BTreeMap<(Provider, String), Known>;

/// Customers that are touched.
pub(super) struct Book {
    provider: Provider,
    pages: BTreeMap<String, Page>,
    /// Other names that follow from what was moved: `(name, customer)`.
    pub(super) aliases: BTreeSet<(String, String)>,
}

#[derive(Default)]
struct Page {
    before: Items,
    after: Items,
}

impl Book {
    pub(super) fn new(provider: Provider) -> Self {
        Self {
            provider,
            pages: BTreeMap::new(),
            aliases: BTreeSet::new(),
        }
    }

    /// Takes one change over what stands.
    pub(super) fn take<S: Sql>(&mut self, sql: &S, change: &Told) -> Result<(), Problem> {
        match change {
            Told::Item {
                customer,
                item,
                known,
            } => {
                let customer = self.whose(sql, customer, &known.order)?;
                self.join(sql, &customer, item, known.clone())
            }
            Told::Transfer { from, to, order } => self.transfer(sql, from, to, order),
        }
    }

    /// Who has now what this one had then: what is heard late of somebody whose purchases went to another is the other's.
    fn whose<S: Sql>(&mut self, sql: &S, customer: &str, order: &Order) -> Result<String, Problem> {
        let mut customer = customer.to_owned();
        for _ in 0..MOST_MOVES {
            let whole = (self.provider, WHOLE.to_owned());
            let moved = self.page(sql, &customer)?.after.get(&whole);
            let moved = moved.filter(|moved| moved.order >= *order);
            let Some(next) = moved.and_then(|moved| moved.facts.moved_to.clone()) else {
                break;
            };
            customer = next;
        }
        Ok(customer)
    }

    fn join<S: Sql>(&mut self, sql: &S, customer: &str, item: &str, known: Known) -> Result<(), Problem> {
        let key = (self.provider, item.to_owned());
        let after = &mut self.page(sql, customer)?.after;
        let joined = match after.remove(&key) {
            Some(stands) => stands.joined(known),
            None => known,
        };
        after.insert(key, joined);
        Ok(())
    }

    /// Moves what is not newer than the transfer. Those who gave keep a mark, for what is heard late.
    fn transfer<S: Sql>(
        &mut self,
        sql: &S,
        from: &[String],
        to: &[String],
        order: &Order,
    ) -> Result<(), Problem> {
        let Some(heir) = to.first() else { return Ok(()) };
        let others = to.iter().skip(1).map(|name| (name.clone(), heir.clone()));
        self.aliases.extend(others);
        let mut heirs = BTreeSet::new();
        for name in to {
            heirs.extend(customers_of(sql, name)?);
        }
        let mut givers = BTreeSet::new();
        for name in from {
            givers.extend(customers_of(sql, name)?);
        }
        // Who inherits may have given everything away since.
        let heir = &self.whose(sql, heir, order)?;
        heirs.insert(heir.clone());
        let provider = self.provider;
        for giver in givers.difference(&heirs) {
            let page = self.page(sql, giver)?;
            let goes = |(of, item): &(Provider, String), known: &Known| {
                *of == provider && item != WHOLE && known.order <= *order
            };
            let moved: Vec<_> = page
                .after
                .iter()
                .filter(|(key, known)| goes(key, known))
                .map(|(key, known)| (key.clone(), known.clone()))
                .collect();
            page.after.retain(|key, known| !goes(key, known));
            let mark = Facts {
                moved_to: Some(heir.clone()),
                ..Facts::of(Status::Cancelled)
            };
            self.join(sql, giver, WHOLE, Known::seen(mark, order.clone()))?;
            for ((_, item), known) in moved {
                self.join(sql, heir, &item, known)?;
            }
        }
        Ok(())
    }

    /// What has changed.
    pub(super) fn write(&self, beside: &mut Beside) -> Result<(), Problem> {
        for (customer, page) in &self.pages {
            for ((provider, item), known) in &page.after {
                if page.before.get(&(*provider, item.clone())) == Some(known) {
                    continue;
                }
                let known = serde_json::to_string(known).map_err(Problem::internal)?;
                beside.push(
                    "INSERT INTO entitlement (customer, provider, item, known) VALUES (?, ?, ?, ?) \
                     ON CONFLICT DO UPDATE SET known = excluded.known",
                    vec![
                        customer.as_str().into(),
                        provider.as_str().into(),
                        item.as_str().into(),
                        known.into(),
                    ],
                );
            }
            for (provider, item) in page.before.keys() {
                if !page.after.contains_key(&(*provider, item.clone())) {
                    beside.push(
                        "DELETE FROM entitlement WHERE customer = ? AND provider = ? AND item = ?",
                        vec![
                            customer.as_str().into(),
                            provider.as_str().into(),
                            item.as_str().into(),
                        ],
                    );
                }
            }
        }
        Ok(())
    }

    /// Every customer that is touched, judged before and after.
    pub(super) fn judged(&self, config: &Config, now: Millis) -> Vec<(Judged, Judged)> {
        let of = |customer: &String, items: &Items| {
            let rows: Rows = items
                .iter()
                .map(|((provider, item), known)| (*provider, customer.clone(), item.clone(), known.clone()))
                .collect();
            judge(customer, &rows, config, now)
        };
        let pages = self.pages.iter();
        pages
            .map(|(customer, page)| (of(customer, &page.before), of(customer, &page.after)))
            .collect()
    }

    fn page<S: Sql>(&mut self, sql: &S, customer: &str) -> Result<&mut Page, Problem> {
        if !self.pages.contains_key(customer) {
            let rows = rows_of(sql, customer)?.into_iter();
            let before: Items = rows
                .map(|(provider, _, item, known)| ((provider, item), known))
                .collect();
            let after = before.clone();
            self.pages.insert(customer.to_owned(), Page { before, after });
        }
        self.pages
            .get_mut(customer)
            .ok_or_else(|| Problem::internal("a page that was just read"))
    }
}
