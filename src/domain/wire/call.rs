//! What the edge and the consumer ask of a tenant's object.
//!
//! A call is a [`super::frame`] whose head is [`Envelope`]; the answer's head is `Result<T::Answer, Problem>`. Bodies
//! stand beside the head: of [`Accept`] the message's, of [`Report`] the responses' in order, of an answer with messages
//! or attempts theirs in order.
#![expect(
    clippy::option_option,
    reason = "a field that is not there is not a field that is null"
)]

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint::{EndpointConfig, EndpointView};
use super::entitlement::{
    Difference, EntitlementBackfill, EntitlementConfigGet, EntitlementConfigPut, EntitlementConfigView,
    EntitlementDifferences, EntitlementFetched, EntitlementGet, EntitlementList, EntitlementObjects,
    ObjectView,
};
use super::follow::{Follow, LogPage, Watch, Watching};
use super::inbound::{
    BodyAt, Diagnosis, Receive, ReceiveDone, ReceiveLarge, Received, RefusedGet, RefusedList, RefusedPage,
    RefusedRequest, RefusedView, SecretTerms, SourceCaptured, SourceDiagnose, SourceHandshake, SourceOptions,
    SourceReplay, SourceSecretRemove, SourceStats, SourceStatsView,
};
use super::message::{AttemptStatus, AttemptView, DeliveryStatus, MessageView};
use super::moving::{EndpointsImport, EndpointsImported, Erase, Erased, ExportPage, ExportedPage};
use super::operational::{Tell, Told};
use super::poll::{
    ConsumerPoll, ConsumerSeek, Poll, Polled, PollerKey, PollerTokenGet, PollerTokenRotate, PollerTokenView,
    Sought,
};
use super::publish::{AcceptBatch, BatchAccepted};
use super::reads::{
    AttemptCount, AttemptExpunge, AttemptGet, AttemptStats, AttemptsCounted, Counted, DeliveryCounts,
    EndpointMessageView, EndpointStats, EndpointsOfMessage, Expunged, FailedList, FailedView,
    MessageEndpointView, MessageExpunge, MessagesOfEndpoint, Precheck, Prechecked, RateLimitStatus,
    RateLimited, Usage, Used,
};
use super::replay::{
    AttemptAwait, CancelMessages, Counted as TaskCounted, Missed, MissedView, Resend, TaskCancel, TaskCount,
    TaskGet, TaskStart, TaskView, TestAttempt, Tested,
};
use super::report::{LaneReport, Stalled};
use super::request::{MessageRequest, RequestView};
use super::reseal::{Reseal, Resealed};
use super::route::{
    RouteChanged, RouteIn, RouteLarge, RouteReplay, RouteTaken, RouteTrust, RouteTrustView, UnroutedEvents,
    UnroutedEventsPage, UnroutedKeys, UnroutedKeysPage,
};
use super::signing::{
    AttemptHeaders, AttemptHeadersView, EndpointHeadersGet, EndpointHeadersPatch, EndpointHeadersPut,
    EndpointSecretRotate, HeadersView, KeySet, PublicKeys, SigningChange,
};
use super::source::{SourceForIngest, SourceView};
use super::watch::WatchWire;
use crate::entitlement::Judged;
use crate::filter::Filter;
use crate::id::{ConnectionId, MessageId, OrganisationId, TenantId, Uid};
use crate::problem::{Code, Problem};
use crate::schedule::Schedule;
use crate::time::Millis;

/// Who asks. The object knows its organisation and compares it: another's is 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A request with a token of this organisation, or of one of its tenants.
    Organisation(OrganisationId),
    /// The way of a webhook in: the ingest token is the authority.
    Ingest,
    /// The queues' consumer and the cron.
    System,
    /// A request with the token of one poller, which may do nothing else.
    Poller(PollerKey),
}

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`super::VERSION`] of the writer.
    pub v: u8,
    /// The object's name: it must know itself by it.
    pub tenant: TenantId,
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub call: Call,
}

/// An envelope of a later release: whatever it asks, this release does not know it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UnknownEnvelope {
    /// [`super::VERSION`] of the writer.
    pub v: u8,
    /// The object's name.
    pub tenant: TenantId,
    /// What.
    pub call: Value,
}

/// What answers a call that is not known: during a deployment the asking side may be the newer one.
#[must_use]
pub fn not_known() -> Problem {
    Problem::new(
        Code::NotImplemented,
        "This deployment is being updated, and a part of it does not know this yet; try again in a minute",
    )
}

/// The answer to a call: its head.
pub type Reply<T> = Result<T, Problem>;

/// A call with the type of its answer.
pub trait TenantCall: Into<Call> {
    /// What comes back when it went well.
    type Answer: Serialize + DeserializeOwned;
}

calls! {
    /// Everything that can be asked of a tenant's object.
    enum Call: TenantCall;
    /// Makes the object a tenant's. Again with the same organisation: nothing changes.
    SetUp -> ();
    /// Changes what the tenant's owner may set.
    Configure -> ();
    /// Erases everything but one row that refuses all calls.
    Wipe -> ();
    /// Takes a message: dedupe, store, owe.
    Accept -> Accepted;
    /// Takes several messages, all or none.
    AcceptBatch -> BatchAccepted;
    /// Records results; the answer may carry a next lane.
    Report -> Reported;
    /// Endpoints that have kept a send waiting for long: they are slow before any result says so.
    Stalled -> ();
    /// Bodies that were too large for a lane.
    Bodies -> BodiesFound;
    /// Makes an endpoint.
    EndpointCreate -> EndpointView;
    /// One endpoint, by id or `uid`.
    EndpointGet -> EndpointView;
    /// A page of endpoints.
    EndpointList -> Page<EndpointView>;
    /// Replaces an endpoint's configuration, or makes it (`uid` in the path).
    EndpointUpdate -> Upserted<EndpointView>;
    /// Changes the given fields of an endpoint.
    EndpointPatch -> EndpointView;
    /// Deletes an endpoint; what is owed to it is cancelled.
    EndpointDelete -> ();
    /// An endpoint's signing secret, in clear.
    EndpointSecret -> Secret;
    /// A new signing secret beside the old ones, which end after an overlap.
    EndpointSecretRotate -> ();
    /// The public keys of all endpoints.
    PublicKeys -> KeySet;
    /// An endpoint's own headers, without credentials.
    EndpointHeadersGet -> HeadersView;
    /// Replaces an endpoint's own headers.
    EndpointHeadersPut -> ();
    /// Changes the given ones of an endpoint's own headers.
    EndpointHeadersPatch -> ();
    /// Headers of one attempt, sent and answered.
    AttemptHeaders -> AttemptHeadersView;
    /// Makes a source.
    SourceCreate -> SourceView;
    /// One source, by id or `uid`.
    SourceGet -> SourceView;
    /// A page of sources.
    SourceList -> Page<SourceView>;
    /// Replaces name, `uid` and settings of a source, or changes the given ones.
    SourceUpdate -> SourceView;
    /// Deletes a source; its address answers 404 from then on.
    SourceDelete -> ();
    /// A new secret beside the old ones, which end after an overlap.
    SourceRotateSecret -> SourceView;
    /// A new address beside the old one, which ends after an overlap.
    SourceRotateToken -> SourceView;
    /// What the edge needs to verify a request.
    SourceByToken -> SourceForIngest;
    /// Writes down why a request was refused: one ring per source, sampled.
    SourceRejected -> ();
    /// One message, by id or event id; its body beside it.
    MessageGet -> MessageView;
    /// The request that a message came in; its body beside it.
    MessageRequest -> RequestView;
    /// A page of messages, newest first; their bodies beside it if asked for.
    MessageList -> Page<MessageView>;
    /// Attempts of one message, newest first; responses' bodies beside it.
    AttemptsOfMessage -> Page<AttemptView>;
    /// Attempts at one endpoint, newest first; responses' bodies beside it.
    AttemptsOfEndpoint -> Page<AttemptView>;
    /// Takes what another object of the organisation has to tell: the operational tenant's only.
    Tell -> Told;
    /// What an endpoint that is polled has next; bodies beside it.
    Poll -> Polled;
    /// The same from where a consumer stands, which the object keeps.
    ConsumerPoll -> Polled;
    /// Puts a consumer somewhere else.
    ConsumerSeek -> Sought;
    /// The token of a poller, in clear.
    PollerTokenGet -> PollerTokenView;
    /// A new token beside the old one, which ends later.
    PollerTokenRotate -> PollerTokenView;
    /// The log of the tenant from a place on; bodies beside it.
    Follow -> LogPage;
    /// Asks to be told of what comes, over a socket.
    Watch -> Watching;
    /// One attempt; its response's body beside it.
    AttemptGet -> AttemptView;
    /// Takes an attempt's response away.
    AttemptExpunge -> ();
    /// How many attempts at one endpoint there are.
    AttemptCount -> Counted;
    /// Takes messages' bodies away; what of them is not settled is cancelled.
    MessageExpunge -> Expunged;
    /// Messages of one endpoint with where they stand, newest first; their bodies beside it if asked for.
    MessagesOfEndpoint -> Page<EndpointMessageView>;
    /// Endpoints that a message was decided for, with where it stands.
    EndpointsOfMessage -> Page<MessageEndpointView>;
    /// What failed for good, newest message first; bodies beside it if asked for.
    FailedList -> Page<FailedView>;
    /// Deliveries to one endpoint by where they stand.
    EndpointStats -> DeliveryCounts;
    /// Attempts of the tenant by type and how they ended.
    AttemptStats -> AttemptsCounted;
    /// What the tenant used.
    Usage -> Used;
    /// Whether an endpoint's rate holds anything back.
    RateLimitStatus -> RateLimited;
    /// Whether a message of this type would go anywhere.
    Precheck -> Prechecked;
    /// One manual try.
    Resend -> ();
    /// Takes a message for one manual try and nothing else.
    TestAttempt -> Tested;
    /// The first attempt of a delivery, as soon as there is one; the object answers late, or `None` at its deadline.
    AttemptAwait -> Option<AttemptView>;
    /// Cancels what an endpoint is owed of old messages.
    CancelMessages -> ();
    /// What an endpoint did not get because it was off.
    Missed -> MissedView;
    /// What a job would do.
    TaskCount -> TaskCounted;
    /// Starts a job.
    TaskStart -> TaskView;
    /// Jobs, by id.
    TaskGet -> Vec<TaskView>;
    /// Stops a job. What it has made due goes out.
    TaskCancel -> TaskView;
    /// Counts for tests and for the operator: rows, sizes, the alarm.
    Inspect -> Value;
    /// Takes endpoints with the secrets that they have.
    EndpointsImport -> EndpointsImported;
    /// A page of everything that the tenant has, as lines of JSON beside it.
    ExportPage -> ExportedPage;
    /// [`Call::Wipe`], told: answers what there was.
    Erase -> Erased;
    /// Takes what the organisation's ledger routed here: all that are new, or none.
    RouteIn -> RouteTaken;
    /// The same with bodies in the bucket. A call of its own: a release that does not know them refuses it, and is asked again.
    RouteLarge -> RouteTaken;
    /// The claims of a routing key changed: what is remembered of them holds no more.
    RouteChanged -> ();
    /// Whether a source's unsigned routing keys are trusted; changes it, if that is asked.
    RouteTrust -> RouteTrustView;
    /// Events of a source about this key are handed to a connection, too; or not any more.
    WatchWire -> ();
    /// A page of routing keys of which events were not routed.
    UnroutedKeys -> UnroutedKeysPage;
    /// A page of events of one key that were not routed, newest first.
    UnroutedEvents -> UnroutedEventsPage;
    /// Routes them to those who claim the key by now.
    RouteReplay -> TaskView;
    /// Takes a request of several events: each deduped, all that are new or none.
    Receive -> ReceiveDone;
    /// The same with parts in the bucket. A call of its own: a release that does not know them refuses it.
    ReceiveLarge -> ReceiveDone;
    /// Takes one secret of a source away.
    SourceSecretRemove -> SourceView;
    /// What a handshake that held does to its source.
    SourceHandshake -> ();
    /// The secret that a handshake brought, in clear, until something was verified with it.
    SourceCaptured -> Secret;
    /// A page of refused requests, newest first; bodies beside it.
    RefusedList -> RefusedPage;
    /// One of them; its body beside it.
    RefusedGet -> RefusedView;
    /// What is seen of a source.
    SourceStats -> SourceStatsView;
    /// Says why a request to a source is not believed, step by step.
    SourceDiagnose -> Diagnosis;
    /// Takes stored webhooks once more, by today's rules.
    SourceReplay -> TaskView;
    /// The tenant's rules of entitlements.
    EntitlementConfigGet -> EntitlementConfigView;
    /// Replaces them.
    EntitlementConfigPut -> EntitlementConfigView;
    /// What a customer may use now; of one that is not known: nothing.
    EntitlementGet -> Judged;
    /// A page of customers with what they may use now.
    EntitlementList -> Page<Judged>;
    /// A page of the providers' own objects of a customer.
    EntitlementObjects -> Page<ObjectView>;
    /// What a provider's API answered; the answers stand beside it.
    EntitlementFetched -> ();
    /// Starts to read all subscriptions at the provider.
    EntitlementBackfill -> TaskView;
    /// A page of what a dry run of that found otherwise than the table says.
    EntitlementDifferences -> Page<Difference>;
    /// There is a new master key: seals anew, a bounded number of rows a turn, what another one sealed.
    Reseal -> Resealed;
}

/// The calls of the first release. Its objects answer another one as if something had broken inside; later ones say that
/// they do not know it.
pub const FIRST: [&str; 27] = [
    "SetUp",
    "Configure",
    "Wipe",
    "Accept",
    "Report",
    "Bodies",
    "EndpointCreate",
    "EndpointGet",
    "EndpointList",
    "EndpointUpdate",
    "EndpointPatch",
    "EndpointDelete",
    "EndpointSecret",
    "SourceCreate",
    "SourceGet",
    "SourceList",
    "SourceUpdate",
    "SourceDelete",
    "SourceRotateSecret",
    "SourceRotateToken",
    "SourceByToken",
    "SourceRejected",
    "MessageGet",
    "MessageList",
    "AttemptsOfMessage",
    "AttemptsOfEndpoint",
    "Inspect",
];

/// See [`Call::SetUp`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetUp {
    /// Whose tenant it is.
    pub organisation: OrganisationId,
    /// What its owner set.
    pub settings: TenantSettings,
}

/// What a tenant's owner may set and the object needs on its way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantSettings {
    /// Deliveries per second at the most, over all endpoints.
    #[serde(default)]
    pub throttle_rate: Option<u16>,
    /// For endpoints that have none of their own.
    #[serde(default)]
    pub retry_schedule: Option<Schedule>,
    /// The owner's own name for the tenant: a copy, for operational messages. The directory owns it.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Whom the owner wants to have told when an endpoint fails: a copy, for operational messages.
    #[serde(default)]
    pub alert_email: Option<String>,
    /// How long its messages are kept, 1 to 90 days; none: as the deployment says.
    #[serde(default)]
    pub retention_days: Option<u16>,
}

/// See [`Call::Configure`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configure {
    /// All of them, as they shall be.
    pub settings: TenantSettings,
}

/// See [`Call::Wipe`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wipe {}

/// See [`Call::Accept`]. The body stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept {
    /// Random, the same in a repeat.
    pub nonce: u64,
    /// The edge's clock at the first try.
    pub sent_at: Millis,
    /// An earlier try may have stood: look for its nonce first.
    #[serde(default)]
    pub repeat: bool,
    /// Number of the source that it came through; none: the API.
    #[serde(default)]
    pub source: Option<u16>,
    /// The event's type.
    pub event_type: String,
    /// The publisher's id of the event (unique: 409) or the provider's (deduped: the same answer).
    #[serde(default)]
    pub event_id: Option<String>,
    /// Channels that it is published to.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Of the body.
    pub content_type: String,
    /// Headers of the request that may be kept: never credentials.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The hop counter that came with it.
    #[serde(default)]
    pub hop: u8,
    /// `Idempotency-Key` of a publish.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
    /// How long its payload may be kept; none: as long as the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_hours: Option<u16>,
    /// Owed to the endpoint of this number alone, whatever its filters say; no endpoint has the number 0.
    #[serde(default)]
    pub only_endpoint: Option<u32>,
    /// Of a webhook: what the edge knows of it beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Received>,
}

/// An `Idempotency-Key`, hashed with its route, and a fingerprint of the request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// SHA-256 of organisation, route and key, hex.
    pub key: String,
    /// SHA-256 of the request's body, hex.
    pub fingerprint: String,
}

/// The answer to [`Accept`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The message: the new one, or the one that it is a duplicate of.
    pub message: MessageView,
    /// It was there already.
    #[serde(default)]
    pub duplicate: bool,
    /// Connections that watch what it is about: see [`super::inbound::Received::watched`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<crate::id::ConnectionId>,
}

/// See [`Call::Report`]. The responses' bodies stand beside it, over all lanes in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// One entry a lane.
    pub lanes: Vec<LaneReport>,
}

/// The answer to [`Report`]: lanes stand beside it as frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// How many frames of lanes stand beside it, to be sent at once.
    #[serde(default)]
    pub lanes: u16,
}

/// See [`Call::Bodies`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bodies {
    /// Of these messages.
    pub messages: Vec<MessageId>,
}

/// The answer to [`Bodies`]: which were found, in the order of the bodies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodiesFound {
    /// Those whose body stands beside it.
    pub messages: Vec<MessageId>,
    /// Those whose body stands in the bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<(MessageId, BodyAt)>,
}

/// A page of a list, in Svix's shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// Where the next page begins.
    #[serde(default)]
    pub iterator: Option<String>,
    /// Where the page before begins.
    #[serde(default)]
    pub prev_iterator: Option<String>,
    /// Nothing comes behind.
    pub done: bool,
}

/// What every list takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageOf {
    /// 1 to 250.
    pub limit: u16,
    /// From a page before.
    #[serde(default)]
    pub iterator: Option<String>,
    /// Oldest first; lists of configuration only.
    #[serde(default)]
    pub ascending: bool,
}

/// Made or replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upserted<T> {
    /// What stands now.
    pub value: T,
    /// It was not there before: 201.
    pub created: bool,
}

/// See [`Call::EndpointCreate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointCreate {
    /// As it shall be.
    pub config: EndpointConfig,
    /// `whsec_…` or `whsk_…` of its owner's choice; none: a random one.
    #[serde(default)]
    pub secret: Option<String>,
    /// What it signs with beside that.
    #[serde(default)]
    pub signing: SigningChange,
    /// `Idempotency-Key` of the request.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
}

/// See [`Call::EndpointGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointGet {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// See [`Call::EndpointList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointList {
    /// Which part.
    pub page: PageOf,
}

/// See [`Call::EndpointUpdate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointUpdate {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// As it shall be; headers are kept.
    pub config: EndpointConfig,
    /// What changes of its signatures.
    #[serde(default)]
    pub signing: SigningChange,
}

/// See [`Call::EndpointPatch`]. A field that is not there stays; `null` inside clears what may be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointChange {
    /// See [`EndpointConfig::url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// See [`EndpointConfig::description`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// See [`EndpointConfig::uid`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub uid: Option<Option<Uid>>,
    /// See [`EndpointConfig::event_types`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Option<Vec<String>>>,
    /// See [`EndpointConfig::channels`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub channels: Option<Option<Vec<String>>>,
    /// See [`EndpointConfig::filter`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Option<Filter>>,
    /// See [`EndpointConfig::throttle_rate`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub throttle_rate: Option<Option<u16>>,
    /// See [`EndpointConfig::disabled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// See [`EndpointConfig::metadata`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// See [`EndpointConfig::retry_schedule`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<Option<Schedule>>,
    /// See [`EndpointConfig::header_names`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_names: Option<super::HeaderNames>,
    /// See [`EndpointConfig::ordering`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub ordering: Option<Option<super::Ordering>>,
    /// See [`EndpointConfig::disable_after`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub disable_after: Option<Option<super::DisableAfter>>,
    /// See [`EndpointConfig::connection_id`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<Option<ConnectionId>>,
    /// What changes of its signatures.
    #[serde(default)]
    pub signing: SigningChange,
}

/// See [`Call::EndpointPatch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointPatch {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// What changes.
    pub change: EndpointChange,
}

/// See [`Call::EndpointDelete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDelete {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// See [`Call::EndpointSecret`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSecret {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
}

/// A secret in clear, on its way to its owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// `whsec_…`; of an endpoint that signs with `v1a` only, the public `whpk_…`.
    pub key: String,
    /// What its receiver checks `v1a` with, if it signs so.
    #[serde(default, rename = "publicKey", skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// See [`Call::SourceCreate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceCreate {
    /// A name for people.
    pub name: String,
    /// The preset.
    pub provider: String,
    /// The owner's own name for it.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// The preset's settings, as [`crate::provider`] wrote them.
    pub config: Value,
    /// In clear; the object seals them.
    pub secrets: Vec<String>,
    /// Of each of them in their order; those that are not there have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<SecretTerms>,
    /// What its owner chose beside the preset's settings.
    #[serde(default)]
    pub options: SourceOptions,
    /// `Idempotency-Key` of the request.
    #[serde(default)]
    pub idempotency: Option<Idempotency>,
}

/// See [`Call::SourceGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceGet {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
}

/// See [`Call::SourceList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceList {
    /// Which part.
    pub page: PageOf,
}

/// See [`Call::SourceUpdate`]. A field that is not there stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceUpdate {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// See [`SourceCreate::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`SourceCreate::uid`].
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub uid: Option<Option<Uid>>,
    /// See [`SourceCreate::config`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// The provider that the settings were read for: it never changes, another is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What its owner chose beside the preset's settings, all of it.
    #[serde(default)]
    pub options: Option<SourceOptions>,
}

/// See [`Call::SourceDelete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDelete {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
}

/// See [`Call::SourceRotateSecret`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRotateSecret {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// In clear; the object seals it.
    pub secret: String,
    /// The others end then.
    pub overlap_seconds: u32,
    /// Of the new one.
    #[serde(default)]
    pub terms: SecretTerms,
}

/// See [`Call::SourceRotateToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRotateToken {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// The old address ends then.
    pub overlap_seconds: u32,
}

/// See [`Call::SourceByToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceByToken {
    /// The source's number.
    pub source: u16,
    /// SHA-256 of the token's random part, hex.
    pub token_hash: String,
}

/// See [`Call::SourceRejected`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRejected {
    /// The source's number.
    pub source: u16,
    /// A word of the verifier's closed set.
    pub reason: String,
    /// A sentence, nothing computed from a secret.
    pub detail: String,
    /// What came; the beginning of its body stands beside the call.
    #[serde(default)]
    pub request: RefusedRequest,
    /// Refusals since this was told last that are not told one by one, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, u32>,
}

/// See [`Call::MessageGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageGet {
    /// Id, or the publisher's event id.
    pub message: String,
}

/// See [`Call::MessageList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageList {
    /// Which part.
    pub page: PageOf,
    /// With these bounds and filters.
    pub filter: MessageFilter,
    /// The bodies too.
    pub with_content: bool,
}

/// What a list of messages may be narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MessageFilter {
    /// Earlier than.
    #[serde(default)]
    pub before: Option<Millis>,
    /// Later than.
    #[serde(default)]
    pub after: Option<Millis>,
    /// Published to this channel.
    #[serde(default)]
    pub channel: Option<String>,
    /// Of one of these types.
    #[serde(default)]
    pub event_types: Option<Vec<String>>,
    /// With this tag.
    #[serde(default)]
    pub tag: Option<String>,
}

/// What a list of attempts may be narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptFilter {
    /// Of messages with these.
    #[serde(flatten)]
    pub message: MessageFilter,
    /// That ended so.
    #[serde(default)]
    pub status: Option<AttemptStatus>,
    /// Of deliveries that stand so: Svix's filter by Pending and Sending matches no attempt.
    #[serde(default)]
    pub delivery: Option<DeliveryStatus>,
    /// 0 (no answer), 100, 200 … 500.
    #[serde(default)]
    pub status_code_class: Option<u16>,
    /// At this endpoint (id or `uid`); of attempts of one message.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// See [`Call::AttemptsOfMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptsOfMessage {
    /// Id, or the publisher's event id.
    pub message: String,
    /// Which part.
    pub page: PageOf,
    /// With these bounds and filters.
    pub filter: AttemptFilter,
}

/// See [`Call::AttemptsOfEndpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptsOfEndpoint {
    /// Id or `uid`, as it stood in the path.
    pub endpoint: String,
    /// Which part.
    pub page: PageOf,
    /// With these bounds and filters.
    pub filter: AttemptFilter,
}

/// See [`Call::Inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {}

/// A field that is there with `null` is not a field that is not there.
pub(super) mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(
        clippy::option_option,
        clippy::ref_option,
        reason = "serde's form of a field module"
    )]
    pub(in crate::wire) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(to)
    }

    pub(in crate::wire) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(from).map(Some)
    }
}
