//! `POST /api/v1/environment/export`.

use postern_domain::problem::Problem;
use serde::Serialize;
use serde_json::Value;

use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::event_type::shape::EventTypeOut;
use crate::api::reply::Answer;
use crate::store::event_type;

/// Svix's fields. Tenants and what they hold are not among them.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvironmentOut {
    /// Always 1.
    version: u8,
    created_at: String,
    /// All of them, with schemas and retry schedules.
    event_types: Vec<EventTypeOut>,
    /// Always null: there are none.
    settings: Option<Value>,
    /// Always empty: there are none.
    connectors: Vec<Value>,
}

/// 200.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let rows = event_type::all(&access.directory()?, access.organisation).await?;
    Answer::ok(&EnvironmentOut {
        version: 1,
        created_at: ask.now.to_rfc3339(),
        event_types: rows.into_iter().map(|row| EventTypeOut::new(row, true)).collect(),
        settings: None,
        connectors: Vec::new(),
    })
}
