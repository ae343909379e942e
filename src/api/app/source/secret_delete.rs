//! `DELETE /api/v1/app/{app_id}/source/{source_id}/secret/{secret_id}`: takes one secret away.

use postern_domain::problem::Problem;
use postern_domain::wire::inbound::SourceSecretRemove;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204. An isolate may believe it for 30 s longer.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = SourceSecretRemove {
        source: ask.param(1).to_owned(),
        secret: ask.param(2).parse().map_err(|_| Problem::not_found())?,
    };
    access.object().call(call, &[]).await?;
    Ok(Answer::empty())
}
