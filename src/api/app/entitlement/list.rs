//! `GET /api/v1/app/{app_id}/entitlement`: customers with what they may use now.

use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementList;

use super::shape::EntitlementOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// A page, by the providers' ids. It may be short, or empty, and not done.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = EntitlementList {
        page: query.page(),
        active: query.maybe_flag("active"),
        plan: query.text("plan"),
    };
    query.finish()?;
    let (customers, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(customers, EntitlementOut::new))
}
