//! `GET /api/v1/app/{app_id}/stats/attempts`: attempts of an application by type.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::wire::reads::AttemptStats;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Of one type.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AppAttemptEventTypeStats {
    success: u64,
    failure: u64,
    /// Deliveries that were cancelled.
    canceled: u64,
}

/// Svix's fields.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct AppAttemptStatsOut {
    by_event_type: BTreeMap<String, AppAttemptEventTypeStats>,
    total_success: u64,
    total_failure: u64,
    total_canceled: u64,
    /// The beginning of the first hour that was counted.
    since: String,
    /// The end of the last.
    until: String,
}

/// Of attempts between `since` and `until`, in whole hours.
pub(crate) async fn attempts(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let (since, until) = (query.required_time("since"), query.required_time("until"));
    let event_types = query.messages().event_types;
    query.finish()?;
    let call = AttemptStats {
        since,
        until,
        event_types,
    };
    let (counted, _) = access.object().call(call, &[]).await?;
    let types = counted.types.values();
    let (mut success, mut failure, mut canceled) = (0, 0, 0);
    for counts in types {
        success += counts.succeeded;
        failure += counts.failed;
        canceled += counts.cancelled;
    }
    let shape = |(name, counts): (String, postern_domain::wire::reads::AttemptCounts)| {
        let counts = AppAttemptEventTypeStats {
            success: counts.succeeded,
            failure: counts.failed,
            canceled: counts.cancelled,
        };
        (name, counts)
    };
    Answer::ok(&AppAttemptStatsOut {
        since: counted.since.to_rfc3339(),
        until: counted.until.to_rfc3339(),
        by_event_type: counted.types.into_iter().map(shape).collect(),
        total_success: success,
        total_failure: failure,
        total_canceled: canceled,
    })
}
