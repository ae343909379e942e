//! The one alarm: several tasks, each with its own count of failures. A run reads first; nothing due: no write.
//!
//! All of a run is one turn without an await, so a crash in it commits nothing and the platform rings again; a panic is
//! caught by the shell, which rings again later. An error of one task keeps no other from its work.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::Trigger;

use crate::delivery::{self, State};
use crate::endpoint::Endpoint;
use crate::handout::MessageToSend;
use crate::sql::{Row, Sql, Value};
use crate::{Armed, Ledger};

/// Rows of `due` in one run.
const DUE_SLICE: u64 = 256;

/// A task that keeps failing is tried again after 1 s, 2 s, 4 s … and at most this.
const BACKOFF_MS: u64 = 300_000;

/// A row that came up.
struct Due {
    time: Millis,
    endpoint: u32,
    sequence: u64,
    kind: i64,
    generation: Option<u64>,
}

impl<S: Sql> Ledger<S> {
    /// What the alarm does. Never fails: what went wrong is logged and tried again.
    pub fn alarm(&mut self, now: Millis) {
        self.armed = Armed::No;
        if self.memory().is_err() {
            // Never set up, or wiped: nothing is owed. A storage that cannot be read is asked again.
            if !matches!(crate::schema::version(&self.sql), Ok(None)) && !self.is_wiped() {
                self.ring_again("wake", now);
            }
            return;
        }
        let mut more = false;
        let mut next: Option<Millis> = None;
        let tasks: [(&'static str, Task<S>); 5] = [
            ("sweep", Self::sweep),
            ("retention", |ledger, now| {
                ledger.retain(now)?;
                ledger.prune_idempotency(now).map(|()| false)
            }),
            // Before what is due: what they make due leaves in the same run.
            ("tasks", |ledger, now| ledger.work_tasks(now).map(|()| false)),
            // Before the lines: a retry that waited shall not starve behind what comes new.
            ("due", |ledger, now| ledger.hand_out_due(now).map(|()| false)),
            ("lines", |ledger, now| ledger.advance_lines(now).map(|()| false)),
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
    }

    /// When the first of the tasks has something to do next.
    fn next_at(&mut self, now: Millis) -> Result<Option<Millis>, Problem> {
        let sweep = self.sweep_at(now)?;
        let due = self.sql.row("SELECT min(time) FROM due", &[])?;
        let due = due.map(|row| row.maybe(0, Row::time)).transpose()?.flatten();
        let memory = self.memory()?;
        let lines = memory.lines.values().map(|line| line.opens_at).min();
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        Ok([sweep, due, lines, self.retention_at(memory), self.tasks_at()?]
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

    fn is_wiped(&self) -> bool {
        matches!(
            self.sql.row("SELECT 1 FROM meta WHERE name = 'tenant'", &[]),
            Ok(None)
        )
    }

    /// Hands out what is due. Each row moves to the end of its lease, with its number, before anything leaves.
    fn hand_out_due(&mut self, now: Millis) -> Result<(), Problem> {
        let statement = "SELECT time, endpoint, sequence, kind, generation FROM due WHERE time <= ? ORDER BY time LIMIT ?";
        let rows = self.sql.rows(statement, &[now.into(), DUE_SLICE.into()])?;
        if rows.is_empty() {
            return Ok(());
        }
        let until = now.plus(self.settings.lease_ms);
        let mut moves = Vec::new();
        let mut outgoing = Vec::new();
        let mut held = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for row in rows {
            let due = Due {
                time: row.time(0)?,
                endpoint: row.small(1)?,
                sequence: row.number(2)?,
                kind: row.int(3)?,
                generation: row.maybe(4, Row::number)?,
            };
            let message = self.still_owed(&due)?;
            let Some(message) = message else {
                moves.push((due, None));
                continue;
            };
            let manual = due.kind == 1;
            let (endpoint, sequence) = (due.endpoint, due.sequence);
            if manual && let Some(at) = self.live_until(endpoint, sequence, now)? {
                let at = self.free_for_manual(at, endpoint, sequence, &mut taken)?;
                moves.push((due, Some((at, None))));
                continue;
            }
            let memory = self.memory()?;
            if memory.tokens(due.endpoint, now) == 0 {
                // Held back: due when the gate opens, each one token's time after the one before it.
                let before = held.entry(due.endpoint).or_insert(0_u64);
                let rate = memory
                    .endpoints
                    .get(&due.endpoint)
                    .and_then(|e| e.config.throttle_rate);
                let rate = rate.or(memory.settings.throttle_rate).unwrap_or(1).max(1);
                let at = memory
                    .gate_opens_at(due.endpoint, now)
                    .plus(*before * 1000 / u64::from(rate));
                *before += 1;
                let at = if manual {
                    self.free_for_manual(at, endpoint, sequence, &mut taken)?
                } else {
                    at
                };
                moves.push((due, Some((at, None))));
                continue;
            }
            memory.take_tokens(due.endpoint, 1);
            let until = if manual {
                self.free_for_manual(until, endpoint, sequence, &mut taken)?
            } else {
                until
            };
            let trigger = if due.kind == 1 {
                Trigger::Manual
            } else {
                Trigger::Scheduled
            };
            let out = self
                .memory()?
                .hand_out(due.endpoint, &message, until, trigger, now);
            moves.push((due, Some((until, Some(out.handout.number)))));
            outgoing.push(out);
        }
        self.sql.atomic(|sql| {
            for (due, to) in &moves {
                let key = [
                    due.time.into(),
                    due.endpoint.into(),
                    due.sequence.into(),
                    Value::Int(due.kind),
                ];
                let place = "WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = ?";
                match to {
                    None => sql.run(&format!("DELETE FROM due {place}"), &key)?,
                    Some((at, number)) => {
                        let mut values = vec![Value::from(*at), Value::from(*number)];
                        values.extend(key);
                        sql.run(&format!("UPDATE due SET time = ?, number = ? {place}"), &values)?
                    }
                };
            }
            Ok(())
        })?;
        self.outbox.extend(outgoing);
        Ok(())
    }

    /// A row that comes up is checked first: its message there, its delivery open, not cancelled.
    fn still_owed(&mut self, due: &Due) -> Result<Option<MessageToSend>, Problem> {
        let checked = self.settings.rules.due_checked;
        let memory = self.memory()?;
        let Some(segment) = memory.open_segment_of(due.sequence) else {
            return Ok(None);
        };
        let Some(endpoint) = memory.endpoints.get(&due.endpoint) else {
            return Ok(None);
        };
        if checked {
            let manual = due.kind == 1;
            let live = if manual {
                due.generation == Some(endpoint.generation)
            } else {
                endpoint.is_on()
            };
            if !live || (!manual && self.is_cancelled(due.endpoint, due.sequence)?) {
                return Ok(None);
            }
            let row = delivery::read(&self.sql, segment, due.endpoint, due.sequence)?;
            if !manual && row.is_none_or(|row| row.state != State::Waiting) {
                return Ok(None);
            }
        }
        if !self
            .memory()?
            .endpoints
            .get(&due.endpoint)
            .is_some_and(Endpoint::is_on)
        {
            return Ok(None);
        }
        MessageToSend::read(&self.sql, segment, due.sequence)
    }
}

/// One task: it does a slice of what is due, and answers whether more of it is ready now.
type Task<S> = fn(&mut Ledger<S>, Millis) -> Result<bool, Problem>;
