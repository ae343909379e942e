//! `GET /api/v1/background-task`.

use postern_domain::problem::Problem;
use postern_domain::wire::replay::TaskState;

use super::live;
use super::shape::BackgroundTaskOut;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::{self, Answer};
use crate::store::background_task;

/// Tasks in the order they were made, running ones as they stand now.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let page = query.page();
    let state = query.read(
        "status",
        "must be running, finished or failed",
        |text| match text {
            "running" => Some(TaskState::Running),
            "finished" => Some(TaskState::Finished),
            "failed" => Some(TaskState::Failed),
            _ => None,
        },
    );
    let kind = query.read(
        "task",
        "must be a kind of task, such as endpoint.recover",
        |text| {
            let known = |c: u8| c.is_ascii_lowercase() || matches!(c, b'.' | b'-' | b'_');
            (text.len() <= 64 && text.bytes().all(known)).then(|| text.to_owned())
        },
    );
    query.finish()?;
    let directory = access.directory()?;
    let mut tasks =
        background_task::list(&directory, access.organisation, page, state, kind.as_deref()).await?;
    live::refresh(ask.env(), &directory, &mut tasks.data, ask.now).await?;
    Answer::ok(&reply::page(tasks, |row| BackgroundTaskOut::new(&row)))
}
