//! An attempt, as it is shown.

use postern_domain::outcome::Cause;
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::{AttemptStatus, AttemptView, Trigger};
use serde::Serialize;

/// Svix's fields, and why it failed.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageAttemptOut {
    id: String,
    endpoint_id: String,
    msg_id: String,
    url: String,
    /// 0 success, 2 fail.
    status: u8,
    status_text: &'static str,
    /// 0: no answer came.
    response_status_code: u16,
    /// The answer's body, or as much of it as is kept.
    response: String,
    response_duration_ms: u32,
    /// 0 scheduled, 1 manual.
    trigger_type: u8,
    timestamp: String,
    /// Why it failed: one word of a closed set.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    cause: Option<Cause>,
    /// The same as a sentence: what happened, and who must act.
    cause_text: Option<&'static str>,
    /// When the delivery is tried next.
    next_attempt: Option<String>,
}

impl MessageAttemptOut {
    /// Of what the object says, with as much of the response as is shown.
    pub(crate) fn new(attempt: &AttemptView, response: &[u8]) -> Self {
        let (status, status_text) = match attempt.status {
            AttemptStatus::Success => (0, "success"),
            AttemptStatus::Failure => (2, "fail"),
        };
        Self {
            id: attempt.id.to_string(),
            endpoint_id: attempt.endpoint.to_string(),
            msg_id: attempt.message.to_string(),
            url: attempt.url.clone(),
            status,
            status_text,
            response_status_code: attempt.response_status.unwrap_or_default(),
            response: String::from_utf8_lossy(response).into_owned(),
            response_duration_ms: attempt.duration_ms,
            trigger_type: match attempt.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            timestamp: attempt.timestamp.to_rfc3339(),
            cause: attempt.cause,
            cause_text: attempt.cause.map(Cause::sentence),
            next_attempt: attempt.next_attempt.map(Millis::to_rfc3339),
        }
    }
}

/// A page, with the responses' bodies or without.
pub(super) fn page(
    page: Page<AttemptView>,
    responses: Vec<Vec<u8>>,
    with_content: bool,
) -> Page<MessageAttemptOut> {
    let mut responses = responses.into_iter();
    crate::api::reply::page(page, |attempt| {
        let response = responses.next().filter(|_| with_content).unwrap_or_default();
        MessageAttemptOut::new(&attempt, &response)
    })
}
