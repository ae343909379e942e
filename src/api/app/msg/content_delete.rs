//! `DELETE /api/v1/app/{app_id}/msg/{msg_id}/content`: takes the body away; what is not delivered yet is cancelled.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::MessageExpunge;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204; again, too.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let messages = vec![ask.param(1).to_owned()];
    let (expunged, _) = access.object().call(MessageExpunge { messages }, &[]).await?;
    if expunged.found == [true] {
        Ok(Answer::empty())
    } else {
        Err(Problem::not_found())
    }
}
