//! An attempt, as it is shown.

use postern_domain::outcome::{self, Cause, WhoActs};
use postern_domain::time::Millis;
use postern_domain::wire::call::Page;
use postern_domain::wire::{AttemptStatus, AttemptView, DeliveryStatus, Trigger};
use postern_platform::fetch::USER_AGENT;
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
    /// `owner` (the endpoint's), `receiver_network`, `operator` (Postern's) or `nobody`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    who_acts: Option<WhoActs>,
    /// What becomes of the delivery after this failure, as a sentence.
    next_step: Option<String>,
    /// Where a firewall stopped it: what to send to whoever runs that.
    text_for_receiver: Option<String>,
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
            who_acts: attempt.cause.map(Cause::who_acts),
            next_step: attempt.cause.map(|_| next_step(attempt)),
            text_for_receiver: (attempt.cause == Some(Cause::Firewall))
                .then(|| outcome::text_for_receiver(&attempt.url, USER_AGENT, attempt.header_names)),
            next_attempt: attempt.next_attempt.map(Millis::to_rfc3339),
        }
    }
}

/// What becomes of a delivery after an attempt that failed.
fn next_step(attempt: &AttemptView) -> String {
    match (attempt.next_attempt, attempt.delivery) {
        (Some(at), _) => format!("The next attempt is at {} or soon after.", at.to_rfc3339()),
        (None, Some(DeliveryStatus::Delivered)) => {
            "Another attempt arrived: nothing more is sent.".to_owned()
        }
        (None, Some(DeliveryStatus::Failed)) => {
            "It failed for good: nothing more is sent unless it is resent.".to_owned()
        }
        (None, Some(DeliveryStatus::Cancelled)) => {
            "The endpoint was disabled or deleted, which cancelled the delivery: nothing more is sent unless it is resent."
                .to_owned()
        }
        (None, _) => "A later attempt of this delivery says what comes next.".to_owned(),
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
