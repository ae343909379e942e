//! `/api/v1/source/{source_id}/unrouted`: events that no application got, counted by routing key, and one by one. They are
//! kept as long as the organisation's messages.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::route::{Unrouted, UnroutedEvent, UnroutedEvents, UnroutedKey, UnroutedKeys};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// Events of one key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnroutedKeyOut {
    /// Null: they have none.
    key: Option<String>,
    count: u64,
    first_at: String,
    last_at: String,
    /// Of the last one.
    event_type: String,
}

/// One event.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnroutedEventOut {
    id: String,
    /// The provider's own.
    event_id: Option<String>,
    event_type: String,
    timestamp: String,
    /// `unclaimed`, `no_key`, `unsigned_key` or `claimant_gone`.
    #[cfg_attr(test, schemars(with = "String"))]
    reason: Unrouted,
}

/// A page of keys.
pub(crate) async fn keys(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let asked = query.page();
    query.finish()?;
    let call = UnroutedKeys {
        source: ask.param(1).to_owned(),
        page: asked,
    };
    let (keys, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(keys, |key: UnroutedKey| UnroutedKeyOut {
        key: Some(key.key).filter(|key| !key.is_empty()),
        count: key.count,
        first_at: key.first_at.to_rfc3339(),
        last_at: key.last_at.to_rfc3339(),
        event_type: key.event_type,
    }))
}

/// A page of events of the key that `key` says, newest first; without it, of those that have none.
pub(crate) async fn events(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let asked = query.page();
    let key = query.text("key").unwrap_or_default();
    query.finish()?;
    let call = UnroutedEvents {
        source: ask.param(1).to_owned(),
        key,
        page: asked,
    };
    let (events, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(events, |event: UnroutedEvent| UnroutedEventOut {
        id: event.message.to_string(),
        event_id: event.event_id,
        event_type: event.event_type,
        timestamp: Millis(event.message.0.time).to_rfc3339(),
        reason: event.why,
    }))
}
