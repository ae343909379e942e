//! What requests carry, as the API's document describes it. The readers in `field` are the law; these types say the same
//! to people and generators.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Makes or replaces an application.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationIn {
    /// 1 to 256 characters.
    name: String,
    /// The caller's own name for it: 1 to 256 of `A-Z a-z 0-9 - _ .`.
    uid: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    /// Deliveries per second, over all endpoints.
    throttle_rate: Option<u16>,
    /// Seconds between tries: 0 to 20 steps of 1 s to 7 days, 14 days in all.
    retry_schedule: Option<Vec<u32>>,
}

/// Changes what is given; null clears `uid`, `throttleRate` and `retrySchedule`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationPatch {
    name: Option<String>,
    uid: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    throttle_rate: Option<u16>,
    retry_schedule: Option<Vec<u32>>,
}

/// Makes or replaces an endpoint.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointIn {
    /// A public http or https address.
    url: String,
    description: Option<String>,
    uid: Option<String>,
    /// Names and patterns (`*`, `invoice.*`); null: all. Also read as `filterTypes`.
    event_types: Option<Vec<String>>,
    /// Up to 10; null: messages of every channel and of none.
    channels: Option<Vec<String>>,
    /// Deliveries per second. Also read as `rateLimit`.
    throttle_rate: Option<u16>,
    disabled: Option<bool>,
    metadata: Option<BTreeMap<String, String>>,
    /// Headers of every request to it. May hold credentials: never shown again.
    headers: Option<BTreeMap<String, String>>,
    /// Seconds between tries; null: the application's, else the default.
    retry_schedule: Option<Vec<u32>>,
    /// `standard`, `svix` or `both`.
    header_names: Option<String>,
    /// `whsec_` and base64; null: a random one. At creation only.
    secret: Option<String>,
}

/// Changes what is given; null clears what may be cleared.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointPatch {
    url: Option<String>,
    description: Option<String>,
    uid: Option<String>,
    event_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    throttle_rate: Option<u16>,
    disabled: Option<bool>,
    metadata: Option<BTreeMap<String, String>>,
    retry_schedule: Option<Vec<u32>>,
    header_names: Option<String>,
}

/// Publishes an event.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageIn {
    /// 1 to 256 of `A-Z a-z 0-9 - _ . / :`.
    event_type: String,
    /// Sent byte for byte as it comes, up to 1 MiB.
    payload: BTreeMap<String, Value>,
    /// The publisher's own id of the event, unique in the application.
    event_id: Option<String>,
    /// Up to 5.
    channels: Option<Vec<String>>,
    /// Made on the way if the path's `uid` names none yet.
    application: Option<ApplicationIn>,
    transformations_params: Option<TransformationsParams>,
}

/// A body that is no JSON object.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransformationsParams {
    /// Sent in place of `payload`.
    raw_payload: Option<String>,
    /// `content-type` is read.
    headers: Option<BTreeMap<String, String>>,
}

/// Makes a source.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceIn {
    /// 1 to 256 characters.
    name: String,
    /// The preset.
    provider: String,
    uid: Option<String>,
    /// The preset's settings.
    config: Option<BTreeMap<String, Value>>,
    /// Up to four that hold at the same time; sealed, and never shown again.
    secrets: Vec<String>,
}

/// Replaces name, `uid` and settings of a source.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceUpdate {
    name: String,
    /// The preset that it has: it never changes.
    provider: String,
    uid: Option<String>,
    config: Option<BTreeMap<String, Value>>,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourcePatch {
    name: Option<String>,
    uid: Option<String>,
    /// Replaced whole.
    config: Option<BTreeMap<String, Value>>,
}

/// A new secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretRotateIn {
    secret: String,
    /// The others end then: 0 to 604800, a day if nobody says.
    overlap_seconds: Option<u32>,
}

/// A new address.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenRotateIn {
    /// The old one ends then: 0 to 604800, a day if nobody says.
    overlap_seconds: Option<u32>,
}

/// Makes an event type.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeIn {
    /// 1 to 256 of `A-Z a-z 0-9 - _ . / :`.
    name: String,
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    /// JSON schemas, by version.
    schemas: Option<BTreeMap<String, Value>>,
    feature_flag: Option<String>,
}

/// Replaces an event type.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeUpdate {
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<BTreeMap<String, Value>>,
    feature_flag: Option<String>,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypePatch {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<BTreeMap<String, Value>>,
    feature_flag: Option<String>,
}

/// Once more what failed for good.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RecoverIn {
    /// At most 14 days ago.
    since: String,
    until: Option<String>,
    /// Tries per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}

/// What an endpoint never got.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayMissingIn {
    since: String,
    until: Option<String>,
    /// Tries per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}

/// What filters choose of what one endpoint was owed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkReplayIn {
    since: String,
    until: Option<String>,
    event_types: Option<Vec<String>>,
    channel: Option<String>,
    /// 0 success, 1 pending, 2 fail (cancelled, too), 3 sending; none: whatever is settled.
    status: Option<u8>,
    /// Of the latest attempt: 0 (no answer), 100 … 500.
    status_code_class: Option<u16>,
    /// Tries per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}

/// A bulk replay over several endpoints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayIn {
    /// Up to 250 ids or uids; none: all that are on.
    endpoints: Option<Vec<String>>,
    since: String,
    until: Option<String>,
    event_types: Option<Vec<String>>,
    channel: Option<String>,
    /// `failed`, `cancelled`, `delivered` or `any`; may be left out with `missing`.
    status: Option<String>,
    /// Of the latest attempt: 0 (no answer), 100 … 500.
    status_code_class: Option<u16>,
    /// Also what matches an endpoint now and it never got.
    missing: Option<bool>,
    /// Tries per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}

/// Of what failed for good one, a selection, or all.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedriveIn {
    /// Up to 250 messages (ids or event ids); none: all.
    ids: Option<Vec<String>>,
    since: Option<String>,
    until: Option<String>,
    /// Tries per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}

/// Cancels what is owed of old messages.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CancelMsgsIn {
    created_before: String,
}

/// An example of an event type.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventExampleIn {
    event_type: String,
    /// Which of the schema's examples; the first if nobody says.
    example_index: Option<u32>,
}

/// Nothing.
#[derive(Serialize, JsonSchema)]
pub(super) struct EmptyResponse {}

/// The key that receivers check signatures with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSecretOut {
    /// `whsec_` and base64.
    key: String,
}

/// An error.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorOut {
    /// One word of a closed set.
    code: String,
    /// A sentence; of a validation a list of `{loc, msg, type}`.
    detail: Value,
}
