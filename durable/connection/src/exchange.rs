//! The exchange of a code for tokens, and what is checked before they are stored: the id token's signature and claims,
//! whose account it is, whether that is the account that was connected, what was granted.
//!
//! Everything between the claim of a state and the one transaction at the end is in memory alone: what is lost with the
//! object is found as an attempt that was claimed and did not end, and is never sent again.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::oauth::id_token::{self, Claims, Expected, Fault, KEYS_AGAIN_MS, KEYS_CAP};
use postern_domain::oauth::identity::{self, Account, Untold};
use postern_domain::oauth::outcome::{self, Refusal};
use postern_domain::oauth::provider::{
    Class, Identity, IdentityFrom, Kind, Provider, Rotation, VariableFrom,
};
use postern_domain::oauth::standing::State;
use postern_domain::oauth::token_request::{self, Unmade};
use postern_domain::oauth::{Client, Ended, Request, Secret, TokenSet, api_call, scopes, template};
use postern_domain::problem::Problem;
use postern_domain::provider::{Check, KeySet};
use postern_domain::time::Millis;
use postern_domain::wire::connection::Outcome;
use serde_json::Value as Json;

use crate::air::{Purpose, http, unexpected};
use crate::attempt::{self, Detail};
use crate::change::Change;
use crate::credential::{Kind as CredentialKind, NewTokens, Opener, store_tokens};
use crate::errand::{Done, Task};
use crate::session::{self, Terms};
use crate::sql::{Random, Sql};
use crate::{Connection, history, refresh};

/// A key set is taken from memory for so long.
const KEYS_MS: u64 = Millis::DAY;

/// Where an exchange stands: what its next errand's end goes on with.
#[derive(Debug)]
pub(crate) struct Step {
    begun: Begun,
    stage: Stage,
}

/// What an exchange was begun with.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The attempt's hash.
    pub(crate) attempt: Vec<u8>,
    /// The session's.
    pub(crate) session: Vec<u8>,
    pub(crate) terms: Terms,
    pub(crate) client: Client,
    pub(crate) nonce: Option<Secret>,
    /// Of the session and the callback.
    pub(crate) variables: BTreeMap<String, String>,
}

/// What is in the air.
#[derive(Debug)]
enum Stage {
    /// The code.
    Code,
    /// The issuer's keys.
    Keys(Box<TokenSet>),
    /// A signature; more that may hold are behind it.
    Signature(Box<TokenSet>, Vec<Check>),
    /// The call that tells whose account it is.
    Account(Box<TokenSet>, Option<Claims>),
    /// The end of a grant that is not wanted. Nothing waits for it.
    Undone,
}

/// What exchanges keep between errands.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    keys: Option<Keys>,
    /// The last key of a service account that was brought.
    pub(crate) service_account: Option<crate::service_account::Ended>,
}

#[derive(Debug)]
struct Keys {
    url: String,
    set: KeySet,
    fetched_at: Millis,
}

/// Why tokens that came are not stored.
struct Unfit {
    outcome: Outcome,
    detail: Detail,
    class: Option<Class>,
}

impl Unfit {
    fn failed(words: &(impl ToString + ?Sized)) -> Self {
        let detail = Detail {
            words: Some(words.to_string()),
            ..Detail::default()
        };
        Self {
            outcome: Outcome::ExchangeFailed,
            detail,
            class: Some(Class::BrokenConfig),
        }
    }

    fn refused(refusal: &Refusal) -> Self {
        let words = match (&refusal.error, &refusal.words) {
            (Some(error), Some(words)) => format!("{error}: {words}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => refusal.why.sentence().to_owned(),
        };
        let outcome = match refusal.class {
            Class::Lost => Outcome::Lost,
            _ => Outcome::ExchangeFailed,
        };
        let detail = Detail {
            words: Some(words.chars().take(200).collect()),
            ..Detail::default()
        };
        Self {
            outcome,
            detail,
            class: Some(refusal.class),
        }
    }
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        Self::failed(&fault)
    }
}

impl From<Untold> for Unfit {
    fn from(untold: Untold) -> Self {
        Self::failed(&untold)
    }
}

impl Begun {
    fn provider(&self) -> &Provider {
        &self.terms.app.provider
    }

    /// The exchange of the code: the same redirect URI as in the authorization request.
    pub(crate) fn request(&self, code: &Secret, verifier: Option<&Secret>) -> Result<Request, Unmade> {
        token_request::exchange(
            self.provider(),
            &self.client,
            code,
            verifier,
            &self.terms.app.redirect_uri,
            &self.variables,
        )
    }

    /// The step that waits for its answer.
    pub(crate) const fn first(self) -> Step {
        self.at(Stage::Code)
    }

    const fn at(self, stage: Stage) -> Step {
        Step { begun: self, stage }
    }

    /// The claims, once a signature held.
    fn claims(&self, tokens: &TokenSet, now: Millis) -> Result<Claims, Fault> {
        let token = tokens.id_token.as_ref().ok_or(Fault::Form)?;
        let expected = Expected {
            client_id: &self.client.id,
            nonce: self.nonce.as_ref(),
            access_token: &tokens.access_token,
            now,
        };
        id_token::parse(token)?.claims(true, self.provider(), &expected)
    }
}

impl Step {
    /// Whether the attempt waits for it.
    pub(crate) fn is_of(&self, attempt: &[u8]) -> bool {
        self.begun.attempt == attempt && !matches!(self.stage, Stage::Undone)
    }
}

impl<S: Sql> Connection<S> {
    pub(crate) fn exchange_ended(
        &mut self,
        step: Step,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let Step { begun, stage } = step;
        match stage {
            Stage::Code => {
                let ended = http(done)?;
                match outcome::read(begun.provider(), &ended) {
                    Ok(tokens) => self.tokens_came(begun, tokens, now, random),
                    Err(refusal) => self.unfit(&begun, None, &Unfit::refused(&refusal), now),
                }
            }
            Stage::Keys(tokens) => {
                let ended = http(done)?;
                match self.keep_keys(&begun, &ended, now) {
                    Ok(()) => self.look_at_id_token(begun, *tokens, false, now),
                    Err(unfit) => self.unfit(&begun, Some(&tokens), &unfit, now),
                }
            }
            Stage::Signature(tokens, more) => {
                let Done::Verified(held) = done else {
                    return Err(unexpected(&done));
                };
                match held {
                    Ok(true) => match begun.claims(&tokens, now) {
                        Ok(claims) => self.ask_account(begun, *tokens, Some(claims), now, random),
                        Err(fault) => self.unfit(&begun, Some(&tokens), &fault.into(), now),
                    },
                    Ok(false) if more.is_empty() => {
                        self.unfit(&begun, Some(&tokens), &Fault::Signature.into(), now)
                    }
                    Ok(false) => {
                        self.look_at_signature(begun, tokens, more);
                        Ok(())
                    }
                    Err(problem) => {
                        self.notice("id_token_not_verified", &problem);
                        let unfit = Unfit::failed("the id token's signature could not be looked at");
                        self.unfit(&begun, Some(&tokens), &unfit, now)
                    }
                }
            }
            Stage::Account(tokens, claims) => {
                let ended = http(done)?;
                match account_of_call(&begun, claims.as_ref(), &ended) {
                    Ok(account) => self.connect(&begun, *tokens, Some(account), now, random),
                    Err(unfit) => self.unfit(&begun, Some(&tokens), &unfit, now),
                }
            }
            Stage::Undone => {
                let revoked = outcome::read_revoke(begun.provider(), &http(done)?);
                let mut change = self.change()?;
                let told = format!("The grant that was not wanted: {}", result_word(revoked));
                change.line(history::line("revoke", told, now));
                self.commit(change, now, |_| Ok(()))
            }
        }
    }

    /// Tokens came: what the answer tells beside them is judged before anything is made of it.
    fn tokens_came(
        &mut self,
        mut begun: Begun,
        mut tokens: TokenSet,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let policy = Policy::default().https_only(true);
        let learned =
            template::admit_learned(begun.provider(), VariableFrom::Answer, &tokens.learned, &policy);
        match learned {
            Ok(learned) => {
                begun.variables.extend(learned.clone());
                tokens.learned = learned;
            }
            Err(refused) => return self.unfit(&begun, Some(&tokens), &Unfit::failed(&refused), now),
        }
        if begun.provider().kind == Kind::Oidc {
            self.look_at_id_token(begun, tokens, true, now)
        } else {
            self.ask_account(begun, tokens, None, now, random)
        }
    }

    /// Looks for the key of the id token, in memory first.
    fn look_at_id_token(
        &mut self,
        begun: Begun,
        tokens: TokenSet,
        may_fetch: bool,
        now: Millis,
    ) -> Result<(), Problem> {
        let fetch = match self.checks_of(&begun, &tokens, may_fetch, now) {
            Ok(Ok(checks)) => {
                self.look_at_signature(begun, Box::new(tokens), checks);
                return Ok(());
            }
            Ok(Err(fetch)) => fetch,
            Err(unfit) => return self.unfit(&begun, Some(&tokens), &unfit, now),
        };
        let task = Task::Http {
            request: fetch,
            deadline_ms: self.settings.deadline_ms,
            cap: KEYS_CAP,
        };
        let step = begun.at(Stage::Keys(Box::new(tokens)));
        self.send(task, Purpose::Exchange(Box::new(step)));
        Ok(())
    }

    /// The signatures of which one must hold, or the request for the keys to look at them with.
    fn checks_of(
        &self,
        begun: &Begun,
        tokens: &TokenSet,
        may_fetch: bool,
        now: Millis,
    ) -> Result<Result<Vec<Check>, Request>, Unfit> {
        let missing = || Unfit::failed("the answer has no id token");
        let token = id_token::parse(tokens.id_token.as_ref().ok_or_else(missing)?)?;
        let url = keys_url(begun)?;
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

    fn keep_keys(&mut self, begun: &Begun, ended: &Ended, now: Millis) -> Result<(), Unfit> {
        let is_whole = ended.status == Some(200) && ended.cause.is_none() && !ended.cut;
        if !is_whole {
            return Err(Unfit::failed("the issuer's keys could not be fetched"));
        }
        let set = KeySet::parse(&ended.body)
            .map_err(|sentence| Unfit::failed(&format!("what the issuer says are its keys {sentence}")))?;
        self.exchange.keys = Some(Keys {
            url: keys_url(begun)?,
            set,
            fetched_at: now,
        });
        Ok(())
    }

    /// One after the other: with a key id there is one.
    fn look_at_signature(&mut self, begun: Begun, tokens: Box<TokenSet>, mut checks: Vec<Check>) {
        let check = checks.remove(0);
        let step = begun.at(Stage::Signature(tokens, checks));
        self.send(Task::Verify(check), Purpose::Exchange(Box::new(step)));
    }

    fn ask_account(
        &mut self,
        begun: Begun,
        tokens: TokenSet,
        claims: Option<Claims>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let account = match begun.provider().identity.as_ref() {
            None => Ok(None),
            Some(identity) => match (&identity.from, &claims) {
                (IdentityFrom::IdToken, Some(claims)) => {
                    account(identity, &begun.variables, claims.to_value()).map(Some)
                }
                (IdentityFrom::IdToken, None) => Err(Unfit::from(Untold)),
                (IdentityFrom::Answer, _) => {
                    let mut told = tokens.clone();
                    told.learned.extend(in_braces(&begun.variables));
                    identity::from_answer(identity, &told)
                        .map(Some)
                        .map_err(Unfit::from)
                }
                (IdentityFrom::Call(check), _) => {
                    let request = api_call::request(
                        begun.provider(),
                        check,
                        &tokens.access_token,
                        None,
                        &begun.variables,
                    );
                    match request {
                        Ok(request) => {
                            let step = begun.at(Stage::Account(Box::new(tokens), claims));
                            self.ask(request, Purpose::Exchange(Box::new(step)));
                            return Ok(());
                        }
                        Err(unfilled) => Err(Unfit::failed(&unfilled)),
                    }
                }
            },
        };
        match account {
            Ok(account) => self.connect(&begun, tokens, account, now, random),
            Err(unfit) => self.unfit(&begun, Some(&tokens), &unfit, now),
        }
    }

    /// Everything that had to be known is known: the tokens are stored, or the grant is not wanted.
    fn connect(
        &mut self,
        begun: &Begun,
        mut tokens: TokenSet,
        account: Option<Account>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let mut change = self.change()?;
        if let Some(unfit) = unwanted(&change, begun, &tokens, account.as_ref())? {
            return self.unfit_of(begun, Some(&tokens), account.as_ref(), &unfit, now);
        }
        let granted = granted_of(begun, &tokens)?;
        let outcome = if granted.missing.is_empty() {
            Outcome::Connected
        } else {
            Outcome::MissingScopes
        };
        keep_refresh_token(&self.opener(&change.record), &change, begun, &mut tokens, now)?;
        let record = &mut change.record;
        record.provider = begun.provider().clone();
        record.app = begun.terms.app.id;
        record.scopes = granted.scopes;
        record.missing_scopes.clone_from(&granted.missing);
        record.variables = begun.variables.clone();
        if let Some(account) = account {
            record.account = account.label.or_else(|| Some(account.key.clone()));
            record.account_key = Some(account.key);
            record.routing = account.routing;
        }
        let detail = Detail {
            account: record.account.clone(),
            missing: in_words(begun, &granted.missing)?,
            ..Detail::default()
        };
        let new = NewTokens {
            kind: CredentialKind::Tokens,
            tokens,
            client_id: Some(begun.client.id.clone()),
            app_generation: begun.terms.app.generation,
            granted: true,
        };
        let opener = self.opener(&change.record);
        store_tokens(&opener, &mut change, new, now, random)?;
        refresh::plan(&mut change, now, random);
        let was = (change.record.state, change.record.reason);
        change.go(State::Active, None, now)?;
        if was == (State::Active, None) {
            change.touch(now);
        }
        change.line(history::line("connect", attempt::sentence(outcome), now));
        self.commit(change, now, |sql| {
            attempt::end(sql, &begun.attempt, outcome, &detail, now)?;
            session::burn(sql, &begun.session, now)
        })?;
        self.has_moved();
        Ok(())
    }

    fn unfit(
        &mut self,
        begun: &Begun,
        tokens: Option<&TokenSet>,
        unfit: &Unfit,
        now: Millis,
    ) -> Result<(), Problem> {
        self.unfit_of(begun, tokens, None, unfit, now)
    }

    /// Nothing is stored. A grant that came all the same is ended at the provider, unless it may be the very grant that
    /// the connection lives on.
    fn unfit_of(
        &mut self,
        begun: &Begun,
        tokens: Option<&TokenSet>,
        account: Option<&Account>,
        unfit: &Unfit,
        now: Millis,
    ) -> Result<(), Problem> {
        self.end_attempt(&begun.attempt, unfit.outcome, &unfit.detail, unfit.class, now)?;
        let stands = self.standing()?.credential.is_some();
        let Some(tokens) = tokens.filter(|_| !stands || unfit.outcome == Outcome::OtherAccount) else {
            return Ok(());
        };
        let request = token_request::revoke(
            begun.provider(),
            &begun.client,
            Some(&tokens.access_token),
            tokens.refresh_token.as_ref(),
            account.map(|account| account.key.as_str()),
            &begun.variables,
        );
        match request {
            Ok(request) => {
                let undo = Begun {
                    attempt: begun.attempt.clone(),
                    session: begun.session.clone(),
                    terms: begun.terms.clone(),
                    client: begun.client.clone(),
                    nonce: None,
                    variables: BTreeMap::new(),
                };
                self.ask(request, Purpose::Exchange(Box::new(undo.at(Stage::Undone))));
            }
            Err(Unmade::NoRevoke) => {} // the provider has no way
            Err(error) => self.notice("unwanted_grant_stays", &Problem::internal(error)),
        }
        Ok(())
    }
}

/// Some give a refresh token with an account's first consent alone (Google): the one that stands is the same grant's, and
/// stays good, if it is the same account's at the same client, is not known to be dead, and never changes.
fn keep_refresh_token(
    opener: &Opener<'_>,
    change: &Change,
    begun: &Begun,
    tokens: &mut TokenSet,
    now: Millis,
) -> Result<(), Problem> {
    let record = &change.record;
    let (Some(old), Some(oauth)) = (&change.credential, &begun.provider().oauth) else {
        return Ok(());
    };
    let is_same = record.account_key.is_some()
        && record.state != State::NeedsReauth
        && old.kind == CredentialKind::Tokens
        && old.client_id.as_deref() == Some(begun.client.id.as_str());
    if tokens.refresh_token.is_none() && is_same && oauth.rotation == Rotation::None {
        tokens.refresh_token = old.open_refresh(opener)?;
        tokens.refresh_expires_in = old.refresh_expires_at.map(|at| at.since(now) / 1000);
    }
    Ok(())
}

/// Why a grant that is sound is not taken.
fn unwanted(
    change: &Change,
    begun: &Begun,
    tokens: &TokenSet,
    account: Option<&Account>,
) -> Result<Option<Unfit>, Problem> {
    let record = &change.record;
    let plain = |outcome, detail| Unfit {
        outcome,
        detail,
        class: None,
    };
    if session::is_over(record) {
        return Ok(Some(plain(Outcome::Expired, Detail::default())));
    }
    if let Some(stored) = &record.account_key
        && !account.is_some_and(|account| identity::continues(Some(stored), account))
    {
        let detail = Detail {
            account: record.account.clone().or_else(|| Some(stored.clone())),
            other_account: account
                .map(|account| account.label.clone().unwrap_or_else(|| account.key.clone())),
            ..Detail::default()
        };
        return Ok(Some(plain(Outcome::OtherAccount, detail)));
    }
    let granted = granted_of(begun, tokens)?;
    if begun.terms.app.all_scopes && !granted.missing.is_empty() {
        let detail = Detail {
            missing: in_words(begun, &granted.missing)?,
            ..Detail::default()
        };
        return Ok(Some(plain(Outcome::RefusedScopes, detail)));
    }
    Ok(None)
}

/// What was granted of what was asked for.
fn granted_of(begun: &Begun, tokens: &TokenSet) -> Result<scopes::Granted, Problem> {
    let asked = postern_domain::oauth::authorize::scopes(begun.terms.oauth()?, &begun.terms.scopes);
    Ok(scopes::missing(
        begun.provider(),
        &asked,
        tokens.scopes.as_deref(),
    ))
}

fn in_words(begun: &Begun, scopes: &[String]) -> Result<Vec<String>, Problem> {
    let words = &begun.terms.oauth()?.scope_words;
    let shown = scopes
        .iter()
        .map(|scope| words.get(scope).unwrap_or(scope).clone());
    Ok(shown.collect())
}

/// The issuer's keys are where the entry says, and nowhere that an answer could say.
fn keys_url(begun: &Begun) -> Result<String, Unfit> {
    let url = begun
        .provider()
        .oauth
        .as_ref()
        .and_then(|oauth| oauth.jwks_url.as_ref());
    let url = url.ok_or_else(|| Unfit::failed("it is not known where the issuer's keys are"))?;
    template::fill(url, &begun.variables).map_err(|unfilled| Unfit::failed(&unfilled))
}

fn keys_request(url: String) -> Request {
    Request {
        method: "GET",
        url,
        headers: vec![("Accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
    }
}

/// Whose account it is, by the answer of a call. With an id token it must be about the same subject (`OpenID` Connect
/// Core section 5.3.2) where it names one.
fn account_of_call(begun: &Begun, claims: Option<&Claims>, ended: &Ended) -> Result<Account, Unfit> {
    let provider = begun.provider();
    let Some(identity) = &provider.identity else {
        return Err(Untold.into());
    };
    let IdentityFrom::Call(check) = &identity.from else {
        return Err(Untold.into());
    };
    let unauthorised = provider.api.as_ref().map_or(&[][..], |api| &api.unauthorised);
    let answer = outcome::read_call(check.ok.as_deref(), unauthorised, ended)
        .map_err(|refusal| Unfit::refused(&refusal))?;
    let is_missing = |pointer: &String| answer.pointer(pointer).is_none_or(Json::is_null);
    if check.holds.as_ref().is_some_and(is_missing) {
        return Err(Untold.into());
    }
    if let Some(claims) = claims
        && !identity::is_of_subject(&answer, claims)
    {
        return Err(Unfit::failed(
            "userinfo is about another subject than the id token",
        ));
    }
    account(identity, &begun.variables, answer)
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

const fn result_word(result: postern_domain::wire::connection::RevokeResult) -> &'static str {
    use postern_domain::wire::connection::RevokeResult::{AlreadyGone, Failed, Revoked, Unsupported};
    match result {
        Revoked => "revoked",
        AlreadyGone => "gone already",
        Unsupported => "the provider has no way to revoke it",
        Failed => "the provider did not revoke it",
    }
}
