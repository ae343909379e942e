//! `GET /api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}`.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::AttemptGet;

use crate::api::access::TenantAccess;
use crate::api::app::attempt::shape::MessageAttemptOut;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One attempt with its response.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = AttemptGet {
        message: ask.param(1).to_owned(),
        attempt: ask.param(2).to_owned(),
    };
    let (attempt, responses) = access.object().call(call, &[]).await?;
    let response = responses.into_iter().next().unwrap_or_default();
    Answer::ok(&MessageAttemptOut::new(&attempt, &response))
}
