//! `POST /api/v1/app/{app_id}/connection/{connection_id}/reset`: forgets every secret, and begins anew under the same id.

use postern_domain::problem::Problem;
use postern_domain::wire::connection::Reset;

use super::shape::ConnectionOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let object = super::object(&access, &ask).await?;
    Answer::ok(&ConnectionOut::new(object.call(Reset {}).await?))
}
