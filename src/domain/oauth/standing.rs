//! How a connection stands: its states, why, and what is told of each change.

use serde::{Deserialize, Serialize};

/// The states of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, and not authorised yet.
    Pending,
    /// Its token can be spent.
    Active,
    /// Something fails that may hurt who reads: it heals by itself, or becomes one of the next.
    Degraded,
    /// The grant is over: somebody must connect again.
    NeedsReauth,
    /// Nothing is wrong with the grant: the app is broken or disabled, or a master key is missing.
    Blocked,
    /// Over for good: nothing of it is left but this.
    Revoked,
}

impl State {
    /// As it stands in answers and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::NeedsReauth => "needs_reauth",
            Self::Blocked => "blocked",
            Self::Revoked => "revoked",
        }
    }
}

/// Why it is not active. A closed set: lists filter on it, people read its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nobody has connected yet.
    NotConnected,
    /// Whoever was asked said no.
    Denied,
    /// Nobody came back from the provider in time.
    Expired,
    /// The code could not be exchanged.
    ExchangeFailed,
    /// The provider throttles refreshes.
    Throttled,
    /// The provider's token endpoint does not work.
    ProviderOutage,
    /// A refresh was sent and its answer never came.
    RefreshUnknown,
    /// The same, and the provider says since that the grant is over.
    RefreshAnswerLost,
    /// The provider says that the grant is over.
    GrantDead,
    /// The provider wants a person: a consent, a second factor, a policy.
    PolicyNeedsUser,
    /// The access token is over, and there is none to refresh it with.
    NoRefreshToken,
    /// The provider's API refuses a fresh token, twice.
    ApiRefuses,
    /// The API key is refused.
    KeyRefused,
    /// Health checks fail.
    CheckFailed,
    /// A watch cannot be renewed.
    WatchFailed,
    /// The app's id or secret is wrong.
    App,
    /// The app is disabled.
    AppDisabled,
    /// The provider does not take our requests: the configuration of it is wrong.
    Config,
    /// A master key is missing.
    KekMissing,
    /// A sealed value does not open.
    SealBroken,
    /// Tokens came and could not be stored.
    Storage,
    /// Switched off by its owner.
    SwitchedOff,
    /// Disconnected by its owner, or with its tenant.
    Disconnected,
    /// The provider says that its side ended it.
    Deauthorised,
}

impl Reason {
    /// What happened, and what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NotConnected => "Nobody has connected it yet: open a session's link",
            Self::Denied => "Whoever was asked said no; open a new session to ask again",
            Self::Expired => "Nobody came back from the provider in time; open a new session",
            Self::ExchangeFailed => {
                "The provider did not give a token for its code; its words stand in the history"
            }
            Self::Throttled => "The provider throttles refreshes; they are tried again",
            Self::ProviderOutage => {
                "The provider's token endpoint does not answer as it should; it is tried again"
            }
            Self::RefreshUnknown => "A refresh was sent and its answer never came; what is safe is tried",
            Self::RefreshAnswerLost => {
                "A refresh's answer was lost, and the provider ended the grant since: connect again"
            }
            Self::GrantDead => "The provider says that the grant is over: connect again",
            Self::PolicyNeedsUser => {
                "The provider wants a person (a consent, a second factor, a policy): connect again"
            }
            Self::NoRefreshToken => {
                "The access token is over, and the provider gave none to refresh it with: connect again"
            }
            Self::ApiRefuses => "The provider's API refuses a fresh token: connect again",
            Self::KeyRefused => "The provider refuses the API key: bring a new one",
            Self::CheckFailed => "The check of its health fails; it is tried again",
            Self::WatchFailed => "A watch cannot be renewed; it is tried again",
            Self::App => {
                "The OAuth app's client id or secret is wrong: correct the app, and its connections heal"
            }
            Self::AppDisabled => "The OAuth app is disabled: enable it, and its connections heal",
            Self::Config => "The provider does not take our requests: look at the app's provider settings",
            Self::KekMissing => "A master key is missing in this deployment: put it back, and it heals",
            Self::SealBroken => "A sealed token does not open: its bytes are kept for inquiry; connect again",
            Self::Storage => "Tokens came and could not be stored; it is tried again",
            Self::SwitchedOff => "Switched off by its owner",
            Self::Disconnected => "Disconnected by its owner",
            Self::Deauthorised => "The provider's side ended it: make a new connection",
        }
    }
}

/// What is told to the tenant's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// `connection.created`
    Created,
    /// `connection.degraded`
    Degraded,
    /// `connection.needs_reauth`
    NeedsReauth,
    /// `connection.recovered`
    Recovered,
    /// `connection.revoked`
    Revoked,
    /// `connection.expiring`
    Expiring,
}

impl Event {
    /// The message's event type.
    #[must_use]
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Created => "connection.created",
            Self::Degraded => "connection.degraded",
            Self::NeedsReauth => "connection.needs_reauth",
            Self::Recovered => "connection.recovered",
            Self::Revoked => "connection.revoked",
            Self::Expiring => "connection.expiring",
        }
    }
}
