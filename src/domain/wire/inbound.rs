//! What a source's owner chose beside its preset's settings, and what is seen of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{Accept, Page, PageOf};
use super::source::SourceView;
use crate::id::{MessageId, SourceId, TaskId, TenantId};
use crate::time::Millis;

/// Bytes of a body that stand in the ledger at the most; a larger one stands in R2, and the ledger keeps where.
pub const MAX_INLINE_BODY: u32 = 1 << 20;

/// Bytes of a body that a source may be told to take.
pub const MAX_BODY: u32 = 25 << 20;

/// Events of one request at the most (inbound.md's limit: a larger one is refused, loudly).
pub const MAX_EVENTS: usize = 1000;

/// Whether a source takes what is genuine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intake {
    /// It is stored and sent on.
    #[default]
    Open,
    /// It is stored, answered as ever, and sent on when the source is opened again.
    Held,
    /// It is not stored.
    Closed,
}

/// In which form endpoints get what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardMode {
    /// The body as it came, with headers of the request that may be kept.
    #[default]
    Passthrough,
    /// `{type, timestamp, data, …}` around it.
    Envelope,
}

/// Which headers of the request are kept and forwarded. Credentials never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardHeaders {
    /// Those by which providers name an event, its delivery and its sender.
    #[default]
    Named,
    /// All but the connection's and credentials: the provider's signature, too.
    All,
}

/// What a body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerKind {
    /// `text/plain`.
    Text,
    /// `application/json`.
    Json,
    /// `text/xml`, as Twilio wants it. Browsers run no script of it under the policy that every answer carries.
    Xml,
}

/// What a provider hears instead of the preset's answer, once a webhook is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnAnswer {
    /// 200 to 299.
    pub status: u16,
    /// Never HTML.
    pub kind: AnswerKind,
    /// Up to 4 KiB.
    pub body: String,
}

/// What a source's owner chose beside its preset's settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceOptions {
    /// Whether it takes what is genuine.
    pub intake: Intake,
    /// Since when it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Millis>,
    /// From then on it takes nothing, whatever its intake says: what its owner has not confirmed. None: it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Millis>,
    /// The first message that may be held; none: nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_from: Option<u64>,
    /// Methods that it takes; empty: those of its preset.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Bytes of a body; none: 1 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u32>,
    /// What the provider hears; none: what the preset says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<OwnAnswer>,
    /// Requests per second; none: as many as come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<u16>,
    /// Parameters of the query that are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<String>,
    /// The address that the provider was given, if it is not the one that the API shows: some providers sign it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// In which form endpoints get it.
    pub forward: ForwardMode,
    /// With which headers.
    pub headers: ForwardHeaders,
    /// A request of several events stays one message.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole_batches: bool,
    /// So many times the usual gap without a webhook is told as silence; 0: never; none: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_factor: Option<u8>,
}

impl SourceOptions {
    /// The address that the provider was given, with the query that it added: some providers sign it. Built from
    /// configuration, never from `Host` or what a proxy says. `behind_host` is path and query of the request; an address of
    /// the owner's own stands for scheme, host and, if it has one, path.
    #[must_use]
    pub fn address(&self, base_url: &str, behind_host: &str) -> String {
        let own = self.public_url.as_deref();
        let base = own.unwrap_or(base_url);
        let has_path = base
            .split_once("://")
            .is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'));
        if own.is_none() || !has_path {
            return format!("{}{behind_host}", base.trim_end_matches('/'));
        }
        let query = behind_host.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        if query.is_empty() || base.contains('?') {
            base.to_owned()
        } else {
            format!("{base}?{query}")
        }
    }

    /// Whether it is over: see [`Self::ends_at`].
    #[must_use]
    pub fn is_over(&self, now: Millis) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// As the edge is to see it: one that is over is closed since its end.
    #[must_use]
    pub fn at(self, now: Millis) -> Self {
        if !self.is_over(now) || self.intake == Intake::Closed {
            return self;
        }
        Self {
            intake: Intake::Closed,
            closed_at: self.ends_at,
            ..self
        }
    }

    /// Bytes of a body at the most.
    #[must_use]
    pub fn body_cap(&self) -> u32 {
        self.max_body.unwrap_or(MAX_INLINE_BODY).min(MAX_BODY)
    }
}

/// Of a secret, beside its text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SecretTerms {
    /// For people.
    #[serde(default)]
    pub label: Option<String>,
    /// Valid from then on; none: from now on.
    #[serde(default)]
    pub not_before: Option<Millis>,
    /// Valid until then.
    #[serde(default)]
    pub not_after: Option<Millis>,
}

/// Where a body stands that is too large for the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyAt {
    /// Its key in the bucket: begins with the tenant's id.
    pub key: String,
    /// Its bytes.
    pub size: u32,
    /// SHA-256 of it, hex.
    pub digest: String,
}

/// A value that a provider uses for one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedOnce {
    /// The value.
    pub key: String,
    /// With another event id it is refused; else it is taken, and marked.
    #[serde(default)]
    pub refuse: bool,
}

/// What the edge knows of a webhook beside the message that it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Received {
    /// Generation of the secret that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<u64>,
    /// The body stands there, and not beside the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_at: Option<BodyAt>,
    /// What may be used for one event only: see [`crate::provider::Once`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once: Option<UsedOnce>,
    /// How often the provider says that it has tried before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<u32>,
    /// The provider does not come again: what is too fast is taken all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_once: bool,
    /// What the event is about, where a connection may watch that: of Gmail the mailbox, lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched: Option<String>,
}

/// See [`super::call::Call::Receive`]. The whole body stands beside it, then the part of each event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receive {
    /// What all have in common; its type and its id are not looked at.
    pub accept: Accept,
    /// 1 to [`MAX_EVENTS`].
    pub events: Vec<ReceivedEvent>,
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedEvent {
    /// Its type.
    pub event_type: String,
    /// The provider's id of it.
    #[serde(default)]
    pub event_id: Option<String>,
    /// What is kept of it beside the request's headers: of an app-level source its routing key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its part has no room in the ledger and stands there; what stands beside the call is empty then. In a
    /// [`ReceiveLarge`] alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_at: Option<BodyAt>,
}

/// See [`super::call::Call::ReceiveLarge`]: as [`Receive`], with parts that have no room in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveLarge {
    /// The request.
    pub receive: Receive,
}

/// The answer to [`Receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReceiveDone {
    /// Messages that it made.
    pub stored: u32,
    /// Events that were there already.
    #[serde(default)]
    pub duplicates: u32,
}

/// See [`super::call::Call::SourceSecretRemove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSecretRemove {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// The secret's generation.
    pub secret: u64,
}

/// What a handshake that held does to a source.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandshakeEffect {
    /// It is active.
    Activate,
    /// It is the secret from now on: once, and only while nothing was verified yet.
    Capture(String),
}

/// A secret stays out of logs.
impl std::fmt::Debug for HandshakeEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Activate => "Activate",
            Self::Capture(_) => "Capture(…)",
        })
    }
}

/// See [`super::call::Call::SourceHandshake`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHandshake {
    /// Number of the source.
    pub source: u16,
    /// What is to be done.
    pub effect: HandshakeEffect,
}

/// See [`super::call::Call::SourceCaptured`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCaptured {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
}

/// A request that was refused, as far as it is kept. Up to 4 KiB of its body stand beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedRequest {
    /// As it came.
    pub method: String,
    /// Of the address, as it came.
    pub query: String,
    /// Its headers; credentials masked.
    pub headers: Vec<(String, String)>,
    /// Bytes of the whole body.
    pub size: u32,
}

/// A refusal that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedView {
    /// Its number in the source.
    pub number: u64,
    /// When.
    pub time: Millis,
    /// Which of the closed set.
    pub reason: String,
    /// What was seen and what was wanted.
    pub detail: String,
    /// What came.
    pub request: RefusedRequest,
}

/// See [`super::call::Call::RefusedList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedList {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Which part.
    pub page: PageOf,
}

/// See [`super::call::Call::RefusedGet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedGet {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// Its number.
    pub number: u64,
}

/// See [`super::call::Call::SourceDiagnose`]. The body of a request that is given stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceDiagnose {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// One that was refused and kept; none: the one that is given.
    #[serde(default)]
    pub refused: Option<u64>,
    /// A request as somebody tells it.
    #[serde(default)]
    pub request: RefusedRequest,
    /// Where the deployment is reached.
    pub base_url: String,
    /// The key set of the source's settings, as the edge fetched it: the object fetches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_set: Option<Value>,
    /// What came of the signatures that an answer before wanted checked, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<(String, bool)>,
}

/// The answer to [`SourceDiagnose`]. What each of the checks is over stands beside it, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// In the order of the examination.
    pub findings: Vec<FindingView>,
    /// Signatures that only the edge can check: asked once more with their results, the examination goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckView>,
}

/// See [`crate::provider::Check`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// What it is known by.
    pub name: String,
    /// The public key, as a JWK.
    pub key: Value,
    /// Base64.
    pub signature: String,
}

/// See [`crate::provider::Finding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// `found`, `signed`, `match` or `hint`.
    pub step: String,
    /// A short name that does not change.
    pub code: String,
    /// A sentence for the owner.
    pub sentence: String,
}

/// A page of refusals; their bodies beside it.
pub type RefusedPage = Page<RefusedView>;

/// See [`super::call::Call::SourceStats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStats {
    /// Id or `uid`, as it stood in the path.
    pub source: String,
}

/// What was refused in one hour for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedCount {
    /// Begin of the hour.
    pub hour: Millis,
    /// The reason.
    pub reason: String,
    /// How often, as far as it was told.
    pub count: u64,
}

/// What is seen of a source. Times may lag by an hour.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    /// When something genuine came last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Millis>,
    /// When something was refused last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Millis>,
    /// And why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_reason: Option<String>,
    /// When each secret matched last, by its generation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<u64, Millis>,
    /// Generation of the secret that matched last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<u64>,
    /// Webhooks that were there already.
    pub duplicates: u64,
    /// Of these, how many came with another body than the first.
    pub changed: u64,
    /// Webhooks that the provider called a retry.
    pub retries: u64,
    /// The longest gap of each of the last days, by the day since 1970.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gaps: BTreeMap<u64, u64>,
    /// The silence that was told of last began then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_told: Option<Millis>,
    /// Generation of a secret that a handshake brought, until something was verified with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured: Option<u64>,
}

/// The answer to [`SourceStats`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatsView {
    /// The source.
    pub source: SourceView,
    /// What is seen of it.
    pub seen: Seen,
    /// The usual gap between two webhooks, once it is known, in milliseconds.
    #[serde(default)]
    pub usual_gap: Option<u64>,
    /// When its silence is told, if nothing comes until then.
    #[serde(default)]
    pub silent_at: Option<Millis>,
    /// What was refused within the last day, by hour and reason.
    #[serde(default)]
    pub refused: Vec<RefusedCount>,
}

/// See [`super::call::Call::SourceReplay`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceReplay {
    /// Chosen by the edge, so that a repeat starts nothing twice.
    pub id: TaskId,
    /// Id or `uid`, as it stood in the path.
    pub source: String,
    /// What came through it from this time on.
    #[serde(default)]
    pub since: Option<Millis>,
    /// And before this one.
    #[serde(default)]
    pub until: Option<Millis>,
    /// Of one of these types.
    #[serde(default)]
    pub event_types: Option<Vec<String>>,
    /// These messages alone.
    #[serde(default)]
    pub messages: Option<Vec<String>>,
    /// Ids or `uid`s of the endpoints that may get it; none: all that want it.
    #[serde(default)]
    pub endpoints: Option<Vec<String>>,
    /// Messages per second at the most.
    pub rate: u16,
    /// Count, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a delivery of a webhook carries beside its body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Forwarded {
    /// The source that it came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceId>,
    /// The preset.
    pub provider: String,
    /// In which form.
    pub mode: ForwardMode,
    /// When it came.
    pub received_at: Millis,
    /// The provider's id of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// What was kept of the request's headers. `:method` and `:query` stand among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The message that it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<MessageId>,
}

/// What the object says of a webhook that somebody sent again under another id. The edge knows it by this sentence.
pub const REPLAYED: &str = "The same signed request came before under another id";

/// Among kept headers: the request's method, if it was not POST.
pub const METHOD: &str = ":method";

/// Among kept headers: what was kept of the query.
pub const QUERY: &str = ":query";

/// Where a body is put: below its tenant, and there by the day, so that those of the oldest days come first.
#[must_use]
pub fn body_key(tenant: TenantId, now: Millis, random: &[u8]) -> String {
    let day = now.0 / Millis::DAY;
    format!("{}{day:08}/{}", body_prefix(tenant), hex::encode(random))
}

/// What the keys of a tenant's bodies begin with.
#[must_use]
pub fn body_prefix(tenant: TenantId) -> String {
    format!("{tenant}/")
}

/// Whether a body of this key came on a day before this time's.
#[must_use]
pub fn body_is_before(key: &str, time: Millis) -> bool {
    let day = key.split('/').nth(1).and_then(|day| day.parse::<u64>().ok());
    day.is_some_and(|day| day < time.0 / Millis::DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(own: Option<&str>, behind_host: &str) -> String {
        let options = SourceOptions {
            public_url: own.map(str::to_owned),
            ..SourceOptions::default()
        };
        options.address("https://hooks.example.com/", behind_host)
    }

    #[test]
    fn the_signed_address_is_the_configured_base_with_the_requests_path_and_query() {
        assert_eq!(
            address(None, "/in/abc?x=1&y=%20"),
            "https://hooks.example.com/in/abc?x=1&y=%20"
        );
        assert_eq!(address(None, "/"), "https://hooks.example.com/");
    }

    #[test]
    fn an_address_of_the_owners_own_stands_for_ours() {
        for (own, signed) in [
            ("https://acme.example", "https://acme.example/in/abc?x=1"),
            ("https://acme.example/", "https://acme.example/in/abc?x=1"),
            ("https://acme.example/hook", "https://acme.example/hook?x=1"),
            ("https://acme.example/hook/", "https://acme.example/hook/?x=1"),
            ("https://acme.example/hook?a=b", "https://acme.example/hook?a=b"),
        ] {
            assert_eq!(address(Some(own), "/in/abc?x=1"), signed);
        }
    }

    #[test]
    fn a_body_is_found_by_its_day_and_goes_when_that_is_over() {
        let noon = Millis(20_000 * Millis::DAY + Millis::DAY / 2);
        let key = body_key(TenantId([1; 20]), noon, &[7; 4]);
        assert!(key.ends_with("/00020000/07070707"), "{key}");
        assert!(key.starts_with(&body_prefix(TenantId([1; 20]))));
        assert!(!body_is_before(&key, noon));
        assert!(!body_is_before(&key, Millis(20_001 * Millis::DAY - 1)));
        assert!(body_is_before(&key, Millis(20_001 * Millis::DAY)));
        assert!(!body_is_before("odd", noon));
    }
}
