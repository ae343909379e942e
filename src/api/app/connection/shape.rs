//! A connection, as it is shown: never with a secret.

use postern_domain::id::Uid;
use postern_domain::oauth::app;
use postern_domain::oauth::provider::Limits;
use postern_domain::oauth::standing::Reason;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{CheckView, ConnectionView, Disconnected, RevokeResult, Tested};
use serde::Serialize;
use serde_json::Value;

/// A connection.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionOut {
    id: String,
    uid: Option<String>,
    app_id: String,
    /// The app that it was made with; null: an entry of the catalogue that needs none.
    oauth_app_id: Option<String>,
    provider: String,
    label: Option<String>,
    /// `pending`, `active`, `degraded`, `needs_reauth`, `blocked` or `revoked`.
    state: &'static str,
    /// A word of a closed set.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    reason: Option<Reason>,
    /// What that means, and what to do.
    detail: Option<&'static str>,
    enabled: bool,
    /// Whose account it is, for people.
    account: Option<String>,
    /// The account's key at the provider.
    account_key: Option<String>,
    /// What the provider's webhooks call the account: these keys of app-level sources that its app feeds are its
    /// application's.
    routing_keys: Vec<String>,
    /// Granted.
    scopes: Vec<String>,
    /// Asked for and not granted.
    missing_scopes: Vec<String>,
    /// How often its secret was written; null: there is none.
    generation: Option<u64>,
    /// When the access token ends.
    expires_at: Option<String>,
    refreshable: bool,
    /// Of an API key.
    last_four: Option<String>,
    /// When the grant will be over, as far as is known.
    dies_at: Option<String>,
    dies_of: Option<String>,
    /// `told`, `documented` or `guessed`.
    dies_confidence: Option<String>,
    last_used_at: Option<String>,
    last_refresh_at: Option<String>,
    next_refresh_at: Option<String>,
    last_check: Option<CheckOut>,
    used24h: u64,
    /// How fast its API may be asked: its own limits, or else the provider's.
    limits: ConnectionLimits,
    /// What came of revoking it: `revoked`, `already_gone`, `unsupported` or `failed`.
    revoked: Option<&'static str>,
    watches: Vec<Value>,
    created_at: String,
    updated_at: String,
}

/// Requests of one connection, each over a sliding window; null: as many as come.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "as they are said, and as they stand in JSON"
)]
pub(crate) struct ConnectionLimits {
    per_second: Option<u32>,
    per_minute: Option<u32>,
    per_day: Option<u32>,
}

/// A check of its health.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct CheckOut {
    at: String,
    ok: bool,
    detail: String,
}

/// What a test found.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionTestOut {
    /// The provider took the token or key.
    ok: bool,
    /// What it answered.
    status: Option<u16>,
    duration_ms: u32,
    detail: String,
    connection: ConnectionOut,
}

/// How a disconnect ended.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DisconnectedOut {
    /// `revoked`, `already_gone`, `unsupported` or `failed`. Shredded here in any case.
    revoked: &'static str,
    connection: ConnectionOut,
}

impl ConnectionOut {
    /// Of what its object says, or has said.
    pub(crate) fn new(view: ConnectionView) -> Self {
        let of_catalogue = app::of_catalogue(&view.provider) == view.app;
        Self {
            id: view.id.to_string(),
            uid: view.uid.map(Uid::into),
            app_id: view.tenant.to_string(),
            oauth_app_id: (!of_catalogue).then(|| view.app.to_string()),
            provider: view.provider,
            label: view.label,
            state: view.state.as_str(),
            reason: view.reason,
            detail: view.reason.map(Reason::sentence),
            enabled: view.enabled,
            account: view.account,
            account_key: view.account_key,
            routing_keys: view.routing,
            scopes: view.scopes,
            missing_scopes: view.missing_scopes,
            generation: view.generation,
            expires_at: view.expires_at.map(Millis::to_rfc3339),
            refreshable: view.refreshable,
            last_four: view.last_four,
            dies_at: view.dies_at.map(Millis::to_rfc3339),
            dies_of: view.dies_of,
            dies_confidence: view.dies_confidence,
            last_used_at: view.last_used_at.map(Millis::to_rfc3339),
            last_refresh_at: view.last_refresh_at.map(Millis::to_rfc3339),
            next_refresh_at: view.next_refresh_at.map(Millis::to_rfc3339),
            last_check: view.last_check.map(CheckOut::new),
            used24h: view.used_24h,
            limits: ConnectionLimits::new(view.limits),
            revoked: view.revoked.map(word),
            watches: view.watches,
            created_at: view.created_at.to_rfc3339(),
            updated_at: view.updated_at.to_rfc3339(),
        }
    }
}

impl ConnectionLimits {
    const fn new(limits: Limits) -> Self {
        Self {
            per_second: limits.per_second,
            per_minute: limits.per_minute,
            per_day: limits.per_day,
        }
    }
}

impl CheckOut {
    fn new(check: CheckView) -> Self {
        Self {
            at: check.at.to_rfc3339(),
            ok: check.ok,
            detail: check.detail,
        }
    }
}

impl ConnectionTestOut {
    pub(super) fn new(tested: Tested) -> Self {
        Self {
            ok: tested.ok,
            status: tested.status,
            duration_ms: tested.duration_ms,
            detail: tested.detail,
            connection: ConnectionOut::new(tested.connection),
        }
    }
}

impl DisconnectedOut {
    pub(super) fn new(disconnected: Disconnected) -> Self {
        Self {
            revoked: word(disconnected.revoked),
            connection: ConnectionOut::new(disconnected.connection),
        }
    }
}

const fn word(result: RevokeResult) -> &'static str {
    match result {
        RevokeResult::Revoked => "revoked",
        RevokeResult::AlreadyGone => "already_gone",
        RevokeResult::Unsupported => "unsupported",
        RevokeResult::Failed => "failed",
    }
}
