//! `GET /api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::AttemptsOfEndpoint;

use super::shape;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Attempts at one endpoint, the newest first.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let with_content = query.flag("with_content", true);
    let call = AttemptsOfEndpoint {
        endpoint: ask.param(1).to_owned(),
        page: query.page(),
        filter: query.attempts(),
    };
    query.finish()?;
    let (attempts, responses) = access.object().call(call, &[]).await?;
    Answer::ok(&shape::page(attempts, responses, with_content))
}
