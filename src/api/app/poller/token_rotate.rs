//! `POST /api/v1/auth/app/{app_id}/poller/{endpoint_id}/token/rotate`: a new token beside the old one, which ends later.

use postern_domain::problem::Problem;
use postern_domain::wire::poll::{PollerTokenGet, PollerTokenRotate};

use super::shape::TokenOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// The old token works so long after a new one was made, unless somebody says otherwise.
const OLD_TOKEN_EXPIRY: u32 = 300;

/// 201 with the new token. Once per `Idempotency-Key`; the answer itself is not kept, since it is a secret.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let mut form = ask.form_or_empty()?;
    let call = PollerTokenRotate {
        endpoint: endpoint.clone(),
        expiry_seconds: form.optional("expiry", field::poller_token_expiry),
        old_expiry_seconds: form
            .optional("oldTokenExpiry", field::old_token_expiry)
            .unwrap_or(OLD_TOKEN_EXPIRY),
    };
    let call = form.finish(Some(call))?;
    let object = access.object();
    let Some(key) = ask.idempotency(access.organisation, &access.tenant.to_string())? else {
        let (token, _) = object.call(call, &[]).await?;
        return Answer::json(201, &TokenOut::new(token));
    };
    let directory = access.directory()?;
    if idempotency::begin(&directory, &key, ask.now).await?.is_some() {
        let (token, _) = object.call(PollerTokenGet { endpoint }, &[]).await?;
        return Ok(Answer::json(201, &TokenOut::new(token))?.replayed_if(true));
    }
    let done = object.call(call, &[]).await;
    idempotency::end(&directory, &key, done.is_ok().then_some((201, ""))).await?;
    let (token, _) = done?;
    Answer::json(201, &TokenOut::new(token))
}
