//! Refreshes: one in the air, its intent stored before it leaves, its tokens before anybody sees them.
//!
//! The way of one: the directory tells the app's credentials of now; the intent is stored; the request leaves; its answer
//! becomes tokens or a decision ([`rotation::after`]), stored in one transaction; then whoever waits is woken. An intent
//! that is found without an errand in the air is an answer that was lost.

use postern_domain::digest;
use postern_domain::oauth::lifetime::{self, Death, Times};
use postern_domain::oauth::outcome::{self, Refusal};
use postern_domain::oauth::provider::{Class, Provider, Rotation};
use postern_domain::oauth::rotation::{self, Next, Trail};
use postern_domain::oauth::standing::{Event, Reason, State};
use postern_domain::oauth::{Secret, TokenSet, token_request};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::AppTerms;
use serde_json::json;

use crate::Connection;
use crate::air::{Purpose, http, unexpected};
use crate::alarm::{LOST_MS, earlier};
use crate::change::Change;
use crate::credential::{self, Credential, Fingerprint, Intent, Kind, NewTokens, Opener, Try};
use crate::errand::{AppFinding, AppRow, Done, Task};
use crate::history::line;
use crate::record::Record;
use crate::sealing::{Column, Unopened};
use crate::sql::{Random, Sql};

/// Until a block of ours, or one of the app's that nobody edits, is looked at again.
const LOOK_AGAIN_MS: u64 = 3_600_000;

/// Connections of a broken app ask whether they are the next probe spread over this.
const PROBE_SPREAD_MS: u64 = 300_000;

/// Until the directory is asked again.
const PAUSE_MS: u64 = 5_000;

/// Until a missing master key is looked for again.
pub(crate) const KEY_PAUSE_MS: u64 = 600_000;

/// A reader with less than this is hurt.
pub(crate) const NEAR_END_MS: u64 = 60_000;

/// A refresh on its way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// The entry of now, which its answer is read by.
    provider: Box<Provider>,
    client_id: String,
    app_generation: u64,
    /// The app was known to be broken.
    app_broken: bool,
    /// Of the credential that it spends: a later one has nothing to do with its end.
    generation: u64,
    try_: Try,
    started_at: Millis,
}

/// Tokens that came and could not be stored: tried again as long as the object lives.
#[derive(Debug, Clone)]
pub(crate) struct Unsaved {
    tokens: TokenSet,
    client_id: Option<String>,
    app_generation: u64,
    provider: Option<Box<Provider>>,
}

/// Whether a refresh begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// One is in the air.
    Flies,
    /// Not now.
    NotNow,
    /// There is nothing to refresh, or nothing to be hoped for.
    Never,
}

impl<S: Sql> Connection<S> {
    pub(crate) fn refresh_flies(&self) -> bool {
        self.flies(|purpose| {
            matches!(
                purpose,
                Purpose::RefreshApp | Purpose::Refresh(_) | Purpose::ServiceAccount(_)
            )
        })
    }

    /// Begins a refresh, unless one is in the air or none may leave now.
    pub(crate) fn begin_refresh(&mut self, now: Millis, random: &mut dyn Random) -> Result<Begun, Problem> {
        if self.refresh_flies() {
            return Ok(Begun::Flies);
        }
        // A grant that ends is refreshed no more, but for a token to end its watches with.
        let spent = !self.ends_watches();
        let memory = self.standing()?;
        let record = &memory.record;
        let Some(credential) = memory
            .credential
            .as_ref()
            .filter(|credential| credential.refreshable())
        else {
            return Ok(Begun::Never);
        };
        if matches!(record.state, State::NeedsReauth | State::Revoked) || record.ending.is_some() && spent {
            return Ok(Begun::Never);
        }
        if credential.next == Some(Next::Over) || credential.kind == Kind::Key {
            return Ok(Begun::Never);
        }
        let (kind, app) = (credential.kind, record.app);
        let unready = try_now(credential, now).is_none();
        let paused = self.refresh_pause.is_some_and(|until| now < until);
        if paused || unready {
            return Ok(Begun::NotNow);
        }
        if kind == Kind::ServiceAccount {
            self.service_account_refresh(now, random)?;
        } else {
            let task = Task::App { app, probes: true };
            self.send(task, Purpose::RefreshApp);
        }
        Ok(Begun::Flies)
    }

    /// The app of now is known: stores the intent, then sends the refresh token.
    pub(crate) fn refresh_app_ended(
        &mut self,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let terms = match done {
            Done::App(Ok(AppRow::Active(terms))) => terms,
            Done::App(Ok(AppRow::Broken { words, again_at })) => {
                // Whoever asks first then is the probe.
                let at = again_at.max(now).plus(random.number() % PROBE_SPREAD_MS);
                return self.block_until(Reason::App, words, at, now);
            }
            Done::App(Ok(AppRow::Disabled)) => return self.block(Reason::AppDisabled, now),
            Done::App(Ok(AppRow::Gone)) => return self.block(Reason::App, now),
            Done::App(Err(problem)) => {
                // Ours, and nothing left: the grant's state does not change.
                self.notice("app_not_read", &problem);
                self.refresh_pause = Some(now.plus(PAUSE_MS));
                self.refresh_over();
                return self.arm(now);
            }
            other => return Err(unexpected(&other)),
        };
        let AppTerms {
            provider,
            client,
            generation: app_generation,
            broken,
            ..
        } = *terms;
        let change = self.change()?;
        let Some(credential) = &change.credential else {
            self.refresh_over();
            return Ok(());
        };
        let spent = change.record.ending.is_some() && !self.ends_watches();
        let (Some(try_), false) = (try_now(credential, now), spent) else {
            self.refresh_over();
            return Ok(());
        };
        let refresh = match credential.open_refresh(&self.opener(&change.record)) {
            Ok(Some(refresh)) => refresh,
            Ok(None) => {
                self.refresh_over();
                return Ok(());
            }
            Err(error) => return self.unopened(error, now),
        };
        let Some(client) = client else {
            return self.block(Reason::Config, now);
        };
        let request = token_request::refresh(&provider, &client, &refresh, &change.record.variables);
        let Ok(request) = request else {
            return self.block(Reason::Config, now);
        };
        let flight = Flight {
            provider: Box::new(provider),
            client_id: client.id,
            app_generation,
            app_broken: broken.is_some(),
            generation: credential.generation,
            try_,
            started_at: now,
        };
        let mut change = change;
        let fingerprint = fingerprint(&change.record, &refresh);
        let credential = change.credential()?;
        credential.intent = Some(Intent {
            generation: credential.generation,
            fingerprint,
            started_at: now,
            try_,
        });
        if try_ == Try::Probe {
            let decision = "The refresh token is sent once more, and never again after this (probe_once)";
            change.line(line("refresh", decision, now));
        }
        self.commit(change, now, |_| Ok(()))?;
        self.ask(request, Purpose::Refresh(Box::new(flight)));
        Ok(())
    }

    /// The token endpoint answered, or did not.
    pub(crate) fn refresh_ended(
        &mut self,
        flight: Flight,
        done: Done,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let ended = http(done)?;
        let stands = self.standing()?.credential.as_ref();
        let intent = stands.and_then(|credential| credential.intent);
        if intent.is_none_or(|intent| intent.generation != flight.generation) {
            // Somebody connected again meanwhile: these tokens are of a grant that was replaced.
            self.refresh_over();
            return Ok(());
        }
        match outcome::read(&flight.provider, &ended) {
            Ok(tokens) => {
                if flight.app_broken {
                    self.judge_app(flight.app_generation, AppFinding::Works)?;
                }
                let unsaved = Unsaved {
                    tokens,
                    client_id: Some(flight.client_id),
                    app_generation: flight.app_generation,
                    provider: Some(flight.provider),
                };
                self.save(unsaved, now, random)
            }
            Err(refusal) => {
                if refusal.class == Class::BrokenApp {
                    let words = words_of(&refusal);
                    self.judge_app(flight.app_generation, AppFinding::Broken { words })?;
                }
                let refusal = self.judged_by_app(refusal, &flight)?;
                let rotation = rotation_of(&flight.provider);
                self.failed(&refusal, rotation, flight.try_, flight.started_at, now, random)
            }
        }
    }

    /// A service account's assertion gave a new token: what a refresh is to a grant.
    pub(crate) fn refreshed(
        &mut self,
        tokens: TokenSet,
        app_generation: u64,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let unsaved = Unsaved {
            tokens,
            client_id: None,
            app_generation,
            provider: None,
        };
        self.save(unsaved, now, random)
    }

    /// A service account's assertion was refused. An assertion spends nothing: it can be made again as often as need be.
    pub(crate) fn refresh_refused(
        &mut self,
        refusal: &Refusal,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        self.failed(refusal, Rotation::None, Try::Ordinary, now, now, random)
    }

    /// Whatever was interrupted is settled before anything is judged by it: tokens that could not be stored, an intent whose
    /// errand was lost with the object, a master key that is back.
    pub(crate) fn settle(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.wake()?;
        if let Some(unsaved) = self.unsaved.take() {
            return self.save(unsaved, now, random);
        }
        let Some(memory) = &self.memory else { return Ok(()) };
        let record = &memory.record;
        let Some(credential) = &memory.credential else {
            return Ok(());
        };
        if record.reason == Some(Reason::KekMissing)
            && credential.open_access(&self.opener(record)).is_ok()
            && credential.open_refresh(&self.opener(record)).is_ok()
        {
            let mut change = self.change()?;
            let (state, reason) = change
                .record
                .before
                .map_or((State::Active, None), |before| (before.state, before.reason));
            change.line(line("change", "The master key is back", now));
            change.go(state, reason, now)?;
            self.refresh_pause = None;
            self.commit(change, now, |_| Ok(()))?;
            return self.settle(now, random);
        }
        let Some(intent) = credential.intent.filter(|_| !self.refresh_flies()) else {
            return Ok(());
        };
        let rotation = rotation_of(&record.provider);
        let refusal = Refusal::interrupted();
        self.failed(&refusal, rotation, intent.try_, intent.started_at, now, random)
    }

    /// By the alarm: what was interrupted, what is due, and what has run out.
    pub(crate) fn refresh_by_alarm(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.settle(now, random)?;
        let memory = self.standing()?;
        let Some(credential) = &memory.credential else {
            return Ok(());
        };
        let state = memory.record.state;
        let ended = credential.expires_at.is_some_and(|end| end <= now);
        if ended
            && !credential.refreshable()
            && credential.kind == Kind::Tokens
            && matches!(state, State::Active | State::Degraded)
        {
            return self.without_refresh_token(now);
        }
        let hurts = credential
            .expires_at
            .is_some_and(|end| end <= now.plus(NEAR_END_MS));
        if let (Some(reason), State::Active, true) = (credential.failing, state, hurts) {
            let mut change = self.change()?;
            change.go(State::Degraded, Some(reason), now)?;
            self.commit(change, now, |_| Ok(()))?;
        }
        let memory = self.standing()?;
        let due = memory.credential.as_ref().and_then(due_at);
        if due.is_some_and(|at| at <= now) {
            self.begin_refresh(now, random)?;
        }
        Ok(())
    }

    /// The access token is over, and there is none to refresh it with.
    pub(crate) fn without_refresh_token(&mut self, now: Millis) -> Result<(), Problem> {
        let mut change = self.change()?;
        change.line(line("refresh", Reason::NoRefreshToken.sentence(), now));
        change.fail(State::NeedsReauth, Reason::NoRefreshToken, now)?;
        self.commit(change, now, |_| Ok(()))
    }

    /// A sealed value does not open: nothing is overwritten, nothing is sent.
    pub(crate) fn unopened(&mut self, error: Unopened, now: Millis) -> Result<(), Problem> {
        let reason = match error {
            Unopened::NoKey => Reason::KekMissing,
            Unopened::Broken => Reason::SealBroken,
        };
        self.notice("connection_unopened", &Problem::internal(reason.sentence()));
        self.refresh_pause = Some(now.plus(KEY_PAUSE_MS));
        let mut change = self.change()?;
        if change.record.reason != Some(reason) {
            change.line(line("change", reason.sentence(), now));
            change.fail(State::Blocked, reason, now)?;
            self.commit(change, now, |_| Ok(()))?;
        }
        self.refresh_over();
        Ok(())
    }

    /// The app keeps it from being refreshed.
    fn block(&mut self, reason: Reason, now: Millis) -> Result<(), Problem> {
        self.block_until(reason, None, now.plus(LOOK_AGAIN_MS), now)
    }

    fn block_until(
        &mut self,
        reason: Reason,
        words: Option<String>,
        at: Millis,
        now: Millis,
    ) -> Result<(), Problem> {
        let mut change = self.change()?;
        if change.record.reason != Some(reason) {
            let mut entry = line("refresh", reason.sentence(), now);
            entry.words = words;
            entry.next_at = Some(at);
            change.line(entry);
        }
        change.fail(State::Blocked, reason, now)?;
        let credential = change.credential()?;
        credential.failing = Some(reason);
        credential.next = Some(Next::Blocked { at });
        self.commit(change, now, |_| Ok(()))?;
        self.refresh_over();
        Ok(())
    }

    /// A refused grant where the app's credentials are others than those it was last refreshed with: the app is to blame,
    /// until it is known better. Of another client it is never known better.
    fn judged_by_app(&mut self, mut refusal: Refusal, flight: &Flight) -> Result<Refusal, Problem> {
        let memory = self.standing()?;
        let Some(credential) = &memory.credential else {
            return Ok(refusal);
        };
        let other_client = credential.client_id.as_ref() != Some(&flight.client_id);
        let doubted_before = credential.failing == Some(Reason::App);
        let changed = credential.app_generation != flight.app_generation;
        if refusal.class == Class::DeadGrant && (other_client || changed && !doubted_before) {
            refusal.class = Class::BrokenApp;
        }
        Ok(refusal)
    }

    /// Stores what a refresh brought. What cannot be stored is kept, and tried again before anything else is done.
    fn save(&mut self, unsaved: Unsaved, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        let stored = self.store(&unsaved, now, random);
        self.refresh_over();
        match stored {
            Ok(()) => self.learn_account(Some(&unsaved.tokens), now, random),
            Err(problem) => {
                self.notice("tokens_not_stored", &problem);
                self.unsaved = Some(unsaved);
                Err(problem)
            }
        }
    }

    fn store(&mut self, unsaved: &Unsaved, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        let mut change = self.change()?;
        let used = self.used.at;
        let opener = self.opener(&change.record);
        let Some(credential) = change.credential.as_mut() else {
            return Ok(()); // reset or disconnected meanwhile
        };
        credential.used_at = used.unwrap_or_default().max(credential.used_at);
        let old = credential.open_refresh(&opener)?;
        let failures = credential.failures;
        let routine = failures == 0 && credential.next.is_none() && change.record.state == State::Active;
        let new = NewTokens {
            kind: credential.kind,
            tokens: unsaved.tokens.clone(),
            client_id: unsaved.client_id.clone(),
            app_generation: unsaved.app_generation,
            granted: false,
        };
        credential::store_tokens(&opener, &mut change, new, now, random)?;
        if let Some(provider) = &unsaved.provider {
            change.record.provider = (**provider).clone();
        }
        keep_older(&opener, &mut change, old, &unsaved.tokens, random)?;
        if let Some(scopes) = unsaved.tokens.scopes.clone().filter(|scopes| !scopes.is_empty())
            && scopes != change.record.scopes
        {
            change.record.scopes = scopes;
            change.touch(now);
        }
        plan(&mut change, now, random);
        let next_at = change
            .credential
            .as_ref()
            .and_then(|credential| credential.next_refresh_at);
        if routine {
            change.credential()?.refreshed += 1;
        } else {
            let decision = match failures {
                0 => "Refreshed".to_owned(),
                1 => "Refreshed, after one try that failed".to_owned(),
                many => format!("Refreshed, after {many} tries that failed"),
            };
            let mut done = line("refresh", decision, now);
            done.next_at = next_at;
            change.line(done);
        }
        let (state, reason) = self.well(&change.record);
        change.go(state, reason, now)?;
        self.commit(change, now, |_| Ok(()))
    }

    /// A refresh failed: decides by the provider's profile what is done next.
    fn failed(
        &mut self,
        refusal: &Refusal,
        rotation: Rotation,
        try_: Try,
        started_at: Millis,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<(), Problem> {
        let mut change = self.change()?;
        let Some(credential) = change.credential.as_mut() else {
            self.refresh_over();
            return Ok(());
        };
        let trail = Trail {
            started_at,
            lost_at: credential.lost_at,
            probed: try_ == Try::Probe,
            confirming: try_ == Try::Confirm,
            failures: credential.failures,
            access_ends: credential.expires_at,
            access_refused: credential.access_refused,
        };
        let spread = u32::try_from(random.number() >> 32).unwrap_or_default();
        let decision = rotation::after(rotation, refusal, &trail, now, spread);
        credential.intent = None;
        credential.failures = credential.failures.saturating_add(1);
        credential.lost_at = decision.lost_at;
        credential.next = Some(decision.next);
        credential.failing = Some(decision.reason);
        let mut sentence = decision.sentence;
        let older = credential.older.take();
        if decision.next == Next::Over && refusal.class == Class::DeadGrant && older.is_some() {
            // The newest refresh token never worked: the one before it is still there, and still good for such a provider.
            let opener = self.opener(&change.record);
            let credential = change.credential()?;
            let older = opener.open(older.as_deref(), Column::Older, credential.generation)?;
            let generation = credential.generation;
            credential.refresh = older
                .map(|older| opener.seal(&older, Column::Refresh, generation, random))
                .transpose()?;
            credential.next = Some(Next::Retry { at: now });
            sentence = "The newest refresh token is refused; the one before it is tried";
        } else {
            credential.older = older;
            match decision.next {
                Next::Over => {
                    credential.next_refresh_at = None;
                    change.fail(State::NeedsReauth, decision.reason, now)?;
                }
                Next::Blocked { .. } => change.fail(State::Blocked, decision.reason, now)?,
                Next::Retry { .. } | Next::Probe { .. } | Next::Confirm { .. } => {
                    if decision.degraded && change.record.state != State::Blocked {
                        change.fail(State::Degraded, decision.reason, now)?;
                    }
                }
            }
        }
        let mut entry = line("refresh", sentence, now);
        entry.class = Some(refusal.class);
        entry.words = Some(words_of(refusal));
        entry.next_at = change.credential.as_ref().and_then(due_at);
        change.line(entry);
        self.commit(change, now, |_| Ok(()))?;
        self.refresh_over();
        Ok(())
    }

    /// A refresh ended, one way or the other: whoever waits asks again.
    fn refresh_over(&mut self) {
        self.has_moved();
        self.refreshed_in = Some(self.turn);
    }

    /// Tells ahead that the grant will be over, where refreshing does not help.
    pub(crate) fn forecast(&mut self, now: Millis) -> Result<(), Problem> {
        let memory = self.standing()?;
        let Some(credential) = &memory.credential else {
            return Ok(());
        };
        if !matches!(memory.record.state, State::Active | State::Degraded) {
            return Ok(());
        }
        let Some(death) = fixed_death(&memory.record, credential) else {
            return Ok(());
        };
        let due = lifetime::notices_due(&death, now);
        if due <= credential.warned {
            return Ok(());
        }
        let mut change = self.change()?;
        change.credential()?.warned = due;
        let more = json!({
            "diesAt": death.at.to_rfc3339(),
            "diesOf": death.of.sentence(),
            "confidence": death.confidence.as_str(),
        });
        change.tell(Event::Expiring, more, now);
        self.commit(change, now, |_| Ok(()))
    }

    /// When the alarm is needed for the credential.
    pub(crate) fn refresh_alarm_at(
        &self,
        record: &Record,
        credential: &Credential,
        now: Millis,
    ) -> Option<Millis> {
        if let Some(intent) = &credential.intent {
            return Some(intent.started_at.plus(LOST_MS));
        }
        if matches!(record.state, State::NeedsReauth | State::Revoked) {
            return None;
        }
        if record.reason == Some(Reason::KekMissing) {
            return Some(now.plus(KEY_PAUSE_MS));
        }
        let mut at = due_at(credential).filter(|_| credential.refreshable());
        if self.refresh_flies() {
            at = at.map(|at| at.max(now.plus(LOST_MS)));
        } else if let Some(pause) = self.refresh_pause {
            at = at.map(|at| at.max(pause));
        }
        let ends = credential.expires_at.filter(|_| credential.kind == Kind::Tokens);
        let healthy = matches!(record.state, State::Active | State::Degraded);
        if !credential.refreshable() && healthy {
            at = earlier(at, ends);
        }
        if credential.failing.is_some() && record.state == State::Active {
            at = earlier(at, ends.map(|end| end.minus(NEAR_END_MS)));
        }
        at
    }

    pub(crate) fn forecast_at(record: &Record, credential: &Credential) -> Option<Millis> {
        if !matches!(record.state, State::Active | State::Degraded) {
            return None;
        }
        let death = fixed_death(record, credential)?;
        lifetime::next_notice_at(&death, credential.warned)
    }
}

/// As what the refresh token may be shown now; none: not now.
fn try_now(credential: &Credential, now: Millis) -> Option<Try> {
    match credential.next {
        None => Some(Try::Ordinary),
        Some(Next::Retry { at } | Next::Blocked { at }) => (now >= at).then_some(Try::Ordinary),
        Some(Next::Confirm { at }) => (now >= at).then_some(Try::Confirm),
        Some(Next::Probe { at }) => {
            let useless = credential.access_refused || at.is_some_and(|at| now >= at);
            useless.then_some(Try::Probe)
        }
        Some(Next::Over) => None,
    }
}

/// When a refresh is due, ahead of need or after a failure.
fn due_at(credential: &Credential) -> Option<Millis> {
    match credential.next {
        None => credential.next_refresh_at,
        Some(Next::Retry { at } | Next::Blocked { at } | Next::Confirm { at }) => Some(at),
        Some(Next::Probe { at }) => at,
        Some(Next::Over) => None,
    }
}

/// Plans when what a change stores is refreshed, checked and warned of: for whoever stores tokens, before the commit.
pub(crate) fn plan(change: &mut Change, now: Millis, random: &mut dyn Random) {
    let provider = &change.record.provider;
    let Some(credential) = &mut change.credential else {
        return;
    };
    let documented = provider.oauth.as_ref().and_then(|oauth| oauth.lifetime.access);
    if let (None, Some(seconds), Kind::Tokens) = (credential.expires_at, documented, credential.kind) {
        credential.expires_at = Some(credential.obtained_at.plus(seconds.saturating_mul(1000)));
    }
    let times = times_of(credential);
    let spread = u32::try_from(random.number() >> 32).unwrap_or_default();
    credential.next_refresh_at = lifetime::next_refresh_at(provider, &times, spread);
    let due = lifetime::dies_at(provider, &times).map_or(0, |death| lifetime::notices_due(&death, now));
    // Of a grant that was short from its beginning nobody is told what lies behind already.
    credential.warned = if credential.granted_at == now {
        due
    } else {
        credential.warned.min(due)
    };
}

/// The credential's times, as lifetimes are judged by.
pub(crate) fn times_of(credential: &Credential) -> Times {
    Times {
        granted_at: credential.granted_at,
        obtained_at: credential.obtained_at,
        used_at: credential.used_at,
        expires_at: credential.expires_at,
        refresh_expires_at: credential.refresh_expires_at,
        refreshable: credential.refreshable(),
    }
}

/// When the grant will be over.
pub(crate) fn death_of(record: &Record, credential: &Credential) -> Option<Death> {
    (credential.kind == Kind::Tokens)
        .then(|| lifetime::dies_at(&record.provider, &times_of(credential)))
        .flatten()
}

/// The same, where refreshing does not move it.
fn fixed_death(record: &Record, credential: &Credential) -> Option<Death> {
    let moved =
        |death: &Death| lifetime::is_moved_by_refreshing(&record.provider, &times_of(credential), death);
    death_of(record, credential).filter(|death| !moved(death))
}

/// Keeps the refresh token before while the provider still takes it and the new one is not proven.
fn keep_older(
    opener: &Opener<'_>,
    change: &mut Change,
    old: Option<Secret>,
    tokens: &TokenSet,
    random: &mut dyn Random,
) -> Result<(), Problem> {
    let reissued = rotation_of(&change.record.provider) == Rotation::ReissueOldOk;
    let replaced = tokens.refresh_token.is_some() && tokens.refresh_token != old;
    if let (Some(old), true) = (old, reissued && replaced) {
        let credential = change.credential()?;
        credential.older = Some(opener.seal(&old, Column::Older, credential.generation, random)?);
    }
    Ok(())
}

fn rotation_of(provider: &Provider) -> Rotation {
    provider
        .oauth
        .as_ref()
        .map_or(Rotation::None, |oauth| oauth.rotation)
}

fn words_of(refusal: &Refusal) -> String {
    let said = [refusal.error.as_deref(), refusal.words.as_deref()];
    let said: Vec<&str> = said.into_iter().flatten().collect();
    let words = if said.is_empty() {
        refusal.why.sentence().to_owned()
    } else {
        said.join(": ")
    };
    words.chars().take(200).collect()
}

fn fingerprint(record: &Record, refresh: &Secret) -> Fingerprint {
    let digest = digest::of_parts(&[
        b"postern/refresh",
        record.id.to_string().as_bytes(),
        refresh.reveal().as_bytes(),
    ]);
    Fingerprint(u32::from_str_radix(&digest[..8], 16).unwrap_or_default())
}
