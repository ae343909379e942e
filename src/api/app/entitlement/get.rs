//! `GET /api/v1/app/{app_id}/entitlement/{customer}`: what a customer may use now.

use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementGet;

use super::shape::EntitlementOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 for every customer: one whom no provider told of has no plan.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = EntitlementGet {
        customer: ask.param(1).to_owned(),
    };
    let (judged, _) = access.object().call(call, &[]).await?;
    Answer::ok(&EntitlementOut::new(judged))
}
