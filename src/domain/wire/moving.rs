//! Moving a tenant in and out: endpoints imported with the secrets that they have, everything exported, everything
//! erased.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::endpoint::EndpointConfig;
use crate::id::EndpointId;

/// See [`super::call::Call::EndpointsImport`]. Each stands or falls for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsImport {
    /// In the order of the answer's outcomes.
    pub endpoints: Vec<EndpointImport>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// One endpoint that is brought along.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointImport {
    /// As it shall be.
    pub config: EndpointConfig,
    /// The signing key that its receiver knows, in clear; the object seals it.
    pub secret: String,
}

/// Secrets and headers stay out of logs.
impl fmt::Debug for EndpointImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointImport(…)")
    }
}

/// What an import does with one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportAction {
    /// It is made, or would be.
    Create,
    /// It is there: same `uid`, same URL, same secret. Nothing changes.
    Exists,
    /// Something else stands in its place. Nothing changes.
    Conflict,
    /// It cannot be taken as it is.
    Invalid,
}

/// What became of one endpoint, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOutcome {
    /// In a word.
    pub action: ImportAction,
    /// In a sentence, unless it is simply made.
    #[serde(default)]
    pub why: Option<String>,
    /// The one that was made, or that is there.
    #[serde(default)]
    pub endpoint: Option<EndpointId>,
}

/// The answer to [`EndpointsImport`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointsImported {
    /// One for each, in the order of the call.
    pub outcomes: Vec<ImportOutcome>,
}

/// See [`super::call::Call::ExportPage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPage {
    /// Where the page begins.
    pub from: ExportFrom,
    /// Messages up to this sequence number; none: up to the newest that there is now.
    #[serde(default)]
    pub through: Option<u64>,
    /// Secrets and headers' values too, in clear.
    #[serde(default)]
    pub secrets: bool,
    /// The caller knows the places between entitlements: one of a release before does not, and gets none.
    #[serde(default)]
    pub entitlements: bool,
}

/// A place in an export, between two rows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFrom {
    /// Endpoints with a larger number than this come next.
    Endpoint(u32),
    /// Sources with a larger number than this come next.
    Source(u16),
    /// The rules of entitlements come next.
    EntitlementConfig,
    /// What is known behind this customer, provider and purchase comes next.
    Entitlement([String; 3]),
    /// Other names behind this name, provider and customer come next.
    EntitlementAlias([String; 3]),
    /// Providers' objects behind this customer, provider, kind and id come next.
    EntitlementObject([String; 4]),
    /// This message comes next, or the first behind it that is there.
    Message(u64),
    /// This message's own row was given: what it owes to endpoints with a larger number comes next.
    Delivery {
        /// The message's sequence number.
        sequence: u64,
        /// The endpoint's.
        endpoint: u32,
    },
}

impl ExportFrom {
    /// Where an export begins.
    pub const START: Self = Self::Endpoint(0);
}

/// The answer to [`ExportPage`]. Beside it stand its lines, each a JSON object: written once, where the rows are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedPage {
    /// What each line beside it is.
    pub lines: Vec<ExportedLine>,
    /// What the export goes up to: the same in every page of it.
    pub through: u64,
    /// Where the next page begins; none: this was the last.
    #[serde(default)]
    pub next: Option<ExportFrom>,
}

/// What a line of an export is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedLine {
    /// `endpoint`, `source`, `entitlementConfig`, `entitlement`, `entitlementAlias`, `entitlementObject`, `message`,
    /// `delivery` or `attempt`, as it stands in the line.
    pub kind: String,
    /// The place behind it; none: an export cannot be taken up again just there.
    #[serde(default)]
    pub behind: Option<ExportFrom>,
}

/// See [`super::call::Call::Erase`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {}

/// The answer to [`Erase`]: what there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Messages with their bodies.
    pub messages: u64,
    /// Deliveries that had a record of their own.
    pub deliveries: u64,
    /// Recorded attempts.
    pub attempts: u64,
    /// Endpoints with their keys and headers, tombstones among them.
    pub endpoints: u64,
    /// Sources with their secrets, tombstones among them.
    pub sources: u64,
    /// Purchases of the tenant's own customers, of entitlements.
    #[serde(default)]
    pub entitlements: u64,
    /// That the storage took.
    pub bytes: u64,
    /// False: there were more deliveries, attempts or entitlements than are counted one by one, and their counts are "at least".
    pub exact: bool,
}
