//! The end: stop watches, revoke at the provider, shred, in that order. A revocation that fails keeps nothing from being
//! shredded; what came of it is told and stored.

use postern_domain::oauth::outcome::read_revoke;
use postern_domain::oauth::provider::Provider;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::oauth::token_request::{self, Unmade};
use postern_domain::oauth::{Client, Secret};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{Disconnected, RevokeResult};

use crate::air::{Purpose, http, unexpected};
use crate::call::{Answer, Turn, too_long};
use crate::credential::Kind;
use crate::errand::{AppRow, Done, Task};
use crate::history::line;
use crate::record::{EndKind, Ending};
use crate::sql::{Random, Sql};
use crate::{Connection, attempt, watch};

/// The provider is asked so often: revoking twice harms nothing (RFC 7009 section 2.2), and the first answer may be lost
/// with the object.
const MOST_ASKED: u32 = 2;

impl<S: Sql> Connection<S> {
    pub(crate) fn disconnect(
        &mut self,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<Disconnected>, Problem> {
        let now = turn.now;
        if self.standing()?.record.state != State::Revoked {
            self.end(EndKind::Disconnect, now, random)?;
        }
        let record = &self.standing()?.record;
        if record.state != State::Revoked {
            return Ok(Answer::Late(Err(too_long())));
        }
        let revoked = record.revoked.unwrap_or(RevokeResult::Unsupported);
        let connection = self.view(now)?;
        Ok(Answer::Now(Disconnected { revoked, connection }))
    }

    /// The same for a tenant that goes: nothing is kept. Asked again it says the same, as long as the object lives.
    pub(crate) fn erase(
        &mut self,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<Disconnected>, Problem> {
        if self.memory.is_some() {
            self.end(EndKind::Erase, turn.now, random)?;
        }
        Ok(match &self.erased {
            Some(erased) => Answer::Now(erased.clone()),
            None => Answer::Late(Err(too_long())),
        })
    }

    /// Begins to end. Stored first: an object that dies goes on when it wakes.
    pub(crate) fn end(&mut self, kind: EndKind, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        let mut change = self.change()?;
        if change.record.state == State::Revoked && kind == EndKind::Reset {
            return Err(Problem::new(
                Code::Conflict,
                "The connection was disconnected for good; make a new one",
            ));
        }
        let stronger = match (change.record.ending.map(|ending| ending.kind), kind) {
            (None, _) | (Some(_), EndKind::Erase) | (Some(EndKind::Reset), EndKind::Disconnect) => true,
            (Some(_), EndKind::Disconnect | EndKind::Reset) => false,
        };
        if stronger && change.record.ending.map(|ending| ending.kind) != Some(kind) {
            let asked = change.record.ending.map_or(0, |ending| ending.asked);
            change.record.ending = Some(Ending { kind, asked });
            self.commit(change, now, |_| Ok(()))?;
        }
        self.go_on_ending(now, random)
    }

    /// Goes on with an end: by the call that began it, by whatever was in the air, by the alarm.
    pub(crate) fn go_on_ending(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        if self
            .memory
            .as_ref()
            .is_none_or(|memory| memory.record.ending.is_none())
        {
            return Ok(());
        }
        // Tokens that are about to come are to be revoked too.
        let busy = self.flies(|purpose| match purpose {
            Purpose::Row(_)
            | Purpose::Tell(_)
            | Purpose::TellChange(_)
            | Purpose::Probe(_)
            | Purpose::App => false,
            Purpose::Account(step) => !step.is_brought(),
            _ => true,
        });
        if busy || self.end_watches(now, random)? {
            return Ok(());
        }
        let Some(memory) = &self.memory else { return Ok(()) };
        let Some(ending) = memory.record.ending else {
            return Ok(());
        };
        let credential = memory.credential.as_ref();
        let revocable = memory.record.provider.oauth.as_ref();
        let revocable = revocable.is_some_and(|oauth| oauth.revoke.is_some());
        if !revocable || credential.is_none_or(|credential| credential.kind != Kind::Tokens) {
            return self.shred(RevokeResult::Unsupported, now);
        }
        if ending.asked >= MOST_ASKED {
            return self.shred(RevokeResult::Failed, now);
        }
        let app = memory.record.app;
        let task = Task::App { app, probes: false };
        self.send(task, Purpose::RevokeApp);
        Ok(())
    }

    pub(crate) fn revoke_app_ended(&mut self, done: Done, now: Millis) -> Result<(), Problem> {
        let mut change = self.change()?;
        let record = &change.record;
        let (Some(credential), Some(ending)) = (&change.credential, record.ending) else {
            return Ok(());
        };
        let (provider, client): (Provider, Option<Client>) = match done {
            Done::App(Ok(AppRow::Active(terms))) => (terms.provider, terms.client),
            // Gone, disabled or not to be read: as far as it goes with what the connection knows itself.
            Done::App(_) => (record.provider.clone(), None),
            other => return Err(unexpected(&other)),
        };
        let client = client.unwrap_or_else(|| Client {
            id: credential.client_id.clone().unwrap_or_default(),
            secret: None,
        });
        let opener = self.opener(record);
        let tokens: Result<(Option<Secret>, Option<Secret>), _> = credential
            .open_access(&opener)
            .and_then(|access| Ok((access, credential.open_refresh(&opener)?)));
        let Ok((access, refresh)) = tokens else {
            return self.shred(RevokeResult::Failed, now);
        };
        let request = token_request::revoke(
            &provider,
            &client,
            access.as_ref(),
            refresh.as_ref(),
            record.account_key.as_deref(),
            &record.variables,
        );
        match request {
            Ok(request) => {
                change.record.ending = Some(Ending {
                    asked: ending.asked + 1,
                    ..ending
                });
                self.commit(change, now, |_| Ok(()))?;
                self.ask(request, Purpose::Revoke);
                Ok(())
            }
            Err(Unmade::NoOAuth | Unmade::NoRevoke) => self.shred(RevokeResult::Unsupported, now),
            Err(Unmade::Variable(_)) => self.shred(RevokeResult::Failed, now),
        }
    }

    pub(crate) fn revoke_ended(&mut self, done: Done, now: Millis) -> Result<(), Problem> {
        let ended = http(done)?;
        let result = read_revoke(&self.standing()?.record.provider, &ended);
        self.shred(result, now)
    }

    /// A connection that nobody authorised in a day is over.
    pub(crate) fn forget_unconnected(&mut self, now: Millis) -> Result<(), Problem> {
        let mut change = self.change()?;
        change.record.ending = None;
        change.credential = None;
        change.line(line("change", "Nobody connected it in a day", now));
        change.go(State::Revoked, Some(Reason::Expired), now)?;
        self.watches.all.clear();
        self.commit(change, now, shred_beside)
    }

    /// Takes every secret away, and all that browsers could still come with.
    fn shred(&mut self, result: RevokeResult, now: Millis) -> Result<(), Problem> {
        let mut change = self.change()?;
        let Some(ending) = change.record.ending.take() else {
            return Ok(());
        };
        let had = change.credential.take().is_some();
        if had || ending.kind == EndKind::Reset {
            change.record.revoked = had.then_some(result);
        }
        let mut entry = line("revoke", told(result, had), now);
        entry.state = change.record.state;
        change.line(entry);
        change.record.variables.clear();
        change.record.routing.clear();
        self.unsaved = None;
        self.watches.end_is_over();
        match ending.kind {
            EndKind::Disconnect => {
                change.record.revoked = Some(result);
                change.go(State::Revoked, Some(Reason::Disconnected), now)?;
                self.commit(change, now, shred_beside)?;
            }
            EndKind::Reset => {
                change.record.account_key = None;
                change.record.account = None;
                change.record.scopes.clear();
                change.record.missing_scopes.clear();
                change.go(State::Pending, Some(Reason::NotConnected), now)?;
                change.touch(now);
                self.commit(change, now, shred_beside)?;
            }
            // What came of an earlier end still stands; of what was never connected there is nothing to tell.
            EndKind::Erase => {
                if change.record.state != State::Revoked {
                    change.go(State::Revoked, Some(Reason::Disconnected), now)?;
                }
                let connection = crate::view::of(&change.record, None, &self.used, now);
                self.sql.atomic(|sql| {
                    crate::credential::shred(sql)?;
                    for table in [
                        "connection",
                        "session",
                        "attempt",
                        "outbox",
                        "history",
                        "token_read",
                        "watch",
                        "watch_event",
                    ] {
                        sql.run(&format!("DELETE FROM {table}"), &[])?;
                    }
                    sql.set_alarm(None)
                })?;
                self.forget();
                self.armed = crate::alarm::Armed::No;
                self.owes_messages = false;
                self.erased = Some(Disconnected {
                    revoked: result,
                    connection,
                });
            }
        }
        self.has_moved();
        Ok(())
    }
}

/// What goes with the secrets.
fn shred_beside<S: Sql>(sql: &S) -> Result<(), Problem> {
    attempt::shred(sql)?;
    watch::shred(sql)
}

const fn told(result: RevokeResult, had: bool) -> &'static str {
    match result {
        _ if !had => "There was no secret to take away",
        RevokeResult::Revoked => "Revoked at the provider, and shredded here",
        RevokeResult::AlreadyGone => "The provider did not know the grant any more; shredded here",
        RevokeResult::Unsupported => "The provider has no way to revoke it; shredded here",
        RevokeResult::Failed => {
            "The provider did not revoke it; shredded here all the same, the grant may live on there"
        }
    }
}
