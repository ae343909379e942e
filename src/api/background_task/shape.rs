//! A background task, as it is shown.

use postern_domain::app_level;
use postern_domain::wire::replay::TaskState;
use serde::Serialize;
use serde_json::{Value, json};

use crate::store::background_task::BackgroundTask;

/// Svix's fields.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackgroundTaskOut {
    id: String,
    /// `running`, `finished` or `failed`; one that was cancelled is `failed`, and its data says `cancelled: true`.
    status: &'static str,
    /// `endpoint.recover`, `endpoint.replay`, `endpoint.bulk-replay` …
    task: String,
    updated_at: String,
    /// What was asked (`request`), how far it is (`progress`: done, total, skipped, rate), why it failed (`error`).
    data: Value,
}

impl BackgroundTaskOut {
    /// Of a row that says how it stands.
    pub(crate) fn new(row: &BackgroundTask) -> Self {
        let mut data = serde_json::from_str(&row.data).unwrap_or_else(|_| json!({}));
        if let Some(fields) = data.as_object_mut() {
            // The organisation's own ledger is nobody's application.
            let hidden = app_level::ledger_of(row.organisation);
            if let Some(application) = row.application.filter(|application| *application != hidden) {
                fields.insert("applicationId".to_owned(), json!(application));
            }
            if row.state == TaskState::Cancelled {
                fields.insert("cancelled".to_owned(), json!(true));
            }
        }
        Self {
            id: row.id.to_string(),
            // Svix's clients know these three, and some of them break on a fourth.
            status: match row.state {
                TaskState::Running => "running",
                TaskState::Finished => "finished",
                TaskState::Failed | TaskState::Cancelled => "failed",
            },
            task: row.kind.clone(),
            updated_at: row.updated_at.to_rfc3339(),
            data,
        }
    }
}
