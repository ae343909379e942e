//! How the connection shows itself. No secret.

use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::ConnectionView;

use crate::Connection;
use crate::credential::{Credential, Kind};
use crate::lease::Used;
use crate::record::Record;
use crate::sql::Sql;

impl<S: Sql> Connection<S> {
    /// The connection as it stands.
    pub(crate) fn view(&mut self, now: Millis) -> Result<ConnectionView, Problem> {
        self.standing()?;
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let view = of(&memory.record, memory.credential.as_ref(), &self.used, now);
        let watches = self.watch_list(now)?;
        let watches = watches.iter().map(crate::watch::summary).collect();
        Ok(ConnectionView { watches, ..view })
    }
}

pub(crate) fn of(
    record: &Record,
    credential: Option<&Credential>,
    used: &Used,
    now: Millis,
) -> ConnectionView {
    let reason = match record.state {
        State::Active if !record.enabled => Some(Reason::SwitchedOff),
        _ => record.reason,
    };
    let death = credential.and_then(|credential| crate::refresh::death_of(record, credential));
    ConnectionView {
        id: record.id,
        tenant: record.tenant,
        uid: record.uid.clone(),
        label: record.label.clone(),
        provider: record.provider.id.clone(),
        app: record.app,
        state: record.state,
        reason,
        enabled: record.enabled,
        account: record.account.clone(),
        account_key: record.account_key.clone(),
        routing: record.routing.clone(),
        scopes: record.scopes.clone(),
        missing_scopes: record.missing_scopes.clone(),
        generation: credential.map(|credential| credential.generation),
        expires_at: credential.and_then(|credential| credential.expires_at),
        refreshable: credential.is_some_and(Credential::refreshable),
        last_four: credential.and_then(|credential| credential.last_four.clone()),
        dies_at: death.map(|death| death.at),
        dies_of: death.map(|death| death.of.sentence().to_owned()),
        dies_confidence: death.map(|death| death.confidence.as_str().to_owned()),
        last_used_at: credential
            .filter(|credential| !credential.usage.is_empty())
            .map(|credential| credential.used_at)
            .max(used.at),
        last_refresh_at: credential
            .filter(|credential| {
                credential.kind != Kind::Key && credential.obtained_at > credential.granted_at
            })
            .map(|credential| credential.obtained_at),
        next_refresh_at: credential.and_then(|credential| credential.next_refresh_at),
        last_check: credential.and_then(|credential| credential.check.clone()),
        used_24h: credential.map_or(0, |credential| crate::lease::used_24h(credential, used, now)),
        limits: record.limits(),
        revoked: record.revoked,
        watches: Vec::new(),
        key_version: credential.and_then(crate::reseal::oldest_key),
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}
