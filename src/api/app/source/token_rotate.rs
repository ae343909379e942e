//! `POST /api/v1/app/{app_id}/source/{source_id}/token/rotate`: a new address beside the old one, which ends later.

use postern_domain::problem::Problem;
use postern_domain::wire::call::SourceRotateToken;

use super::{rotate, shape};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// 200 with the source.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let overlap_seconds = form.optional("overlapSeconds", field::seconds);
    form.finish(Some(()))?;
    let call = SourceRotateToken {
        source: ask.param(1).to_owned(),
        overlap_seconds: overlap_seconds.unwrap_or(shape::OVERLAP_SECONDS),
    };
    rotate::rotate(&access, &ask, call).await
}
