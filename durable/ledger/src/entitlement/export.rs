//! Entitlements in a tenant's export: the rules, then what is known of each purchase, other names, and providers' objects.
//! What a dry run found and who waits to be asked for is no part of it: both are made anew.

use postern_domain::problem::Problem;
use postern_domain::wire::moving::ExportFrom;

use crate::Ledger;
use crate::export::{Filling, Line, MOST_ROWS};
use crate::sql::{Row, Sql, Value};

impl<S: Sql> Ledger<S> {
    /// The rules of a tenant that ever set any; keys in clear, where secrets are asked for.
    pub(crate) fn export_entitlement_config(
        &mut self,
        page: &mut Filling,
        secrets: bool,
    ) -> Result<ExportFrom, Problem> {
        let Some(kept) = self.memory()?.entitlement.clone() else {
            return Ok(ExportFrom::Message(0));
        };
        let next = ExportFrom::Entitlement(Default::default());
        let mut line = Line::new("entitlementConfig");
        let config = serde_json::to_value(&kept.config).map_err(Problem::internal)?;
        for (name, value) in config.as_object().into_iter().flatten() {
            line.raw(name, &value.to_string());
        }
        line.text("revenuecatProjectId", kept.project());
        let connections = kept.connections();
        for (name, connection) in [
            ("stripeConnectionId", connections.stripe),
            ("revenuecatConnectionId", connections.revenuecat),
            ("revenuecatV2ConnectionId", connections.revenuecat_v2),
        ] {
            line.text(name, connection.map(|id| id.to_string()).as_deref());
        }
        for (column, key) in kept.keys().into_iter().filter(|_| secrets) {
            let name = match column {
                "stripe_api_key" => "stripeApiKey",
                "revenuecat_api_key" => "revenuecatApiKey",
                _ => "revenuecatV2ApiKey",
            };
            let clear = match key {
                None => None,
                Some(key) => {
                    let place = self.place_of(
                        postern_domain::wire::entitlement::KEY_TABLE,
                        column,
                        0,
                        key.generation,
                    )?;
                    let text = String::from_utf8(self.in_clear(&place, &key.sealed)?);
                    Some(text.map_err(|_| Problem::internal("a provider's key that is no text"))?)
                }
            };
            line.text(name, clear.as_deref());
        }
        page.looked += 1;
        page.push(line, Some(next.clone()));
        Ok(next)
    }

    /// What is known of purchases, and by which event.
    pub(crate) fn export_entitlements(
        &mut self,
        page: &mut Filling,
        behind: &[String; 3],
    ) -> Result<ExportFrom, Problem> {
        let statement = "SELECT customer, provider, item, known FROM entitlement \
                         WHERE (customer, provider, item) > (?, ?, ?) ORDER BY customer, provider, item LIMIT ?";
        let mut last = behind.clone();
        let rows = self.rows_behind(statement, behind)?;
        for row in &rows {
            last = [row.text(0)?, row.text(1)?, row.text(2)?];
            let mut line = Line::new("entitlement");
            line.text("customer", Some(&last[0]));
            line.text("source", Some(&last[1]));
            line.text("id", Some(&last[2]));
            line.raw("known", &row.text(3)?); // kept as JSON
            page.looked += 1;
            page.push(line, Some(ExportFrom::Entitlement(last.clone())));
            if page.is_full() {
                return Ok(ExportFrom::Entitlement(last));
            }
        }
        Ok(if rows.len() < MOST_ROWS {
            ExportFrom::EntitlementAlias(Default::default())
        } else {
            ExportFrom::Entitlement(last)
        })
    }

    /// Other names of customers.
    pub(crate) fn export_entitlement_aliases(
        &mut self,
        page: &mut Filling,
        behind: &[String; 3],
    ) -> Result<ExportFrom, Problem> {
        let statement = "SELECT alias, provider, customer FROM entitlement_alias \
                         WHERE (alias, provider, customer) > (?, ?, ?) ORDER BY alias, provider, customer LIMIT ?";
        let mut last = behind.clone();
        let rows = self.rows_behind(statement, behind)?;
        for row in &rows {
            last = [row.text(0)?, row.text(1)?, row.text(2)?];
            let mut line = Line::new("entitlementAlias");
            line.text("alias", Some(&last[0]));
            line.text("source", Some(&last[1]));
            line.text("customer", Some(&last[2]));
            page.looked += 1;
            page.push(line, Some(ExportFrom::EntitlementAlias(last.clone())));
            if page.is_full() {
                return Ok(ExportFrom::EntitlementAlias(last));
            }
        }
        Ok(if rows.len() < MOST_ROWS {
            ExportFrom::EntitlementObject(Default::default())
        } else {
            ExportFrom::EntitlementAlias(last)
        })
    }

    /// Providers' own objects. Read one by one: each may be as large as a page.
    pub(crate) fn export_entitlement_objects(
        &mut self,
        page: &mut Filling,
        behind: &[String; 4],
    ) -> Result<ExportFrom, Problem> {
        let statement = "SELECT customer, provider, kind, id, at, object FROM entitlement_object \
                         WHERE (customer, provider, kind, id) > (?, ?, ?, ?) \
                         ORDER BY customer, provider, kind, id LIMIT 1";
        let Some(row) = self
            .sql
            .row(statement, &behind.each_ref().map(|part| part.as_str().into()))?
        else {
            return Ok(ExportFrom::Message(0));
        };
        let last = [row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?];
        let mut line = Line::new("entitlementObject");
        line.text("customer", Some(&last[0]));
        line.text("source", Some(&last[1]));
        line.text("kind", Some(&last[2]));
        line.text("id", Some(&last[3]));
        line.time("at", Some(row.time(4)?));
        line.raw("object", row.maybe(5, Row::text)?.as_deref().unwrap_or("null")); // kept as JSON
        let next = ExportFrom::EntitlementObject(last);
        page.looked += 1;
        page.push(line, Some(next.clone()));
        Ok(next)
    }

    fn rows_behind(&self, statement: &str, behind: &[String; 3]) -> Result<Vec<Row>, Problem> {
        let [first, second, third] = behind.each_ref().map(|part| Value::from(part.as_str()));
        self.sql
            .rows(statement, &[first, second, third, (MOST_ROWS as u64).into()])
    }
}
