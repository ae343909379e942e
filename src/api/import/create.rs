//! `POST /api/v1/import`: for all applications of the organisation, making those that are not there.

use postern_domain::problem::Problem;

use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with the plan, or with what was done.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    super::run(&access, &ask, None).await
}
