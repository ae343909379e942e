//! `PATCH /api/v1/app/{app_id}/endpoint/{endpoint_id}/headers`: changes the given ones of its own headers. Null takes one
//! away, and so does its name in `deleteHeaders`.

use postern_domain::problem::Problem;
use postern_domain::wire::signing::EndpointHeadersPatch;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 204.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let deleted = form.optional("deleteHeaders", field::texts);
    let changes = match deleted {
        Some(_) => form.optional("headers", field::header_changes),
        None => form.required("headers", field::header_changes),
    };
    let mut headers = changes.unwrap_or_default();
    for name in deleted.unwrap_or_default() {
        let is_set =
            |(own, value): (&String, &Option<String>)| own.eq_ignore_ascii_case(&name) && value.is_some();
        if headers.iter().any(is_set) {
            form.say(
                &["deleteHeaders"],
                "names a header that is set in headers",
                "value_error",
            );
        }
        headers.insert(name, None);
    }
    let call = EndpointHeadersPatch {
        endpoint: ask.param(1).to_owned(),
        headers: form.finish(Some(headers))?,
    };
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
