//! `DELETE /api/v1/app/{app_id}`: everything of the tenant goes.

use postern_domain::problem::Problem;

use super::lifecycle;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::application::{self, Key};

/// 204. One that was left half deleted is finished.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let row = application::find(&access.directory()?, access.organisation, &key).await?;
    let row = row.ok_or_else(Problem::not_found)?;
    lifecycle::delete(&access, &row, ask.now).await?;
    Ok(Answer::empty())
}
