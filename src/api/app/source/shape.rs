//! A source, as it is read and written.

use postern_domain::id::Uid;
use postern_domain::provider::SourceConfig;
use postern_domain::time::Millis;
use postern_domain::wire::call::SourceGet;
use postern_domain::wire::{SecretHint, SourceState, SourceView};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::field;
use crate::api::form::Form;

/// Seconds that an old secret or address goes on for when nobody says otherwise: a day.
pub(super) const OVERLAP_SECONDS: u32 = 86_400;

/// Reads `config` for a provider; `None`: the form knows why. Settings that are absent are those of an empty object.
pub(super) fn config(form: &mut Form<'_>, provider: &str) -> Option<SourceConfig> {
    let config = if form.has("config") {
        form.optional("config", field::object)?
    } else {
        json!({})
    };
    match SourceConfig::parse(provider, &config) {
        Ok(config) => Some(config),
        Err(faults) => {
            form.found(faults);
            None
        }
    }
}

/// Secrets change by rotation only: an update that carries some was meant to do what it does not do.
pub(super) fn refuse_secrets(form: &mut Form<'_>) {
    if form.has("secrets") {
        let msg = "cannot be changed here; POST …/secret/rotate puts a new one beside the old ones";
        form.say(&["secrets"], msg, "value_error");
    }
}

/// The source that a path names.
pub(super) fn named(source: &str) -> SourceGet {
    SourceGet {
        source: source.to_owned(),
    }
}

/// A source, as it is shown: with the address to give to the provider, and never with a secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceOut {
    id: String,
    uid: Option<String>,
    name: String,
    provider: String,
    /// Where the provider posts to.
    url: String,
    /// The preset's settings.
    config: Value,
    secrets: Vec<SecretOut>,
    /// `pending` until a request was verified, then `active`.
    state: &'static str,
    created_at: String,
    updated_at: String,
}

/// What may be shown of a secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct SecretOut {
    /// The last four characters, or fewer of a short one.
    hint: String,
    not_before: String,
    not_after: Option<String>,
}

impl SourceOut {
    /// Of what the object says, with addresses under `base_url`.
    pub(super) fn new(source: SourceView, base_url: &str) -> Self {
        Self {
            id: source.id.to_string(),
            uid: source.uid.map(Uid::into),
            name: source.name,
            provider: source.provider,
            url: format!("{base_url}/in/{}", source.token),
            config: source.config,
            secrets: source.secrets.into_iter().map(SecretOut::new).collect(),
            state: match source.state {
                SourceState::Pending => "pending",
                SourceState::Active => "active",
            },
            created_at: source.created_at.to_rfc3339(),
            updated_at: source.updated_at.to_rfc3339(),
        }
    }
}

impl SecretOut {
    fn new(secret: SecretHint) -> Self {
        Self {
            hint: secret.hint,
            not_before: secret.not_before.to_rfc3339(),
            not_after: secret.not_after.map(Millis::to_rfc3339),
        }
    }
}
