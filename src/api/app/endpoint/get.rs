//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointGet;

use super::shape::EndpointOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One endpoint.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let (endpoint, _) = access.object().call(EndpointGet { endpoint }, &[]).await?;
    Answer::ok(&EndpointOut::new(endpoint))
}
