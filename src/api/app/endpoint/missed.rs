//! `GET /api/v1/app/{app_id}/endpoint/{endpoint_id}/missed`: what it did not get because it was off, and how to send it.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::replay::Missed;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::job::CountOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let endpoint = ask.param(1).to_owned();
    let path = format!("/api/v1/app/{}/endpoint/{endpoint}/replay-missing", access.tenant);
    let (missed, _) = access.object().call(Missed { endpoint }, &[]).await?;
    let replay = missed.oldest.map(|oldest| {
        let since = oldest.to_rfc3339();
        // Its last millisecond counts, too.
        let until = missed.until.map(|until| until.plus(1).to_rfc3339());
        json!({ "method": "POST", "path": path, "body": { "since": since, "until": until } })
    });
    Answer::ok(&MissedOut {
        since: missed.since.map(Millis::to_rfc3339),
        until: missed.until.map(Millis::to_rfc3339),
        counted: CountOut::new(&missed.counted),
        replay,
    })
}

/// What an endpoint missed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MissedOut {
    /// When it was last turned off; null: never.
    since: Option<String>,
    /// When it was turned on again.
    until: Option<String>,
    #[serde(flatten)]
    counted: CountOut,
    /// The request to make; null: there is nothing to send.
    #[cfg_attr(test, schemars(with = "Option<std::collections::BTreeMap<String, Value>>"))]
    replay: Option<Value>,
}
