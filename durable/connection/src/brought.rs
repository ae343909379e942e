//! Whose account imported tokens are for. Whoever brought them may have said it, the provider knows it: until it has told,
//! a reconnect could not tell another account. What cannot be learned now keeps no import from standing, since its refresh
//! token may be spent; it is asked again.

use postern_domain::oauth::identity::Account;
use postern_domain::oauth::provider::{Class, IdentityFrom};
use postern_domain::oauth::{TokenSet, rotation};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::{Deserialize, Serialize};

use crate::Connection;
use crate::account::{Goal, Looking};
use crate::air::Purpose;
use crate::alarm::LOST_MS;
use crate::credential::{Credential, Kind};
use crate::exchange::Unfit;
use crate::history::line;
use crate::record::Record;
use crate::sql::{Random, Sql};

/// The account is to be learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Learning {
    /// When it is asked for next; none: when the next refresh brings something to ask with.
    #[serde(default)]
    pub(crate) at: Option<Millis>,
    /// How often it was asked in vain.
    #[serde(default)]
    pub(crate) failures: u32,
}

impl<S: Sql> Connection<S> {
    /// Whether it is being asked for.
    pub(crate) fn learning_flies(&self) -> bool {
        self.flies(|purpose| matches!(purpose, Purpose::Account(step) if step.is_brought()))
    }

    /// Asks whose account the tokens are for, if that is still to be learned: with what a refresh brought, or with the
    /// access token that stands.
    pub(crate) fn learn_account(
        &mut self,
        brought: Option<&TokenSet>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let memory = self.standing()?;
        let learns = |credential: &Credential| credential.learning.is_some();
        if !memory.credential.as_ref().is_some_and(learns)
            || memory.record.ending.is_some()
            || self.learning_flies()
        {
            return Ok(()); // the way of every other refresh
        }
        let memory = self.standing()?.clone();
        let (record, Some(credential)) = (&memory.record, &memory.credential) else {
            return Ok(());
        };
        let tokens = match brought {
            Some(tokens) => tokens.clone(),
            None if !is_good(credential, now) => return self.learn_later(now),
            None => match credential.open_access(&self.opener(record)) {
                Ok(Some(access_token)) => TokenSet::alone(access_token),
                Ok(None) => return self.learn_later(now),
                Err(error) => return self.unopened(error, now),
            },
        };
        let looking = Looking {
            provider: Box::new(record.provider.clone()),
            client_id: credential.client_id.clone().unwrap_or_default(),
            nonce: None,
            variables: record.variables.clone(),
            tokens: Box::new(tokens),
            goal: Goal::Brought,
        };
        self.find_account(looking, now, random)
    }

    /// By the alarm.
    pub(crate) fn learn_by_alarm(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        let credential = self.standing()?.credential.as_ref();
        let at = credential.and_then(|credential| credential.learning?.at);
        if at.is_some_and(|at| at <= now) {
            self.learn_account(None, now, random)?;
        }
        Ok(())
    }

    /// With the next refresh.
    fn learn_later(&mut self, now: Millis) -> Result<(), Problem> {
        let mut change = self.change()?;
        if let Some(learning) = &mut change.credential()?.learning {
            learning.at = None;
        }
        self.commit(change, now, |_| Ok(()))
    }

    /// It is known whose account the tokens are for, or why not.
    pub(crate) fn brought_account(
        &mut self,
        told: Result<Option<Account>, Unfit>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        self.has_moved();
        if self.memory.is_none() {
            return Ok(()); // it is erased
        }
        let mut change = self.change()?;
        // Somebody connected again meanwhile, or ended it: nothing is to be learned any more.
        let Some(credential) = &mut change.credential else {
            return Ok(());
        };
        let Some(learning) = credential.learning else {
            return Ok(());
        };
        match told {
            Ok(account) => {
                credential.learning = None;
                if let Some(account) = account {
                    let said = change.record.account.take();
                    let differs = said.as_deref().filter(|said| is_another(said, &account));
                    if let Some(said) = differs {
                        let sentence = "The tokens are for another account than the import said: the provider's word counts";
                        let mut entry = line("connect", sentence, now);
                        let label = account.label.as_deref().unwrap_or(&account.key);
                        entry.words = Some(format!("{label}, and not {said}"));
                        change.line(entry);
                    }
                    change.record.account = account.label.or(said).or_else(|| Some(account.key.clone()));
                    change.record.account_key = Some(account.key);
                    change.touch(now);
                }
            }
            Err(unfit) => {
                let passes = matches!(unfit.class, Some(Class::Outage | Class::Throttled | Class::Lost));
                let spread = u32::try_from(random.number() >> 32).unwrap_or_default();
                // Not before a minute: nobody waits for it.
                let wait = rotation::backoff_ms(learning.failures.saturating_add(2), spread);
                credential.learning = Some(Learning {
                    at: passes.then(|| now.plus(wait)),
                    failures: learning.failures.saturating_add(1),
                });
                if learning.failures == 0 {
                    let sentence = if passes {
                        "The provider has not told yet whose account it is; it is asked again"
                    } else {
                        "The provider does not tell whose account it is; the next refresh may"
                    };
                    let mut entry = line("connect", sentence, now);
                    entry.class = unfit.class;
                    entry.words = unfit.detail.words;
                    entry.next_at = credential.learning.and_then(|learning| learning.at);
                    change.line(entry);
                }
            }
        }
        self.commit(change, now, |_| Ok(()))
    }

    /// When the alarm is needed for it.
    pub(crate) fn learning_alarm_at(&self, credential: &Credential, now: Millis) -> Option<Millis> {
        let at = credential.learning?.at?;
        Some(if self.learning_flies() {
            at.max(now.plus(LOST_MS))
        } else {
            at
        })
    }
}

/// What is to be learned of tokens that are imported; none: the entry does not say how accounts are told apart.
pub(crate) fn to_learn(record: &Record, refreshable: bool, now: Millis) -> Option<Learning> {
    record.provider.identity.as_ref().map(|_| Learning {
        // What cannot be refreshed has an access token alone to ask with.
        at: (!refreshable).then_some(now),
        failures: 0,
    })
}

/// Whether a good answer to the check of health is worth another call.
pub(crate) fn is_asked_by_call(record: &Record, credential: &Credential) -> bool {
    let identity = record.provider.identity.as_ref();
    credential.learning.is_some()
        && identity.is_some_and(|identity| matches!(identity.from, IdentityFrom::Call(_)))
}

/// Whether its access token may still tell something.
fn is_good(credential: &Credential, now: Millis) -> bool {
    let lives = credential.expires_at.is_none_or(|end| end > now);
    lives && !credential.access_refused && credential.kind == Kind::Tokens
}

/// Whether what was said of the account names another one for sure. Most of what can be said is a name of the importer's
/// own; two addresses that differ are two accounts.
fn is_another(said: &str, account: &Account) -> bool {
    let Some(label) = &account.label else { return false };
    let is_same = |known: &String| known.eq_ignore_ascii_case(said);
    !is_same(label) && !is_same(&account.key) && label.contains('@') && said.contains('@')
}
