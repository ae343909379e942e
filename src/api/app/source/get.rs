//! `GET /api/v1/app/{app_id}/source/{source_id}`.

use postern_domain::problem::Problem;

use super::shape::{self, SourceOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One source.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let (source, _) = access.object().call(shape::named(ask.param(1)), &[]).await?;
    Answer::ok(&SourceOut::new(source, &ask.base_url()?))
}
