//! `GET /api/v1/app/{app_id}/msg/{msg_id}/body`: the bytes as they came.

use postern_domain::problem::Problem;
use postern_domain::wire::call::MessageGet;

use super::{content, shape};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with the message's content type. A stranger chose both, so that no browser may run them.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let message = ask.param(1).to_owned();
    let (message, bodies) = access.object().call(MessageGet { message }, &[]).await?;
    shape::has_content(&message)?;
    content::whole(&ask, &message.content_type, message.body_at.as_ref(), bodies).await
}
