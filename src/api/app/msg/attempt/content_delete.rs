//! `DELETE /api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content`: takes the response away.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::AttemptExpunge;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204; again, too.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = AttemptExpunge {
        message: ask.param(1).to_owned(),
        attempt: ask.param(2).to_owned(),
    };
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
