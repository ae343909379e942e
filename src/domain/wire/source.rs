//! A source as it travels and as it is stored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inbound::SourceOptions;
use crate::id::{SourceId, Uid};
use crate::time::Millis;

/// Whether a source takes webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// Saved; nothing has been verified yet.
    #[default]
    Pending,
    /// At least one request was verified.
    Active,
}

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretHint {
    /// The last four characters, or fewer of a short one.
    pub hint: String,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Valid from then on.
    pub not_before: Millis,
    /// Valid until then; none: until it is replaced.
    #[serde(default)]
    pub not_after: Option<Millis>,
}

/// A secret as the object keeps it: opens only with the master key, for this row and generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedSecret {
    /// Base64 of [`crate::seal`]'s blob.
    pub sealed: String,
    /// The row's generation when it was sealed.
    pub generation: u64,
    /// What may be shown.
    #[serde(flatten)]
    pub shown: SecretHint,
}

/// A source as the API shows it. The address (`url`) is put in at the edge, which knows `BASE_URL`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceView {
    /// Its address in the ledger.
    pub id: SourceId,
    /// A name for people.
    pub name: String,
    /// The preset.
    pub provider: String,
    /// The owner's own name for it, unique in the tenant.
    #[serde(default)]
    pub uid: Option<Uid>,
    /// The preset's settings.
    pub config: Value,
    /// What may be shown of its secrets, newest first.
    pub secrets: Vec<SecretHint>,
    /// Whether anything was verified yet.
    #[serde(default)]
    pub state: SourceState,
    /// What its owner chose beside the preset's settings.
    #[serde(default)]
    pub options: SourceOptions,
    /// It takes nothing any more, as nobody confirmed that it shall: see [`SourceOptions::ends_at`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over: bool,
    /// Of each of the secrets in their order: its generation, and when it matched last.
    #[serde(default)]
    pub matched: Vec<(u64, Option<Millis>)>,
    /// The ingest token that is current.
    pub token: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

/// What the edge needs to verify a request; cached there for 30 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceForIngest {
    /// The source.
    pub id: SourceId,
    /// The preset.
    pub provider: String,
    /// The preset's settings.
    pub config: Value,
    /// Those that are valid now or will be; the edge looks at their times.
    pub secrets: Vec<SealedSecret>,
    /// Whether anything was verified yet.
    #[serde(default)]
    pub state: SourceState,
    /// What its owner chose beside the preset's settings.
    #[serde(default)]
    pub options: SourceOptions,
    /// The token that was asked with is good until then; none: until it is rotated.
    #[serde(default)]
    pub token_not_after: Option<Millis>,
    /// It serves all tenants of its organisation: what it takes is routed by a key.
    #[serde(default)]
    pub app_level: bool,
}
