//! Tokens to spend. A warm read writes nothing, but for whom the token is shown to (see `token_read`).

use postern_domain::oauth::api_call;
use postern_domain::oauth::lifetime;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{Token, TokenLease};

use crate::Connection;
use crate::call::{Answer, Turn, too_long};
use crate::change::Change;
use crate::credential::{Credential, Kind};
use crate::memory::Memory;
use crate::refresh::{Begun, NEAR_END_MS, plan, times_of};
use crate::sealing::Unopened;
use crate::sql::{Random, Sql};

/// As long as this the edge may keep a token in memory.
const KEEP_MS: u64 = 30_000;

/// A use is written down by itself when the last one that was is so old: what keeps a connection refreshed ahead is that
/// it is used, and memory may be lost.
const USE_WRITTEN_MS: u64 = 6 * 3_600_000;

/// Leases since the last write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) count: u64,
    pub(crate) at: Option<Millis>,
}

impl<S: Sql> Connection<S> {
    pub(crate) fn token_lease(
        &mut self,
        call: &TokenLease,
        turn: Turn,
        random: &mut dyn Random,
    ) -> Result<Answer<Token>, Problem> {
        let now = turn.now;
        self.settle(now, random)?;
        self.standing()?;
        if let (Some(reader), None) = (&call.reader, turn.since) {
            self.note_read(reader, now)?;
        }
        let ended_since = turn.since.is_some_and(|since| self.refreshed_in > Some(since));
        let force = call.refresh && !ended_since;
        let answer = self.token(force, now, random)?;
        match answer {
            Answer::Now(_) => self.count_use(call, now, random)?,
            // Who waits is counted when it gets its token; that somebody asked is known to the refresh that it waits for.
            Answer::Late(_) | Answer::Soon(_) => self.used.at = Some(now),
        }
        Ok(answer)
    }

    /// A token that is good now; refreshes if need be, or if asked to.
    pub(crate) fn token(
        &mut self,
        force: bool,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Answer<Token>, Problem> {
        let memory = self.standing()?;
        may_spend(memory)?;
        let credential = memory.credential.as_ref().ok_or_else(not_connected)?;
        let times = times_of(credential);
        let left = times.expires_at.map(|end| end.since(now));
        let good =
            left.is_none_or(|left| left > 0) && !credential.access_refused && credential.access.is_some();
        let fresh = good && lifetime::is_fresh(&times, now);
        if fresh && !force {
            return self.lease_now(now);
        }
        let tokens_alone = credential.kind == Kind::Tokens && !credential.refreshable();
        match self.begin_refresh(now, random)? {
            // Nobody waits for what is not needed yet.
            Begun::Flies if good && !force && left.is_none_or(|left| left > NEAR_END_MS) => {
                self.lease_now(now)
            }
            Begun::Flies if good => Ok(match self.lease_now(now)? {
                Answer::Now(token) => Answer::Late(Ok(token)),
                late => late,
            }),
            Begun::Flies => Ok(Answer::Late(Err(too_long()))),
            Begun::NotNow | Begun::Never if good => self.lease_now(now),
            Begun::Never if tokens_alone => {
                self.without_refresh_token(now)?;
                Err(not_spendable(Reason::NoRefreshToken))
            }
            Begun::NotNow | Begun::Never => {
                let memory = self.standing()?;
                let failing = memory
                    .credential
                    .as_ref()
                    .and_then(|credential| credential.failing);
                let reason = memory.record.reason.or(failing);
                Err(unavailable(reason.unwrap_or(Reason::ProviderOutage)))
            }
        }
    }

    /// The token as it stands.
    pub(crate) fn lease_now(&mut self, now: Millis) -> Result<Answer<Token>, Problem> {
        let Memory { record, credential } = self.standing()?.clone();
        let credential = credential.ok_or_else(not_connected)?;
        let token = match credential.open_access(&self.opener(&record)) {
            Ok(Some(token)) => token,
            Ok(None) => return Err(not_connected()),
            Err(error) => {
                self.unopened(error, now)?;
                return Err(match error {
                    Unopened::NoKey => error.into(),
                    Unopened::Broken => not_spendable(Reason::SealBroken),
                });
            }
        };
        let times = times_of(&credential);
        let margin = lifetime::margin_of(&times);
        let keep = now.plus(KEEP_MS);
        Ok(Answer::Now(Token {
            token,
            user: credential.user.clone().filter(|_| credential.kind == Kind::Key),
            generation: credential.generation,
            expires_at: times.expires_at,
            keep_until: times
                .expires_at
                .map_or(keep, |end| keep.min(end.minus(margin)).max(now)),
            scopes: record.scopes.clone(),
            api: record
                .provider
                .api
                .as_ref()
                .and_then(|api| api_call::filled(api, &record.variables).ok()),
            provider: record.provider.id.clone(),
            limited: self.is_limited(&record.limits(), now),
        }))
    }

    fn count_use(&mut self, call: &TokenLease, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.used.count += u64::from(call.used) + u64::from(call.reader.is_some());
        self.used.at = Some(now);
        let memory = self.standing()?;
        let written = memory.credential.as_ref().map(|credential| credential.used_at);
        if written.is_some_and(|written| now.since(written) > USE_WRITTEN_MS) && !self.refresh_flies() {
            let mut change = self.change()?;
            change.credential()?.used_at = now;
            plan(&mut change, now, random);
            self.commit(change, now, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Puts the leases since the last write into a change that writes the credential anyway. Whether it did.
    pub(crate) fn write_use(&self, change: &mut Change) -> bool {
        let was = self.memory.as_ref().map(|memory| &memory.credential);
        let (Some(at), Some(credential)) = (self.used.at, &mut change.credential) else {
            return false;
        };
        if was.is_some_and(|was| was.as_ref() == Some(credential)) {
            return false;
        }
        credential.used_at = at.max(credential.used_at);
        count(credential, self.used.count, at);
        true
    }
}

/// Whether anything of it may be spent. What is degraded is served as long as its token lives; so is what only the app
/// keeps from being refreshed.
fn may_spend(memory: &Memory) -> Result<(), Problem> {
    let record = &memory.record;
    if record.ending.is_some() {
        return Err(not_spendable(Reason::Disconnected));
    }
    if !record.enabled {
        return Err(not_spendable(Reason::SwitchedOff));
    }
    match (record.state, record.reason) {
        (State::Active | State::Degraded, _)
        | (State::Blocked, Some(Reason::App | Reason::Config | Reason::Storage)) => Ok(()),
        (State::Blocked, Some(Reason::KekMissing)) => Err(Unopened::NoKey.into()),
        (State::Pending, _) => Err(not_connected()),
        (_, reason) => Err(not_spendable(reason.unwrap_or(Reason::GrantDead))),
    }
}

pub(crate) fn not_connected() -> Problem {
    not_spendable(Reason::NotConnected)
}

/// 409: somebody has to do something first.
pub(crate) fn not_spendable(reason: Reason) -> Problem {
    Problem::new(Code::Conflict, reason.sentence())
}

/// 503: it heals by itself, or when its app does.
fn unavailable(reason: Reason) -> Problem {
    Problem::new(Code::Overloaded, reason.sentence())
}

/// Adds uses to the hour's count; what is older than a day goes.
fn count(credential: &mut Credential, used: u64, at: Millis) {
    let hour = at.0 / 3_600_000;
    match credential.usage.last_mut() {
        Some((last, sum)) if *last == hour => *sum += used,
        _ => credential.usage.push((hour, used)),
    }
    credential.usage.retain(|(old, _)| old + 24 > hour);
}

/// Uses in the last 24 hours, to the hour.
pub(crate) fn used_24h(credential: &Credential, used: &Used, now: Millis) -> u64 {
    let hour = now.0 / 3_600_000;
    let stored = credential.usage.iter().filter(|(old, _)| old + 24 > hour);
    stored.map(|(_, sum)| sum).sum::<u64>() + used.count
}
