//! `GET /api/v1/app/{app_id}/msg/{msg_id}`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::MessageGet;

use super::shape::MessageOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One message, by its id or the publisher's.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let with_content = query.flag("with_content", true);
    query.finish()?;
    let message = ask.param(1).to_owned();
    let (message, bodies) = access.object().call(MessageGet { message }, &[]).await?;
    let body = bodies.into_iter().next().filter(|_| with_content);
    Answer::ok(&MessageOut::whole(message, body)?)
}
