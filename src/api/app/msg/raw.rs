//! `GET /api/v1/app/{app_id}/msg/{msg_id}/raw`: the body as a text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_domain::problem::Problem;
use postern_domain::wire::call::MessageGet;
use serde::Serialize;

use super::{content, shape};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// A message's body.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageRawPayloadOut {
    payload: String,
    content_type: String,
    /// `utf8`, or `base64` for a body that is no UTF-8, or stands in the bucket.
    encoding: &'static str,
}

/// The bytes that are signed and sent.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let message = ask.param(1).to_owned();
    let (message, bodies) = access.object().call(MessageGet { message }, &[]).await?;
    shape::has_content(&message)?;
    if let Some(at) = &message.body_at {
        return content::as_text(&ask, &message.content_type, at).await;
    }
    let body = bodies.into_iter().next().unwrap_or_default();
    let (payload, encoding) = match String::from_utf8(body) {
        Ok(text) => (text, "utf8"),
        Err(error) => (STANDARD.encode(error.as_bytes()), "base64"),
    };
    Answer::ok(&MessageRawPayloadOut {
        payload,
        content_type: message.content_type,
        encoding,
    })
}
