//! The exchange of a code for tokens, and what is checked before they are stored: whose account it is
//! ([`crate::account`]), whether that is the account that was connected, what was granted.
//!
//! Everything between the claim of a state and the one transaction at the end is in memory alone: what is lost with the
//! object is found as an attempt that was claimed and did not end, and is never sent again.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::oauth::id_token::Fault;
use postern_domain::oauth::identity::{self, Account, Untold};
use postern_domain::oauth::outcome::{self, Refusal};
use postern_domain::oauth::provider::{Class, Provider, Rotation, VariableFrom};
use postern_domain::oauth::standing::State;
use postern_domain::oauth::token_request::{self, Unmade};
use postern_domain::oauth::{Client, Request, Secret, TokenSet, scopes, template};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::Outcome;

use crate::account::{Goal, Keys, Looking};
use crate::air::{Purpose, http};
use crate::attempt::{self, Detail};
use crate::change::Change;
use crate::credential::{Kind as CredentialKind, NewTokens, Opener, store_tokens};
use crate::errand::Done;
use crate::session::{self, Terms};
use crate::sql::{Random, Sql};
use crate::{Connection, history, refresh};

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
    /// The end of a grant that is not wanted. Nothing waits for it.
    Undone,
}

/// What exchanges keep between errands.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The issuer's keys.
    pub(crate) keys: Option<Keys>,
    /// The last key of a service account that was brought.
    pub(crate) service_account: Option<crate::service_account::Ended>,
}

/// Why tokens that came are not stored.
pub(crate) struct Unfit {
    outcome: Outcome,
    pub(crate) detail: Detail,
    pub(crate) class: Option<Class>,
}

impl Unfit {
    pub(crate) fn failed(words: &(impl ToString + ?Sized)) -> Self {
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

    /// The same, where it may be otherwise in a while.
    pub(crate) fn unreached(words: &str) -> Self {
        Self {
            class: Some(Class::Outage),
            ..Self::failed(words)
        }
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
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
                    // The app is not judged by it, as it is by a refresh: whoever connects may have typed the host's name
                    // that is asked (a shop, a subdomain), and an app that is found broken keeps all its connections from
                    // refreshing.
                    Err(refusal) => self.unfit(&begun, None, &Unfit::refused(&refusal), now),
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
        let looking = Looking {
            provider: Box::new(begun.provider().clone()),
            client_id: begun.client.id.clone(),
            nonce: begun.nonce.clone(),
            variables: begun.variables.clone(),
            tokens: Box::new(tokens),
            goal: Goal::Exchange(Box::new(begun)),
        };
        self.find_account(looking, now, random)
    }

    /// It is known whose account the tokens are for, or that it cannot be known.
    pub(crate) fn exchange_account(
        &mut self,
        begun: &Begun,
        tokens: TokenSet,
        told: Result<Option<Account>, Unfit>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        match told {
            Ok(account) => self.connect(begun, tokens, account, now, random),
            Err(unfit) => self.unfit(begun, Some(&tokens), &unfit, now),
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

const fn result_word(result: postern_domain::wire::connection::RevokeResult) -> &'static str {
    use postern_domain::wire::connection::RevokeResult::{AlreadyGone, Failed, Revoked, Unsupported};
    match result {
        Revoked => "revoked",
        AlreadyGone => "gone already",
        Unsupported => "the provider has no way to revoke it",
        Failed => "the provider did not revoke it",
    }
}
