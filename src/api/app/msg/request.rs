//! `GET /api/v1/app/{app_id}/msg/{msg_id}/request`: the request that a message came in.

use postern_domain::problem::Problem;
use postern_domain::wire::request::MessageRequest;

use super::content;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with the body as the provider sent it, all its events in it; `postern-messages` says how many messages it made.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let message = ask.param(1).to_owned();
    let (request, bodies) = access.object().call(MessageRequest { message }, &[]).await?;
    let answer = content::whole(&ask, &request.content_type, request.body_at.as_ref(), bodies).await?;
    Ok(answer.with("postern-messages", &request.messages.to_string()))
}
