//! `GET /api/v1/app/{app_id}/source/{source_id}/captured-secret`: the secret that a handshake brought.

use postern_domain::problem::Problem;
use postern_domain::wire::inbound::SourceCaptured;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The secret, for its owner to confirm at the provider.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CapturedSecretOut {
    secret: String,
}

/// 200 until something was verified with it; 404 before a handshake and after that.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let call = SourceCaptured {
        source: ask.param(1).to_owned(),
    };
    let (secret, _) = access.object().call(call, &[]).await?;
    Ok(Answer::ok(&CapturedSecretOut { secret: secret.key })?.with("cache-control", "no-store"))
}
