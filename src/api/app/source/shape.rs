//! A source, as it is read and written.

use postern_domain::id::Uid;
use postern_domain::provider::SourceConfig;
use postern_domain::time::Millis;
use postern_domain::wire::call::SourceGet;
use postern_domain::wire::inbound::SecretTerms;
use postern_domain::wire::{SecretHint, SourceView};
use serde::Serialize;
use serde_json::{Value, json};

use super::options::{self, OptionsOut};
use crate::api::field::{self, Wrong};
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

/// Secrets, each a text or `{secret, label, notBefore, notAfter}`.
pub(super) fn secrets(value: &Value) -> Result<Vec<(String, SecretTerms)>, Vec<Wrong>> {
    let wrong = |at: &[String], msg: &str| {
        vec![Wrong {
            at: at.to_vec(),
            msg: msg.to_owned(),
            kind: "type_error",
        }]
    };
    let list = value.as_array().ok_or_else(|| wrong(&[], "must be a list"))?;
    let mut secrets = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let at = index.to_string();
        let time = |name: &str| match item.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => field::time(value).map(Some).map_err(|_| {
                wrong(
                    &[at.clone(), name.to_owned()],
                    "must be a time of RFC 3339, such as 2026-08-01T12:00:00Z",
                )
            }),
        };
        let given = match item {
            Value::String(secret) => (secret.clone(), SecretTerms::default()),
            Value::Object(fields) => {
                let secret = fields.get("secret").and_then(Value::as_str);
                let secret =
                    secret.ok_or_else(|| wrong(&[at.clone(), "secret".to_owned()], "must be a text"))?;
                let label = match fields.get("label") {
                    None | Some(Value::Null) => None,
                    Some(label) => Some(field::name(label).map_err(|_| {
                        wrong(
                            &[at.clone(), "label".to_owned()],
                            "must be a text of 1 to 256 characters",
                        )
                    })?),
                };
                let terms = SecretTerms {
                    label,
                    not_before: time("notBefore")?,
                    not_after: time("notAfter")?,
                };
                (secret.to_owned(), terms)
            }
            _ => return Err(wrong(&[at], "must be a text, or an object with `secret`")),
        };
        secrets.push(given);
    }
    Ok(secrets)
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

/// Where the provider posts to.
pub(super) fn url(source: &SourceView, base_url: &str) -> String {
    format!("{base_url}/in/{}", source.token)
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
    /// `pending` until a request was verified, then `active`; `paused` and `disabled` by its owner.
    state: &'static str,
    /// An unverified source takes nothing from then on, unless its settings say that it shall stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(flatten)]
    options: OptionsOut,
    created_at: String,
    updated_at: String,
}

/// What may be shown of a secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct SecretOut {
    /// Its number in the source.
    id: String,
    label: Option<String>,
    /// The last four characters, or fewer of a short one.
    hint: String,
    /// When it matched last; may lag by an hour.
    last_matched_at: Option<String>,
    not_before: String,
    not_after: Option<String>,
}

impl SourceOut {
    /// Of what the object says, with addresses under `base_url`.
    pub(super) fn new(source: SourceView, base_url: &str) -> Self {
        // An object of the release before says nothing of them.
        let state = options::state_of(&source);
        let url = url(&source, base_url);
        let matched = source
            .matched
            .into_iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        let secrets = source.secrets.into_iter().zip(matched);
        Self {
            id: source.id.to_string(),
            uid: source.uid.map(Uid::into),
            name: source.name,
            provider: source.provider,
            url,
            config: source.config,
            secrets: secrets
                .map(|(secret, matched)| SecretOut::new(secret, matched))
                .collect(),
            state,
            ends_at: source.options.ends_at.map(Millis::to_rfc3339),
            options: OptionsOut::new(source.options),
            created_at: source.created_at.to_rfc3339(),
            updated_at: source.updated_at.to_rfc3339(),
        }
    }
}

impl SecretOut {
    fn new(secret: SecretHint, matched: Option<(u64, Option<Millis>)>) -> Self {
        let (id, matched_at) = matched.unwrap_or_default();
        Self {
            id: id.to_string(),
            label: secret.label,
            last_matched_at: matched_at.map(Millis::to_rfc3339),
            hint: secret.hint,
            not_before: secret.not_before.to_rfc3339(),
            not_after: secret.not_after.map(Millis::to_rfc3339),
        }
    }
}
