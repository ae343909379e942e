//! `PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}`: replaces, or makes the one that a `uid` names.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointUpdate;

use super::connection;
use super::shape::{self, EndpointOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200 for a replaced one, 201 for a new one.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let policy = ask.address_policy()?;
    let mut form = ask.form()?;
    let config = shape::read(&mut form, &policy);
    let signing = shape::signing(&mut form);
    let named = form.optional(connection::FIELD, field::text);
    let mut config = form.finish(config)?;
    if let Some(named) = named {
        config.connection_id = Some(connection::named(&access, &named, &config.url).await?);
    }
    // Named by its uid, it keeps it: only a path with the id can take a uid away. An id is no uid.
    config.uid = config.uid.or_else(|| endpoint.parse().ok());
    let call = EndpointUpdate {
        endpoint,
        config,
        signing,
    };
    let (saved, _) = access.object().call(call, &[]).await?;
    let status = if saved.created { 201 } else { 200 };
    Answer::json(status, &EndpointOut::new(saved.value))
}
