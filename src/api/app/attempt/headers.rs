//! `GET /api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/headers`: what was sent and answered. Of credentials only
//! the names are kept.

use std::collections::BTreeMap;

use postern_domain::problem::Problem;
use postern_domain::wire::signing::AttemptHeaders;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// Svix's fields.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptHeadersOut {
    /// Up to 2 KiB.
    sent_headers: BTreeMap<String, String>,
    /// Up to 2 KiB, without cookies; null: no answer came.
    response_headers: Option<Vec<(String, String)>>,
    /// Names of headers that were sent and are not shown.
    sensitive: Vec<String>,
}

/// 200.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = AttemptHeaders {
        message: ask.param(1).to_owned(),
        attempt: ask.param(2).to_owned(),
    };
    let (found, _) = access.object().call(call, &[]).await?;
    let mut out = MessageAttemptHeadersOut {
        sent_headers: BTreeMap::new(),
        response_headers: found.response,
        sensitive: Vec::new(),
    };
    for (name, value) in found.sent {
        match value {
            Some(value) => {
                out.sent_headers.insert(name, value);
            }
            None => out.sensitive.push(name),
        }
    }
    Answer::ok(&out)
}
