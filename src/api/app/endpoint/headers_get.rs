//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers`: its own headers. Of credentials only the names are shown.

use postern_domain::problem::Problem;
use postern_domain::wire::signing::EndpointHeadersGet;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200, `{headers, sensitive}`.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let (headers, _) = access.object().call(EndpointHeadersGet { endpoint }, &[]).await?;
    Answer::ok(&headers)
}
