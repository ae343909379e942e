//! `POST /api/v1/app/{app_id}/connection/{connection_id}/toggle`: switches it on or off.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::ConnectionPatch;

use super::shape::ConnectionOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200. `enabled` says which, so that asked twice it is the same.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let enabled = form.required("enabled", field::flag);
    let enabled = form.finish(enabled)?;
    let call = ConnectionPatch {
        enabled: Some(enabled),
        ..ConnectionPatch::default()
    };
    let object = super::object(&access, &ask).await?;
    Answer::ok(&ConnectionOut::new(object.call(call).await?))
}
