//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs`: cancels what the endpoint is owed of old messages.

use postern_domain::problem::Problem;
use postern_domain::wire::replay::CancelMessages;

use super::super::job;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204. What was delivered stays so.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let before = form.required("createdBefore", job::time);
    let call = CancelMessages {
        endpoint: ask.param(1).to_owned(),
        before: form.finish(before)?,
    };
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
