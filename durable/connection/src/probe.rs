//! Checks of health: the provider's cheapest call, asked for or by the alarm, spread over time.

use postern_domain::oauth::outcome::{self, Refusal, Why};
use postern_domain::oauth::provider::{Check, Class, Provider};
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::oauth::{Ended, api_call};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{CheckView, Tested};
use serde_json::Value;

use crate::Connection;
use crate::air::{Purpose, http};
use crate::alarm::LOST_MS;
use crate::brought;
use crate::call::{Answer, Turn, too_long};
use crate::change::Change;
use crate::credential::{Credential, Kind};
use crate::errand::Done;
use crate::history::line;
use crate::key::NewKey;
use crate::memory::Memory;
use crate::record::Record;
use crate::sql::{Random, Sql};

/// Checks that fail in a row before it is said.
pub(crate) const FAILURES_THAT_DEGRADE: u32 = 2;

/// A check that failed is made again so soon, if the next one is not due earlier.
const AGAIN_MS: u64 = 600_000;

/// A check on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    what: What,
    began_at: Millis,
}

/// What is checked.
#[derive(Debug)]
pub(crate) enum What {
    /// What is stored, of this generation.
    Stored(u64),
    /// A key that was brought.
    Key(Box<NewKey>),
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// The provider takes it.
    Good,
    /// The provider refuses the token or key.
    Refused {
        /// In its words.
        words: Option<String>,
    },
    /// Too fast: nothing is known.
    Limited {
        /// In its words.
        words: Option<String>,
    },
    /// The call does not work; whether for the token is not known.
    Bad {
        /// In its words, or what was seen.
        words: Option<String>,
    },
}

/// A check that ended.
#[derive(Debug)]
pub(crate) struct Tried {
    turn: u64,
    ok: bool,
    status: Option<u16>,
    duration_ms: u32,
    detail: String,
}

impl Flight {
    pub(crate) const fn new(what: What, began_at: Millis) -> Self {
        Self { what, began_at }
    }

    pub(crate) const fn brings_key(&self) -> bool {
        matches!(self.what, What::Key(_))
    }
}

impl Found {
    fn of(refusal: &Refusal) -> Self {
        let words = match (&refusal.error, &refusal.words) {
            (Some(error), Some(words)) => Some(format!("{error}: {words}")),
            (error, words) => error.clone().or_else(|| words.clone()),
        };
        match refusal.class {
            Class::DeadGrant => Self::Refused { words },
            Class::Throttled => Self::Limited { words },
            _ => Self::Bad {
                words: words.or_else(|| Some(refusal.why.sentence().to_owned())),
            },
        }
    }

    fn detail(&self) -> String {
        let with = |sentence: &str, words: &Option<String>| match words {
            Some(words) => format!("{sentence}: {words}"),
            None => sentence.to_owned(),
        };
        match self {
            Self::Good => "The provider takes it".to_owned(),
            Self::Refused { words } => with("The provider refuses it", words),
            Self::Limited { words } => with("The provider throttles; nothing is known", words),
            Self::Bad { words } => with("The check did not work", words),
        }
    }
}

impl<S: Sql> Connection<S> {
    /// Asks the provider whether the token or key is good. A test that ended after the first try is the answer.
    pub(crate) fn test(&mut self, turn: Turn, random: &mut dyn Random) -> Result<Answer<Tested>, Problem> {
        let now = turn.now;
        self.settle(now, random)?;
        let connection = self.view(now)?;
        let answer = |ok, status, duration_ms, detail: &str| {
            Ok(Answer::Now(Tested {
                ok,
                status,
                duration_ms,
                detail: detail.to_owned(),
                connection: connection.clone(),
            }))
        };
        if let (Some(since), Some(ended)) = (turn.since, &self.tested)
            && ended.turn > since
        {
            return answer(ended.ok, ended.status, ended.duration_ms, &ended.detail);
        }
        if self.probe_flies() {
            return Ok(Answer::Late(Err(too_long())));
        }
        let refused_before = turn.since.is_some();
        let record = &self.standing()?.record;
        match (record.state, record.reason) {
            (State::Pending | State::Revoked, reason) => {
                let reason = reason.unwrap_or(Reason::NotConnected);
                return Err(Problem::new(Code::Conflict, reason.sentence()));
            }
            (State::NeedsReauth, Some(reason)) if reason != Reason::KeyRefused => {
                return answer(false, None, 0, reason.sentence());
            }
            _ => {}
        }
        if record.provider.check.is_none() {
            let healthy = record.state == State::Active;
            let detail = "The provider's entry names no call to check with; this is how it stands";
            return answer(healthy, None, 0, detail);
        }
        match self.token(false, now, random) {
            Ok(Answer::Now(_)) => {}
            Ok(Answer::Late(_) | Answer::Soon(_)) => return Ok(Answer::Late(Err(too_long()))),
            // A key that was refused once is shown again: it may have been put right at the provider.
            Err(_) if self.is_key()? => {}
            Err(problem) if refused_before || problem.cause.is_none() => {
                return answer(false, None, 0, &problem.detail);
            }
            Err(problem) => return Err(problem),
        }
        if self.begin_probe(now)? {
            Ok(Answer::Late(Err(too_long())))
        } else {
            answer(false, None, 0, "A variable of the check's URL has no value")
        }
    }

    /// By the alarm.
    pub(crate) fn probe_by_alarm(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        let flies = self.probe_flies();
        let memory = self.standing()?;
        if !is_checked(&memory.record) {
            return Ok(());
        }
        let Some(credential) = &memory.credential else {
            return Ok(());
        };
        match credential.next_check_at {
            Some(at) if at > now => return Ok(()),
            Some(_) if flies => return Ok(()),
            Some(_) => {}
            None => {
                let mut change = self.change()?;
                self.plan_check(&mut change, now, random);
                return self.commit(change, now, |_| Ok(()));
            }
        }
        // A check for its own sake refreshes nothing: an idle connection is left alone until it is needed.
        let good = credential.expires_at.is_none_or(|end| end > now) && !credential.access_refused;
        if good && self.begin_probe(now)? {
            return Ok(());
        }
        let mut change = self.change()?;
        self.plan_check(&mut change, now, random);
        self.commit(change, now, |_| Ok(()))
    }

    pub(crate) fn probe_ended(
        &mut self,
        flight: Flight,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let ended = http(done)?;
        let duration_ms = u32::try_from(now.since(flight.began_at)).unwrap_or(u32::MAX);
        let generation = match flight.what {
            What::Key(new) => return self.key_checked(&new, &ended, now, random),
            What::Stored(generation) => generation,
        };
        let memory = self.standing()?;
        let provider = &memory.record.provider;
        let Some(check) = &provider.check else {
            self.has_moved(); // the entry changed meanwhile: who waits asks again
            return Ok(());
        };
        let (found, _) = found(provider, check, &ended);
        let detail = found.detail();
        let stands = memory.credential.as_ref().map(|credential| credential.generation);
        if stands == Some(generation) {
            self.found(&found, &detail, now, random)?;
            let Memory { record, credential } = self.standing()?;
            let is_asked = |credential: &Credential| brought::is_asked_by_call(record, credential);
            if found == Found::Good && credential.as_ref().is_some_and(is_asked) {
                self.learn_account(None, now, random)?;
            }
        }
        self.has_moved();
        self.tested = Some(Tried {
            turn: self.turn,
            ok: found == Found::Good,
            status: ended.status,
            duration_ms,
            detail,
        });
        Ok(())
    }

    /// What a check found changes how the connection stands.
    fn found(
        &mut self,
        found: &Found,
        detail: &str,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let mut change = self.change()?;
        self.plan_check(&mut change, now, random);
        let record = &change.record;
        let (state, reason) = (record.state, record.reason);
        let credential = change.credential()?;
        let (kind, refreshable) = (credential.kind, credential.refreshable());
        if !matches!(found, Found::Limited { .. }) {
            credential.check = Some(CheckView {
                at: now,
                ok: *found == Found::Good,
                detail: detail.to_owned(),
            });
        }
        let mut refresh = false;
        match found {
            Found::Good => {
                credential.check_failures = 0;
                credential.refused = 0;
                let heals = matches!(reason, Some(Reason::CheckFailed | Reason::KeyRefused));
                if heals && matches!(state, State::Degraded | State::NeedsReauth) {
                    change.line(line("check", detail, now));
                    let (state, reason) = self.well(&change.record);
                    change.go(state, reason, now)?;
                }
            }
            Found::Limited { .. } => {}
            Found::Refused { .. } | Found::Bad { .. } => {
                credential.check_failures = credential.check_failures.saturating_add(1);
                let failures = credential.check_failures;
                credential.next_check_at = Some(now.plus(AGAIN_MS.min(self.settings.check_ms)));
                let refused = matches!(found, Found::Refused { .. });
                if refused && kind != Kind::Key && refreshable && !credential.access_refused {
                    credential.access_refused = true;
                    refresh = true;
                }
                let mut entry = line("check", detail, now);
                entry.next_at = credential.next_check_at;
                change.line(entry);
                if failures >= FAILURES_THAT_DEGRADE && matches!(state, State::Active | State::Degraded) {
                    let (to, reason) = match (kind, refused) {
                        (Kind::Key, true) => (State::NeedsReauth, Reason::KeyRefused),
                        (Kind::Tokens, true) if !refreshable => (State::NeedsReauth, Reason::NoRefreshToken),
                        _ => (State::Degraded, Reason::CheckFailed),
                    };
                    change.go(to, Some(reason), now)?;
                }
            }
        }
        self.commit(change, now, |_| Ok(()))?;
        if refresh {
            self.begin_refresh(now, random)?;
        }
        Ok(())
    }

    /// Sends the check on its way; not if a variable of its URL has no value.
    pub(crate) fn begin_probe(&mut self, now: Millis) -> Result<bool, Problem> {
        let memory = self.standing()?.clone();
        let record = &memory.record;
        let (Some(check), Some(credential)) = (&record.provider.check, &memory.credential) else {
            return Ok(false);
        };
        let token = match credential.open_access(&self.opener(record)) {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(false),
            Err(error) => {
                self.unopened(error, now)?;
                return Err(error.into());
            }
        };
        let user = credential
            .user
            .as_deref()
            .filter(|_| credential.kind == Kind::Key);
        let request = api_call::request(&record.provider, check, &token, user, &record.variables);
        let Ok(request) = request else {
            return Ok(false);
        };
        let flight = Flight::new(What::Stored(credential.generation), now);
        self.ask(request, Purpose::Probe(flight));
        Ok(true)
    }

    pub(crate) fn probe_flies(&self) -> bool {
        self.flies(|purpose| matches!(purpose, Purpose::Probe(flight) if !flight.brings_key()))
    }

    fn is_key(&mut self) -> Result<bool, Problem> {
        let credential = &self.standing()?.credential;
        Ok(credential
            .as_ref()
            .is_some_and(|credential| credential.kind == Kind::Key))
    }

    /// The next check: about so long from now, no two connections together.
    pub(crate) fn plan_check(&self, change: &mut Change, now: Millis, random: &mut dyn Random) {
        let checked = change.record.provider.check.is_some();
        if let Some(credential) = &mut change.credential {
            let between = self.settings.check_ms;
            let at = now.plus(between / 2 + random.number() % between.max(1));
            credential.next_check_at = checked.then_some(at);
        }
    }

    /// When the alarm is needed for a check.
    pub(crate) fn check_alarm_at(
        &self,
        record: &Record,
        credential: &Credential,
        now: Millis,
    ) -> Option<Millis> {
        if !is_checked(record) {
            return None;
        }
        let at = credential.next_check_at.unwrap_or(now.plus(AGAIN_MS));
        Some(if self.probe_flies() {
            at.max(now.plus(LOST_MS))
        } else {
            at
        })
    }
}

/// Whether its health is checked by the alarm.
fn is_checked(record: &Record) -> bool {
    let healthy = matches!(record.state, State::Active | State::Degraded);
    healthy && record.enabled && record.provider.check.is_some() && record.ending.is_none()
}

/// What the answer to a call says of the token or key, and the answer itself where it was wholly read.
pub(crate) fn found(provider: &Provider, call: &Check, ended: &Ended) -> (Found, Option<Value>) {
    let unauthorised = provider.api.as_ref().map_or(&[][..], |api| &api.unauthorised);
    let read = outcome::read_call(call.ok.as_deref(), unauthorised, ended);
    let lacks = |pointer: &String, answer: &Value| answer.pointer(pointer).is_none_or(Value::is_null);
    match read {
        // GraphQL says 200 to what it refuses.
        Ok(answer) if call.holds.as_ref().is_some_and(|pointer| lacks(pointer, &answer)) => {
            let words = answer.pointer("/errors/0/message").and_then(Value::as_str);
            let words = words.and_then(outcome::shown);
            let words = words.or_else(|| Some("the answer lacks what it should hold".to_owned()));
            (Found::Bad { words }, None)
        }
        Ok(answer) => (Found::Good, Some(answer)),
        // Longer than what is kept: the status says it (a long list of models).
        Err(refusal)
            if refusal.why == Why::TooLarge
                && matches!(ended.status, Some(200..=299))
                && call.ok.is_none()
                && call.holds.is_none() =>
        {
            (Found::Good, None)
        }
        Err(refusal) => (Found::of(&refusal), None),
    }
}
