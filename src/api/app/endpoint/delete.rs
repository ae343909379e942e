//! `DELETE /api/v1/app/{app_id}/endpoint/{endpoint_id}`: what is owed to it is cancelled.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointDelete;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    access.object().call(EndpointDelete { endpoint }, &[]).await?;
    Ok(Answer::empty())
}
