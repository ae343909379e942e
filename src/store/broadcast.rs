//! Broadcasts: a running task, and what it publishes.

use postern_domain::id::{OrganisationId, TaskId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::replay::TaskState;
use serde::Deserialize;

use super::background_task::{self, BackgroundTask};
use super::{Directory, number, text};

/// Svix's word for the kind of task.
pub(crate) const KIND: &str = "message.broadcast";

/// What every tenant gets.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Content {
    pub(crate) event_type: String,
    pub(crate) event_id: Option<String>,
    /// A JSON list.
    pub(crate) channels: Option<String>,
    pub(crate) hop: u8,
    /// A JSON object, as it came.
    pub(crate) payload: String,
}

/// A running task, as it stood when it was read.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) organisation: OrganisationId,
    /// JSON: how far it is.
    pub(crate) data: String,
    pub(crate) created_at: Millis,
    /// Whoever wrote last: a step counts only if nobody wrote since it was read.
    pub(crate) updated_at: Millis,
}

/// Writes the task and what it publishes, both or neither.
pub(crate) async fn insert(directory: &Directory, task: &Task, content: &Content) -> Result<(), Problem> {
    let (own, task_values) = background_task::insertion(&BackgroundTask {
        id: task.id,
        organisation: task.organisation,
        application: None,
        kind: KIND.to_owned(),
        state: TaskState::Running,
        data: task.data.clone(),
        created_at: task.created_at,
        updated_at: task.updated_at,
    });
    let published = "INSERT INTO broadcast (task, event_type, event_id, channels, hop, payload) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let content_values = vec![
        text(Some(task.id.to_string())),
        text(Some(&content.event_type)),
        text(content.event_id.as_ref()),
        text(content.channels.as_ref()),
        number(content.hop.into()),
        text(Some(&content.payload)),
    ];
    directory
        .all(&[(&own, task_values), (published, content_values)])
        .await
}

/// Running tasks that nobody has written since `before`.
pub(crate) async fn left(directory: &Directory, before: Millis, most: u64) -> Result<Vec<Task>, Problem> {
    let sql = "SELECT id, organisation, data, created_at, updated_at FROM background_task \
               WHERE state = 'running' AND updated_at < ?1 AND kind = ?2 ORDER BY updated_at LIMIT ?3";
    directory
        .rows(sql, &[number(before.0), text(Some(KIND)), number(most)])
        .await
}

/// What a task publishes; `None`: it has ended.
pub(crate) async fn content(directory: &Directory, task: TaskId) -> Result<Option<Content>, Problem> {
    let sql = "SELECT event_type, event_id, channels, hop, payload FROM broadcast WHERE task = ?1";
    directory.row(sql, &[text(Some(task.to_string()))]).await
}

/// Writes how far the task is. False: it was cancelled, or somebody else goes on with it.
pub(crate) async fn step(
    directory: &Directory,
    task: &mut Task,
    state: TaskState,
    data: String,
    now: Millis,
) -> Result<bool, Problem> {
    let updated_at = now.max(task.updated_at.plus(1));
    let sql = "UPDATE background_task SET state = ?2, data = ?3, updated_at = ?4 \
               WHERE id = ?1 AND state = 'running' AND updated_at = ?5";
    let values = [
        text(Some(task.id.to_string())),
        text(Some(state.as_str())),
        text(Some(&data)),
        number(updated_at.0),
        number(task.updated_at.0),
    ];
    let ours = directory.change(sql, &values).await? > 0;
    if ours {
        task.updated_at = updated_at;
        task.data = data;
    }
    Ok(ours)
}

/// A tenant of a slice.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Receiver {
    pub(crate) id: TenantId,
    pub(crate) created_at: Millis,
}

/// The organisation's tenants behind the cursor that were there when the task was made, in the order they were made.
pub(crate) async fn slice(
    directory: &Directory,
    task: &Task,
    behind: Option<&(u64, String)>,
    most: u64,
) -> Result<Vec<Receiver>, Problem> {
    let (time, id) = behind.map_or((0, ""), |(time, id)| (*time, id.as_str()));
    let sql = "SELECT id, created_at FROM application WHERE organisation = ?1 AND (created_at, id) > (?2, ?3) \
               AND created_at <= ?4 AND state = 'active' ORDER BY created_at, id LIMIT ?5";
    let values = [
        text(Some(task.organisation.to_string())),
        number(time),
        text(Some(id)),
        number(task.created_at.0),
        number(most),
    ];
    directory.rows(sql, &values).await
}

/// Drops what tasks published that have ended, however they did.
pub(crate) async fn prune(directory: &Directory) -> Result<(), Problem> {
    let sql = "DELETE FROM broadcast WHERE NOT EXISTS (SELECT 1 FROM background_task \
               WHERE background_task.id = broadcast.task AND background_task.state = 'running')";
    directory.change(sql, &[]).await.map(drop)
}
