//! `POST /api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend`: one more try, by hand.

use postern_domain::problem::Problem;
use postern_domain::wire::replay::Resend;
use serde_json::json;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 202. The plan of the delivery goes on as if nobody had asked, unless the try succeeds.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    ask.form_or_empty()?.finish(Some(()))?;
    let call = Resend {
        message: ask.param(1).to_owned(),
        endpoint: ask.param(2).to_owned(),
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
    };
    access.object().call(call, &[]).await?;
    Answer::json(202, &json!({}))
}
