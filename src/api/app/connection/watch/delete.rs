//! `DELETE /api/v1/app/{app_id}/connection/{connection_id}/watch/{watch_id}`: nothing of it is told any more.

use postern_domain::problem::Problem;
use postern_domain::wire::watch::WatchDelete;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 204. What stands at the provider is ended behind the answer; until then the list shows it as `stopping`.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let number = super::named(&ask)?;
    let object = super::super::object(&access, &ask).await?;
    object.call(WatchDelete { number }).await?;
    Ok(Answer::empty())
}
