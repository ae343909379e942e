//! What is known of a provider, as data: the entries of the catalogue, and what an operator or a tenant configures, have
//! the same form. A connection keeps the entry that it was begun with.
//!
//! URLs may hold variables in braces (`{tenant}`, `{shop}`, `{instance_url}`): given when an app or a session is made, or
//! learned from an answer. Each variable has a pattern; a value that does not match it is refused, so that no answer and no
//! tenant can send a token to another host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// What it is called in the API: lower case, digits, `-`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How a connection to it is authorised.
    pub kind: Kind,
    /// Proven against a stand-in with its documented quirks. Any other is shown as unverified.
    #[serde(default)]
    pub verified: bool,
    /// Facts without a primary source, one sentence each: shown beside the entry.
    #[serde(default)]
    pub unsure: Vec<String>,
    /// Where an operator registers an app, and where the provider documents this.
    #[serde(default)]
    pub docs: Vec<String>,
    /// Variables of the URLs.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// `OAuth`; none for API keys.
    #[serde(default)]
    pub oauth: Option<OAuth>,
    /// API keys; none for `OAuth`.
    #[serde(default)]
    pub key: Option<KeyForm>,
    /// Its API, for the proxy and for checks.
    #[serde(default)]
    pub api: Option<Api>,
    /// Asked once after the exchange, and again on reconnect: whose account this is.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The cheapest call that tells whether the token or key is good.
    #[serde(default)]
    pub check: Option<Check>,
}

/// How a connection is authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `OAuth` 2.0, authorization code.
    Oauth2,
    /// The same with an id token (`OpenID` Connect).
    Oidc,
    /// An API key that a person brings.
    ApiKey,
    /// A service account's key, exchanged for tokens (RFC 7523).
    ServiceAccount,
}

/// A variable of URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// Its name in the braces.
    pub name: String,
    /// What it is, for people.
    pub label: String,
    /// Which values it may have.
    pub form: VariableForm,
    /// Where it comes from.
    pub from: VariableFrom,
    /// What it is if nobody says.
    #[serde(default)]
    pub default: Option<String>,
}

/// Which values a variable may have. No regular expressions: these few forms cover what providers do, and none of them
/// lets a host in that the entry does not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableForm {
    /// `A–Z a–z 0–9 - _`, 1 to 64, not beginning or ending with `-`: a part of a host or of a path.
    Word,
    /// `a–z 0–9 -`, 1 to 63, not beginning with `-`: a name under a provider's host.
    Label,
    /// Digits, 1 to 32.
    Digits,
    /// An `https` origin whose host is one of these or ends with one of these behind a dot.
    OriginUnder(Vec<String>),
    /// Any `https` origin that the address rule lets through: an operator's or tenant's own server.
    Origin,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableFrom {
    /// Given with the app.
    App,
    /// Given with the session (or with an API key).
    Session,
    /// From the token endpoint's answer.
    Answer,
    /// From the callback's query.
    Callback,
}

/// The `OAuth` part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuth {
    /// The authorization endpoint.
    pub authorize_url: String,
    /// The token endpoint.
    pub token_url: String,
    /// Where refreshes go, if elsewhere.
    #[serde(default)]
    pub refresh_url: Option<String>,
    /// How a grant is revoked; none: the provider has no way.
    #[serde(default)]
    pub revoke: Option<Revoke>,
    /// The issuer, exactly as `iss` says it; `{tenantid}` for Microsoft's.
    #[serde(default)]
    pub issuer: Option<String>,
    /// Other spellings of the issuer in id tokens (Google has two).
    #[serde(default)]
    pub issuer_also: Vec<String>,
    /// The server says that it sends `iss` with every authorization response (RFC 9207): one without is refused.
    #[serde(default)]
    pub iss_required: bool,
    /// Where the issuer's keys are.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// PKCE with S256; off only with a reason.
    pub pkce: Pkce,
    /// How the client authenticates at the token endpoint.
    pub client_auth: ClientAuth,
    /// How the token endpoint's body is written.
    #[serde(default)]
    pub body: BodyForm,
    /// Between scopes in requests; empty: the provider takes none (Notion), the app alone says what is granted.
    #[serde(default = "space")]
    pub scope_separator: String,
    /// Scopes that every connection needs, beside those asked for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The name of the parameter for scopes, if not `scope`.
    #[serde(default)]
    pub scope_parameter: Option<String>,
    /// Scopes in words: what the page says is asked.
    #[serde(default)]
    pub scope_words: BTreeMap<String, String>,
    /// Scopes that answers spell in another way than requests: a scope counts as granted if one of these is. An empty list:
    /// answers need not name it (Microsoft's `profile`).
    #[serde(default)]
    pub scope_answers: BTreeMap<String, Vec<String>>,
    /// More parameters of the authorization request.
    #[serde(default)]
    pub authorize_parameters: BTreeMap<String, String>,
    /// The same on reconnect alone; `{account}` is the account's hint (Google's `login_hint`).
    #[serde(default)]
    pub reconnect_parameters: BTreeMap<String, String>,
    /// More parameters of the exchange.
    #[serde(default)]
    pub token_parameters: BTreeMap<String, String>,
    /// More headers of the token endpoint (`Accept`, `Notion-Version`).
    #[serde(default)]
    pub token_headers: BTreeMap<String, String>,
    /// What happens to a refresh token when it is used.
    pub rotation: Rotation,
    /// How long things live.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Where the answer is not what RFC 6749 says.
    #[serde(default)]
    pub answer: AnswerForm,
    /// What the provider's own error codes mean, before the standard's. First match wins.
    #[serde(default)]
    pub words: Vec<Word>,
    /// Proofs of the callback beside `state`.
    #[serde(default)]
    pub callback: Option<CallbackProof>,
}

fn space() -> String {
    " ".to_owned()
}

/// PKCE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    /// S256, always.
    S256,
    /// None, for a written reason.
    Off {
        /// Why.
        reason: String,
    },
}

/// How the client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// `client_secret_basic`: id and secret form-encoded, then Basic (RFC 6749 section 2.3.1).
    Basic,
    /// `client_secret_post`.
    Post,
    /// `none`: a public client, `client_id` in the body.
    None,
}

/// How the token endpoint's body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyForm {
    /// `application/x-www-form-urlencoded`.
    #[default]
    Form,
    /// `application/json`.
    Json,
}

/// How a grant is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revoke {
    /// `POST` or `DELETE`.
    #[serde(default = "post")]
    pub method: String,
    /// Where; `{client_id}` is the client's id.
    pub url: String,
    /// Which token ends the grant.
    pub token: RevokeToken,
    /// How the client authenticates there; none: not at all.
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
    /// The token as a Bearer instead of in the body (Dropbox).
    #[serde(default)]
    pub bearer: bool,
    /// How the body is written.
    #[serde(default)]
    pub body: BodyForm,
    /// The name of the token's field, if not `token`.
    #[serde(default)]
    pub token_field: Option<String>,
    /// More fields; `{account}` and learned values may stand in them.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Error codes that mean that it was gone already.
    #[serde(default)]
    pub gone: Vec<String>,
}

fn post() -> String {
    "POST".to_owned()
}

/// Which token is shown to revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeToken {
    /// The refresh token, or the access token where there is none.
    Refresh,
    /// The access token.
    Access,
    /// None: the fields say whose grant it is (Stripe).
    None,
}

/// What happens to a refresh token when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It never changes.
    None,
    /// A new one comes, the old one still works.
    ReissueOldOk,
    /// The old one works for so many seconds after its first use.
    Grace {
        /// Seconds.
        seconds: u64,
    },
    /// The old one dies at use; used again it may take the whole grant with it.
    Strict,
    /// Nobody knows: treated as strict.
    Unknown,
}

/// How long things live, in seconds. What an answer tells goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// An access token where the answer does not say (Salesforce: 2 h).
    #[serde(default)]
    pub access: Option<u64>,
    /// A grant that is not refreshed for so long dies.
    #[serde(default)]
    pub idle: Option<u64>,
    /// A grant dies so long after it was given, whatever one does.
    #[serde(default)]
    pub absolute: Option<u64>,
}

/// Where a token endpoint's answer is not what RFC 6749 says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerForm {
    /// Statuses of a success beside 200 (Supabase: 201).
    #[serde(default)]
    pub success: Vec<u16>,
    /// `token_type` may be missing, or be something else than Bearer that is spent as one.
    #[serde(default)]
    pub token_type_optional: bool,
    /// Where the token's object is, as a JSON pointer (Slack's user token: `/authed_user`).
    #[serde(default)]
    pub object: Option<String>,
    /// The token stands at the root all the same where `token_type` there is this word: Slack answers the refresh of a
    /// person's token at the root, as `user`.
    #[serde(default)]
    pub root_token_type: Option<String>,
    /// A member that must be `true` in a success (Slack's `ok`).
    #[serde(default)]
    pub ok: Option<String>,
    /// Between scopes in the answer, if not as in the request (GitHub: a comma).
    #[serde(default)]
    pub scope_separator: Option<String>,
    /// Where the seconds of the refresh token are, if the answer tells them (`refresh_expires_in`).
    #[serde(default)]
    pub refresh_expires_in: Option<String>,
    /// Where an error's code is, if not `error` (Notion: `code`).
    #[serde(default)]
    pub error: Option<String>,
    /// Where its sentence is, if not `error_description`.
    #[serde(default)]
    pub error_description: Option<String>,
    /// Further values to keep: name to JSON pointer (`instance_url`, `/team/id`).
    #[serde(default)]
    pub learn: BTreeMap<String, String>,
}

/// What an error code means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// The code; of Microsoft a number such as `AADSTS7000215`.
    pub error: String,
    /// And its sentence holds this (lower case).
    #[serde(default)]
    pub holds: Option<String>,
    /// What that means.
    pub class: Class,
}

/// What an answer that is no success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The grant is over: somebody must connect again.
    DeadGrant,
    /// The provider wants a person: a consent, a second factor, a policy.
    PersonNeeded,
    /// The app's id or secret is wrong, expired, or the app is gone: all of its connections stand.
    BrokenApp,
    /// The request is not what the provider takes: our configuration of it.
    BrokenConfig,
    /// Too fast.
    Throttled,
    /// The provider does not work.
    Outage,
    /// It is not known whether the provider did it.
    Lost,
}

/// Proofs of a callback beside `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallbackProof {
    /// Shopify: `hmac` over the other parameters with the client's secret, `shop` of its form.
    Shopify,
}

/// An API key's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyForm {
    /// What the key is called at the provider ("Secret key", "Auth token").
    pub label: String,
    /// How such a key begins, for a hint when it does not.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// A user name that goes with it (Twilio's account SID), and what it is called; none: no user name.
    #[serde(default)]
    pub user: Option<String>,
}

/// A provider's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// Its base.
    pub base: String,
    /// More bases by name: `gmail` → `https://gmail.googleapis.com`. A caller chooses by name, never by host.
    #[serde(default)]
    pub bases: BTreeMap<String, String>,
    /// How the token is placed.
    #[serde(default)]
    pub place: TokenPlace,
    /// Headers that every request carries (`Notion-Version`), unless the caller sends its own.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers of callers that are let through beside the usual ones, lower case.
    #[serde(default)]
    pub caller_headers: Vec<String>,
    /// Its limits.
    #[serde(default)]
    pub limits: Limits,
    /// Errors in its answers that mean a 401 whatever the status is (Slack's `token_expired`).
    #[serde(default)]
    pub unauthorised: Vec<String>,
}

/// How the token stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    /// `Authorization: Bearer …` (RFC 6750 section 2.1).
    #[default]
    Bearer,
    /// `Authorization: Basic`, the key's user name and the key (Twilio), or the key alone as the user name (Stripe).
    Basic,
    /// A header of its own (`X-Shopify-Access-Token`, `x-api-key`).
    Header(String),
}

/// How fast an API may be asked, per connection. None: not limited by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "as they are said, and as they stand in JSON"
)]
pub struct Limits {
    /// Requests per second.
    #[serde(default)]
    pub per_second: Option<u32>,
    /// Per minute.
    #[serde(default)]
    pub per_minute: Option<u32>,
    /// Per day.
    #[serde(default)]
    pub per_day: Option<u32>,
}

/// Whose account a grant is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Where it is told.
    pub from: IdentityFrom,
    /// JSON pointers whose values together are the account's key (`/tid`, `/oid`). Numbers count as their text. One in braces
    /// is a variable's value (`{realmId}`).
    pub key: Vec<String>,
    /// JSON pointers of a label for people; the first that is there.
    #[serde(default)]
    pub label: Vec<String>,
    /// JSON pointers of what the provider's webhooks call the account (a team, a portal): each that is there is a routing key
    /// of app-level sources that the app feeds. Only places that the provider vouches for, and where nobody but those who
    /// decide for the whole account can connect it.
    #[serde(default)]
    pub routing: Vec<String>,
}

/// Where an account is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityFrom {
    /// In the verified id token.
    IdToken,
    /// In the token endpoint's answer.
    Answer,
    /// By a call to the API.
    Call(Check),
}

/// A call that answers 2xx with JSON when the token is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// `GET` or `POST`.
    #[serde(default = "get")]
    pub method: String,
    /// The whole URL; variables may stand in it.
    pub url: String,
    /// A body, for `POST`, sent as it stands: no variables, GraphQL has braces of its own.
    #[serde(default)]
    pub body: Option<String>,
    /// Its type; `application/json` if there is a body and nobody says.
    #[serde(default)]
    pub content_type: Option<String>,
    /// A member that must be `true` (Slack's `ok`).
    #[serde(default)]
    pub ok: Option<String>,
    /// A JSON pointer to something that must be there: GraphQL says 200 to what it refuses.
    #[serde(default)]
    pub holds: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}
