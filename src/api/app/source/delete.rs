//! `DELETE /api/v1/app/{app_id}/source/{source_id}`: its address answers 404 from then on.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceDelete;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let source = ask.param(1).to_owned();
    access.object().call(SourceDelete { source }, &[]).await?;
    Ok(Answer::empty())
}
