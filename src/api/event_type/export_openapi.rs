//! `POST /api/v1/event-type/export/openapi`: the catalogue as an `OpenAPI` document, in the data of a background task.

use postern_domain::id::TaskId;
use postern_domain::problem::{Code, Problem};
use postern_platform::random;
use serde::Serialize;
use serde_json::json;

use super::specification;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::background_task::{self, BackgroundTask};
use crate::store::event_type;

/// Of Svix's kinds the one that an export of event types is made for.
const KIND: &str = "sdk.generate";

/// The task. Its document stands in the task's `data.openapi`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExportEventTypeOut {
    id: String,
    /// Always `finished`.
    status: &'static str,
    /// `sdk.generate`.
    task: &'static str,
    updated_at: String,
}

/// 202; the task is finished already.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, "")?;
    idempotency::once(&directory, key, ask.now, async {
        let mut rows = event_type::all(&directory, access.organisation).await?;
        rows.retain(|row| row.archived == 0);
        let data = json!({ "openapi": specification::write(&rows) }).to_string();
        if data.len() > background_task::MOST_BYTES {
            return Err(Problem::new(
                Code::PayloadTooLarge,
                "The document would be larger than 1.9 MB; read the event types page by page",
            ));
        }
        let id = TaskId::new(ask.now, random::bytes());
        let row = BackgroundTask::finished(access.organisation, id, KIND, data, ask.now);
        background_task::insert(&directory, &row).await?;
        let task = ExportEventTypeOut {
            id: id.to_string(),
            status: "finished",
            task: KIND,
            updated_at: ask.now.to_rfc3339(),
        };
        Answer::json(202, &task)
    })
    .await
}
