//! `GET /api/v1/app/{app_id}/entitlement/{customer}/object`: the providers' own objects, as they were last seen.

use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementObjects;

use super::shape::ObjectOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// A page of them.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = EntitlementObjects {
        customer: ask.param(1).to_owned(),
        page: query.page(),
    };
    query.finish()?;
    let (objects, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(objects, ObjectOut::new))
}
