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
    /// `whsec_` or `whsk_` and base64; null: a random one. At creation only.
    secret: Option<String>,
    /// `v1` (HMAC-SHA256), `v1a` (Ed25519) or both; null: as it is, of a new one that of its secret.
    signatures: Option<Vec<String>>,
    /// A signature of an older kind beside them; null: none; left out: as it is.
    legacy_signature: Option<LegacySignatureIn>,
}

/// One header with an HMAC, as the endpoint's receiver checks it today.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LegacySignatureIn {
    /// Such as `X-Webhook-Signature`: none that the sender sets.
    header: String,
    /// `hmac-sha256` (if nothing is said), `hmac-sha1` or `hmac-sha512`.
    algorithm: Option<String>,
    /// `hex` (if nothing is said), `base64` or `base64url`.
    encoding: Option<String>,
    /// What stands in front of the code, such as `sha256=`.
    prefix: Option<String>,
    /// What is signed: `{body}`, with `{id}` and `{timestamp}` if wanted.
    template: Option<String>,
    /// What the header says: `{signature}`, with `{id}` and `{timestamp}` if wanted.
    value: Option<String>,
    /// 8 to 256 characters, whose bytes are the key. Never shown again; null: the one that is there.
    secret: Option<String>,
}

/// A new signing key.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSecretRotateIn {
    /// `whsec_` or `whsk_` and base64; null: a random one of each kind that the endpoint has.
    key: Option<String>,
    /// How long the key before signs beside it: 0 to 604800; null: a day. 0 ends all old keys at once.
    grace_period_seconds: Option<u32>,
}

/// Replaces an endpoint's own headers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointHeadersIn {
    headers: BTreeMap<String, String>,
}

/// Changes the given ones.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointHeadersPatchIn {
    /// Null takes one away.
    headers: BTreeMap<String, Option<String>>,
    /// Names of those to take away.
    delete_headers: Option<Vec<String>>,
}

/// An endpoint's own headers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointHeadersOut {
    headers: BTreeMap<String, String>,
    /// Names of those that are set and are not shown.
    sensitive: Vec<String>,
}

/// A JSON Web Key Set.
#[derive(Serialize, JsonSchema)]
pub(super) struct KeySetOut {
    keys: Vec<JsonWebKey>,
}

/// A public key of Ed25519.
#[derive(Serialize, JsonSchema)]
pub(super) struct JsonWebKey {
    /// `OKP`.
    kty: String,
    /// `Ed25519`.
    crv: String,
    /// `EdDSA`.
    alg: String,
    /// `sig`.
    r#use: String,
    /// The endpoint's id, a dot, and which of its keys.
    kid: String,
    /// The key's bytes, in base64 for URLs.
    x: String,
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
    /// A kind that is not named ends at once.
    signatures: Option<Vec<String>>,
    legacy_signature: Option<LegacySignatureIn>,
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

/// The key that receivers check signatures with.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSecretOut {
    /// `whsec_` and base64; of an endpoint that signs with `v1a` only the public `whpk_` and base64.
    key: String,
    /// `whpk_` and base64, of an endpoint that signs with `v1a`.
    public_key: Option<String>,
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
