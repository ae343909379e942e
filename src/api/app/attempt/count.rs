//! `GET /api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}/count`.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::{AttemptCount, Counted};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// How many there are.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CountOut {
    count: u64,
    /// Reckoned, as there are too many to look at each.
    approximated: bool,
}

/// How many attempts at an endpoint a filter leaves.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = AttemptCount {
        endpoint: ask.param(1).to_owned(),
        filter: query.attempts(),
    };
    query.finish()?;
    let (Counted { count, approximated }, _) = access.object().call(call, &[]).await?;
    Answer::ok(&CountOut { count, approximated })
}
