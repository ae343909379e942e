//! The one alarm: several tasks, each with its own count of failures. A run reads first; nothing due: no write.
//!
//! All of a run is one turn without an await, so a crash in it commits nothing and the platform rings again; a panic is
//! caught by the shell, which rings again later. An error of one task keeps no other from its work.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::due::PARKED;
use crate::ordered::NEVER;
use crate::sql::{Row, Sql};
use crate::{Armed, Ledger};

/// A task that keeps failing is tried again after 1 s, 2 s, 4 s … and at most this.
const BACKOFF_MS: u64 = 300_000;

impl<S: Sql> Ledger<S> {
    /// What the alarm does. Never fails: what went wrong is logged and tried again.
    pub fn alarm(&mut self, now: Millis) {
        self.armed = Armed::Rings;
        self.clock = now;
        if self.memory().is_err() {
            // Never set up, or wiped: nothing is owed. A storage that cannot be read is asked again.
            if !matches!(crate::schema::version(&self.sql), Ok(None)) && !self.is_wiped() {
                self.ring_again("wake", now);
            }
            if self.armed == Armed::Rings {
                self.armed = Armed::No;
            }
            return;
        }
        let mut more = false;
        let mut next: Option<Millis> = None;
        let tasks: [(&'static str, Task<S>); 12] = [
            ("sweep", Self::sweep),
            ("retention", |ledger, now| {
                ledger.retain(now)?;
                ledger.prune_refused(now)?;
                ledger.prune_idempotency(now).map(|()| false)
            }),
            ("payloads", Self::expunge_payloads),
            // Nothing wakes it by itself: there is more to count only where the sweep has moved on.
            ("count", |ledger, _| ledger.count_messages()),
            // Before what is due: what they make due leaves in the same run.
            ("tasks", |ledger, now| ledger.work_tasks(now).map(|()| false)),
            ("ends", Self::tell_ends),
            // Before the lines: a retry that waited shall not starve behind what comes new.
            ("due", Self::hand_out_due),
            ("lines", |ledger, now| ledger.advance_lines(now).map(|()| false)),
            ("silence", Self::tell_silence),
            // Brought behind the run, by the shell.
            ("outbox", |ledger, now| ledger.offer_outbox(now).map(|()| false)),
            // The same.
            ("fetches", |ledger, now| ledger.offer_fetches(now).map(|()| false)),
            ("routing", Self::offer_routing),
        ];
        for (name, task) in tasks {
            match task(self, now) {
                Ok(unfinished) => {
                    self.failures.remove(name);
                    more |= unfinished;
                }
                Err(problem) => {
                    self.memory = None;
                    next = next.into_iter().chain([self.failed(name, &problem, now)]).min();
                }
            }
        }
        // After the last task: one may have made work for another.
        match self.next_at(now) {
            Ok(at) => next = next.into_iter().chain(at).chain(more.then_some(now)).min(),
            Err(problem) => next = next.into_iter().chain([self.failed("next", &problem, now)]).min(),
        }
        if let Some(at) = next {
            match self.wake_by(at.max(now.plus(1)), now) {
                Ok(armed) => self.armed = armed,
                Err(problem) => self.notice("alarm_not_set", problem.to_string()),
            }
        }
        if self.armed == Armed::Rings {
            self.armed = Armed::No;
        }
    }

    /// When the first of the tasks has something to do next.
    fn next_at(&mut self, now: Millis) -> Result<Option<Millis>, Problem> {
        let sweep = self.sweep_at(now)?;
        let due = self.sql.row("SELECT min(time) FROM due", &[])?;
        let due = due.map(|row| row.maybe(0, Row::time)).transpose()?.flatten();
        let due = due.filter(|time| *time < PARKED);
        let payloads = self.payloads_at()?;
        let memory = self.memory()?;
        let parked = memory.parked.values().min().copied();
        let stored = memory.lines.values().filter(|line| line.stored);
        let lines = stored.map(|line| line.opens_at).min().filter(|at| *at < NEVER);
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        Ok([
            sweep,
            due,
            parked,
            lines,
            payloads,
            self.retention_at(memory),
            memory.outbox.next_at(),
            memory.routing.next_at(memory.last_sequence),
            self.tasks_at()?,
            self.silence_at(),
            self.fetches_at()?,
            self.ends_at()?,
        ]
        .into_iter()
        .flatten()
        .min())
    }

    /// Rings again after a while: for the shell, when a run ended in a panic.
    pub fn ring_again(&mut self, task: &'static str, now: Millis) {
        let at = self.failed(task, &Problem::internal("the run did not end"), now);
        self.memory = None;
        match self.sql.set_alarm(Some(at)) {
            Ok(()) => self.armed = Armed::At(at),
            Err(error) => self.notice("alarm_not_set", error.to_string()),
        }
    }

    fn failed(&mut self, task: &'static str, problem: &Problem, now: Millis) -> Millis {
        let count = self.failures.entry(task).or_default();
        *count += 1;
        let wait = 1000_u64.saturating_mul(1 << (*count - 1).min(20)).min(BACKOFF_MS);
        self.notice("alarm_task_failed", format!("{task}: {problem}"));
        now.plus(wait)
    }

    pub(crate) fn is_wiped(&self) -> bool {
        matches!(
            self.sql.row("SELECT 1 FROM meta WHERE name = 'tenant'", &[]),
            Ok(None)
        )
    }
}

/// One task: it does a slice of what is due, and answers whether more of it is ready now.
type Task<S> = fn(&mut Ledger<S>, Millis) -> Result<bool, Problem>;
