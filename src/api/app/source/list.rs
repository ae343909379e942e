//! `GET /api/v1/app/{app_id}/source`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceList;

use super::shape::SourceOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// A page of sources.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = SourceList { page: query.page() };
    query.finish()?;
    let base_url = ask.base_url()?;
    let (sources, _) = access.object().call(call, &[]).await?;
    Answer::ok(&page(sources, |source| SourceOut::new(source, &base_url)))
}
