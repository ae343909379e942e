//! The credential's row: what can be spent, sealed, and the refresh that is under way.

use postern_domain::id::{ConnectionId, TenantId};
use postern_domain::json;
use postern_domain::oauth::rotation::Next;
use postern_domain::oauth::standing::Reason;
use postern_domain::oauth::{Secret, TokenSet};
use postern_domain::problem::Problem;
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::connection::CheckView;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::brought::Learning;
use crate::change::Change;
use crate::sealing::{self, Column, Unopened};
use crate::sql::{Random, Sql, broken};

/// What can be spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// Sealed: the access token or the API key.
    #[serde(skip)]
    pub(crate) access: Option<Vec<u8>>,
    /// Sealed: the refresh token, or the service account's private key.
    #[serde(skip)]
    pub(crate) refresh: Option<Vec<u8>>,
    /// Sealed: the refresh token before, while the new one is not proven.
    #[serde(skip)]
    pub(crate) older: Option<Vec<u8>>,
    pub(crate) kind: Kind,
    /// How often the secrets were written: binds the blobs of one write together.
    pub(crate) generation: u64,
    /// The client that the grant belongs to.
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    /// Of the app's credentials with which it was last obtained or refreshed.
    #[serde(default)]
    pub(crate) app_generation: u64,
    /// The key's user name; a service account's e-mail.
    #[serde(default)]
    pub(crate) user: Option<String>,
    /// On whose behalf a service account acts.
    #[serde(default)]
    pub(crate) subject: Option<String>,
    /// Of a service account's key.
    #[serde(default)]
    pub(crate) key_id: Option<String>,
    /// Of an API key.
    #[serde(default)]
    pub(crate) last_four: Option<String>,
    /// When a person or an import gave it.
    pub(crate) granted_at: Millis,
    /// When this access token came.
    pub(crate) obtained_at: Millis,
    /// When this access token ends.
    #[serde(default)]
    pub(crate) expires_at: Option<Millis>,
    /// When the refresh token ends, as the provider told.
    #[serde(default)]
    pub(crate) refresh_expires_at: Option<Millis>,
    /// The last lease that was written down.
    pub(crate) used_at: Millis,
    /// Uses by hour, the oldest first; at most 25.
    #[serde(default)]
    pub(crate) usage: Vec<(u64, u64)>,
    /// Requests that were taken out of a limit by the day, by hour, the oldest first; at most 25.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spent: Vec<(u64, u64)>,
    /// When they were written down last.
    #[serde(default)]
    pub(crate) spent_at: Millis,
    /// Good refreshes in a row that have no line in the history yet.
    #[serde(default)]
    pub(crate) refreshed: u64,
    /// Refreshes that failed in a row.
    #[serde(default)]
    pub(crate) failures: u32,
    /// Fresh tokens that the provider's API refused in a row.
    #[serde(default)]
    pub(crate) refused: u32,
    /// The provider's API refused this access token.
    #[serde(default)]
    pub(crate) access_refused: bool,
    /// When it is refreshed by itself, if nothing fails.
    #[serde(default)]
    pub(crate) next_refresh_at: Option<Millis>,
    /// What is done after a refresh that failed; none: the last one went well.
    #[serde(default)]
    pub(crate) next: Option<Next>,
    /// Why the last one failed.
    #[serde(default)]
    pub(crate) failing: Option<Reason>,
    /// Since when an answer may be lost that spent the refresh token.
    #[serde(default)]
    pub(crate) lost_at: Option<Millis>,
    /// The refresh that is in the air.
    #[serde(default)]
    pub(crate) intent: Option<Intent>,
    /// Whose account it is is to be learned; none: it is known, or nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learning: Option<Learning>,
    /// Notices of its end that were told.
    #[serde(default)]
    pub(crate) warned: usize,
    /// The last check of its health.
    #[serde(default)]
    pub(crate) check: Option<CheckView>,
    /// Checks that failed in a row.
    #[serde(default)]
    pub(crate) check_failures: u32,
    /// When its health is checked next.
    #[serde(default)]
    pub(crate) next_check_at: Option<Millis>,
    /// Members that a newer release wrote.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Json>,
}

/// What kind of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Tokens of a grant.
    Tokens,
    /// An API key.
    Key,
    /// A service account's private key, and the token that it was exchanged for.
    ServiceAccount,
}

/// A refresh that was about to leave. Stored before it leaves; one that is found without an errand in the air is a lost
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Of the credential that it spends.
    pub(crate) generation: u64,
    /// Of the refresh token: the first bytes of a digest over it and the connection's id, hex. Two intents with one
    /// fingerprint showed one token.
    pub(crate) fingerprint: Fingerprint,
    /// When it was about to leave.
    pub(crate) started_at: Millis,
    /// As what.
    pub(crate) try_: Try,
}

/// As what a refresh token is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Try {
    /// As ever.
    Ordinary,
    /// Once more, and never again.
    Probe,
    /// For a second opinion.
    Confirm,
}

/// 32 bits: enough to tell the few refresh tokens of one connection apart, too few to find one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint(pub(crate) u32);

/// What is to be stored of an answer of the token endpoint, or of what was brought.
pub(crate) struct NewTokens {
    pub(crate) kind: Kind,
    pub(crate) tokens: TokenSet,
    pub(crate) client_id: Option<String>,
    pub(crate) app_generation: u64,
    /// Given by a person or an import now, or only refreshed.
    pub(crate) granted: bool,
}

impl Credential {
    /// One without secrets: the first generation is stored into it.
    pub(crate) fn new(kind: Kind, now: Millis) -> Self {
        Self {
            access: None,
            refresh: None,
            older: None,
            kind,
            generation: 0,
            client_id: None,
            app_generation: 0,
            user: None,
            subject: None,
            key_id: None,
            last_four: None,
            granted_at: now,
            obtained_at: now,
            expires_at: None,
            refresh_expires_at: None,
            used_at: now,
            usage: Vec::new(),
            spent: Vec::new(),
            spent_at: Millis::default(),
            refreshed: 0,
            failures: 0,
            refused: 0,
            access_refused: false,
            next_refresh_at: None,
            next: None,
            failing: None,
            lost_at: None,
            intent: None,
            learning: None,
            warned: 0,
            check: None,
            check_failures: 0,
            next_check_at: None,
            rest: Map::new(),
        }
    }

    /// Whether there is something to get a new access token with.
    pub(crate) const fn refreshable(&self) -> bool {
        self.refresh.is_some()
    }

    /// Opens the access token or key.
    pub(crate) fn open_access(&self, opener: &Opener<'_>) -> Result<Option<Secret>, Unopened> {
        opener.open(self.access.as_deref(), Column::Access, self.generation)
    }

    /// Opens the refresh token or the service account's key.
    pub(crate) fn open_refresh(&self, opener: &Opener<'_>) -> Result<Option<Secret>, Unopened> {
        opener.open(self.refresh.as_deref(), Column::Refresh, self.generation)
    }
}

/// What opens and seals the secrets of one connection.
#[derive(Clone, Copy)]
pub(crate) struct Opener<'a> {
    pub(crate) keys: Option<&'a MasterKeys>,
    pub(crate) tenant: TenantId,
    pub(crate) connection: ConnectionId,
}

impl Opener<'_> {
    pub(crate) fn open(
        &self,
        blob: Option<&[u8]>,
        column: Column,
        generation: u64,
    ) -> Result<Option<Secret>, Unopened> {
        blob.map(|blob| sealing::open(self, column, 1, generation, blob))
            .transpose()
    }

    pub(crate) fn seal(
        &self,
        plain: &Secret,
        column: Column,
        generation: u64,
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, Problem> {
        sealing::seal(self, column, 1, generation, plain, random)
    }
}

/// Puts new tokens in place of the old ones: all blobs of one generation, sealed anew. A refresh token that did not come
/// stays (RFC 6749 section 6), under the new generation.
///
/// Values that were learned with them are for whoever commits it: they must have been admitted first.
///
/// Part of a [`Change`]: nothing is stored before it is committed. When it is refreshed next is for whoever commits it
/// ([`crate::refresh::plan`]).
pub(crate) fn store_tokens(
    opener: &Opener<'_>,
    change: &mut Change,
    new: NewTokens,
    now: Millis,
    random: &mut dyn Random,
) -> Result<(), Problem> {
    let mut credential = match change.credential.take() {
        Some(credential) if !new.granted => credential,
        Some(old) => Credential {
            generation: old.generation,
            used_at: now,
            usage: old.usage,
            ..Credential::new(new.kind, now)
        },
        None => Credential::new(new.kind, now),
    };
    let generation = credential.generation + 1;
    let refresh = match new.tokens.refresh_token.clone() {
        Some(refresh) => Some(refresh),
        None => credential.open_refresh(opener)?,
    };
    let access = opener.seal(&new.tokens.access_token, Column::Access, generation, random)?;
    credential.access = Some(access);
    credential.refresh = refresh
        .map(|refresh| opener.seal(&refresh, Column::Refresh, generation, random))
        .transpose()?;
    credential.older = None;
    credential.generation = generation;
    credential.client_id = new.client_id.or(credential.client_id);
    credential.app_generation = new.app_generation;
    credential.obtained_at = now;
    credential.expires_at = new.tokens.expires_in.map(|seconds| now.plus(seconds * 1000));
    if let Some(seconds) = new.tokens.refresh_expires_in {
        credential.refresh_expires_at = Some(now.plus(seconds * 1000));
    } else if new.tokens.refresh_token.is_some() {
        credential.refresh_expires_at = None;
    }
    credential.failures = 0;
    credential.refused = 0;
    credential.access_refused = false;
    credential.next = None;
    credential.failing = None;
    credential.lost_at = None;
    credential.intent = None;
    change.credential = Some(credential);
    Ok(())
}

pub(crate) fn load<S: Sql>(sql: &S) -> Result<Option<Credential>, Problem> {
    let row = sql.row(
        "SELECT access, refresh, older, facts FROM credential WHERE one = 1",
        &[],
    )?;
    let Some(row) = row else { return Ok(None) };
    let mut credential: Credential = json::read(&row.text(3)?).map_err(|error| broken(&error.to_string()))?;
    credential.access = row.maybe(0, crate::sql::Row::blob)?;
    credential.refresh = row.maybe(1, crate::sql::Row::blob)?;
    credential.older = row.maybe(2, crate::sql::Row::blob)?;
    Ok(Some(credential))
}

pub(crate) fn save<S: Sql>(sql: &S, credential: &Credential) -> Result<(), Problem> {
    let facts = serde_json::to_string(credential).map_err(Problem::internal)?;
    sql.run(
        "INSERT INTO credential (one, access, refresh, older, facts) VALUES (1, ?, ?, ?, ?)
         ON CONFLICT (one) DO UPDATE SET access = excluded.access, refresh = excluded.refresh,
           older = excluded.older, facts = excluded.facts",
        &[
            credential.access.clone().into(),
            credential.refresh.clone().into(),
            credential.older.clone().into(),
            facts.into(),
        ],
    )?;
    Ok(())
}

/// Takes the secrets away: the bytes are overwritten before the row goes.
pub(crate) fn shred<S: Sql>(sql: &S) -> Result<(), Problem> {
    sql.run(
        "UPDATE credential SET access = NULL, refresh = NULL, older = NULL",
        &[],
    )?;
    sql.run("DELETE FROM credential", &[])?;
    Ok(())
}
