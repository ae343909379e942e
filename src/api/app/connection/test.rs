//! `POST /api/v1/app/{app_id}/connection/{connection_id}/test`: asks the provider whether the token or key is good, now.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::ConnectionTest;

use super::shape::ConnectionTestOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200, also where the provider says no: `ok` says it.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let object = super::object(&access, &ask).await?;
    Answer::ok(&ConnectionTestOut::new(object.call(ConnectionTest {}).await?))
}
