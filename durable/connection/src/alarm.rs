//! The one alarm: what it does, and when it rings next.

use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Connection;
use crate::change::Change;
use crate::sql::{Random, Sql};

/// What is known about the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Armed {
    /// Not asked yet: the next need sets it.
    Unknown,
    /// None is set.
    No,
    /// It rings then.
    At(Millis),
}

/// A connection that nobody authorised is kept so long.
pub(crate) const PENDING_MS: u64 = Millis::DAY;

/// An errand that stands in storage is looked for so long after it left: its deadline, and some.
pub(crate) const LOST_MS: u64 = 30_000;

impl<S: Sql> Connection<S> {
    /// The shell asked the platform when the alarm rings.
    pub fn alarm_is(&mut self, at: Option<Millis>) {
        if self.armed == Armed::Unknown {
            self.armed = at.map_or(Armed::No, Armed::At);
        }
    }

    /// The alarm rang. Never fails: what went wrong is told in the notices, and tried again.
    pub fn alarm(&mut self, now: Millis, random: &mut dyn Random) {
        self.armed = Armed::No;
        let run = self.wake().and_then(|()| {
            if self.memory.is_none() {
                return Ok(()); // nothing stands, or not any more
            }
            self.tidy_attempts(now)?;
            self.store_old_reads(now)?;
            self.go_on_ending(now, random)?;
            self.refresh_by_alarm(now, random)?;
            self.forecast(now)?;
            self.probe_by_alarm(now, random)?;
            self.learn_by_alarm(now, random)?;
            self.go_on_watching(now, random)?;
            self.reseal(now, random)?;
            self.forget_pending(now)?;
            self.offer_outbox(now);
            self.arm(now)
        });
        if let Err(problem) = run {
            self.notice("connection_alarm", &problem);
            self.ring_again(now);
        }
    }

    /// Rings again in a minute: a run did not come to its end.
    pub fn ring_again(&mut self, now: Millis) {
        self.forget();
        let at = now.plus(60_000);
        match self.sql.set_alarm(Some(at)) {
            Ok(()) => self.armed = Armed::At(at),
            Err(problem) => self.notice("alarm_not_set", &problem),
        }
    }

    /// Sets the alarm to what is needed next, if it is not set so already.
    pub(crate) fn arm(&mut self, now: Millis) -> Result<(), Problem> {
        if self.memory.is_none() {
            return Ok(());
        }
        let change = self.change()?;
        let at = earlier(
            self.next_at(&change, now),
            crate::attempt::next_at(&self.sql, now)?,
        );
        self.armed = set(&self.sql, self.armed, at, now)?;
        Ok(())
    }

    /// When the connection needs the alarm next.
    pub(crate) fn next_at(&self, change: &Change, now: Millis) -> Option<Millis> {
        let record = &change.record;
        let messages = self.owes_messages || !change.messages.is_empty() || self.watches.owed > 0;
        let owes = messages || record.version > record.listed;
        let mut at = owes.then(|| self.outbox_pause.unwrap_or_default().max(now.plus(60_000)));
        if record.ending.is_some() {
            at = earlier(at, Some(now.plus(LOST_MS)));
        }
        if record.state == State::Pending {
            at = earlier(at, Some(record.updated_at.plus(PENDING_MS)));
        }
        if record.state == State::Revoked {
            return at;
        }
        if let Some(credential) = &change.credential {
            at = earlier(at, self.refresh_alarm_at(record, credential, now));
            at = earlier(at, self.check_alarm_at(record, credential, now));
            at = earlier(at, self.learning_alarm_at(credential, now));
            at = earlier(at, Self::forecast_at(record, credential));
            at = earlier(at, self.watch_alarm_at(record, now));
        }
        at
    }

    /// A connection that nobody authorised goes.
    fn forget_pending(&mut self, now: Millis) -> Result<(), Problem> {
        let record = &self.standing()?.record;
        if record.state == State::Pending && record.updated_at.plus(PENDING_MS) <= now {
            return self.forget_unconnected(now);
        }
        Ok(())
    }
}

/// The earlier of two times.
pub(crate) fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    a.into_iter().chain(b).min()
}

/// Sets the alarm, if it does not ring about then already. Part of a transaction.
pub(crate) fn set<S: Sql>(sql: &S, armed: Armed, at: Option<Millis>, now: Millis) -> Result<Armed, Problem> {
    let at = at.map(|at| at.max(now.plus(1)));
    let stays = match (armed, at) {
        (Armed::No, None) => true,
        // A little early costs less than setting it again; one that is overdue is not believed to ring.
        (Armed::At(armed), Some(at)) => armed <= at && at.since(armed) < 1000 && now.since(armed) < 5000,
        _ => false,
    };
    if stays {
        return Ok(armed);
    }
    sql.set_alarm(at)?;
    Ok(at.map_or(Armed::No, Armed::At))
}
