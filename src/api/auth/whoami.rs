//! `GET /api/v1/auth/whoami`: whose token this is.

use postern_domain::access::Authority;
use postern_domain::problem::Problem;
use serde::Serialize;

use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Svix's fields.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhoamiOut {
    /// The organisation.
    env_id: String,
    /// The application, of a token for one.
    app_id: Option<String>,
    /// Always `SvixJwt`.
    permission_source: &'static str,
    session_id: Option<String>,
}

/// 200.
pub(crate) async fn handle(caller: Caller, _ask: Ask) -> Result<Answer, Problem> {
    let token = caller.token();
    let (organisation, tenant) = match token.authority {
        Authority::Organisation(organisation) => (organisation, None),
        Authority::Tenant { organisation, tenant } => (organisation, Some(tenant)),
    };
    Answer::ok(&WhoamiOut {
        env_id: organisation.to_string(),
        app_id: tenant.map(|tenant| tenant.to_string()),
        permission_source: "SvixJwt",
        session_id: token.session.clone(),
    })
}
