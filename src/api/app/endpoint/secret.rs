//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret`: the key that its receiver checks signatures with.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointSecret;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200, `{key}`, and `publicKey` of an endpoint that signs with `v1a`.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let (secret, _) = access.object().call(EndpointSecret { endpoint }, &[]).await?;
    Answer::ok(&secret)
}
