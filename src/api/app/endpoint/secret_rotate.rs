//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate`: a new signing key; the one before signs beside it for
//! a while.

use postern_domain::problem::Problem;
use postern_domain::wire::signing::EndpointSecretRotate;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// How long the key before signs if nothing is said: a day.
const GRACE_SECONDS: u32 = 86_400;

/// 204.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let key = form.optional("key", field::signing_key);
    let grace_seconds = form
        .optional("gracePeriodSeconds", field::seconds)
        .unwrap_or(GRACE_SECONDS);
    let call = EndpointSecretRotate {
        endpoint: ask.param(1).to_owned(),
        key,
        grace_seconds,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
    };
    let call = form.finish(Some(call))?;
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
