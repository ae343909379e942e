//! `GET /api/v1/app/{app_id}/source/{source_id}/rejected`, and one of them: requests that were refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::Problem;
use postern_domain::wire::inbound::{RefusedGet, RefusedList, RefusedView};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// A request that was refused.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RejectedOut {
    /// Its number in the source.
    id: String,
    timestamp: String,
    /// One word of a closed set: `mismatch`, `stale`, `missing_signature` …
    reason: String,
    /// What was seen and what was wanted.
    detail: String,
    method: String,
    query: String,
    /// As `[name, value]`; credentials are hidden.
    headers: Vec<(String, String)>,
    /// Bytes of the whole body.
    body_bytes: u32,
    /// Up to 4 KiB of it: `{text}` or `{base64}`.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    body: Value,
}

impl RejectedOut {
    fn new(view: RefusedView, body: Vec<u8>) -> Self {
        Self {
            id: view.number.to_string(),
            timestamp: view.time.to_rfc3339(),
            reason: view.reason,
            detail: view.detail,
            method: view.request.method,
            query: view.request.query,
            headers: view.request.headers,
            body_bytes: view.request.size,
            body: match String::from_utf8(body) {
                Ok(text) => json!({ "text": text }),
                Err(error) => json!({ "base64": STANDARD.encode(error.as_bytes()) }),
            },
        }
    }
}

/// A page of them, newest first: at most 100, and a week.
pub(crate) async fn list(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let page = query.page();
    query.finish()?;
    let call = RefusedList {
        source: ask.param(1).to_owned(),
        page,
    };
    let (page, bodies) = access.object().call(call, &[]).await?;
    let data: Vec<RejectedOut> = page
        .data
        .into_iter()
        .zip(bodies)
        .map(|(view, body)| RejectedOut::new(view, body))
        .collect();
    Answer::ok(&json!({
        "data": data, "iterator": page.iterator, "prevIterator": null, "done": page.done,
    }))
}

/// One of them.
pub(crate) async fn get(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = RefusedGet {
        source: ask.param(1).to_owned(),
        number: ask.param(2).parse().map_err(|_| Problem::not_found())?,
    };
    let (view, bodies) = access.object().call(call, &[]).await?;
    let body = bodies.into_iter().next().unwrap_or_default();
    Answer::ok(&RejectedOut::new(view, body))
}
