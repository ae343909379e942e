//! What a tenant decided about entitlements, and its keys of providers' APIs, sealed.

use std::rc::Rc;

use postern_domain::entitlement::{Config, Provider};
use postern_domain::id::ConnectionId;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::seal::{self, Place};
use postern_domain::time::Millis;
use postern_domain::wire::entitlement::{
    EntitlementConfigPut, EntitlementConfigView, KEY_TABLE, KeyConnections, ListKey, REVENUECAT_V2_COLUMN,
    Refetch, key_column,
};
use serde::{Deserialize, Serialize};

use crate::endpoint::bytes;
use crate::reseal::Slot;
use crate::sql::{Row, Sql};
use crate::{Ledger, Random};

/// Rows that are counted for the view at the most.
const MOST_COUNTED: u64 = 1000;

/// Its row of `meta`.
const NAME: &str = "entitlement";

/// What is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) config: Config,
    /// Raised with each key.
    #[serde(default)]
    generation: u64,
    #[serde(default)]
    stripe: Option<SealedKey>,
    #[serde(default)]
    revenuecat: Option<SealedKey>,
    /// Of the version that lists customers.
    #[serde(default)]
    revenuecat_v2: Option<SealedKey>,
    /// The project that it lists.
    #[serde(default)]
    revenuecat_project: Option<String>,
    /// What stands in the place of a key: never beside it.
    #[serde(default)]
    connections: KeyConnections,
}

/// What a provider's API is asked with.
#[derive(Debug, Clone, Copy)]
pub(super) enum AskedWith<'a> {
    /// A key that is kept here.
    Key(&'a SealedKey),
    /// The key of a connection of the tenant's, leased when it is asked.
    Connection(ConnectionId),
}

/// A key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SealedKey {
    pub(super) sealed: String,
    pub(super) generation: u64,
    hint: String,
}

impl Kept {
    /// What customers of a provider are asked for with.
    pub(super) fn key_of(&self, provider: Provider) -> Option<AskedWith<'_>> {
        match provider {
            Provider::Stripe => asked_with(self.stripe.as_ref(), self.connections.stripe),
            Provider::RevenueCat => asked_with(self.revenuecat.as_ref(), self.connections.revenuecat),
        }
    }

    /// Whether anybody can be asked.
    pub(super) fn asks(&self) -> bool {
        [Provider::Stripe, Provider::RevenueCat]
            .iter()
            .any(|provider| self.key_of(*provider).is_some())
    }

    /// What customers are listed with, at the provider where that is another key.
    pub(super) fn list_key(&self) -> Option<ListKey> {
        let project = self.revenuecat_project.clone()?;
        let key = asked_with(self.revenuecat_v2.as_ref(), self.connections.revenuecat_v2)?;
        let (sealed_key, generation, connection) = key.parts();
        Some(ListKey {
            project,
            sealed_key,
            generation,
            connection,
        })
    }

    /// Connections that stand in the place of keys.
    pub(super) const fn connections(&self) -> KeyConnections {
        self.connections
    }

    /// Every key with the column that it was sealed for.
    pub(super) fn keys(&self) -> [(&'static str, Option<&SealedKey>); 3] {
        [
            (key_column(Provider::Stripe), self.stripe.as_ref()),
            (key_column(Provider::RevenueCat), self.revenuecat.as_ref()),
            (REVENUECAT_V2_COLUMN, self.revenuecat_v2.as_ref()),
        ]
    }

    /// All that is sealed of it.
    pub(crate) fn slots(&mut self) -> impl Iterator<Item = Slot<'_>> {
        let keys = [
            (key_column(Provider::Stripe), &mut self.stripe),
            (key_column(Provider::RevenueCat), &mut self.revenuecat),
            (REVENUECAT_V2_COLUMN, &mut self.revenuecat_v2),
        ];
        let keys = keys.into_iter();
        let keys = keys.filter_map(|(column, key)| key.as_mut().map(|key| (column, key)));
        keys.map(|(column, key)| Slot::new(column, key.generation, &mut key.sealed))
    }

    /// Stores it. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let text = serde_json::to_string(self).map_err(Problem::internal)?;
        let statement = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value";
        sql.run(statement, &[NAME.into(), text.into()])?;
        Ok(())
    }

    /// The provider's project whose customers are listed.
    pub(super) fn project(&self) -> Option<&str> {
        self.revenuecat_project.as_deref()
    }
}

impl AskedWith<'_> {
    /// As a question carries it: the sealed key and its generation, or nothing of both and the connection.
    pub(super) fn parts(self) -> (String, u64, Option<ConnectionId>) {
        match self {
            Self::Key(key) => (key.sealed.clone(), key.generation, None),
            Self::Connection(connection) => (String::new(), 0, Some(connection)),
        }
    }
}

fn asked_with(key: Option<&SealedKey>, connection: Option<ConnectionId>) -> Option<AskedWith<'_>> {
    connection
        .map(AskedWith::Connection)
        .or_else(|| key.map(AskedWith::Key))
}

impl<S: Sql> Ledger<S> {
    pub(crate) fn read_entitlement(&self) -> Result<Option<Rc<Kept>>, Problem> {
        let statement = "SELECT value FROM meta WHERE name = ?";
        let Some(row) = self.sql.row(statement, &[NAME.into()])? else {
            return Ok(None);
        };
        let kept: Kept = json::read(&row.text(0)?).map_err(Problem::internal)?;
        Ok(Some(Rc::new(kept)))
    }

    pub(crate) fn entitlement_config_get(&mut self) -> Result<EntitlementConfigView, Problem> {
        let kept = self.memory()?.entitlement.clone().unwrap_or_default();
        let count = "SELECT count(*), count(error), max(error) FROM \
                     (SELECT error FROM entitlement_stale WHERE next_at >= 0 LIMIT ?)";
        let row = self.sql.row(count, &[MOST_COUNTED.into()])?;
        let row = row.ok_or_else(|| Problem::internal("a count without a row"))?;
        let [stripe, revenuecat, revenuecat_v2] = kept.keys().map(|(_, key)| key.map(|key| key.hint.clone()));
        Ok(EntitlementConfigView {
            config: kept.config.clone(),
            stripe_api_key_hint: stripe,
            revenuecat_api_key_hint: revenuecat,
            revenuecat_v2_api_key_hint: revenuecat_v2,
            revenuecat_project_id: kept.revenuecat_project.clone(),
            connections: kept.connections,
            refetch: Refetch {
                waiting: row.number(0)?,
                failing: row.number(1)?,
                error: row.maybe(2, Row::text)?,
            },
        })
    }

    /// Replaces the rules. Who has access is judged by them from then on; nothing is told of what that changes.
    pub(crate) fn entitlement_config_put(
        &mut self,
        call: EntitlementConfigPut,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<EntitlementConfigView, Problem> {
        let kept = self.memory()?.entitlement.clone().unwrap_or_default();
        let mut kept = Kept::clone(&kept);
        kept.config = call.config;
        let mut generation = kept.generation;
        for (column, (place, change), (connection, named)) in [
            (
                key_column(Provider::Stripe),
                (&mut kept.stripe, call.stripe_api_key),
                (&mut kept.connections.stripe, call.stripe_connection),
            ),
            (
                key_column(Provider::RevenueCat),
                (&mut kept.revenuecat, call.revenuecat_api_key),
                (&mut kept.connections.revenuecat, call.revenuecat_connection),
            ),
            (
                REVENUECAT_V2_COLUMN,
                (&mut kept.revenuecat_v2, call.revenuecat_v2_api_key),
                (&mut kept.connections.revenuecat_v2, call.revenuecat_v2_connection),
            ),
        ] {
            match change {
                None => {}
                Some(None) => *place = None,
                Some(Some(key)) => {
                    generation += 1;
                    *place = Some(self.seal_provider_key(column, &key, generation, random)?);
                    *connection = None;
                }
            }
            match named {
                None => {}
                Some(None) => *connection = None,
                Some(Some(id)) => {
                    *connection = Some(id);
                    *place = None;
                }
            }
        }
        kept.generation = generation;
        if let Some(project) = call.revenuecat_project_id {
            kept.revenuecat_project = project;
        }
        let without_key = !kept.asks();
        // Another key may do what the one before could not.
        let armed = self.sql.atomic(|sql| {
            kept.write(sql)?;
            if without_key {
                sql.run("DELETE FROM entitlement_stale", &[])?;
            } else {
                let statement =
                    "UPDATE entitlement_stale SET next_at = ? WHERE next_at > ? AND error IS NOT NULL";
                sql.run(statement, &[now.into(), now.into()])?;
            }
            // What was turned on again may be late.
            let mut wake: Option<Millis> = None;
            for first in [
                "SELECT min(next_at) FROM entitlement_stale",
                "SELECT min(at) FROM entitlement_end",
            ] {
                let first = sql.row(first, &[])?;
                let first = first.map(|row| row.maybe(0, Row::time)).transpose()?.flatten();
                wake = wake.into_iter().chain(first).min();
            }
            wake.map_or(Ok(self.armed), |at| self.wake_by(at.max(now), now))
        })?;
        self.armed = armed;
        self.memory()?.entitlement = Some(Rc::new(kept));
        self.entitlement_config_get()
    }

    fn seal_provider_key(
        &mut self,
        column: &'static str,
        key: &str,
        generation: u64,
        random: &mut dyn Random,
    ) -> Result<SealedKey, Problem> {
        let place = Place {
            tenant: self.memory()?.tenant,
            table: KEY_TABLE,
            column,
            row: 0,
            generation,
        };
        let blob = self
            .master_keys()?
            .seal(&place, bytes(random), key.as_bytes())
            .map_err(Problem::internal)?;
        let hint = key.chars().rev().take(4).collect::<Vec<_>>();
        Ok(SealedKey {
            sealed: seal::to_text(&blob),
            generation,
            hint: hint.into_iter().rev().collect(),
        })
    }
}
