//! Service accounts (RFC 7523): a private key, exchanged for tokens. Nobody consents and nothing is spent: an assertion can
//! be made again as often as need be.

use postern_domain::oauth::outcome::{self, Arrived, Refusal, Why};
use postern_domain::oauth::provider::{Class, Kind as ProviderKind, Provider};
use postern_domain::oauth::standing::State;
use postern_domain::oauth::token_request::{self, Assertion};
use postern_domain::oauth::{Secret, TokenSet};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionView, ServiceAccountPut};

use crate::Connection;
use crate::air::{Purpose, http, unexpected};
use crate::call::{Answer, Maker, Turn, too_long};
use crate::credential::{Kind, NewTokens, store_tokens};
use crate::errand::{Done, Task};
use crate::history::line;
use crate::record::Fresh;
use crate::refresh::plan;
use crate::sql::{Random, Sql};

/// Where an exchange of an assertion stands.
#[derive(Debug)]
pub(crate) struct Step {
    goal: Goal,
    stage: Stage,
}

/// What the token is for.
#[derive(Debug)]
enum Goal {
    /// A key that was brought is tried before it is stored.
    Put(Box<ServiceAccountPut>, Maker),
    /// The next token of a connection that stands; the entry and the app's generation that it goes by.
    Refresh(Box<Provider>, u64),
}

#[derive(Debug)]
enum Stage {
    /// What is being signed.
    Signature(String),
    /// The token.
    Token,
}

/// A key that was brought, and what came of it.
#[derive(Debug)]
pub(crate) struct Ended {
    turn: u64,
    result: Result<(), Problem>,
}

impl Goal {
    fn provider(&self) -> &Provider {
        match self {
            Self::Put(call, _) => &call.app.provider,
            Self::Refresh(provider, _) => provider,
        }
    }
}

impl<S: Sql> Connection<S> {
    /// A key for a connection that is new, or a new one for one that stands. One that gives no token is not stored, and the
    /// one before stays.
    pub(crate) fn service_account_put(
        &mut self,
        call: ServiceAccountPut,
        maker: Maker,
        turn: Turn,
        _random: &mut dyn Random,
    ) -> Result<Answer<ConnectionView>, Problem> {
        let now = turn.now;
        if let (Some(since), Some(ended)) = (turn.since, &self.exchange.service_account)
            && ended.turn > since
        {
            ended.result.clone()?;
            return self.view(now).map(Answer::Now);
        }
        let is_put = |purpose: &Purpose| matches!(purpose, Purpose::ServiceAccount(step) if matches!(step.goal, Goal::Put(..)));
        let trying = self.flies(is_put);
        if turn.since.is_some() && trying {
            return Ok(Answer::Late(Err(too_long())));
        }
        self.may_take_account(&call)?;
        if trying {
            return Err(Problem::new(
                Code::Conflict,
                "Another key is being tried for this connection",
            ));
        }
        let assertion = Assertion {
            issuer: &call.email,
            subject: call.subject.as_deref(),
            key_id: call.key_id.as_deref(),
            scopes: &call.scopes,
            now,
        };
        let claims = claims(&call.app.provider, &assertion)?;
        let key = call.private_key.clone();
        self.sign(key, claims, Goal::Put(Box::new(call), maker));
        Ok(Answer::Late(Err(too_long())))
    }

    /// Its next token: what a refresh is to a grant. Ends in [`Connection::refreshed`] or [`Connection::refresh_refused`].
    pub(crate) fn service_account_refresh(
        &mut self,
        now: Millis,
        _random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let change = self.change()?;
        let record = &change.record;
        let credential = change.credential.as_ref().ok_or_else(Problem::not_found)?;
        let key = match credential.open_refresh(&self.opener(record)) {
            Ok(Some(key)) => key,
            Ok(None) => return Err(Problem::internal("a service account without a key")),
            Err(error) => return self.unopened(error, now),
        };
        let assertion = Assertion {
            issuer: credential.user.as_deref().unwrap_or_default(),
            subject: credential.subject.as_deref(),
            key_id: credential.key_id.as_deref(),
            scopes: &record.scopes,
            now,
        };
        let claims = claims(&record.provider, &assertion)?;
        let goal = Goal::Refresh(Box::new(record.provider.clone()), credential.app_generation);
        self.sign(key, claims, goal);
        Ok(())
    }

    pub(crate) fn service_account_ended(
        &mut self,
        step: Step,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let Step { goal, stage } = step;
        match (stage, done) {
            (Stage::Signature(signed), Done::Signed(Ok(signature))) => {
                let provider = goal.provider();
                let request = token_request::jwt_bearer(
                    provider,
                    &signed,
                    &signature,
                    &std::collections::BTreeMap::new(),
                );
                let request = request.map_err(Problem::internal)?;
                let step = Step {
                    goal,
                    stage: Stage::Token,
                };
                self.ask(request, Purpose::ServiceAccount(Box::new(step)));
                Ok(())
            }
            (Stage::Signature(_), Done::Signed(Err(problem))) => {
                self.notice("assertion_not_signed", &problem);
                self.refused(&goal, &unsigned(), now, random)
            }
            (Stage::Signature(_), done) => Err(unexpected(&done)),
            (Stage::Token, done) => match (outcome::read(goal.provider(), &http(done)?), goal) {
                (Ok(tokens), Goal::Refresh(_, generation)) => self.refreshed(tokens, generation, now, random),
                (Ok(tokens), Goal::Put(mut call, maker)) => {
                    let watches = std::mem::take(&mut call.watches);
                    let stored = self.store_account(*call, maker, tokens, now, random);
                    let stored = stored.and_then(|()| self.begin_watches(watches, now));
                    self.put_ended(stored)
                }
                (Err(refusal), goal) => self.refused(&goal, &refusal, now, random),
            },
        }
    }

    fn sign(&mut self, key: Secret, signed: String, goal: Goal) {
        let task = Task::Sign {
            key,
            data: signed.clone().into_bytes(),
        };
        let stage = Stage::Signature(signed);
        self.send(task, Purpose::ServiceAccount(Box::new(Step { goal, stage })));
    }

    fn refused(
        &mut self,
        goal: &Goal,
        refusal: &Refusal,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        match goal {
            Goal::Refresh(..) => self.refresh_refused(refusal, now, random),
            Goal::Put(..) => self.put_ended(Err(not_taken(refusal))),
        }
    }

    fn put_ended(&mut self, result: Result<(), Problem>) -> Result<(), Problem> {
        let failed = result.clone();
        self.has_moved();
        self.exchange.service_account = Some(Ended {
            turn: self.turn,
            result,
        });
        match failed {
            Err(problem) if problem.cause.is_some() => Err(problem),
            _ => Ok(()),
        }
    }

    fn may_take_account(&mut self, call: &ServiceAccountPut) -> Result<(), Problem> {
        let conflict = |sentence| Err(Problem::new(Code::Conflict, sentence));
        if call.app.provider.kind != ProviderKind::ServiceAccount {
            return conflict("The app's provider takes no service accounts");
        }
        match &self.memory {
            None if call.replace => Err(Problem::not_found()),
            None => Ok(()),
            Some(_) if !call.replace => conflict("The connection exists already"),
            Some(memory) if crate::session::is_over(&memory.record) => {
                conflict("The connection was disconnected for good; make a new one")
            }
            Some(memory) => match memory.credential.as_ref().map(|credential| credential.kind) {
                Some(Kind::Tokens | Kind::Key) => conflict("The connection is not one of a service account"),
                Some(Kind::ServiceAccount) | None => Ok(()),
            },
        }
    }

    fn store_account(
        &mut self,
        call: ServiceAccountPut,
        maker: Maker,
        mut tokens: TokenSet,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        // Since it was begun the connection may have been ended.
        self.wake()?;
        self.may_take_account(&call)?;
        let fresh = || Fresh {
            label: call.label.clone(),
            uid: call.uid.clone(),
            ..maker.makes(&call.app)
        };
        let mut change = self.change_or_make(fresh, now)?;
        let account = call.subject.clone().unwrap_or_else(|| call.email.clone());
        let record = &mut change.record;
        record.provider = call.app.provider;
        record.scopes = call.scopes;
        record.missing_scopes.clear();
        record.account = Some(account.clone());
        record.account_key = Some(account);
        tokens.refresh_token = Some(call.private_key);
        let new = NewTokens {
            kind: Kind::ServiceAccount,
            tokens,
            client_id: None,
            app_generation: call.app.generation,
            granted: true,
        };
        let opener = self.opener(&change.record);
        store_tokens(&opener, &mut change, new, now, random)?;
        let credential = change.credential()?;
        credential.user = Some(call.email);
        credential.subject = call.subject;
        credential.key_id = call.key_id;
        plan(&mut change, now, random);
        change.go(State::Active, None, now)?;
        change.touch(now);
        change.line(line(
            "connect",
            "Connected: the service account's key gives tokens",
            now,
        ));
        self.commit(change, now, |_| Ok(()))
    }
}

fn claims(provider: &Provider, assertion: &Assertion<'_>) -> Result<String, Problem> {
    token_request::jwt_bearer_claims(provider, assertion, &std::collections::BTreeMap::new())
        .map_err(Problem::internal)
}

/// A key that cannot sign: nothing was sent.
const fn unsigned() -> Refusal {
    Refusal {
        class: Class::DeadGrant,
        error: None,
        words: None,
        retry_after_ms: None,
        arrived: Arrived::No,
        why: Why::Error,
    }
}

/// A key that is not stored, and why.
fn not_taken(refusal: &Refusal) -> Problem {
    match refusal.class {
        Class::Throttled | Class::Outage | Class::Lost => Problem::new(
            Code::Overloaded,
            format!(
                "The key could not be tried: {}; try again",
                refusal.why.sentence()
            ),
        ),
        Class::DeadGrant | Class::PersonNeeded | Class::BrokenApp | Class::BrokenConfig => {
            let words = refusal.words.as_deref().or(refusal.error.as_deref());
            let sentence = match words {
                Some(words) => format!("gives no token: the provider says: {words}"),
                None => {
                    "gives no token: it is no PKCS #8 key of an account that the provider knows".to_owned()
                }
            };
            Problem::fault(&["body", "key"], sentence)
        }
    }
}
