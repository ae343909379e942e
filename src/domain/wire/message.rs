//! Messages, deliveries and attempts as the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::endpoint::HeaderNames;
use super::inbound::BodyAt;
use super::publish::Skipped;
use crate::app_level;
use crate::id::{AttemptId, EndpointId, MessageId, SourceId};
use crate::outcome::Cause;
use crate::time::Millis;

/// A message, without its body: that travels beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// Its address.
    pub id: MessageId,
    /// The event's type.
    pub event_type: String,
    /// The publisher's or the provider's own id of the event.
    #[serde(default)]
    pub event_id: Option<String>,
    /// Channels that it was published to.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// When it was accepted.
    pub timestamp: Millis,
    /// Of the body.
    pub content_type: String,
    /// The source that it came through; none: published through the API.
    #[serde(default)]
    pub source: Option<SourceId>,
    /// Of one that came through an app-level source: what is known of that. The tenant cannot look it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_level: Option<AppLevel>,
    /// Why it went to no endpoint at all, if it did not.
    #[serde(default)]
    pub not_sent: Option<String>,
    /// Endpoints that it did not go to; not in lists.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// How many more there are than [`Self::skipped`] names.
    #[serde(default)]
    pub skipped_more: u32,
    /// Its deliveries leave then, and not when it was accepted.
    #[serde(default)]
    pub deliver_at: Option<Millis>,
    /// The publisher's labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Its body was taken away.
    #[serde(default)]
    pub expunged: bool,
    /// Its body stands there, and not in the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_at: Option<BodyAt>,
    /// The message that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<MessageId>,
    /// The message with which it shares a signature under another id: somebody may have sent that again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<MessageId>,
    /// It is one of several events of a request, which [`super::request::MessageRequest`] has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_batch: bool,
    /// How often its provider sent it again; not in lists.
    #[serde(default)]
    pub duplicates: u32,
}

/// What a routed message says of the app-level source that it came through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppLevel {
    /// Its id.
    pub source: SourceId,
    /// Its name, as it was then.
    pub name: String,
    /// Its preset.
    pub provider: String,
    /// The routing key by which the event came here.
    #[serde(default)]
    pub key: Option<String>,
}

impl AppLevel {
    /// Out of a message's kept headers.
    #[must_use]
    pub fn of(headers: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            source: headers.get(app_level::SOURCE)?.parse().ok()?,
            name: headers.get(app_level::SOURCE_NAME).cloned().unwrap_or_default(),
            provider: headers.get(app_level::PROVIDER).cloned().unwrap_or_default(),
            key: [app_level::ROUTE, app_level::UNSIGNED_ROUTE]
                .iter()
                .find_map(|name| headers.get(*name))
                .cloned(),
        })
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Nothing was tried yet. Svix: Pending (1).
    Pending,
    /// Tried, and waiting for the next try. Svix: Sending (3).
    Waiting,
    /// A try was answered with 2xx. Svix: Success (0).
    Delivered,
    /// The plan is used up. Svix: Fail (2).
    Failed,
    /// The endpoint was disabled or deleted first. Svix: Fail (2).
    Cancelled,
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// 2xx. Svix: 0.
    Success,
    /// Anything else. Svix: 2.
    Failure,
}

/// Who asked for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The plan. Svix: 0.
    #[default]
    Scheduled,
    /// A person or a program, by hand. Svix: 1.
    Manual,
}

/// One HTTP request that was made for a delivery. The response's body travels beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// Its address.
    pub id: AttemptId,
    /// Where to.
    pub endpoint: EndpointId,
    /// What.
    pub message: MessageId,
    /// The URL that was called, without the values of its query.
    pub url: String,
    /// How it ended.
    pub status: AttemptStatus,
    /// The answer's status; none: no answer came.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// Why it failed.
    #[serde(flatten, with = "crate::outcome::on_the_wire")]
    pub cause: Option<Cause>,
    /// From opening the connection to the end of the body.
    pub duration_ms: u32,
    /// Who asked for it.
    pub trigger: Trigger,
    /// When the request was begun.
    pub timestamp: Millis,
    /// When the delivery is tried next, if this was its latest attempt and it waits.
    #[serde(default)]
    pub next_attempt: Option<Millis>,
    /// The message's type, for filters.
    #[serde(default)]
    pub event_type: Option<String>,
    /// Where its delivery stands.
    #[serde(default)]
    pub delivery: Option<DeliveryStatus>,
    /// Names of the signature's headers, as the endpoint has them now.
    #[serde(default)]
    pub header_names: HeaderNames,
}
