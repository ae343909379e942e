//! A message, as it is shown.

use postern_domain::problem::Problem;
use postern_domain::wire::MessageView;
use serde::Serialize;
use serde_json::value::RawValue;

use super::payload;

/// Svix's fields, and where it came from.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut {
    id: String,
    event_type: String,
    event_id: Option<String>,
    channels: Option<Vec<String>>,
    /// The JSON object as it came; of any other body `{contentType, text}` or `{contentType, base64}`.
    #[cfg_attr(
        test,
        schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")
    )]
    payload: Box<RawValue>,
    timestamp: String,
    /// The source that it came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    /// Why it went to no endpoint at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<String>,
}

impl MessageOut {
    /// With its body, or without.
    pub(crate) fn new(message: MessageView, body: Option<Vec<u8>>) -> Result<Self, Problem> {
        Ok(Self {
            id: message.id.to_string(),
            event_type: message.event_type,
            event_id: message.event_id,
            channels: message.channels,
            payload: match body {
                Some(body) => payload::shown(&message.content_type, body)?,
                None => payload::hidden()?,
            },
            timestamp: message.timestamp.to_rfc3339(),
            source_id: message.source.map(|source| source.to_string()),
            not_sent: message.not_sent,
        })
    }
}
