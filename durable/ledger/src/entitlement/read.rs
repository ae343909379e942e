//! What is asked about customers.

use std::rc::Rc;

use postern_domain::entitlement::{Judged, OWNER, WHOLE, judge};
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::entitlement::{EntitlementGet, EntitlementList, EntitlementObjects, ObjectView};

use super::{Kept, Rows, customers_of, known_of, provider_of, rows_of};
use crate::Ledger;
use crate::page::{MOST_BYTES, MOST_ROWS, invalid_iterator};
use crate::sql::{Row, Sql, Value};

/// Rows that are read at a time.
const CHUNK: usize = 500;

impl<S: Sql> Ledger<S> {
    /// What a customer may use now, by any name.
    pub(crate) fn entitlement_get(&mut self, call: &EntitlementGet, now: Millis) -> Result<Judged, Problem> {
        let kept = self.entitlements()?;
        let owner = kept.config.billing_owner.as_deref();
        let name = match call.customer.as_str() {
            OWNER => match owner {
                Some(owner) => owner,
                None => return Ok(judge(OWNER, &[], &kept.config, now)),
            },
            name => name,
        };
        let mut rows = Rows::new();
        for customer in customers_of(&self.sql, name)? {
            rows.extend(rows_of(&self.sql, &customer)?);
        }
        let judged = judge(name, &rows, &kept.config, now);
        self.doubt(&judged, &kept, now)?;
        Ok(judged)
    }

    /// A page of customers, by their ids at the providers.
    pub(crate) fn entitlement_list(
        &mut self,
        call: &EntitlementList,
        now: Millis,
    ) -> Result<Page<Judged>, Problem> {
        let kept = self.entitlements()?;
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let wanted = |judged: &Judged| {
            !judged.items.is_empty()
                && call.active.is_none_or(|active| judged.active == active)
                && (call.plan.is_none() || call.plan == judged.plan)
        };
        let (mut data, mut looked, mut last) = (Vec::new(), 0, call.page.iterator.clone());
        loop {
            let (groups, rows, more) = self.chunk(last.as_deref(), call.page.ascending)?;
            looked += rows;
            for (customer, rows) in groups {
                if data.len() == limit {
                    return Ok(page(data, last, false));
                }
                let judged = judge(&customer, &rows, &kept.config, now);
                last = Some(customer);
                if wanted(&judged) {
                    data.push(judged);
                }
            }
            if !more || looked >= MOST_ROWS {
                return Ok(page(data, last, !more));
            }
        }
    }

    /// Whole customers behind this one; how many rows were read; whether there may be more.
    #[expect(clippy::type_complexity, reason = "three things of one look")]
    fn chunk(
        &self,
        last: Option<&str>,
        ascending: bool,
    ) -> Result<(Vec<(String, Rows)>, usize, bool), Problem> {
        let statement = match (last, ascending) {
            (Some(_), true) => {
                "SELECT customer, provider, item, known FROM entitlement WHERE customer > ?2 \
                 ORDER BY customer, provider, item LIMIT ?1"
            }
            (None, true) => {
                "SELECT customer, provider, item, known FROM entitlement WHERE customer > '' \
                 ORDER BY customer, provider, item LIMIT ?1"
            }
            (Some(_), false) => {
                "SELECT customer, provider, item, known FROM entitlement WHERE customer < ?2 \
                 ORDER BY customer DESC, provider DESC, item DESC LIMIT ?1"
            }
            (None, false) => {
                "SELECT customer, provider, item, known FROM entitlement WHERE customer > '' \
                 ORDER BY customer DESC, provider DESC, item DESC LIMIT ?1"
            }
        };
        let mut values = vec![Value::from(CHUNK as u64)];
        values.extend(last.map(Value::from));
        let rows = self.sql.rows(statement, &values)?;
        let mut groups: Vec<(String, Rows)> = Vec::new();
        for row in &rows {
            let customer = row.text(0)?;
            let one = (
                provider_of(&row.text(1)?)?,
                customer.clone(),
                row.text(2)?,
                known_of(row, 3)?,
            );
            match groups.last_mut() {
                Some((whose, rows)) if *whose == customer => rows.push(one),
                _ => groups.push((customer, vec![one])),
            }
        }
        let more = rows.len() == CHUNK;
        // The last one may go on behind the chunk; one that fills a whole chunk is judged by that.
        if more && groups.len() > 1 {
            groups.pop();
        }
        Ok((groups, rows.len(), more))
    }

    /// A page of the providers' own objects of a customer.
    pub(crate) fn entitlement_objects(
        &mut self,
        call: &EntitlementObjects,
    ) -> Result<Page<ObjectView>, Problem> {
        let kept = self.entitlements()?;
        let name = match call.customer.as_str() {
            OWNER => kept.config.billing_owner.clone().unwrap_or_default(),
            name => name.to_owned(),
        };
        let place = match &call.page.iterator {
            Some(text) => Some(json::read::<[String; 4]>(text).map_err(|_| invalid_iterator())?),
            None => None,
        };
        let limit = usize::from(call.page.limit.clamp(1, 250));
        let mut customers = customers_of(&self.sql, &name)?;
        customers.sort_unstable();
        let (mut data, mut bytes): (Vec<ObjectView>, usize) = (Vec::new(), 0);
        let place_of = |view: &ObjectView| {
            serde_json::to_string(&[&view.customer, view.provider.as_str(), &view.kind, &view.id]).ok()
        };
        for customer in customers {
            let [whose, provider, kind, id] = match &place {
                Some(place) => place.each_ref().map(String::as_str),
                None => [WHOLE; 4],
            };
            if *customer < *whose {
                continue;
            }
            let from = if customer == whose {
                [provider, kind, id]
            } else {
                [""; 3]
            };
            let statement = "SELECT provider, kind, id, at, object FROM entitlement_object \
                             WHERE customer = ? AND (provider, kind, id) > (?, ?, ?) \
                             ORDER BY provider, kind, id LIMIT ?";
            let [provider, kind, id] = from.map(Value::from);
            let values = [
                customer.as_str().into(),
                provider,
                kind,
                id,
                (limit as u64 + 1).into(),
            ];
            for row in self.sql.rows(statement, &values)? {
                if data.len() == limit || bytes > MOST_BYTES {
                    let iterator = data.last().and_then(place_of);
                    return Ok(page(data, iterator, false));
                }
                let object = row.maybe(4, Row::text)?;
                bytes += object.as_ref().map_or(0, String::len);
                data.push(ObjectView {
                    provider: provider_of(&row.text(0)?)?,
                    customer: customer.clone(),
                    kind: row.text(1)?,
                    id: row.text(2)?,
                    at: row.time(3)?,
                    object: object
                        .map(|text| serde_json::from_str(&text))
                        .transpose()
                        .map_err(Problem::internal)?,
                });
            }
        }
        let iterator = data.last().and_then(place_of);
        Ok(page(data, iterator, true))
    }

    /// The rules, of a tenant that turned them on: where nobody listens to the providers, "no plan" would be a lie.
    pub(super) fn entitlements(&mut self) -> Result<Rc<Kept>, Problem> {
        let kept = self.memory()?.entitlement.clone();
        kept.filter(|kept| kept.config.enabled).ok_or_else(|| {
            let sentence =
                "This application has entitlements turned off; PUT …/entitlement-config turns them on";
            Problem::new(Code::Conflict, sentence)
        })
    }
}

fn page<T>(data: Vec<T>, iterator: Option<String>, done: bool) -> Page<T> {
    Page {
        data,
        iterator,
        prev_iterator: None,
        done,
    }
}
