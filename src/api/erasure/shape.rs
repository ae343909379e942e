//! An erasure, as it is kept and shown.

use postern_domain::time::Millis;
use postern_domain::wire::moving::Erased;
use serde::{Deserialize, Serialize};

use crate::store::erasure::{DirectoryRows, Erasure};

/// What a line keeps of an erasure.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// What the object counted before it was wiped; none: its answer was lost.
    pub(crate) object: Option<Erased>,
    pub(crate) directory_rows: DirectoryRows,
}

/// What there was. Counts are null where the object's own count was lost on its way after it had been wiped.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErasedOut {
    messages: Option<u64>,
    /// Deliveries that had a record of their own.
    deliveries: Option<u64>,
    attempts: Option<u64>,
    endpoints: Option<u64>,
    sources: Option<u64>,
    /// Purchases of the application's own customers, of entitlements.
    entitlements: Option<u64>,
    /// That the tenant's storage took.
    bytes: Option<u64>,
    /// False: deliveries, attempts and entitlements are "at least": there were more than are counted one by one.
    exact: Option<bool>,
    directory_rows: DirectoryRows,
}

/// What an erasure cannot reach, where it is and when it ends.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LeftOut {
    place: &'static str,
    what: &'static str,
}

/// An erasure, as it is shown.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErasureOut {
    /// SHA-256 of the application's id, hex: all that is kept of who it was.
    application_hash: String,
    asked_at: String,
    /// Null: it is under way.
    at: Option<String>,
    /// Null: it is under way.
    erased: Option<ErasedOut>,
    left: Vec<LeftOut>,
}

/// What leaves by itself.
const LEFT: [(&str, &str); 4] = [
    (
        "queues",
        "Deliveries that were handed out already, with their bodies: they may still be sent until their leases end \
         (LEASE_SECONDS, a minute unless it is set), and what is reported of them is refused",
    ),
    (
        "overflow",
        "Webhooks that waited in the overflow queue: refused by the wiped object, and dropped, when their turn comes",
    ),
    (
        "backups",
        "The platform's own point-in-time backups of objects and of the directory: gone after 30 days",
    ),
    ("object storage", "Nothing: this release keeps nothing in R2"),
];

impl ErasureOut {
    /// Of a line.
    pub(crate) fn new(line: &Erasure) -> Self {
        let told = line.told.as_deref();
        let told = told.and_then(|text| serde_json::from_str::<Told>(text).ok());
        Self {
            application_hash: line.tenant.clone(),
            asked_at: line.asked_at.to_rfc3339(),
            at: line.erased_at.map(Millis::to_rfc3339),
            erased: told.map(|told| ErasedOut {
                messages: told.object.map(|erased| erased.messages),
                deliveries: told.object.map(|erased| erased.deliveries),
                attempts: told.object.map(|erased| erased.attempts),
                endpoints: told.object.map(|erased| erased.endpoints),
                sources: told.object.map(|erased| erased.sources),
                entitlements: told.object.map(|erased| erased.entitlements),
                bytes: told.object.map(|erased| erased.bytes),
                exact: told.object.map(|erased| erased.exact),
                directory_rows: told.directory_rows,
            }),
            left: LEFT.map(|(place, what)| LeftOut { place, what }).into(),
        }
    }
}
