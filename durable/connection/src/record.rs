//! The connection's row: how it stands.

use std::collections::BTreeMap;

use postern_domain::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId, Uid};
use postern_domain::json;
use postern_domain::oauth::provider::{Limits, Provider};
use postern_domain::oauth::standing::{Event, Reason, State};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::RevokeResult;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::sql::{Sql, Value, broken};

/// How a connection stands. No secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: ConnectionId,
    pub(crate) organisation: OrganisationId,
    pub(crate) tenant: TenantId,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) reason: Option<Reason>,
    /// What a block interrupted.
    #[serde(default)]
    pub(crate) before: Option<Before>,
    pub(crate) enabled: bool,
    #[serde(default)]
    pub(crate) uid: Option<Uid>,
    #[serde(default)]
    pub(crate) label: Option<String>,
    pub(crate) app: OAuthAppId,
    /// The entry as pinned by the last success; until then by the first session.
    pub(crate) provider: Provider,
    /// Set by its owner, in place of the entry's.
    #[serde(default)]
    pub(crate) limits: Option<Limits>,
    #[serde(default)]
    pub(crate) account_key: Option<String>,
    #[serde(default)]
    pub(crate) account: Option<String>,
    /// What the provider's webhooks call the account.
    #[serde(default)]
    pub(crate) routing: Vec<String>,
    /// Granted.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Asked for and not granted.
    #[serde(default)]
    pub(crate) missing_scopes: Vec<String>,
    /// Of the provider's URLs: given with the session, or learned from answers.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    /// What came of revoking.
    #[serde(default)]
    pub(crate) revoked: Option<RevokeResult>,
    /// It is being ended: what is left to do is found again after a crash.
    #[serde(default)]
    pub(crate) ending: Option<Ending>,
    /// It was told once that it was created.
    #[serde(default)]
    pub(crate) announced: bool,
    /// Raised by every change and every message: the directory keeps the newest, a message's id holds it.
    pub(crate) version: u64,
    /// The version that the directory has.
    #[serde(default)]
    pub(crate) listed: u64,
    /// Members that a newer release wrote.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Json>,
}

/// What a block interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Before {
    pub(crate) state: State,
    #[serde(default)]
    pub(crate) reason: Option<Reason>,
}

/// What is left of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// As what it ends.
    pub(crate) kind: EndKind,
    /// How often the provider was asked to revoke.
    #[serde(default)]
    pub(crate) asked: u32,
}

/// As what a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndKind {
    /// Its owner disconnects it.
    Disconnect,
    /// Its owner begins anew, under the same id.
    Reset,
    /// Its tenant goes: nothing is kept.
    Erase,
}

/// What a new connection is made of.
pub(crate) struct Fresh {
    pub(crate) id: ConnectionId,
    pub(crate) organisation: OrganisationId,
    pub(crate) tenant: TenantId,
    pub(crate) app: OAuthAppId,
    pub(crate) provider: Provider,
    pub(crate) label: Option<String>,
    pub(crate) uid: Option<Uid>,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Record {
    /// How fast its API may be asked.
    pub(crate) fn limits(&self) -> Limits {
        let of_entry = || self.provider.api.as_ref().map(|api| api.limits);
        self.limits.or_else(of_entry).unwrap_or_default()
    }

    /// A new one, pending.
    pub(crate) fn new(fresh: Fresh, now: Millis) -> Self {
        Self {
            id: fresh.id,
            organisation: fresh.organisation,
            tenant: fresh.tenant,
            created_at: now,
            updated_at: now,
            state: State::Pending,
            reason: Some(Reason::NotConnected),
            before: None,
            enabled: true,
            uid: fresh.uid,
            label: fresh.label,
            app: fresh.app,
            provider: fresh.provider,
            limits: None,
            account_key: None,
            account: None,
            routing: Vec::new(),
            scopes: Vec::new(),
            missing_scopes: Vec::new(),
            variables: fresh.variables,
            revoked: None,
            ending: None,
            announced: false,
            version: 1,
            listed: 0,
            rest: Map::new(),
        }
    }

    /// Goes to another state, and says what is to be told. To the same state with another reason nothing is told.
    pub(crate) fn go(&mut self, state: State, reason: Option<Reason>, now: Millis) -> Result<Told, Problem> {
        if (self.state, self.reason) == (state, reason) {
            return Ok(None);
        }
        let told = told_of(self, state)?;
        if state != State::Blocked {
            self.before = None;
        } else if self.state != State::Blocked {
            self.before = Some(Before {
                state: self.state,
                reason: self.reason,
            });
        }
        if state == State::Active {
            self.announced = true;
        }
        self.state = state;
        self.reason = reason;
        self.updated_at = now;
        self.version += 1;
        Ok(told)
    }
}

/// What a change of state is told as, if it is.
pub(crate) type Told = Option<Event>;

/// The table of transitions. Whatever is not in it does not happen: asking for it is a fault of ours, but for the revoked,
/// which a late result may meet.
fn told_of(record: &Record, to: State) -> Result<Told, Problem> {
    use State::{Active, Blocked, Degraded, NeedsReauth, Pending, Revoked};
    Ok(match (record.state, to) {
        (Revoked, _) => {
            return Err(Problem::new(
                Code::Conflict,
                "The connection was disconnected for good; make a new one",
            ));
        }
        // Nobody was told of it.
        (Pending, Revoked) if !record.announced => None,
        (_, Revoked) => Some(Event::Revoked),
        (Pending, Active) if !record.announced => Some(Event::Created),
        (Pending | Degraded | NeedsReauth | Blocked, Active) => Some(Event::Recovered),
        (Active, Degraded) | (Active | Degraded | NeedsReauth, Blocked) => Some(Event::Degraded),
        (Active | Degraded | Blocked, NeedsReauth) => Some(Event::NeedsReauth),
        // A reset by its owner; what was told as degraded before and heals further, or fails in another way; no change.
        (_, Pending)
        | (Blocked | Degraded, Degraded)
        | (Active, Active)
        | (NeedsReauth, NeedsReauth)
        | (Blocked, Blocked) => None,
        (from @ (Pending | NeedsReauth), to) => {
            let (from, to) = (from.as_str(), to.as_str());
            return Err(Problem::internal(format_args!("no way from {from} to {to}")));
        }
    })
}

pub(crate) fn load<S: Sql>(sql: &S) -> Result<Option<Record>, Problem> {
    let row = sql.row("SELECT facts FROM connection WHERE one = 1", &[])?;
    let facts = row.map(|row| row.text(0)).transpose()?;
    let read = |facts: String| json::read(&facts).map_err(|error| broken(&error.to_string()));
    facts.map(read).transpose()
}

pub(crate) fn save<S: Sql>(sql: &S, record: &Record) -> Result<(), Problem> {
    let facts = serde_json::to_string(record).map_err(Problem::internal)?;
    sql.run(
        "INSERT INTO connection (one, facts) VALUES (1, ?)
         ON CONFLICT (one) DO UPDATE SET facts = excluded.facts",
        &[Value::from(facts)],
    )?;
    Ok(())
}
