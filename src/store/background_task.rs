//! Background tasks, as the directory lists them. Of one that an object works on this is a summary: the object is asked
//! while it goes on, and how it ended is written here.

use postern_domain::id::{OrganisationId, TaskId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use postern_domain::wire::replay::TaskState;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "id, organisation, application, kind, state, data, created_at, updated_at";

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BackgroundTask {
    pub(crate) id: TaskId,
    pub(crate) organisation: OrganisationId,
    /// Whose object works on it; none: it goes over several, and its own worker keeps the row.
    pub(crate) application: Option<TenantId>,
    /// Svix's word: `endpoint.recover`, `message.broadcast` …
    pub(crate) kind: String,
    pub(crate) state: TaskState,
    /// A JSON object: what was asked, how far it is, why it failed.
    pub(crate) data: String,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
}

/// Bytes of a row's data at the most: the database holds 2 MB in one row.
pub(crate) const MOST_BYTES: usize = 1_900_000;

impl BackgroundTask {
    /// One that was done when it was asked for, with what came of it.
    pub(crate) fn finished(
        organisation: OrganisationId,
        id: TaskId,
        kind: &str,
        data: String,
        now: Millis,
    ) -> Self {
        Self {
            id,
            organisation,
            application: None,
            kind: kind.to_owned(),
            state: TaskState::Finished,
            data,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Writes a new row.
pub(crate) async fn insert(directory: &Directory, row: &BackgroundTask) -> Result<(), Problem> {
    let (sql, values) = insertion(row);
    directory.change(&sql, &values).await.map(drop)
}

/// What writes a new row, for whoever has more to write with it.
pub(super) fn insertion(row: &BackgroundTask) -> (String, Vec<JsValue>) {
    let sql = format!("INSERT INTO background_task ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    let values = vec![
        text(Some(row.id.to_string())),
        text(Some(row.organisation.to_string())),
        text(row.application.map(|id| id.to_string())),
        text(Some(&row.kind)),
        text(Some(row.state.as_str())),
        text(Some(&row.data)),
        number(row.created_at.0),
        number(row.updated_at.0),
    ];
    (sql, values)
}

/// The organisation's task of this id.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    id: TaskId,
) -> Result<Option<BackgroundTask>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM background_task WHERE id = ?1 AND organisation = ?2");
    let values = [text(Some(id.to_string())), text(Some(organisation.to_string()))];
    directory.row(&sql, &values).await
}

/// In the order they were made, of one state and one kind if that is asked; those that failed with those that were
/// cancelled.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    page: PageOf,
    state: Option<TaskState>,
    kind: Option<&str>,
) -> Result<Page<BackgroundTask>, Problem> {
    let reading = Reading::<String>::new("background_task", page)?;
    let (past, order) = reading.direction();
    let behind = if reading.behind.is_some() {
        format!("AND id {past} ?3")
    } else {
        "AND ?3 IS NULL".to_owned()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM background_task WHERE organisation = ?1 {behind} \
         AND (?4 IS NULL OR state = ?4 OR (?4 = 'failed' AND state = 'cancelled')) \
         AND (?5 IS NULL OR kind = ?5) ORDER BY id {order} LIMIT ?2"
    );
    let values = [
        text(Some(organisation.to_string())),
        number(reading.rows),
        text(reading.behind.as_ref()),
        text(state.map(TaskState::as_str)),
        text(kind),
    ];
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &BackgroundTask| row.id.to_string()))
}

/// Writes how far a running task is, or how it ended. False: it has ended already, and stays so.
pub(crate) async fn update_state(
    directory: &Directory,
    id: TaskId,
    state: TaskState,
    data: &str,
    now: Millis,
) -> Result<bool, Problem> {
    let sql = "UPDATE background_task SET state = ?2, data = ?3, updated_at = ?4 WHERE id = ?1 AND state = 'running'";
    let values = [
        text(Some(id.to_string())),
        text(Some(state.as_str())),
        text(Some(data)),
        number(now.0),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

/// Takes back the row of a task that its object refused to start.
pub(crate) async fn remove(directory: &Directory, id: TaskId) -> Result<(), Problem> {
    let sql = "DELETE FROM background_task WHERE id = ?1";
    directory
        .change(sql, &[text(Some(id.to_string()))])
        .await
        .map(drop)
}

/// Running tasks of objects that nobody looked at since `before`, the longest first.
pub(crate) async fn unwatched(directory: &Directory, before: Millis) -> Result<Vec<BackgroundTask>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM background_task WHERE state = 'running' AND updated_at < ?1 \
         AND application IS NOT NULL ORDER BY updated_at LIMIT 50"
    );
    directory.rows(&sql, &[number(before.0)]).await
}
