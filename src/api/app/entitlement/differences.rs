//! `GET /api/v1/app/{app_id}/entitlement-backfill/{task_id}/difference`: what a dry run found otherwise than the table says.

use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementDifferences;

use super::shape::DifferenceOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// A page of them, while the task runs of what it has seen by then. It may be short, or empty, and not done.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let page_of = query.page();
    query.finish()?;
    let call = EntitlementDifferences {
        id: ask.param(1).parse().map_err(|_| Problem::not_found())?,
        page: page_of,
    };
    let (differences, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(differences, DifferenceOut::new))
}
