//! How tasks stand: what a running one's object says, and a summary in the directory once it has ended.

use std::collections::BTreeMap;

use futures::future::join_all;
use postern_domain::id::{TaskId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Caller;
use postern_domain::wire::replay::{TaskGet, TaskState, TaskView};
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use serde_json::{Value, json};
use worker::Env;

use crate::store::Directory;
use crate::store::background_task::{self, BackgroundTask};

/// Objects that are asked for one page; of further ones the summary is shown as it stands.
const OBJECTS: usize = 40;

/// A row whose object does not know the task after this long is of a start that broke off.
const ABANDONED_MS: u64 = 60 * Millis::SECOND;

/// The cron looks at a running task this long after the last look.
const UNWATCHED_MS: u64 = 60 * Millis::SECOND;

/// Brings rows to where their tasks stand, and writes down those that have ended. An object that cannot be asked leaves its
/// rows as they are.
pub(crate) async fn refresh(
    env: &Env,
    directory: &Directory,
    rows: &mut [BackgroundTask],
    now: Millis,
) -> Result<(), Problem> {
    let mut asked: BTreeMap<TenantId, Vec<&mut BackgroundTask>> = BTreeMap::new();
    for row in rows.iter_mut().filter(|row| row.state == TaskState::Running) {
        if let Some(application) = row.application {
            asked.entry(application).or_default().push(row);
        }
    }
    let asks = asked
        .into_iter()
        .take(OBJECTS)
        .map(|(application, rows)| async move {
            let organisation = rows.first().map(|row| row.organisation)?;
            let ids: Vec<TaskId> = rows.iter().map(|row| row.id).collect();
            let object = TenantObject::new(env, application, Caller::Organisation(organisation));
            let views = match object.call(TaskGet { ids }, &[]).await {
                Ok((views, _)) => views,
                // The tenant has gone, and the task with it.
                Err(problem) if problem.code == Code::NotFound => Vec::new(),
                Err(problem) => {
                    let fields = json!({ "application": application, "cause": problem.to_string() });
                    log::warn("background_task_not_asked", fields);
                    return None;
                }
            };
            Some((rows, views))
        });
    for (rows, views) in join_all(asks).await.into_iter().flatten() {
        for row in rows {
            let view = views.iter().find(|view| view.id == row.id);
            if stand(row, view, now) && row.state != TaskState::Running {
                background_task::update_state(directory, row.id, row.state, &row.data, row.updated_at)
                    .await?;
            }
        }
    }
    Ok(())
}

/// For the clock: what nobody reads ends in the directory all the same.
pub(crate) async fn tidy(env: &Env, now: Millis) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let mut rows = background_task::unwatched(&directory, now.minus(UNWATCHED_MS)).await?;
    refresh(env, &directory, &mut rows, now).await?;
    for row in rows.iter().filter(|row| row.state == TaskState::Running) {
        background_task::update_state(&directory, row.id, row.state, &row.data, now).await?;
    }
    Ok(())
}

/// Brings a row to what its object says. False: there is nothing to say yet.
pub(crate) fn stand(row: &mut BackgroundTask, view: Option<&TaskView>, now: Millis) -> bool {
    let mut data: Value = serde_json::from_str(&row.data).unwrap_or_else(|_| json!({}));
    match view {
        Some(view) => {
            data["progress"] = json!(view.progress);
            if let Some(error) = &view.error {
                data["error"] = json!(error);
            }
            row.state = view.state;
            row.updated_at = view.updated_at;
        }
        None if now.since(row.created_at) >= ABANDONED_MS => {
            data["error"] = json!("It was never begun, or its application was deleted");
            row.state = TaskState::Failed;
            row.updated_at = now;
        }
        None => return false,
    }
    row.data = data.to_string();
    true
}

#[cfg(test)]
mod tests {
    use postern_domain::id::OrganisationId;
    use postern_domain::wire::replay::{TaskKind, TaskProgress};

    use super::*;

    fn row() -> BackgroundTask {
        BackgroundTask {
            id: TaskId([1; 20]),
            organisation: OrganisationId([2; 20]),
            application: Some(TenantId([3; 20])),
            kind: "endpoint.recover".to_owned(),
            state: TaskState::Running,
            data: r#"{"request":{"since":1}}"#.to_owned(),
            created_at: Millis(1000),
            updated_at: Millis(1000),
        }
    }

    #[test]
    fn a_row_takes_what_its_object_says_and_keeps_what_was_asked() {
        let mut row = row();
        let view = TaskView {
            id: row.id,
            kind: TaskKind::Recover,
            state: TaskState::Finished,
            progress: TaskProgress {
                done: 7,
                ..TaskProgress::default()
            },
            error: None,
            updated_at: Millis(2000),
        };
        assert!(stand(&mut row, Some(&view), Millis(3000)));
        let data: Value = serde_json::from_str(&row.data).unwrap_or_default();
        assert_eq!((row.state, row.updated_at), (TaskState::Finished, Millis(2000)));
        assert_eq!(
            (&data["progress"]["done"], &data["request"]["since"]),
            (&json!(7), &json!(1))
        );
    }

    #[test]
    fn a_start_that_broke_off_is_a_task_that_failed_and_one_under_way_is_left_alone() {
        let mut row = row();
        assert!(!stand(&mut row, None, Millis(1000 + ABANDONED_MS - 1)));
        assert_eq!(row.state, TaskState::Running);
        assert!(stand(&mut row, None, Millis(1000 + ABANDONED_MS)));
        assert_eq!(row.state, TaskState::Failed);
    }
}
