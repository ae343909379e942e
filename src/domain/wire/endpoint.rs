//! An endpoint as it travels and as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signing::LegacyView;
use crate::filter::Filter;
use crate::id::{ConnectionId, EndpointId, Uid};
use crate::schedule::Schedule;
use crate::signature::Version;
use crate::time::Millis;

/// Under which names the signature's headers are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderNames {
    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    #[default]
    Standard,
    /// `svix-id`, `svix-timestamp`, `svix-signature`.
    Svix,
    /// Both families, with the same values.
    Both,
}

/// In which order an endpoint gets its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ordering {
    /// A JSON pointer (RFC 6901) into the body: messages with the same value there keep their order. `null`: all do.
    #[serde(default)]
    pub key: Option<String>,
    /// What a delivery that failed for good does to those behind it.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// See [`Ordering::on_failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They wait until it arrives by hand, is cancelled, or its message is gone.
    #[default]
    Wait,
    /// They go on without it.
    Skip,
}

/// Messages that keep an order: from the one on that came after the endpoint was told to, up to the last before it was
/// told to stop. Written by the object alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedSpan {
    /// Sequence number of the first.
    pub from: u64,
    /// Of the last; none: it goes on.
    #[serde(default)]
    pub to: Option<u64>,
    /// See [`Ordering::key`].
    #[serde(default)]
    pub key: Option<String>,
}

impl OrderedSpan {
    /// Whether a message keeps its place.
    #[must_use]
    pub fn holds(&self, sequence: u64) -> bool {
        self.from <= sequence && self.to.is_none_or(|to| sequence <= to)
    }
}

/// When an endpoint that keeps failing is disabled. Both are looked at; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DisableAfter {
    /// After so many deliveries in a row that failed for good.
    pub failed: u32,
    /// After so many days without a success, if there were 10 attempts at least.
    pub days: u32,
}

impl Default for DisableAfter {
    fn default() -> Self {
        Self { failed: 10, days: 5 }
    }
}

/// Why nothing is sent to an endpoint, where Postern decided that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410: it does not want messages any more.
    Gone,
    /// Deliveries in a row failed for good.
    DeliveriesFailed,
    /// It answered nothing with success for days.
    NoSuccess,
}

impl DisabledReason {
    /// One sentence for the endpoint's owner.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Gone => {
                "The endpoint answered 410 Gone, which says that it wants no more messages. Enable it again when it does."
            }
            Self::DeliveriesFailed => {
                "Too many deliveries in a row failed for good. Repair the endpoint, enable it, and replay what it missed."
            }
            Self::NoSuccess => {
                "The endpoint took nothing for days. Repair it, enable it, and replay what it missed."
            }
        }
    }
}
/// How messages reach an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// They are sent to its URL.
    #[default]
    Webhook,
    /// Whoever wants them fetches them: nothing is ever handed out, and it has no deliveries.
    Polling,
}

/// What stands as the URL of an endpoint that is polled: Svix's clients want one there. No rule for addresses lets it
/// pass, so that a release which does not know the kind sends nothing to it.
pub const POLLED_URL: &str = "postern:poller";

/// What an endpoint's owner decides. Stored as JSON: a later release adds fields with defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointConfig {
    /// Judged by [`crate::address`], in the form that the judge wrote.
    pub url: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// The owner's own name for it, unique in the tenant.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Names and patterns of the event types that it wants; none: all.
    #[serde(default)]
    pub event_types: Option<Vec<String>>,
    /// Channels that it listens to; none: messages of every channel and of none.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// What must hold of a message's content; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Deliveries per second at the most.
    #[serde(default)]
    pub throttle_rate: Option<u16>,
    /// Nothing is sent while true.
    #[serde(default)]
    pub disabled: bool,
    /// The owner's own labels.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Headers that every request to it carries. May hold credentials: never listed, never logged.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Waits between tries, in seconds; none: the tenant's, else the default.
    #[serde(default)]
    pub retry_schedule: Option<Schedule>,
    /// Names of the signature's headers.
    #[serde(default)]
    pub header_names: HeaderNames,
    /// Strict order; none: each message goes when it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<Ordering>,
    /// When it is disabled for failing; none: the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_after: Option<DisableAfter>,
    /// Which messages keep the order. Written by the object alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<OrderedSpan>,
    /// Why Postern disabled it; none: it is on, or its owner did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<DisabledReason>,
    /// Whether it is sent to or polled. Never changes.
    #[serde(default)]
    pub kind: EndpointKind,
    /// The tenant's connection whose token its deliveries carry; none: they carry none. Whether it is the tenant's, and
    /// whether the URL is below its API, is looked at when it is saved and again before each send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<ConnectionId>,
}

/// An endpoint as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// Its address.
    pub id: EndpointId,
    /// What its owner decided.
    pub config: EndpointConfig,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
    /// Which kinds of signature it has.
    #[serde(default)]
    pub signatures: Vec<Version>,
    /// The signature of an older kind beside them.
    #[serde(default)]
    pub legacy: Option<LegacyView>,
}
