//! `PATCH …/oauth-app/{oauth_app_id}`: changes what is given.

use postern_domain::problem::Problem;

use super::draft::Manner;
use super::update;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    update::write(&access, &ask, Manner::Change).await
}
