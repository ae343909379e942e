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
    /// How long messages are kept: 1 to 90 days; null: as the deployment says.
    retention_days: Option<u16>,
}

/// Changes what is given; null clears `uid`, `throttleRate`, `retrySchedule` and `retentionDays`. `metadata` is replaced
/// whole.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationPatch {
    name: Option<String>,
    uid: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    throttle_rate: Option<u16>,
    retry_schedule: Option<Vec<u32>>,
    retention_days: Option<u16>,
}

/// Makes or replaces an endpoint.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointIn {
    /// `webhook` (messages are sent to it) or `polling` (they are fetched); the first if nobody says. Never changes.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// A public http or https address. One that is polled has none; `postern:poller` says the same as its type.
    url: Option<String>,
    description: Option<String>,
    uid: Option<String>,
    /// Names and patterns (`*`, `invoice.*`); null: all. Also read as `filterTypes`.
    event_types: Option<Vec<String>>,
    /// Up to 10; null: messages of every channel and of none.
    channels: Option<Vec<String>>,
    /// What must hold of a message's headers and body: see `docs/publishing.md`. Null: nothing.
    filter: Option<BTreeMap<String, Value>>,
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
    /// `{key: null | "/json/pointer", onFailure: "wait" | "skip"}`: strict order; null: none.
    ordering: Option<BTreeMap<String, Value>>,
    /// `{failed: 10, days: 5}`: when it is disabled for failing; 0 is never.
    disable_after: Option<BTreeMap<String, u32>>,
    /// Id or `uid` of a connection of the application: deliveries carry its token. The URL must be below its API. Null: none.
    connection_id: Option<String>,
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
    filter: Option<BTreeMap<String, Value>>,
    throttle_rate: Option<u16>,
    disabled: Option<bool>,
    metadata: Option<BTreeMap<String, String>>,
    retry_schedule: Option<Vec<u32>>,
    header_names: Option<String>,
    /// `{key: null | "/json/pointer", onFailure: "wait" | "skip"}`: strict order; null: none.
    ordering: Option<BTreeMap<String, Value>>,
    /// `{failed: 10, days: 5}`: when it is disabled for failing; 0 is never.
    disable_after: Option<BTreeMap<String, u32>>,
    /// Id or `uid` of a connection: deliveries carry its token, and the URL must be below its API. Null takes it away.
    connection_id: Option<String>,
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
    /// The publisher's labels, up to 5 of `A-Z a-z 0-9 - _ . / \ #`.
    tags: Option<Vec<String>>,
    /// Its deliveries leave then, up to 30 days ahead; a time that is past means at once.
    deliver_at: Option<String>,
    /// Made on the way if the path's `uid` names none yet.
    application: Option<ApplicationIn>,
    /// Days that the payload is kept, 5 to 90.
    payload_retention_period: Option<u16>,
    /// The same in hours, 1 to 2160. Both: the shorter.
    payload_retention_hours: Option<u16>,
    transformations_params: Option<TransformationsParams>,
}

/// Publishes several events, all or none.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageBatchIn {
    /// 1 to 100.
    messages: Vec<MessageIn>,
}

/// Messages whose bodies are to go.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkExpungeIn {
    /// Up to 250, each by its id or the publisher's.
    ids: Vec<String>,
}

/// What a list of messages is narrowed to.
#[derive(Serialize, JsonSchema)]
pub(super) struct MessageSearchIn {
    /// 1 to 250; 50 if nobody says.
    limit: Option<u16>,
    iterator: Option<String>,
    channel: Option<String>,
    before: Option<String>,
    after: Option<String>,
    with_content: Option<bool>,
    tag: Option<String>,
    event_types: Option<Vec<String>>,
}

/// A message that might be published.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagePrecheckIn {
    event_type: String,
    channels: Option<Vec<String>>,
}

/// A body that is no JSON object.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransformationsParams {
    /// Sent in place of `payload`.
    raw_payload: Option<String>,
    /// `content-type` is read; others are not sent.
    headers: Option<BTreeMap<String, String>>,
}

/// Publishes an event to every application.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BroadcastIn {
    /// 1 to 256 of `A-Z a-z 0-9 - _ . / :`.
    event_type: String,
    /// Sent byte for byte as it comes, up to 1 MiB.
    payload: BTreeMap<String, Value>,
    /// The publisher's own id of the event; an application that has it already is passed over.
    event_id: Option<String>,
    /// Up to 5.
    channels: Option<Vec<String>>,
}

/// Whom to tell when an endpoint fails.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertEmailPatch {
    /// Null takes it away. Operational messages carry it; no mail is sent.
    email: Option<String>,
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
    /// Up to four that hold at the same time; sealed, and never shown again. Each a text, or an object with `secret`,
    /// `label`, `notBefore` and `notAfter`.
    #[schemars(with = "Option<Vec<Value>>")]
    secrets: Option<Vec<Value>>,
    /// `active`, `paused` (held and sent on later) or `disabled`.
    state: Option<String>,
    /// Of those that the preset takes.
    methods: Option<Vec<String>>,
    /// Up to 26214400; 1 MiB if nobody says.
    max_body_bytes: Option<u32>,
    /// What the provider hears instead of the preset's answer.
    answer: Option<SourceAnswerIn>,
    /// Requests per second.
    rate_limit: Option<u16>,
    /// Parameters of the query that are kept: up to 20.
    query_parameters: Option<Vec<String>>,
    /// The address that the provider was given, where it signs another one than `url`.
    public_url: Option<String>,
    /// `passthrough` or `envelope`.
    forward: Option<String>,
    /// `named` or `all`.
    forward_headers: Option<String>,
    /// Whether a request of several events is several messages; true if nobody says.
    split_batches: Option<bool>,
    /// So many usual gaps are told as a silence: 0 (never) to 100; 3 if nobody says.
    silence_factor: Option<u8>,
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
    /// `active`, `paused` (held and sent on later) or `disabled`.
    state: Option<String>,
    /// Of those that the preset takes.
    methods: Option<Vec<String>>,
    /// Up to 26214400; 1 MiB if nobody says.
    max_body_bytes: Option<u32>,
    /// What the provider hears instead of the preset's answer.
    answer: Option<SourceAnswerIn>,
    /// Requests per second.
    rate_limit: Option<u16>,
    /// Parameters of the query that are kept: up to 20.
    query_parameters: Option<Vec<String>>,
    /// The address that the provider was given, where it signs another one than `url`.
    public_url: Option<String>,
    /// `passthrough` or `envelope`.
    forward: Option<String>,
    /// `named` or `all`.
    forward_headers: Option<String>,
    /// Whether a request of several events is several messages; true if nobody says.
    split_batches: Option<bool>,
    /// So many usual gaps are told as a silence: 0 (never) to 100; 3 if nobody says.
    silence_factor: Option<u8>,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourcePatch {
    name: Option<String>,
    uid: Option<String>,
    /// Replaced whole.
    config: Option<BTreeMap<String, Value>>,
    /// `active`, `paused` (held and sent on later) or `disabled`.
    state: Option<String>,
    /// Of those that the preset takes.
    methods: Option<Vec<String>>,
    /// Up to 26214400; 1 MiB if nobody says.
    max_body_bytes: Option<u32>,
    /// What the provider hears instead of the preset's answer.
    answer: Option<SourceAnswerIn>,
    /// Requests per second.
    rate_limit: Option<u16>,
    /// Parameters of the query that are kept: up to 20.
    query_parameters: Option<Vec<String>>,
    /// The address that the provider was given, where it signs another one than `url`.
    public_url: Option<String>,
    /// `passthrough` or `envelope`.
    forward: Option<String>,
    /// `named` or `all`.
    forward_headers: Option<String>,
    /// Whether a request of several events is several messages; true if nobody says.
    split_batches: Option<bool>,
    /// So many usual gaps are told as a silence: 0 (never) to 100; 3 if nobody says.
    silence_factor: Option<u8>,
}

/// What a provider hears once a webhook is stored.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceAnswerIn {
    /// 200 to 299; 200 if nobody says.
    status: Option<u16>,
    /// `text`, `json` or `xml`.
    kind: String,
    /// Up to 4096 bytes.
    body: Option<String>,
}

/// What of Gmail's way to a source is to be made.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GmailPushIn {
    /// `projects/{project}/topics/{name}`; the project must be the one of the OAuth app that watches mailboxes.
    topic: String,
    /// `projects/{project}/subscriptions/{name}`; one named after the source, if nobody says.
    subscription: Option<String>,
    /// A connection of a Google service account with the scope `https://www.googleapis.com/auth/pubsub`; without one nothing
    /// is asked of Google.
    connection_id: Option<String>,
    /// Of an app-level source: the application whose connection it is.
    app_id: Option<String>,
    /// Looks, and makes nothing.
    dry_run: Option<bool>,
}

/// Asks why a request is not believed: one that was refused, or one that is told.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceDiagnoseIn {
    /// The id of a request that was refused. Nothing else is needed beside it.
    rejected_id: Option<String>,
    /// POST if nobody says.
    method: Option<String>,
    /// Behind the question mark.
    query: Option<String>,
    /// As `{name: value}`.
    headers: Option<BTreeMap<String, String>>,
    /// The body as text, or:
    body: Option<String>,
    body_base64: Option<String>,
}

/// Takes stored webhooks once more.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SourceReplayIn {
    /// Or `ids`.
    since: Option<String>,
    until: Option<String>,
    /// Up to 250 messages.
    ids: Option<Vec<String>>,
    event_types: Option<Vec<String>>,
    /// Up to 250 ids or uids that may get it; all that want it if nobody says.
    endpoints: Option<Vec<String>>,
    /// Webhooks per second, 1 to 1000; 100 if nobody says.
    rate_per_second: Option<u16>,
    dry_run: Option<bool>,
}

/// A new secret.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SecretRotateIn {
    secret: String,
    /// A name for people.
    label: Option<String>,
    /// Valid from then on; now if nobody says.
    not_before: Option<String>,
    not_after: Option<String>,
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

/// Puts a consumer somewhere else.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerSeekIn {
    /// It goes on with what is later: a time of RFC 3339.
    after: String,
}

/// A new token of a poller.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PollerTokenRotateIn {
    /// Seconds after which it ends, 1 to 31536000; none: when it is replaced.
    expiry: Option<u32>,
    /// Seconds after which the one before ends, 0 to 86400; 300 if nobody says.
    old_token_expiry: Option<u32>,
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
    group_name: Option<String>,
    /// A portal sees it with one of these.
    feature_flags: Option<Vec<String>>,
    /// One flag, as Svix's open server has it.
    feature_flag: Option<String>,
    /// Seconds between tries; not named: it stays as it is.
    retry_schedule: Option<Vec<u32>>,
}

/// Replaces an event type.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeUpdate {
    description: String,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<BTreeMap<String, Value>>,
    group_name: Option<String>,
    /// A portal sees it with one of these.
    feature_flags: Option<Vec<String>>,
    /// One flag, as Svix's open server has it.
    feature_flag: Option<String>,
    /// Seconds between tries; not named: it stays as it is.
    retry_schedule: Option<Vec<u32>>,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypePatch {
    description: Option<String>,
    archived: Option<bool>,
    deprecated: Option<bool>,
    schemas: Option<BTreeMap<String, Value>>,
    group_name: Option<String>,
    /// A portal sees it with one of these.
    feature_flags: Option<Vec<String>>,
    /// One flag, as Svix's open server has it.
    feature_flag: Option<String>,
    /// Seconds between tries; not named: it stays as it is.
    retry_schedule: Option<Vec<u32>>,
}

/// A link to a tenant's portal.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppPortalAccessIn {
    /// Made on the way if the path's `uid` names none yet.
    application: Option<ApplicationIn>,
    /// `ViewBase` and what else it may do; null: everything that a portal can.
    capabilities: Option<Vec<String>>,
    /// `ViewBase` alone.
    read_only: Option<bool>,
    /// Event types with one of these are seen, beside those that have none.
    feature_flags: Option<Vec<String>>,
    /// Seconds, 3600 to 604800; null: 604800.
    expiry: Option<u32>,
    session_id: Option<String>,
}

/// Ends tokens of an application.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApplicationTokenExpireIn {
    /// Seconds until it counts, 0 to 259200.
    expiry: Option<u32>,
    /// Only tokens of these sessions.
    session_ids: Option<Vec<String>>,
}

/// A token that publishes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateTokenIn {
    name: String,
    /// Seconds, up to ten years; null: a day.
    expiry: Option<u32>,
}

/// What a portal's link carries.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OneTimeTokenIn {
    one_time_token: String,
}

/// An `OpenAPI` document; `spec` or `specRaw`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventTypeImportOpenApiIn {
    /// Only says what would be done.
    dry_run: Option<bool>,
    /// Archives what is not in the document.
    replace_all: Option<bool>,
    spec: Option<BTreeMap<String, Value>>,
    /// JSON.
    spec_raw: Option<String>,
}

/// What an export of an environment holds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvironmentIn {
    event_types: Option<Vec<EventTypeIn>>,
    /// Must be empty.
    settings: Option<BTreeMap<String, Value>>,
    /// Must be empty.
    connectors: Option<Vec<Value>>,
}

/// What is counted: of whom, and in which whole hours.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AppUsageStatsIn {
    since: String,
    until: String,
    /// Ids or uids, up to 100; all if nobody says, if they are not more than 100.
    app_ids: Option<Vec<String>>,
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
    /// `whsec_` and base64; of an endpoint that signs with `v1a` only the public `whpk_` and base64.
    key: String,
    /// `whpk_` and base64, of an endpoint that signs with `v1a`.
    public_key: Option<String>,
}

/// Erases an application.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EraseIn {
    /// The application's id, said again: nothing brings back what is erased.
    confirm: String,
}

/// Imports endpoints.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportIn {
    /// `svix` (any server that speaks its API) or `csv`.
    source: String,
    /// Where the server is reached.
    url: Option<String>,
    /// For that server. Never stored, never logged.
    token: Option<String>,
    /// Only these of the server, by id or uid; into one application: the one whose endpoints are meant.
    applications: Option<Vec<String>>,
    /// A table with the columns `application_uid`, `url`, `secret`, `event_types`, `channels`, `description`, `uid`,
    /// `headers`, `disabled`, `header_names`.
    csv: Option<String>,
    /// True if nobody says: nothing is written.
    dry_run: Option<bool>,
    /// From an answer that was not done.
    iterator: Option<String>,
}

/// Reads all subscriptions at Stripe, or all customers at `RevenueCat`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntitlementBackfillIn {
    /// `stripe` (if nobody says) or `revenuecat`.
    provider: Option<String>,
    /// True if nobody says: nothing is taken.
    dry_run: Option<bool>,
    /// A table with the columns `customer` (by any name) and `plan`, up to 20,000 lines: what a dry run is compared with.
    csv: Option<String>,
}

/// Replaces the rules of entitlements.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntitlementConfigIn {
    /// Off: events change nothing, and nothing is written.
    enabled: bool,
    /// From the smallest to the greatest: who has two has the greater.
    plans: Option<Vec<PlanIn>>,
    /// What an unpaid renewal means while it is tried again: `deny`, `grace` (if nobody says) or `grant`.
    past_due: Option<String>,
    /// 0 to 60; 14 if nobody says.
    grace_days: Option<u16>,
    /// Minutes that access outlives a period that will be renewed: 0 to 1440; 60 if nobody says.
    renewal_leeway_minutes: Option<u16>,
    /// Purchases of a sandbox or test mode count.
    allow_sandbox: Option<bool>,
    /// Keys of a Stripe object's metadata that hold your own id of the customer; `userId` and `user_id` if nobody says.
    user_id_keys: Option<Vec<String>>,
    /// The customer who pays for the application itself; read as the customer `@owner`.
    billing_owner: Option<String>,
    /// `sk_…` or `rk_…`: customers are asked for again after an event. Never shown; left out: as it is; null: none.
    stripe_api_key: Option<String>,
    /// A secret key of version 1 of `RevenueCat`'s API: the same for its customers.
    revenuecat_api_key: Option<String>,
    /// One of version 2 that may read customers: a backfill lists them. The same rules.
    revenuecat_v2_api_key: Option<String>,
    /// The project at `RevenueCat` whose customers are listed. Left out: as it is; null: none.
    revenuecat_project_id: Option<String>,
    /// A connection of the application whose key is leased in the place of `stripeApiKey`: id or `uid`. Null: none.
    stripe_connection_id: Option<String>,
    /// The same of `revenuecatApiKey`.
    revenuecat_connection_id: Option<String>,
    /// The same of `revenuecatV2ApiKey`.
    revenuecat_v2_connection_id: Option<String>,
}

/// A plan, and what buys it.
#[derive(Serialize, JsonSchema)]
pub(super) struct PlanIn {
    /// Your own word for it.
    plan: String,
    /// Prices, products, lookup keys, features or entitlements.
    ids: Vec<String>,
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

/// Claims a routing key.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteIn {
    /// Id or `uid`.
    app_id: String,
}

/// How far routing keys are believed, and what claims them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoutingIn {
    /// Whether a key that the provider does not sign routes.
    trust_unsigned_route: bool,
    /// OAuth apps of yours whose connections claim their accounts' keys, each for its application: ids or `uid`s, 8 at the
    /// most. None given: as it is.
    oauth_app_ids: Option<Vec<String>>,
}

/// Routes what nobody claimed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RouteReplayIn {
    /// To this one of those who claim the key; null: to all of them.
    app_id: Option<String>,
    /// Also events whose key the provider did not sign.
    unsigned_keys: Option<bool>,
    /// Count, and do nothing.
    dry_run: Option<bool>,
}
