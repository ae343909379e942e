//! `GET /api/v1/app/{app_id}/source/{source_id}/stats`: how a source is doing.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::inbound::{SourceStats, SourceStatsView};
use serde::Serialize;

use super::options::state_of;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// How a source is doing. Times of what came may lag by an hour.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceStatsOut {
    state: &'static str,
    /// When something genuine came last.
    last_success_at: Option<String>,
    /// When something was refused last, and why.
    last_failure_at: Option<String>,
    last_failure_reason: Option<String>,
    /// The secret that matched last, by its id.
    secret_in_use: Option<String>,
    /// Webhooks that were there already.
    duplicates: u64,
    /// Of these, those with another body than the first.
    changed_duplicates: u64,
    /// Webhooks that the provider itself called a retry.
    retries: u64,
    /// How long it is usually silent at the longest, once three days were seen.
    usual_gap_seconds: Option<u64>,
    /// When its silence is told, if nothing comes until then.
    silent_at: Option<String>,
    /// What was refused within the last day.
    rejected: Vec<RejectedCountOut>,
}

/// What was refused in one hour for one reason. `disabled`: what came while the source was disabled.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct RejectedCountOut {
    hour: String,
    reason: String,
    count: u64,
}

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = SourceStats {
        source: ask.param(1).to_owned(),
    };
    let (view, _) = access.object().call(call, &[]).await?;
    Answer::ok(&SourceStatsOut::new(view))
}

impl SourceStatsOut {
    fn new(view: SourceStatsView) -> Self {
        let seen = view.seen;
        let rejected = view.refused.into_iter().map(|refused| RejectedCountOut {
            hour: refused.hour.to_rfc3339(),
            reason: refused.reason,
            count: refused.count,
        });
        Self {
            state: state_of(&view.source),
            last_success_at: seen.last_success.map(Millis::to_rfc3339),
            last_failure_at: seen.last_failure.map(Millis::to_rfc3339),
            last_failure_reason: seen.last_failure_reason,
            secret_in_use: seen.secret.map(|secret| secret.to_string()),
            duplicates: seen.duplicates,
            changed_duplicates: seen.changed,
            retries: seen.retries,
            usual_gap_seconds: view.usual_gap.map(|gap| gap / Millis::SECOND),
            silent_at: view.silent_at.map(Millis::to_rfc3339),
            rejected: rejected.collect(),
        }
    }
}
