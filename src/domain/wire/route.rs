//! App-level sources: what the organisation's ledger pushes to the ledgers of its tenants, and what its operator asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{Page, PageOf};
use super::inbound::{BodyAt, ForwardMode};
use crate::id::{MessageId, SourceId, TaskId, TenantId};
use crate::time::Millis;

/// See [`super::call::Call::RouteIn`]. The bodies stand beside it, one an event, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteIn {
    /// What came for the tenant, oldest first. All that are new are stored, or none.
    pub events: Vec<RoutedEvent>,
}

/// See [`super::call::Call::RouteLarge`]: as [`RouteIn`], with bodies that have no room in a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLarge {
    /// What came for the tenant, oldest first. All that are new are stored, or none.
    pub events: Vec<RoutedEvent>,
}

/// One event of an app-level source, for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutedEvent {
    /// Its message in the organisation's ledger: the same at every repeat.
    pub message: MessageId,
    /// The source that it came through.
    pub source: SourceId,
    /// Its name.
    pub source_name: String,
    /// Its preset.
    pub provider: String,
    /// In which form the tenant's endpoints get it.
    #[serde(default)]
    pub forward: ForwardMode,
    /// The event's type.
    pub event_type: String,
    /// The provider's id of it.
    #[serde(default)]
    pub event_id: Option<String>,
    /// Of the body.
    pub content_type: String,
    /// What was kept of the request's headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The hop counter that came with it.
    #[serde(default)]
    pub hop: u8,
    /// The tenant's own copy of the body, in the bucket already; what stands beside the call is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_at: Option<BodyAt>,
}

/// The answer to [`RouteIn`] and [`RouteLarge`]: the tenant has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTaken {
    /// Messages that it made.
    pub stored: u32,
    /// Events that were there already.
    #[serde(default)]
    pub duplicates: u32,
}

/// See [`super::call::Call::RouteChanged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteChanged {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Whose claims changed in the directory.
    pub key: String,
    /// Those of all keys may have changed, whatever `key` says.
    #[serde(default)]
    pub all: bool,
}

/// See [`super::call::Call::RouteTrust`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTrust {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Whether keys that the provider does not sign route from now on; none: it stays as it is.
    #[serde(default)]
    pub unsigned: Option<bool>,
}

/// The answer to [`RouteTrust`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTrustView {
    /// Whether keys that the provider does not sign route.
    pub unsigned: bool,
}

/// Why an event was not routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unrouted {
    /// Nobody claimed its key.
    Unclaimed,
    /// It has no key.
    NoKey,
    /// Its key is not signed, and the source does not trust such keys.
    UnsignedKey,
    /// Whoever claimed its key was deleted before it was there.
    ClaimantGone,
}

/// See [`super::call::Call::UnroutedKeys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnroutedKeys {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Which part, by key.
    pub page: PageOf,
}

/// Events of one key that were not routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnroutedKey {
    /// The key; empty: they have none.
    pub key: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them came.
    pub first_at: Millis,
    /// And the last one.
    pub last_at: Millis,
    /// Of the last one.
    pub event_type: String,
}

/// See [`super::call::Call::UnroutedEvents`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnroutedEvents {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Of this key; empty: those without one.
    pub key: String,
    /// Which part, newest first.
    pub page: PageOf,
}

/// One event that was not routed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnroutedEvent {
    /// Its message in the organisation's ledger.
    pub message: MessageId,
    /// Its type.
    pub event_type: String,
    /// The provider's id of it.
    #[serde(default)]
    pub event_id: Option<String>,
    /// Why it was not routed.
    pub why: Unrouted,
}

/// A page of keys.
pub type UnroutedKeysPage = Page<UnroutedKey>;

/// A page of events.
pub type UnroutedEventsPage = Page<UnroutedEvent>;

/// See [`super::call::Call::RouteReplay`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReplay {
    /// Chosen by the edge, so that a repeat starts nothing twice.
    pub id: TaskId,
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// What was not routed of this key.
    pub key: String,
    /// To these tenants: those that claim the key.
    pub to: Vec<TenantId>,
    /// Also events whose key is not signed.
    #[serde(default)]
    pub unsigned: bool,
    /// Count, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}
