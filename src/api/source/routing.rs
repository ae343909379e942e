//! `/api/v1/source/{source_id}/routing`: how far a source's routing keys are believed.

use postern_domain::problem::Problem;
use postern_domain::wire::route::{RouteTrust, RouteTrustView};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// How a source's events are routed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoutingOut {
    /// Whether a key that the provider does not sign routes: whoever captured one request of the provider's can then put
    /// another tenant's key into it. `false` if nobody says.
    trust_unsigned_route: bool,
}

/// As it is.
pub(crate) async fn get(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    work(access, &ask, None).await
}

/// As it is from now on.
pub(crate) async fn put(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let unsigned = form.required("trustUnsignedRoute", field::flag);
    let unsigned = form.finish(unsigned)?;
    work(access, &ask, Some(unsigned)).await
}

async fn work(access: TenantAccess, ask: &Ask, unsigned: Option<bool>) -> Result<Answer, Problem> {
    let source = ask.param(1).to_owned();
    let call = RouteTrust { source, unsigned };
    let (RouteTrustView { unsigned }, _) = access.object().call(call, &[]).await?;
    Answer::ok(&RoutingOut {
        trust_unsigned_route: unsigned,
    })
}
