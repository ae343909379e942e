//! A message, as it is shown.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::MessageView;
use postern_domain::wire::publish::SkipReason;
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
    /// Of one that came through an app-level source of the organisation: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_name: Option<String>,
    /// Its preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The routing key that the application claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_key: Option<String>,
    /// Why it went to no endpoint at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_sent: Option<String>,
    /// Its deliveries leave then.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    /// The publisher's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    /// The endpoints that it did not go to, where one message is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<Vec<SkippedOut>>,
    /// How many more those are than `skipped` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_more: Option<u32>,
    /// Its body was taken away: `payload` is `{"expired":true}`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    expunged: bool,
    /// The message that it repeats, of a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<String>,
    /// The message that had the same signature under another id: somebody may have sent that again.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<String>,
    /// It is one of several events of a request, whose bytes are at `…/msg/{id}/request`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    part_of_request: bool,
    /// How often its provider sent it again, where one message is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u32>,
}

/// An endpoint that a message did not go to.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkippedOut {
    endpoint_id: String,
    /// `hop`, `disabled`, `type`, `channel` or `filter`.
    #[cfg_attr(test, schemars(with = "String"))]
    reason: SkipReason,
    /// The same as a sentence.
    text: &'static str,
}

/// For operations that answer a body and nothing else.
///
/// # Errors
/// 404 for a message whose body was taken away.
pub(super) fn has_content(message: &MessageView) -> Result<(), Problem> {
    if message.expunged {
        return Err(Problem::new(Code::NotFound, "The message's content was expunged"));
    }
    Ok(())
}

impl MessageOut {
    /// With its body, or without.
    pub(crate) fn new(message: MessageView, body: Option<Vec<u8>>) -> Result<Self, Problem> {
        let (source_name, provider, routing_key) = message.app_level.map_or((None, None, None), |routed| {
            (Some(routed.name), Some(routed.provider), routed.key)
        });
        Ok(Self {
            source_name,
            provider,
            routing_key,
            id: message.id.to_string(),
            event_type: message.event_type,
            event_id: message.event_id,
            channels: message.channels,
            payload: match body {
                Some(_) if message.expunged => payload::expired()?,
                Some(body) => match &message.body_at {
                    Some(at) => payload::elsewhere(message.id, &message.content_type, at)?,
                    None => payload::shown(&message.content_type, body)?,
                },
                None => payload::hidden()?,
            },
            timestamp: message.timestamp.to_rfc3339(),
            source_id: message.source.map(|source| source.to_string()),
            not_sent: message.not_sent,
            deliver_at: message.deliver_at.map(Millis::to_rfc3339),
            tags: message.tags,
            expunged: message.expunged,
            replay_of: message.replay_of.map(|id| id.to_string()),
            same_as: message.same_as.map(|id| id.to_string()),
            part_of_request: message.in_batch,
            duplicates: Some(message.duplicates).filter(|count| *count > 0),
            skipped: None,
            skipped_more: None,
        })
    }

    /// The same, and which endpoints it did not go to.
    pub(super) fn whole(mut message: MessageView, body: Option<Vec<u8>>) -> Result<Self, Problem> {
        let skipped = std::mem::take(&mut message.skipped).into_iter();
        let skipped = skipped.map(|skipped| SkippedOut {
            endpoint_id: skipped.endpoint.to_string(),
            reason: skipped.reason,
            text: skipped.reason.sentence(),
        });
        let more = Some(message.skipped_more).filter(|more| *more > 0);
        Ok(Self {
            skipped: Some(skipped.collect()),
            skipped_more: more,
            ..Self::new(message, body)?
        })
    }
}
