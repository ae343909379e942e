//! `GET /api/v1/app/{app_id}/entitlement-config`.

use postern_domain::problem::Problem;
use postern_domain::wire::entitlement::EntitlementConfigGet;

use super::shape::ConfigOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The rules; those of a tenant that never set any are off.
pub(crate) async fn handle(access: TenantAccess, _ask: Ask) -> Result<Answer, Problem> {
    let (view, _) = access.object().call(EntitlementConfigGet {}, &[]).await?;
    Answer::ok(&ConfigOut::new(view))
}
