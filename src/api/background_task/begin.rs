//! The start of a job that an object does.
//!
//! The directory's row is written first and the object asked with the same id after it: whatever breaks off between leaves
//! a row that is looked after, and no job that nobody sees.

use postern_domain::id::TaskId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::TenantCall;
use postern_domain::wire::replay::{TaskKind, TaskState, TaskView};
use serde_json::{Value, json};

use super::{live, shape::BackgroundTaskOut};
use crate::api::access::TenantAccess;
use crate::api::reply::Answer;
use crate::store::background_task::{self, BackgroundTask};

/// 202 with the task. `request` is what was asked, for whoever reads it.
///
/// # Errors
/// What the object says against it.
pub(crate) async fn begin<C: TenantCall<Answer = TaskView>>(
    access: &TenantAccess,
    now: Millis,
    (id, kind): (TaskId, TaskKind),
    request: &Value,
    call: C,
) -> Result<Answer, Problem> {
    let directory = access.directory()?;
    let mut row = BackgroundTask {
        id,
        organisation: access.organisation,
        application: Some(access.tenant),
        kind: kind.as_str().to_owned(),
        state: TaskState::Running,
        data: json!({ "request": request }).to_string(),
        created_at: now,
        updated_at: now,
    };
    background_task::insert(&directory, &row).await?;
    match access.object().call(call, &[]).await {
        Ok((view, _)) => {
            live::stand(&mut row, Some(&view), now);
            Answer::json(202, &BackgroundTaskOut::new(&row))
        }
        // It refused, so it does nothing. Of any other failure nobody knows: the row stays, and finds out.
        Err(problem) if problem.code.status() < 500 => {
            background_task::remove(&directory, id).await?;
            Err(problem)
        }
        Err(problem) => Err(problem),
    }
}
