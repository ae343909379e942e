//! `PUT /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers`: replaces its own headers.

use postern_domain::problem::Problem;
use postern_domain::wire::signing::EndpointHeadersPut;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 204.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let headers = form.required("headers", field::headers);
    let call = EndpointHeadersPut {
        endpoint: ask.param(1).to_owned(),
        headers: form.finish(headers)?,
    };
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
