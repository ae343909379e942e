//! `GET /api/v1/app/{app_id}/msg/{msg_id}/body`: the bytes as they came.

use postern_domain::problem::Problem;
use postern_domain::wire::call::MessageGet;
use postern_platform::bodies;

use super::shape;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with the message's content type. A stranger chose both, so that no browser may run them.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let message = ask.param(1).to_owned();
    let (message, bodies) = access.object().call(MessageGet { message }, &[]).await?;
    shape::has_content(&message)?;
    let body = match &message.body_at {
        None => bodies.into_iter().next().unwrap_or_default(),
        Some(at) => bodies::get(ask.env(), at)
            .await
            .map_err(Problem::internal)?
            .ok_or_else(Problem::not_found)?,
    };
    Ok(Answer::stranger(&message.content_type, body))
}
