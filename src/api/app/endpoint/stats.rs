//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/stats`: deliveries by where they stand.

use postern_domain::problem::Problem;
use postern_domain::wire::reads::{DeliveryCounts, EndpointStats};
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Svix's words.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EndpointStatsOut {
    success: u64,
    pending: u64,
    sending: u64,
    fail: u64,
    canceled: u64,
}

/// Of messages between `since` and `until`, in whole hours.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = EndpointStats {
        endpoint: ask.param(1).to_owned(),
        since: query.time("since"),
        until: query.time("until"),
    };
    query.finish()?;
    let (counts, _) = access.object().call(call, &[]).await?;
    let DeliveryCounts {
        pending,
        waiting,
        delivered,
        failed,
        cancelled,
    } = counts;
    Answer::ok(&EndpointStatsOut {
        success: delivered,
        pending,
        sending: waiting,
        fail: failed,
        canceled: cancelled,
    })
}
