//! Whose account tokens are for: by the id token that came with them, its signature and claims looked at first, by the
//! token endpoint's answer, or by a call of the provider's API. Asked for tokens that a browser brought before they are
//! stored, and for tokens that were imported after their first refresh.

use std::collections::BTreeMap;

use postern_domain::oauth::id_token::{self, Claims, Expected, Fault, KEYS_AGAIN_MS, KEYS_CAP};
use postern_domain::oauth::identity::{self, Account, Untold};
use postern_domain::oauth::outcome;
use postern_domain::oauth::provider::{Check as Call, Identity, IdentityFrom, Kind, Provider};
use postern_domain::oauth::{Ended, Request, Secret, TokenSet, api_call, template};
use postern_domain::problem::Problem;
use postern_domain::provider::{Check, KeySet};
use postern_domain::time::Millis;
use serde_json::Value as Json;

use crate::Connection;
use crate::air::{Purpose, http, unexpected};
use crate::errand::{Done, Task};
use crate::exchange::{Begun, Unfit};
use crate::sql::{Random, Sql};

/// A key set is taken from memory for so long.
const KEYS_MS: u64 = Millis::DAY;

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Looking {
    pub(crate) provider: Box<Provider>,
    pub(crate) client_id: String,
    /// Of the attempt; none: of a refresh.
    pub(crate) nonce: Option<Secret>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) tokens: Box<TokenSet>,
    pub(crate) goal: Goal,
}

/// What goes on when it is known.
#[derive(Debug)]
pub(crate) enum Goal {
    /// An exchange: the tokens are stored then, or not at all.
    Exchange(Box<Begun>),
    /// Tokens that were brought: they stand already.
    Brought,
}

/// Where it stands: what its next errand's end goes on with.
#[derive(Debug)]
pub(crate) struct Step {
    looking: Looking,
    stage: Stage,
}

/// What is in the air.
#[derive(Debug)]
enum Stage {
    /// The issuer's keys.
    Keys,
    /// A signature; more that may hold are behind it.
    Signature(Vec<Check>),
    /// The call that tells whose account it is.
    Call(Option<Claims>),
}

/// The issuer's keys, as they were fetched last.
#[derive(Debug)]
pub(crate) struct Keys {
    url: String,
    set: KeySet,
    fetched_at: Millis,
}

impl Step {
    /// Whether the attempt waits for it.
    pub(crate) fn is_of(&self, attempt: &[u8]) -> bool {
        matches!(&self.looking.goal, Goal::Exchange(begun) if begun.attempt == attempt)
    }

    pub(crate) const fn is_brought(&self) -> bool {
        matches!(self.looking.goal, Goal::Brought)
    }
}

impl Looking {
    const fn at(self, stage: Stage) -> Step {
        Step { looking: self, stage }
    }

    /// The claims, once a signature held.
    fn claims(&self, now: Millis) -> Result<Claims, Fault> {
        let token = self.tokens.id_token.as_ref().ok_or(Fault::Form)?;
        let expected = Expected {
            client_id: &self.client_id,
            nonce: self.nonce.as_ref(),
            access_token: &self.tokens.access_token,
            now,
        };
        id_token::parse(token)?.claims(true, &self.provider, &expected)
    }

    /// The call that tells it. Where only an id token would and none came with a refresh, which need not bring one (`OpenID`
    /// Connect Core section 12.2), userinfo tells the same.
    fn call<'a>(&'a self, identity: &'a Identity) -> Option<&'a Call> {
        match &identity.from {
            IdentityFrom::Call(call) => Some(call),
            IdentityFrom::IdToken
                if matches!(self.goal, Goal::Brought) && self.provider.kind == Kind::Oidc =>
            {
                self.provider.check.as_ref()
            }
            IdentityFrom::IdToken | IdentityFrom::Answer => None,
        }
    }

    /// What is known without a call; the request of the call otherwise.
    fn told(&self, claims: Option<&Claims>) -> Result<Told, Unfit> {
        let Some(identity) = self.provider.identity.as_ref() else {
            return Ok(Told::Nobody);
        };
        match (&identity.from, claims) {
            (IdentityFrom::IdToken, Some(claims)) => {
                return account(identity, &self.variables, claims.to_value()).map(Told::Account);
            }
            (IdentityFrom::Answer, _) => {
                let mut told = (*self.tokens).clone();
                told.learned.extend(in_braces(&self.variables));
                return Ok(Told::Account(identity::from_answer(identity, &told)?));
            }
            _ => {}
        }
        let call = self.call(identity).ok_or(Untold)?;
        api_call::request(
            &self.provider,
            call,
            &self.tokens.access_token,
            None,
            &self.variables,
        )
        .map(Told::By)
        .map_err(|unfilled| Unfit::failed(&unfilled))
    }

    /// Whose account it is, by the answer of a call. With an id token it must be about the same subject (`OpenID` Connect
    /// Core section 5.3.2) where it names one.
    fn told_by(&self, claims: Option<&Claims>, ended: &Ended) -> Result<Account, Unfit> {
        let identity = self.provider.identity.as_ref().ok_or(Untold)?;
        let call = self.call(identity).ok_or(Untold)?;
        let api = self.provider.api.as_ref();
        let unauthorised = api.map_or(&[][..], |api| &api.unauthorised);
        let answer = outcome::read_call(call.ok.as_deref(), unauthorised, ended)
            .map_err(|refusal| Unfit::refused(&refusal))?;
        let is_missing = |pointer: &String| answer.pointer(pointer).is_none_or(Json::is_null);
        if call.holds.as_ref().is_some_and(is_missing) {
            return Err(Untold.into());
        }
        if let Some(claims) = claims
            && !identity::is_of_subject(&answer, claims)
        {
            return Err(Unfit::failed(
                "userinfo is about another subject than the id token",
            ));
        }
        account(identity, &self.variables, answer)
    }
}

enum Told {
    /// The entry does not say how one is told apart.
    Nobody,
    Account(Account),
    /// The answer to this tells it.
    By(Request),
}

impl<S: Sql> Connection<S> {
    /// Finds out whose account the tokens are for. Ends in [`Connection::exchange_account`] or
    /// [`Connection::brought_account`].
    pub(crate) fn find_account(
        &mut self,
        looking: Looking,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let is_brought = matches!(looking.goal, Goal::Brought);
        let has_id_token = looking.tokens.id_token.is_some() || !is_brought;
        if looking.provider.kind == Kind::Oidc && has_id_token {
            self.look_at_id_token(looking, true, now, random)
        } else {
            self.ask_account(looking, None, now, random)
        }
    }

    pub(crate) fn account_ended(
        &mut self,
        step: Step,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let Step { looking, stage } = step;
        match stage {
            Stage::Keys => {
                let ended = http(done)?;
                match self.keep_keys(&looking, &ended, now) {
                    Ok(()) => self.look_at_id_token(looking, false, now, random),
                    Err(unfit) => self.account_found(looking, Err(unfit), now, random),
                }
            }
            Stage::Signature(more) => {
                let Done::Verified(held) = done else {
                    return Err(unexpected(&done));
                };
                let unfit = match held {
                    Ok(true) => match looking.claims(now) {
                        Ok(claims) => return self.ask_account(looking, Some(claims), now, random),
                        Err(fault) => fault.into(),
                    },
                    Ok(false) if more.is_empty() => Fault::Signature.into(),
                    Ok(false) => {
                        self.look_at_signature(looking, more);
                        return Ok(());
                    }
                    Err(problem) => {
                        self.notice("id_token_not_verified", &problem);
                        Unfit::failed("the id token's signature could not be looked at")
                    }
                };
                self.account_found(looking, Err(unfit), now, random)
            }
            Stage::Call(claims) => {
                let told = looking.told_by(claims.as_ref(), &http(done)?);
                self.account_found(looking, told.map(Some), now, random)
            }
        }
    }

    fn account_found(
        &mut self,
        looking: Looking,
        told: Result<Option<Account>, Unfit>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        match looking.goal {
            Goal::Exchange(begun) => self.exchange_account(&begun, *looking.tokens, told, now, random),
            Goal::Brought => self.brought_account(told, now, random),
        }
    }

    /// Looks for the key of the id token, in memory first.
    fn look_at_id_token(
        &mut self,
        looking: Looking,
        may_fetch: bool,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let fetch = match self.checks_of(&looking, may_fetch, now) {
            Ok(Ok(checks)) => {
                self.look_at_signature(looking, checks);
                return Ok(());
            }
            Ok(Err(fetch)) => fetch,
            Err(unfit) => return self.account_found(looking, Err(unfit), now, random),
        };
        let task = Task::Http {
            request: fetch,
            deadline_ms: self.settings.deadline_ms,
            cap: KEYS_CAP,
        };
        self.send(task, Purpose::Account(Box::new(looking.at(Stage::Keys))));
        Ok(())
    }

    /// The signatures of which one must hold, or the request for the keys to look at them with.
    fn checks_of(
        &self,
        looking: &Looking,
        may_fetch: bool,
        now: Millis,
    ) -> Result<Result<Vec<Check>, Request>, Unfit> {
        let missing = || Unfit::failed("the answer has no id token");
        let token = id_token::parse(looking.tokens.id_token.as_ref().ok_or_else(missing)?)?;
        let url = keys_url(looking)?;
        let kept = self
            .exchange
            .keys
            .as_ref()
            .filter(|keys| keys.url == url && now.since(keys.fetched_at) < KEYS_MS);
        let fault = match kept {
            None if may_fetch => return Ok(Err(keys_request(url))),
            None => Fault::UnknownKey,
            Some(keys) => match token.checks(&keys.set) {
                Ok(checks) => return Ok(Ok(checks)),
                Err(Fault::UnknownKey) if may_fetch && now.since(keys.fetched_at) >= KEYS_AGAIN_MS => {
                    return Ok(Err(keys_request(url)));
                }
                Err(fault) => fault,
            },
        };
        Err(fault.into())
    }

    fn keep_keys(&mut self, looking: &Looking, ended: &Ended, now: Millis) -> Result<(), Unfit> {
        let is_whole = ended.status == Some(200) && ended.cause.is_none() && !ended.cut;
        if !is_whole {
            return Err(Unfit::unreached("the issuer's keys could not be fetched"));
        }
        let set = KeySet::parse(&ended.body)
            .map_err(|sentence| Unfit::failed(&format!("what the issuer says are its keys {sentence}")))?;
        self.exchange.keys = Some(Keys {
            url: keys_url(looking)?,
            set,
            fetched_at: now,
        });
        Ok(())
    }

    /// One after the other: with a key id there is one.
    fn look_at_signature(&mut self, looking: Looking, mut checks: Vec<Check>) {
        let check = checks.remove(0);
        let step = looking.at(Stage::Signature(checks));
        self.send(Task::Verify(check), Purpose::Account(Box::new(step)));
    }

    fn ask_account(
        &mut self,
        looking: Looking,
        claims: Option<Claims>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let account = match looking.told(claims.as_ref()) {
            Ok(Told::By(request)) => {
                let step = looking.at(Stage::Call(claims));
                self.ask(request, Purpose::Account(Box::new(step)));
                return Ok(());
            }
            Ok(Told::Account(account)) => Ok(Some(account)),
            Ok(Told::Nobody) => Ok(None),
            Err(unfit) => Err(unfit),
        };
        self.account_found(looking, account, now, random)
    }
}

/// The issuer's keys are where the entry says, and nowhere that an answer could say.
fn keys_url(looking: &Looking) -> Result<String, Unfit> {
    let oauth = looking.provider.oauth.as_ref();
    let url = oauth.and_then(|oauth| oauth.jwks_url.as_ref());
    let url = url.ok_or_else(|| Unfit::failed("it is not known where the issuer's keys are"))?;
    template::fill(url, &looking.variables).map_err(|unfilled| Unfit::failed(&unfilled))
}

fn keys_request(url: String) -> Request {
    Request {
        method: "GET",
        url,
        headers: vec![("Accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
    }
}

/// Out of JSON, the entry's variables among it: a key may be made of a shop and what it says.
fn account(
    identity: &Identity,
    variables: &BTreeMap<String, String>,
    mut answer: Json,
) -> Result<Account, Unfit> {
    let mut identity = identity.clone();
    for pointer in &mut identity.key {
        if pointer.starts_with('{') {
            pointer.insert(0, '/');
        }
    }
    if let Json::Object(object) = &mut answer {
        object.extend(in_braces(variables).map(|(name, value)| (name, value.into())));
    }
    identity::from_json(&identity, &answer).map_err(Unfit::from)
}

/// Variables under the names by which an account's key holds them.
fn in_braces(variables: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    let named = |(name, value): (&String, &String)| (format!("{{{name}}}"), value.clone());
    variables.iter().map(named)
}
