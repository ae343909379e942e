//! API keys: checked by the provider's cheapest call before one is stored.

use postern_domain::oauth::identity::{self, Account};
use postern_domain::oauth::provider::{Check, Identity, IdentityFrom, Provider};
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::oauth::{TokenSet, api_call};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionView, KeyPut};

use crate::Connection;
use crate::air::Purpose;
use crate::call::{Answer, Maker, Turn, too_long};
use crate::credential::{self, Kind, NewTokens};
use crate::history::line;
use crate::probe::{Flight, Found, What, found};
use crate::refresh::plan;
use crate::sql::{Random, Sql};

/// A key that was brought, and what came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    turn: u64,
    result: Result<(), Problem>,
}

/// A key that is being checked.
#[derive(Debug)]
pub(crate) struct NewKey {
    call: KeyPut,
    maker: Maker,
}

/// The call that tells whether a key is good: where one tells whose it is too, that one.
fn check_of(provider: &Provider) -> Option<&Check> {
    match &provider.identity {
        Some(Identity {
            from: IdentityFrom::Call(call),
            ..
        }) => Some(call),
        _ => provider.check.as_ref(),
    }
}

impl<S: Sql> Connection<S> {
    /// A key for a connection that is new, or a new one for one that stands. A key that the provider refuses is not stored,
    /// and the one before stays.
    pub(crate) fn key_put(
        &mut self,
        call: KeyPut,
        maker: Maker,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        let now = turn.now;
        if let (Some(since), Some(ended)) = (turn.since, &self.brought)
            && ended.turn > since
        {
            ended.result.clone()?;
            return self.view(now).map(Answer::Now);
        }
        let checking = self.flies(|purpose| matches!(purpose, Purpose::Probe(flight) if flight.brings_key()));
        if turn.since.is_some() && checking {
            return Ok(Answer::Late(Err(too_long())));
        }
        self.may_take_key(&call)?;
        if checking {
            return Err(Problem::new(
                Code::Conflict,
                "Another key is being checked for this connection",
            ));
        }
        let provider = &call.app.provider;
        let Some(check) = check_of(provider) else {
            self.store_key(
                &NewKey { call, maker },
                None,
                "Stored; the provider has no call to check it with",
                now,
                random,
            )?;
            return self.view(now).map(Answer::Now);
        };
        let request = api_call::request(provider, check, &call.key, call.user.as_deref(), &call.variables);
        let request =
            request.map_err(|unfilled| Problem::fault(&["body", "variables"], unfilled.to_string()))?;
        let flight = Flight::new(What::Key(Box::new(NewKey { call, maker })), now);
        self.ask(request, Purpose::Probe(flight));
        Ok(Answer::Late(Err(too_long())))
    }

    /// The provider's call with the new key ended.
    pub(crate) fn key_checked(
        &mut self,
        new: &NewKey,
        ended: &postern_domain::oauth::Ended,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let provider = &new.call.app.provider;
        let (found, answer) = match check_of(provider) {
            Some(check) => found(provider, check, ended),
            None => (Found::Good, None),
        };
        let account = match (&provider.identity, answer) {
            (Some(identity), Some(answer)) => identity::from_json(identity, &answer).ok(),
            _ => None,
        };
        let result = match found {
            Found::Good => match self.other_account(account.as_ref())? {
                None => self.store_key(new, account, "The provider takes the key", now, random),
                Some(stands) => Err(Problem::fault(
                    &["body", "key"],
                    format!("The key belongs to another account than the connection, which is for {stands}"),
                )),
            },
            Found::Refused { words } => Err(Problem::fault(
                &["body", "key"],
                words.map_or_else(
                    || "The provider refuses the key".to_owned(),
                    |words| format!("The provider refuses the key: {words}"),
                ),
            )),
            // Nothing is known of the key. It is kept: the check on the alarm finds out.
            Found::Limited { .. } | Found::Bad { .. } => self.store_key(
                new,
                None,
                "Stored unchecked: the provider did not answer the check",
                now,
                random,
            ),
        };
        let failed = result.clone();
        self.has_moved();
        self.brought = Some(Ended {
            turn: self.turn,
            result,
        });
        match failed {
            Err(problem) if problem.cause.is_some() => Err(problem),
            _ => Ok(()),
        }
    }

    /// The account that the connection is for, if a key belongs to another one.
    fn other_account(&mut self, account: Option<&Account>) -> Result<Option<String>, Problem> {
        self.wake()?;
        let record = self.memory.as_ref().map(|memory| &memory.record);
        let Some((record, account)) = record.zip(account) else {
            return Ok(None);
        };
        let continues = identity::continues(record.account_key.as_deref(), account);
        let known = record.account.as_ref().or(record.account_key.as_ref());
        Ok(known.filter(|_| !continues).cloned())
    }

    fn may_take_key(&mut self, call: &KeyPut) -> Result<(), Problem> {
        match &self.memory {
            None if call.replace => Err(Problem::not_found()),
            None => Ok(()),
            Some(_) if !call.replace => Err(Problem::new(Code::Conflict, "The connection exists already")),
            Some(memory) if memory.record.state == State::Revoked || memory.record.ending.is_some() => {
                Err(Problem::new(Code::Conflict, Reason::Disconnected.sentence()))
            }
            Some(memory) => {
                let kind = memory.credential.as_ref().map(|credential| credential.kind);
                match kind {
                    Some(Kind::Tokens | Kind::ServiceAccount) => Err(Problem::new(
                        Code::Conflict,
                        "The connection is not one of an API key",
                    )),
                    Some(Kind::Key) | None => Ok(()),
                }
            }
        }
    }

    fn store_key(
        &mut self,
        new: &NewKey,
        account: Option<Account>,
        decision: &str,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        // It may have been disconnected while the key was checked.
        self.may_take_key(&new.call)?;
        let NewKey { call, maker } = new;
        let fresh = || maker.makes(&call.app);
        let mut change = self.change_or_make(fresh, now)?;
        change.record.provider = call.app.provider.clone();
        change.record.app = call.app.id;
        change.record.variables.clone_from(&call.variables);
        if let Some(account) = account {
            change.record.account = account.label.or_else(|| Some(account.key.clone()));
            change.record.account_key = Some(account.key);
            change.record.routing = account.routing;
        }
        if call.label.is_some() {
            change.record.label.clone_from(&call.label);
        }
        if call.uid.is_some() {
            change.record.uid.clone_from(&call.uid);
        }
        let tokens = TokenSet::alone(call.key.clone());
        let opener = self.opener(&change.record);
        let stored = NewTokens {
            kind: Kind::Key,
            tokens,
            client_id: None,
            app_generation: call.app.generation,
            granted: true,
        };
        credential::store_tokens(&opener, &mut change, stored, now, random)?;
        let credential = change.credential()?;
        credential.user.clone_from(&call.user);
        credential.last_four = Some(call.key.last_four()).filter(|four| !four.is_empty());
        plan(&mut change, now, random);
        self.plan_check(&mut change, now, random);
        change.line(line("connect", decision, now));
        change.touch(now);
        change.go(State::Active, None, now)?;
        self.commit(change, now, |_| Ok(()))
    }
}
