//! `DELETE /api/v1/source/{source_id}`: its address answers 404 from then on, and its routes go.

use postern_domain::problem::Problem;

use crate::api::access::TenantAccess;
use crate::api::app::source;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::route;

/// 204. The source first: routes without one route nothing.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    let answer = source::delete::handle(access, ask).await?;
    route::release_all(&directory, place).await?;
    Ok(answer)
}
