//! What is known of the customers that a reading touches, before and after.
//!
//! Where a provider's API tells of a whole customer ([`Told::Whole`]), the row [`WHOLE`] keeps when that was: what is heard
//! late of before is nothing new. A purchase keeps the id that events gave it; one that the API alone told of stands under
//! its product until an event names it.

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
                if self.is_told_whole(sql, &customer, &known.order)? {
                    return Ok(());
                }
                self.named(sql, &customer, item, known)?;
                self.join(sql, &customer, item, known.clone())
            }
            Told::Whole {
                customer,
                items,
                order,
            } => self.whole(sql, customer, items, order),
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

    /// Whether everything of this time was told at once, later.
    fn is_told_whole<S: Sql>(&mut self, sql: &S, customer: &str, order: &Order) -> Result<bool, Problem> {
        if self.provider != Provider::RevenueCat {
            return Ok(false);
        }
        let key = (self.provider, WHOLE.to_owned());
        let whole = self.page(sql, customer)?.after.get(&key);
        Ok(whole.is_some_and(|whole| whole.order.is_fetch() && whole.order >= *order))
    }

    /// What stood under a product has an id of its own now.
    fn named<S: Sql>(&mut self, sql: &S, customer: &str, item: &str, known: &Known) -> Result<(), Problem> {
        let provider = self.provider;
        if provider == Provider::RevenueCat {
            self.page(sql, customer)?.after.retain(|(of, stands), before| {
                let unnamed = *of == provider && stands != item && known.facts.products.contains(stands);
                !(unnamed && before.order <= known.order)
            });
        }
        Ok(())
    }

    /// Replaces all that is not newer. Of somebody who has nothing and had nothing nothing is kept.
    fn whole<S: Sql>(
        &mut self,
        sql: &S,
        customer: &str,
        items: &[(String, Known)],
        order: &Order,
    ) -> Result<(), Problem> {
        if self.is_told_whole(sql, customer, order)? {
            return Ok(());
        }
        let provider = self.provider;
        let page = self.page(sql, customer)?;
        let mut old = Items::new();
        page.after.retain(|key, known| {
            let stays = key.0 != provider || known.order > *order;
            if !stays {
                old.insert(key.clone(), known.clone());
            }
            stays
        });
        if items.is_empty() && old.is_empty() {
            return Ok(());
        }
        let newer: Vec<String> = page
            .after
            .values()
            .flat_map(|known| known.facts.products.iter().cloned())
            .collect();
        for (product, known) in items.iter().filter(|(product, _)| !newer.contains(product)) {
            let same = |(_, item): &&(Provider, String), before: &Known| {
                item.as_str() != WHOLE && before.facts.products.contains(product)
            };
            let stood = old.iter().filter(|(key, before)| same(key, before));
            let stood = stood.max_by_key(|(_, before)| before.order.clone());
            let id = stood.map_or_else(|| product.clone(), |((_, item), _)| item.clone());
            self.join(sql, customer, &id, known.clone())?;
        }
        let mark = Known {
            order: order.clone(),
            fetched_at: items.first().and_then(|(_, known)| known.fetched_at),
            facts: Facts::of(Status::Cancelled),
        };
        self.join(sql, customer, WHOLE, mark)
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
