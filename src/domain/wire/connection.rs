//! What the edge asks of a connection's object.
//!
//! A call is a [`super::frame`] whose head is [`Envelope`]; the answer's head is `Result<T::Answer, Problem>`. Secrets stand
//! in a call or an answer only where the field says so; both travel inside the deployment and are stored nowhere.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{Page, PageOf};
use super::connection_api::{ApiGet, ApiView};
use super::watch::{WatchDelete, WatchList, WatchPushed, WatchPut, WatchView};
use crate::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId, Uid};
use crate::oauth::provider::{Class, Limits, Provider};
use crate::oauth::standing::{Reason, State};
use crate::oauth::{Client, Secret};
use crate::problem::Problem;
use crate::time::Millis;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A request with authority over this tenant. The object knows its tenant and organisation and compares both: another's
    /// is 404.
    Tenant {
        /// Whose.
        organisation: OrganisationId,
        /// Which.
        tenant: TenantId,
    },
    /// A browser on its way: the link or the state is the authority.
    Browser,
    /// The cron, and the edge on behalf of nobody.
    System,
}

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`super::VERSION`] of the writer.
    pub v: u8,
    /// The object's name: it must know itself by it.
    pub connection: ConnectionId,
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
    pub connection: ConnectionId,
    /// What.
    pub call: Value,
}

/// The answer to a call: its head.
pub type Reply<T> = Result<T, Problem>;

/// A call with the type of its answer.
pub trait ConnectionCall: Into<Call> {
    /// What comes back when it went well.
    type Answer: Serialize + DeserializeOwned;
}

calls! {
    /// Everything that can be asked of a connection's object.
    enum Call: ConnectionCall;
    /// Makes the connection (pending), or opens another session of one that stands.
    SessionOpen -> SessionOpened;
    /// What the page behind a session's link shows. Writes nothing.
    SessionShow -> SessionPage;
    /// Begins an attempt: what the browser is sent to, and its cookie.
    SessionGo -> Departure;
    /// A browser came back. Waits for the exchange.
    Callback -> Arrival;
    /// What a result page shows.
    ResultShow -> ResultPage;
    /// Begins another attempt of the session whose last one did not connect: the same browser asks.
    ResultAgain -> Departure;
    /// Makes a connection of an API key, or gives one that stands a new key.
    KeyPut -> ConnectionView;
    /// Makes a connection of tokens that somebody else got.
    Import -> ConnectionView;
    /// Makes a connection of a service account's key.
    ServiceAccountPut -> ConnectionView;
    /// How it stands.
    ConnectionGet -> ConnectionView;
    /// Its label, its uid, whether it is on.
    ConnectionPatch -> ConnectionView;
    /// Asks the provider whether the token or key is good, now.
    ConnectionTest -> Tested;
    /// Stops watches, revokes at the provider, shreds.
    Disconnect -> Disconnected;
    /// Forgets every secret and goes back to pending: a clean start under the same id.
    Reset -> ConnectionView;
    /// A token that can be spent now; refreshes first if need be.
    TokenLease -> Token;
    /// A token of this generation was refused with 401: what to do.
    TokenRefused -> Token;
    /// One request is to be made with its token: taken out of its limits, or refused.
    TokenSpend -> Spent;
    /// The API said that it is asked too fast.
    TokenThrottled -> ();
    /// Where its token may be sent.
    ApiGet -> ApiView;
    /// What happened with its refreshes, newest first.
    HistoryList -> Page<HistoryView>;
    /// Who was shown its token, newest first.
    TokenReadList -> Page<TokenReadView>;
    /// The app was changed: look again.
    AppChanged -> ();
    /// There is a new master key: what another one sealed is sealed anew, and the directory learns it.
    Reseal -> ();
    /// The tenant goes: as [`Disconnect`], and nothing is kept.
    ConnectionErase -> Disconnected;
    /// Watches something at the provider. Waits until that stands, or is known to fail.
    WatchPut -> WatchView;
    /// Its watches, oldest first.
    WatchList -> Vec<WatchView>;
    /// Takes a watch away; it is ended at the provider behind the answer.
    WatchDelete -> WatchView;
    /// Something may have changed at the provider. Stored before it is answered.
    WatchPushed -> ();
}

/// Everything about an app that a connection needs, as the directory has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppTerms {
    /// Which.
    pub id: OAuthAppId,
    /// The provider's entry, with the app's variables filled in.
    pub provider: Provider,
    /// The client, its secret open. None for API keys.
    #[serde(default)]
    pub client: Option<Client>,
    /// How often id or secret have been changed.
    #[serde(default)]
    pub generation: u64,
    /// Since when the provider is known to have refused an id or secret of it; none: it was taken since.
    #[serde(default)]
    pub broken: Option<Millis>,
    /// Where the provider sends browsers back to: `BASE_URL/oauth/callback/{id}`.
    pub redirect_uri: String,
    /// A grant without all of the scopes asked for is refused.
    #[serde(default)]
    pub all_scopes: bool,
}

/// See [`Call::SessionOpen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpen {
    /// The app, pinned for this session.
    pub app: AppTerms,
    /// Scopes asked for, the entry's own among them.
    pub scopes: Vec<String>,
    /// Where the browser ends up; judged already. None: our own page.
    #[serde(default)]
    pub return_url: Option<String>,
    /// What its owner calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// Its `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Variables given with the session (a shop), judged already.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The connection must stand already: a reconnect.
    #[serde(default)]
    pub reconnect: bool,
    /// What is watched as soon as it stands.
    #[serde(default)]
    pub watches: Vec<crate::watch::Terms>,
}

/// The answer to [`SessionOpen`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// The random part of the link. A secret, shown this once.
    pub random: Secret,
    /// When the link ends.
    pub expires_at: Millis,
    /// The connection.
    pub connection: ConnectionView,
}

/// See [`Call::SessionShow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionShow {
    /// The random part of the link, hex. A secret.
    pub random: Secret,
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPage {
    /// Whether the link can still be followed.
    pub state: SessionState,
    /// The provider's name.
    pub provider: String,
    /// What is asked, in words, one a scope; a scope without words as itself.
    pub asked: Vec<String>,
    /// The account that a reconnect must be for, if one is connected.
    #[serde(default)]
    pub account: Option<String>,
    /// What its owner calls the connection.
    #[serde(default)]
    pub label: Option<String>,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// To be followed.
    Open,
    /// Its 30 minutes are over.
    Expired,
    /// It was used: the account is connected.
    Connected,
}

/// See [`Call::SessionGo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGo {
    /// The random part of the link, hex. A secret.
    pub random: Secret,
}

/// Where the browser goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// The provider's page, `state` and challenge in it. None: the session is not open; show [`SessionPage`].
    #[serde(default)]
    pub url: Option<Secret>,
    /// The cookie's name, without the prefix that the edge puts before it (`__Host-`): `pc_` and 8 hex digits.
    #[serde(default)]
    pub cookie_name: String,
    /// Its value. A secret.
    #[serde(default = "nothing")]
    pub cookie: Secret,
    /// How long the cookie lives, in seconds.
    #[serde(default)]
    pub cookie_seconds: u64,
}

fn nothing() -> Secret {
    Secret(String::new())
}

/// See [`Call::Callback`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The app of the path.
    pub app: OAuthAppId,
    /// The random part of `state`, hex. A secret.
    pub state: Secret,
    /// Our cookies that came with it, name (without the edge's prefix) to value. Secrets.
    pub cookies: BTreeMap<String, Secret>,
    /// `code`. A secret.
    #[serde(default)]
    pub code: Option<Secret>,
    /// `error`, as far as it is a word.
    #[serde(default)]
    pub error: Option<String>,
    /// `error_description`, cut to 200 characters.
    #[serde(default)]
    pub error_description: Option<String>,
    /// `iss`.
    #[serde(default)]
    pub iss: Option<String>,
    /// All other parameters (`realmId`, `hmac`, `shop` …), as they came.
    #[serde(default)]
    pub others: BTreeMap<String, String>,
}

/// How a callback ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// What to say.
    pub outcome: Outcome,
    /// Where the browser is sent; none: our own page.
    #[serde(default)]
    pub return_url: Option<String>,
    /// The attempt's result, for our page: hex of 16 random bytes; none: nothing of ours was touched.
    #[serde(default)]
    pub result: Option<String>,
    /// The cookie to take away.
    #[serde(default)]
    pub cookie_name: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Connected.
    Connected,
    /// Connected, and the provider gave fewer scopes than asked for.
    MissingScopes,
    /// The same, and the app does not take it: nothing is connected.
    RefusedScopes,
    /// It was connected before, by this session.
    AlreadyConnected,
    /// Whoever was asked said no.
    Denied,
    /// The attempt is over: used, or older than ten minutes. Unknown ones say the same.
    Expired,
    /// Another browser than the one that began it.
    OtherBrowser,
    /// Another account than the one that is connected.
    OtherAccount,
    /// The provider said something else than yes or no.
    ProviderError,
    /// The code could not be exchanged.
    ExchangeFailed,
    /// It is not known whether the exchange happened: to be begun again.
    Lost,
    /// The exchange is under way.
    Underway,
}

impl Outcome {
    /// As it stands in a return URL's `status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::MissingScopes => "missing_scopes",
            Self::RefusedScopes => "refused_scopes",
            Self::AlreadyConnected => "already_connected",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::OtherBrowser => "other_browser",
            Self::OtherAccount => "other_account",
            Self::ProviderError => "provider_error",
            Self::ExchangeFailed => "exchange_failed",
            Self::Lost => "lost",
            Self::Underway => "underway",
        }
    }
}

/// See [`Call::ResultShow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultShow {
    /// See [`Arrival::result`].
    pub result: String,
}

/// What a result page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPage {
    /// What to say.
    pub outcome: Outcome,
    /// The provider's name.
    pub provider: String,
    /// The account that is connected.
    #[serde(default)]
    pub account: Option<String>,
    /// The account that came instead.
    #[serde(default)]
    pub other_account: Option<String>,
    /// Scopes that were not given, in words.
    #[serde(default)]
    pub missing: Vec<String>,
    /// The provider's own sentence, at most 200 characters; not ours, and to be escaped.
    #[serde(default)]
    pub words: Option<String>,
    /// The session can be followed again.
    #[serde(default)]
    pub again: bool,
    /// Where its owner's product wants the browser; judged when the session was made.
    #[serde(default)]
    pub return_url: Option<String>,
}

/// See [`Call::ResultAgain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultAgain {
    /// See [`Arrival::result`].
    pub result: String,
    /// Our cookies that came with it: the one of the attempt must be among them. Secrets.
    pub cookies: BTreeMap<String, Secret>,
}

/// See [`Call::KeyPut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPut {
    /// The app: of API keys only the provider's entry counts.
    pub app: AppTerms,
    /// The key. A secret.
    pub key: Secret,
    /// The user name that goes with it.
    #[serde(default)]
    pub user: Option<String>,
    /// What its owner calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// Its `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Variables, judged already.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The connection must stand already.
    #[serde(default)]
    pub replace: bool,
}

/// See [`Call::Import`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The app that the tokens were made with.
    pub app: AppTerms,
    /// The tokens. Secrets. Without an access token it is refreshed at once.
    pub access_token: Option<Secret>,
    /// See there.
    pub refresh_token: Option<Secret>,
    /// Scopes granted.
    pub scopes: Vec<String>,
    /// When the access token ends.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// The account's label.
    #[serde(default)]
    pub account: Option<String>,
    /// What its owner calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// Its `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Variables, judged already.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What is watched as soon as it stands.
    #[serde(default)]
    pub watches: Vec<crate::watch::Terms>,
}

/// See [`Call::ServiceAccountPut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccountPut {
    /// The app: of service accounts only the provider's entry counts.
    pub app: AppTerms,
    /// `client_email`.
    pub email: String,
    /// `private_key`, PEM. A secret.
    pub private_key: Secret,
    /// `private_key_id`.
    #[serde(default)]
    pub key_id: Option<String>,
    /// On whose behalf; none: its own.
    #[serde(default)]
    pub subject: Option<String>,
    /// Scopes asked for.
    pub scopes: Vec<String>,
    /// What its owner calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// Its `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// The connection must stand already.
    #[serde(default)]
    pub replace: bool,
    /// What is watched as soon as it stands.
    #[serde(default)]
    pub watches: Vec<crate::watch::Terms>,
}

/// See [`Call::ConnectionGet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionGet {}

/// See [`Call::ConnectionPatch`]. What is not there stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionPatch {
    /// A label; an empty one takes it away.
    #[serde(default)]
    pub label: Option<String>,
    /// A `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// Its `uid` is taken away.
    #[serde(default)]
    pub without_uid: bool,
    /// Switched on or off.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Limits in place of the entry's.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// The entry's limits hold again.
    #[serde(default)]
    pub without_limits: bool,
}

/// See [`Call::ConnectionTest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionTest {}

/// What a test found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    /// The provider took the token or key.
    pub ok: bool,
    /// What it answered.
    #[serde(default)]
    pub status: Option<u16>,
    /// How long it took.
    #[serde(default)]
    pub duration_ms: u32,
    /// One sentence.
    pub detail: String,
    /// How the connection stands now.
    pub connection: ConnectionView,
}

/// See [`Call::Disconnect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disconnect {}

/// See [`Call::ConnectionErase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionErase {}

/// How a disconnect ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnected {
    /// What the provider did.
    pub revoked: RevokeResult,
    /// How the connection stands now.
    pub connection: ConnectionView,
}

/// What came of revoking a grant at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeResult {
    /// It is revoked.
    Revoked,
    /// The provider did not know it any more.
    AlreadyGone,
    /// The provider has no way to do it, or nothing was there: shredded here alone.
    Unsupported,
    /// The provider did not do it; shredded here all the same. The grant may live on at the provider.
    Failed,
}

/// See [`Call::Reset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reset {}

/// See [`Call::TokenLease`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenLease {
    /// Who reads it, for the audit; none: the proxy or a delivery, which show it to nobody.
    #[serde(default)]
    pub reader: Option<String>,
    /// Refresh even if the token is good.
    #[serde(default)]
    pub refresh: bool,
    /// How often it was used since the last lease, for the counts.
    #[serde(default)]
    pub used: u32,
}

/// See [`Call::TokenRefused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRefused {
    /// Of the token that the provider refused.
    pub generation: u64,
}

/// A token to spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the secret is called what every provider calls it"
)]
pub struct Token {
    /// The access token or the API key. A secret.
    pub token: Secret,
    /// The user name that goes with an API key.
    #[serde(default)]
    pub user: Option<String>,
    /// Which of the connection's tokens it is.
    pub generation: u64,
    /// When it ends, as far as is known.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// It may be kept in memory until then.
    pub keep_until: Millis,
    /// Scopes granted.
    pub scopes: Vec<String>,
    /// The provider's API, with all variables filled in; none: it has none that we know.
    #[serde(default)]
    pub api: Option<crate::oauth::provider::Api>,
    /// The provider's id.
    pub provider: String,
    /// The API is limited: every request asks first.
    #[serde(default)]
    pub limited: bool,
}

/// See [`Call::TokenSpend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenSpend {}

/// Whether a request may be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// The limit that is used up; none: it may.
    #[serde(default)]
    pub limit: Option<String>,
    /// When it has room again, in milliseconds from now.
    #[serde(default)]
    pub wait_ms: u64,
}

/// See [`Call::TokenThrottled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenThrottled {
    /// So long the API is to be left alone.
    pub ms: u64,
}

/// See [`Call::HistoryList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryList {
    /// Which page.
    pub page: PageOf,
}

/// See [`Call::TokenReadList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReadList {
    /// Which page.
    pub page: PageOf,
}

/// The reads of one reader in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReadView {
    /// The minute's beginning.
    pub at: Millis,
    /// As it named itself in [`TokenLease::reader`].
    pub reader: String,
    /// How many; an object that died within the minute may have forgotten less than half of them.
    pub reads: u64,
}

/// One line of a connection's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryView {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: Millis,
    /// What was done: `connect`, `refresh`, `check`, `watch`, `revoke`, `read`, `change`.
    pub what: String,
    /// How it ended; none: well.
    #[serde(default)]
    pub class: Option<Class>,
    /// What was decided, one sentence.
    pub decision: String,
    /// The provider's own words, at most 200 characters.
    #[serde(default)]
    pub words: Option<String>,
    /// The state after it.
    pub state: State,
    /// When something is done next.
    #[serde(default)]
    pub next_at: Option<Millis>,
    /// Who, where a person or a token did it.
    #[serde(default)]
    pub actor: Option<String>,
}

/// See [`Call::AppChanged`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AppChanged {}

/// See [`Call::Reseal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reseal {}

/// How a connection stands. No secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// Which.
    pub id: ConnectionId,
    /// Whose.
    pub tenant: TenantId,
    /// Its `uid`.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// What its owner calls it.
    #[serde(default)]
    pub label: Option<String>,
    /// The provider's id.
    pub provider: String,
    /// The app that it was made with.
    pub app: OAuthAppId,
    /// Its state.
    pub state: State,
    /// Why.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Switched on by its owner.
    pub enabled: bool,
    /// Whose account it is, for people.
    #[serde(default)]
    pub account: Option<String>,
    /// The account's key at the provider.
    #[serde(default)]
    pub account_key: Option<String>,
    /// What the provider's webhooks call the account: routing keys that are its tenant's while it stands.
    #[serde(default)]
    pub routing: Vec<String>,
    /// Scopes granted.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Scopes asked for and not granted.
    #[serde(default)]
    pub missing_scopes: Vec<String>,
    /// How often its secret was written; none: there is none.
    #[serde(default)]
    pub generation: Option<u64>,
    /// When the access token ends.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// There is a refresh token.
    #[serde(default)]
    pub refreshable: bool,
    /// The last four characters of an API key.
    #[serde(default)]
    pub last_four: Option<String>,
    /// When the grant will be over, as far as is known.
    #[serde(default)]
    pub dies_at: Option<Millis>,
    /// Why then.
    #[serde(default)]
    pub dies_of: Option<String>,
    /// How sure that is: `told`, `documented`, `guessed`.
    #[serde(default)]
    pub dies_confidence: Option<String>,
    /// Last time that a token was leased.
    #[serde(default)]
    pub last_used_at: Option<Millis>,
    /// Last good refresh.
    #[serde(default)]
    pub last_refresh_at: Option<Millis>,
    /// When it is refreshed ahead of its end.
    #[serde(default)]
    pub next_refresh_at: Option<Millis>,
    /// The last check of its health.
    #[serde(default)]
    pub last_check: Option<CheckView>,
    /// Requests made with it in the last 24 h, as far as counted.
    #[serde(default)]
    pub used_24h: u64,
    /// The limits that hold: its own, or else its entry's.
    #[serde(default)]
    pub limits: Limits,
    /// What came of revoking it.
    #[serde(default)]
    pub revoked: Option<RevokeResult>,
    /// Its watches.
    #[serde(default)]
    pub watches: Vec<Value>,
    /// The version of the master key that its secrets are sealed with; none: there are none.
    #[serde(default)]
    pub key_version: Option<u8>,
    /// When it was made.
    pub created_at: Millis,
    /// Last change.
    pub updated_at: Millis,
}

/// A check of a connection's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// When.
    pub at: Millis,
    /// Whether it went well.
    pub ok: bool,
    /// One sentence.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_a_row_and_in_a_call() {
        for word in [
            Outcome::Connected,
            Outcome::MissingScopes,
            Outcome::RefusedScopes,
            Outcome::AlreadyConnected,
            Outcome::Denied,
            Outcome::Expired,
            Outcome::OtherBrowser,
            Outcome::OtherAccount,
            Outcome::ProviderError,
            Outcome::ExchangeFailed,
            Outcome::Lost,
            Outcome::Underway,
        ] {
            assert_eq!(serde_json::to_value(word).ok(), Some(word.as_str().into()));
        }
    }
}
