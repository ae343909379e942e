//! `POST /api/v1/app/{app_id}/endpoint`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointCreate;

use super::connection;
use super::shape::{self, EndpointOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 201.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let policy = ask.address_policy()?;
    let mut form = ask.form()?;
    let config = shape::read(&mut form, &policy);
    let signing = shape::signing(&mut form);
    let secret = form.optional("secret", field::signing_key);
    let named = form.optional(connection::FIELD, field::text);
    let mut config = form.finish(config)?;
    if let Some(named) = named {
        config.connection_id = Some(connection::named(&access, &named, &config.url).await?);
    }
    let call = EndpointCreate {
        config,
        secret,
        signing,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
    };
    let (endpoint, _) = access.object().call(call, &[]).await?;
    let made = endpoint.created_at;
    let answer = Answer::json(201, &EndpointOut::new(endpoint))?;
    Ok(answer.replayed_if(ask.is_replay(made)))
}
