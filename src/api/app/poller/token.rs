//! `GET /api/v1/auth/app/{app_id}/poller/{endpoint_id}/token`: what whoever polls the endpoint holds.

use postern_domain::problem::Problem;
use postern_domain::wire::poll::PollerTokenGet;

use super::shape::TokenOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with the newest token, in clear.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let (token, _) = access.object().call(PollerTokenGet { endpoint }, &[]).await?;
    Answer::ok(&TokenOut::new(token))
}
