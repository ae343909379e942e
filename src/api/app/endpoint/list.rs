//! `GET /api/v1/app/{app_id}/endpoint`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::EndpointList;

use super::shape::EndpointOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// A page of endpoints.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = EndpointList { page: query.page() };
    query.finish()?;
    let (endpoints, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(endpoints, EndpointOut::new))
}
