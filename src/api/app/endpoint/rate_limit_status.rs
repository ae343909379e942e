//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/rate-limit-status`.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::reads::RateLimitStatus;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Whether a rate holds anything back.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointThrottleRateStatusOut {
    /// `Ok` or `RateLimited`.
    status: &'static str,
    /// The time of the oldest message that is held back.
    throttled_since: Option<String>,
}

/// Whether the endpoint's rate, or its tenant's, holds anything back now.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let (limited, _) = access.object().call(RateLimitStatus { endpoint }, &[]).await?;
    Answer::ok(&EndpointThrottleRateStatusOut {
        status: if limited.since.is_some() {
            "RateLimited"
        } else {
            "Ok"
        },
        throttled_since: limited.since.map(Millis::to_rfc3339),
    })
}
