//! `POST /api/v1/background-task/{task_id}/cancel`.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::replay::{TaskCancel, TaskState};

use super::live;
use super::shape::BackgroundTaskOut;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::background_task;

/// 200 with the task. What it has made due goes out all the same; one that has ended stays as it is.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    ask.form_or_empty()?.finish(Some(()))?;
    let id = ask.param(0).parse().map_err(|_| Problem::not_found())?;
    let directory = access.directory()?;
    let row = background_task::find(&directory, access.organisation, id).await?;
    let mut row = row.ok_or_else(Problem::not_found)?;
    if row.state != TaskState::Running {
        return Answer::ok(&BackgroundTaskOut::new(&row));
    }
    if let Some(application) = row.application {
        let object = access.tenant(application).object();
        let view = match object.call(TaskCancel { id }, &[]).await {
            Ok((view, _)) => Some(view),
            Err(problem) if problem.code == Code::NotFound => None,
            Err(problem) => return Err(problem),
        };
        if !live::stand(&mut row, view.as_ref(), ask.now) {
            let detail = "The task is being started; cancel it after a moment";
            return Err(Problem::new(Code::Conflict, detail));
        }
    } else {
        // Whoever works on it looks at this row before each step.
        row.state = TaskState::Cancelled;
        row.updated_at = ask.now;
    }
    background_task::update_state(&directory, id, row.state, &row.data, row.updated_at).await?;
    Answer::ok(&BackgroundTaskOut::new(&row))
}
