//! An erasure, as it is kept and shown.

use postern_domain::time::Millis;
use serde::Serialize;

use crate::store::erasure::{Connections, DirectoryRows, Erasure};

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
    /// Connections that stood, those among them that nobody had authorised yet. Null: a release erased them that did not
    /// count them.
    connections: Option<u64>,
    /// What came of giving their grants back to the providers.
    grants: Option<GrantsOut>,
    /// That the tenant's storage took.
    bytes: Option<u64>,
    /// False: deliveries, attempts and entitlements are "at least": there were more than are counted one by one.
    exact: Option<bool>,
    directory_rows: DirectoryRows,
}

/// Grants of connections, by what came of revoking them. All were shredded here.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct GrantsOut {
    revoked: u64,
    /// The provider did not know it any more.
    already_gone: u64,
    /// The provider has no way to revoke it; of API keys nobody has.
    unsupported: u64,
    /// The provider did not do it: it may live on there.
    failed: u64,
    /// What came of it was lost on its way.
    unknown: u64,
}

impl GrantsOut {
    const fn new(ended: &Connections) -> Self {
        Self {
            revoked: ended.revoked,
            already_gone: ended.already_gone,
            unsupported: ended.unsupported,
            failed: ended.failed,
            unknown: ended.unknown,
        }
    }
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
const LEFT: [(&str, &str); 5] = [
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
    (
        "object storage",
        "Bodies of large messages, below the application's id: taken away right after its ledger is wiped",
    ),
    (
        "providers",
        "Grants that a provider did not revoke (`grants`): shredded here, they live on there until the account's owner \
         takes them away; API keys until they are deleted there",
    ),
];

impl ErasureOut {
    /// Of a line.
    pub(crate) fn new(line: &Erasure) -> Self {
        let told = line.told().filter(|_| line.erased_at.is_some());
        let ended = told.and_then(|told| told.connections);
        let stood = |ended: Connections| {
            let grants =
                ended.revoked + ended.already_gone + ended.unsupported + ended.failed + ended.unknown;
            grants + ended.unconnected
        };
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
                connections: ended.map(stood),
                grants: ended.as_ref().map(GrantsOut::new),
                bytes: told.object.map(|erased| erased.bytes),
                exact: told.object.map(|erased| erased.exact),
                directory_rows: told.directory_rows,
            }),
            left: LEFT.map(|(place, what)| LeftOut { place, what }).into(),
        }
    }
}
