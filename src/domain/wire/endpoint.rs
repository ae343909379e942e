//! An endpoint as it travels and as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signing::LegacyView;
use crate::id::{EndpointId, Uid};
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
