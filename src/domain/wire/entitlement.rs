//! What the edge asks of a tenant's object about entitlements, and what the object asks of the provider.
#![expect(
    clippy::option_option,
    reason = "a field that is not there is not a field that is null"
)]

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{PageOf, present};
use crate::entitlement::{Config, Judged, Provider};
use crate::id::{ConnectionId, OrganisationId, TaskId, TenantId};
use crate::time::Millis;

/// See [`super::call::Call::EntitlementConfigGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementConfigGet {}

/// See [`super::call::Call::EntitlementConfigPut`].
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EntitlementConfigPut {
    /// All rules, as they shall be.
    pub config: Config,
    /// A key of Stripe's API, in clear: the object seals it. Left out: as it is; null: none.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub stripe_api_key: Option<Option<String>>,
    /// A secret key of version 1 of `RevenueCat`'s API, in the same way.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub revenuecat_api_key: Option<Option<String>>,
    /// One of version 2, which lists customers.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub revenuecat_v2_api_key: Option<Option<String>>,
    /// The project there that is listed.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub revenuecat_project_id: Option<Option<String>>,
    /// A connection of the tenant's whose key takes the place of `stripe_api_key`; either takes the other's place.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub stripe_connection: Option<Option<ConnectionId>>,
    /// The same of `revenuecat_api_key`.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub revenuecat_connection: Option<Option<ConnectionId>>,
    /// The same of `revenuecat_v2_api_key`.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub revenuecat_v2_connection: Option<Option<ConnectionId>>,
}

/// Connections whose keys providers' APIs are asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyConnections {
    /// Stripe's.
    #[serde(default)]
    pub stripe: Option<ConnectionId>,
    /// Of version 1 of `RevenueCat`'s.
    #[serde(default)]
    pub revenuecat: Option<ConnectionId>,
    /// Of version 2.
    #[serde(default)]
    pub revenuecat_v2: Option<ConnectionId>,
}

/// Keys stay out of logs.
impl fmt::Debug for EntitlementConfigPut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key: &Option<Option<String>>| key.as_ref().map(|key| key.as_ref().map(|_| "…"));
        f.debug_struct("EntitlementConfigPut")
            .field("config", &self.config)
            .field("stripe_api_key", &shown(&self.stripe_api_key))
            .field("revenuecat_api_key", &shown(&self.revenuecat_api_key))
            .field("revenuecat_v2_api_key", &shown(&self.revenuecat_v2_api_key))
            .field("revenuecat_project_id", &self.revenuecat_project_id)
            .field("stripe_connection", &self.stripe_connection)
            .field("revenuecat_connection", &self.revenuecat_connection)
            .field("revenuecat_v2_connection", &self.revenuecat_v2_connection)
            .finish()
    }
}

/// A tenant's rules, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntitlementConfigView {
    /// The rules.
    pub config: Config,
    /// The last characters of the key of Stripe's API; none: there is no key.
    #[serde(default)]
    pub stripe_api_key_hint: Option<String>,
    /// The same of version 1 of `RevenueCat`'s.
    #[serde(default)]
    pub revenuecat_api_key_hint: Option<String>,
    /// The same of version 2.
    #[serde(default)]
    pub revenuecat_v2_api_key_hint: Option<String>,
    /// The project there.
    #[serde(default)]
    pub revenuecat_project_id: Option<String>,
    /// Connections that stand in the place of keys.
    #[serde(default)]
    pub connections: KeyConnections,
    /// How asking the provider again goes.
    #[serde(default)]
    pub refetch: Refetch,
}

/// How asking the provider again goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refetch {
    /// Customers that are to be asked for, a thousand at the most.
    pub waiting: u64,
    /// Those of them that could not be asked for the last time.
    pub failing: u64,
    /// Why one of those could not.
    #[serde(default)]
    pub error: Option<String>,
}

/// See [`super::call::Call::EntitlementGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementGet {
    /// By any name; [`crate::entitlement::OWNER`]: the tenant's own billing owner.
    pub customer: String,
}

/// See [`super::call::Call::EntitlementList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementList {
    /// Which part.
    pub page: PageOf,
    /// Of those who have a plan now, or of those who have none.
    #[serde(default)]
    pub active: Option<bool>,
    /// Of those who have this plan now.
    #[serde(default)]
    pub plan: Option<String>,
}

/// See [`super::call::Call::EntitlementObjects`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementObjects {
    /// By any name.
    pub customer: String,
    /// Which part.
    pub page: PageOf,
}

/// A provider's object, as it was last seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// Whose.
    pub provider: Provider,
    /// Of which customer there.
    pub customer: String,
    /// `customer` or `subscription`.
    pub kind: String,
    /// The provider's id of it.
    pub id: String,
    /// The provider's time of it.
    pub at: Millis,
    /// As it was; none: it was too large to be kept.
    pub object: Option<Value>,
}

/// A message of the queue `fetches`: what is to be asked of a provider's API. The key is sealed, or a connection's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOrder {
    /// [`super::VERSION`] of the writer.
    pub v: u8,
    /// For whom.
    pub tenant: TenantId,
    /// Whose API.
    pub provider: Provider,
    /// Base64 of [`crate::seal`]'s blob; empty: the connection's.
    pub sealed_key: String,
    /// The generation that it was sealed with.
    pub generation: u64,
    /// Whose organisation: a connection compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<OrganisationId>,
    /// The connection whose key is leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// What lists customers, at a provider where that is another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListKey>,
    /// What is asked.
    pub ask: FetchAsk,
    /// Nobody waits for the answer after this: it is asked again.
    pub until: Millis,
}

/// A key that lists customers, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListKey {
    /// The provider's project.
    pub project: String,
    /// Base64 of [`crate::seal`]'s blob; empty: the connection's.
    pub sealed_key: String,
    /// The generation that it was sealed with.
    pub generation: u64,
    /// The connection whose key is leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
}

/// What is asked of a provider's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchAsk {
    /// A customer with all purchases.
    Customer(String),
    /// A page of all subscriptions with their customers, or of all customers with their purchases, for a backfill.
    Page {
        /// Which one.
        task: TaskId,
        /// Behind this subscription, or customer; none: from the beginning.
        #[serde(default)]
        after: Option<String>,
    },
}

/// See [`super::call::Call::EntitlementBackfill`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementBackfill {
    /// Chosen by the edge, so that a repeat starts nothing twice.
    pub id: TaskId,
    /// Where it reads.
    #[serde(default = "stripe")]
    pub provider: Provider,
    /// Nothing of what is found is taken: it is compared with the table.
    pub dry_run: bool,
    /// Who should have which plan, by any name of the customer; none: no plan.
    #[serde(default)]
    pub expected: Vec<(String, Option<String>)>,
}

/// See [`super::call::Call::EntitlementDifferences`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementDifferences {
    /// Of which dry run.
    pub id: TaskId,
    /// Which part; always ascending.
    pub page: PageOf,
}

/// A customer whose plan at the provider is not the one in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// By the name in the table; of one who does not stand there by the provider's id.
    pub customer: String,
    /// The plan in the table.
    pub expected: Option<String>,
    /// The customer, as it would be.
    pub found: Judged,
}

const fn stripe() -> Provider {
    Provider::Stripe
}

/// Where the sealed key of a provider's API stands: see [`crate::seal::Place`].
pub const KEY_TABLE: &str = "entitlement";

/// Where the sealed key of Stripe's API stands in it.
pub const KEY_COLUMN: &str = "stripe_api_key";

/// Where that of version 1 of `RevenueCat`'s stands.
pub const REVENUECAT_COLUMN: &str = "revenuecat_api_key";

/// Where that of version 2 stands.
pub const REVENUECAT_V2_COLUMN: &str = "revenuecat_v2_api_key";

/// Where the key stands that customers of a provider are asked for with.
#[must_use]
pub const fn key_column(provider: Provider) -> &'static str {
    match provider {
        Provider::Stripe => KEY_COLUMN,
        Provider::RevenueCat => REVENUECAT_COLUMN,
    }
}

/// See [`super::call::Call::EntitlementFetched`]. Beside it the answers: at Stripe the customer and the list of
/// subscriptions, or the list alone; at `RevenueCat` the subscriber, or the list of customers, and for each of them the
/// subscriber and the list of names, which is empty where nobody asked. None when it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntitlementFetched {
    /// Whose API was asked.
    pub provider: Provider,
    /// What was asked.
    pub ask: FetchAsk,
    /// When the asking began.
    pub begun: Millis,
    /// A sentence for the tenant, when it failed.
    #[serde(default)]
    pub failed: Option<String>,
}
