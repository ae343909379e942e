//! Watches at the provider: kept alive, looked at, told, ended.
//!
//! Each is a state machine of its own ([`postern_domain::watch::plan`] says what it does next), with at most one errand in
//! the air. Nothing needs to come back: an errand whose answer is lost is sent again, because the cursor moves with what
//! was read and never before, registering replaces, and stopping what is stopped is done. Only a channel that was opened
//! and not heard of would stay: it is stored before it is asked for, so what it posts counts, and tells its name.

mod ended;
mod list;
mod pushed;
mod put;
mod step;
mod stop;
mod store;
mod tell;

use postern_domain::oauth::standing::{Reason, State};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::watch::{Watch, plan};

pub(crate) use list::summary;
pub(crate) use step::Flight;
pub(crate) use store::shred;

use crate::Connection;
use crate::air::Purpose;
use crate::alarm::{LOST_MS, earlier};
use crate::record::Record;
use crate::sql::{Random, Sql};

/// Steps that one watch takes without an errand between them, at the most: a guard, no limit that is reached.
const MOST_STEPS: u32 = 8;

/// The watches as they are stored, and what is only in memory of them.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    /// Oldest first.
    pub(crate) all: Vec<Watch>,
    /// Changes that the tenant's ledger does not have yet.
    pub(crate) owed: u64,
    /// One of them is on its way.
    telling: bool,
    /// No request leaves before this: there was no token.
    pause: Option<Millis>,
    /// The end of the connection asked for a token to stop them with.
    end_asked: bool,
}

impl Watches {
    fn get(&self, number: u64) -> Option<&Watch> {
        self.all.iter().find(|watch| watch.number == number)
    }

    /// The connection has ended, and with it all of them.
    pub(crate) fn end_is_over(&mut self) {
        self.all.clear();
        self.end_asked = false;
    }

    fn put(&mut self, watch: Watch) {
        match self.all.iter_mut().find(|known| known.number == watch.number) {
            Some(known) => *known = watch,
            None => self.all.push(watch),
        }
    }
}

impl<S: Sql> Connection<S> {
    /// Whatever is due now leaves.
    pub(crate) fn go_on_watching(&mut self, now: Millis, random: &mut dyn Random) -> Result<(), Problem> {
        self.wake()?;
        let Some(memory) = &self.memory else { return Ok(()) };
        if memory.record.ending.is_some() {
            return Ok(());
        }
        let spendable = is_watched(&memory.record);
        let numbers: Vec<u64> = self.watches.all.iter().map(|watch| watch.number).collect();
        for number in numbers {
            for _ in 0..MOST_STEPS {
                let Some(watch) = self.watches.get(number).filter(|_| !self.watch_flies(number)) else {
                    break;
                };
                if !spendable && !watch.stopping {
                    break;
                }
                let Some(step) = plan::next(watch, now) else { break };
                if !self.take_step(watch.clone(), step, now, random)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// How the connection stands when what else kept it from being well is over: one of its watches may fail still.
    pub(crate) fn well(&self, record: &Record) -> (State, Option<Reason>) {
        let goes_on = matches!(record.state, State::Active | State::Degraded | State::Blocked);
        if goes_on && self.watches.all.iter().any(fails) {
            (State::Degraded, Some(Reason::WatchFailed))
        } else {
            (State::Active, None)
        }
    }

    pub(crate) fn watch_flies(&self, number: u64) -> bool {
        self.flies(|purpose| matches!(purpose, Purpose::Watch(flight) if flight.number == number))
    }

    /// When the alarm is needed for a watch. What is due already has left, or waits for what is in the air: it is looked
    /// for again when that must have been lost.
    pub(crate) fn watch_alarm_at(&self, record: &Record, now: Millis) -> Option<Millis> {
        let spendable = is_watched(record);
        let full = self.watches.is_full();
        let mut at = None;
        for watch in &self.watches.all {
            if spendable || watch.stopping {
                let next = plan::next_at(watch, now);
                let next = next.map(|next| if next > now { next } else { now.plus(LOST_MS) });
                at = earlier(at, next.filter(|_| !full || watch.stopping));
            }
        }
        at.map(|at| at.max(self.watches.pause.unwrap_or_default()))
    }
}

/// Whether it failed so often that it is said.
fn fails(watch: &Watch) -> bool {
    watch.renewal.failures.max(watch.sync.failures) >= plan::FAILURES_THAT_DEGRADE && !watch.stopping
}

/// Whether its token can be spent on watches.
pub(crate) fn is_watched(record: &Record) -> bool {
    let healthy = matches!(record.state, State::Active | State::Degraded);
    healthy && record.enabled && record.ending.is_none()
}
