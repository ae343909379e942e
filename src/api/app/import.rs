//! `POST /api/v1/app/{app_id}/import`: endpoints of one application.

use postern_domain::problem::Problem;

use super::lifecycle;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::import;
use crate::api::reply::Answer;
use crate::store::application::Key;

/// 200 with the plan, or with what was done.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let row = lifecycle::find(&access, &key).await?;
    import::run(&access, &ask, Some(row.ok_or_else(Problem::not_found)?)).await
}
