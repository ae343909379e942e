//! An app, as it is shown: never with its secret.

use std::collections::BTreeMap;

use postern_domain::id::Uid;
use postern_domain::json;
use postern_domain::oauth::app::{self, Row};
use postern_domain::problem::Problem;
use serde::Serialize;
use serde_json::Value;

/// An app.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct OAuthAppOut {
    id: String,
    uid: Option<String>,
    name: String,
    /// `operator`: every application may use it; `application`: its own.
    owner: &'static str,
    app_id: Option<String>,
    /// The id of an entry of the catalogue.
    provider: String,
    /// The whole entry where its owner laid settings over it; null: the catalogue's.
    provider_config: Option<Value>,
    variables: BTreeMap<String, String>,
    /// Asked for unless a session says otherwise, beside the provider's own.
    scopes: Vec<String>,
    /// A grant without all of the scopes asked for is refused.
    all_scopes: bool,
    /// Where browsers may end up: exact origin, path and what is below it.
    return_urls: Vec<String>,
    client_id: Option<String>,
    has_client_secret: bool,
    /// How often client id or secret were changed.
    generation: u64,
    enabled: bool,
    /// The provider refuses the client id or secret: its connections are blocked until it is edited, or takes them again.
    broken: Option<OAuthAppBrokenOut>,
    /// To be registered at the provider, to the letter.
    redirect_uri: String,
    created_at: String,
    updated_at: String,
}

/// What is broken of an app.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct OAuthAppBrokenOut {
    /// Since when the provider is known to refuse it.
    since: String,
    /// The provider's own words, at most 200 characters.
    words: Option<String>,
    /// One connection asks the provider again then, or soon after.
    again_at: String,
}

impl OAuthAppBrokenOut {
    /// Of one that was edited since nobody knows yet: its connections ask at once.
    fn new(row: &Row) -> Option<Self> {
        let (since, again_at) = row.broken_at.zip(row.probe_at)?;
        Some(Self {
            since: since.to_rfc3339(),
            words: row.broken_words.clone(),
            again_at: again_at.to_rfc3339(),
        })
    }
}

impl OAuthAppOut {
    /// Of a row.
    pub(crate) fn new(row: &Row, base_url: &str) -> Result<Self, Problem> {
        let config = row.entry.as_deref().map(json::read);
        Ok(Self {
            id: row.id.to_string(),
            uid: row.uid.as_ref().map(Uid::to_string),
            name: row.name.clone(),
            owner: if row.application.is_some() {
                "application"
            } else {
                "operator"
            },
            app_id: row.application.map(|id| id.to_string()),
            provider: row.provider.clone(),
            provider_config: config.transpose().map_err(Problem::internal)?,
            variables: row.variables()?,
            scopes: row.scopes()?,
            all_scopes: row.all_scopes == 1,
            return_urls: row.return_urls()?,
            client_id: row.client_id.clone(),
            has_client_secret: row.secret.is_some(),
            generation: row.generation,
            enabled: row.enabled == 1,
            broken: OAuthAppBrokenOut::new(row),
            redirect_uri: app::redirect_uri(base_url, row.id),
            created_at: row.created_at.to_rfc3339(),
            updated_at: row.updated_at.to_rfc3339(),
        })
    }
}
