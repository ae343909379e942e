//! `GET /api/v1/background-task/{task_id}`.

use postern_domain::problem::Problem;

use super::live;
use super::shape::BackgroundTaskOut;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::background_task;

/// One task, as it stands now.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let id = ask.param(0).parse().map_err(|_| Problem::not_found())?;
    let directory = access.directory()?;
    let row = background_task::find(&directory, access.organisation, id).await?;
    let mut rows = [row.ok_or_else(Problem::not_found)?];
    live::refresh(ask.env(), &directory, &mut rows, ask.now).await?;
    let [row] = rows;
    Answer::ok(&BackgroundTaskOut::new(&row))
}
