//! Manual tries: somebody asks for one more try of one delivery, whatever its plan, its filters and its order say.
//!
//! A manual try is a row of `due` of its own kind, with the generation that its endpoint had: disable and delete cancel it.
//! It survives a lost lease as a retry does, and its result changes nothing of the plan, except that a success is one.

use std::collections::BTreeSet;

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::AttemptView;
use postern_domain::wire::replay::{AttemptAwait, CancelMessages, Resend, TestAttempt, Tested};

use crate::delivery::{numbers_from, numbers_text};
use crate::idempotency::{self, Noun};
use crate::memory::Memory;
use crate::sql::{Row, Sql};
use crate::sweep::{owed_to, owes};
use crate::{Ledger, Random};

/// Where a manual try goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    pub(crate) endpoint: u32,
    pub(crate) generation: u64,
    pub(crate) segment: u64,
    pub(crate) sequence: u64,
    /// The message was never owed to this endpoint: lists find it by a row beside.
    pub(crate) extra: bool,
}

impl<S: Sql> Ledger<S> {
    /// Asks for one more try. Pressed twice it makes two; with the same key one.
    pub(crate) fn resend(&mut self, call: &Resend, now: Millis) -> Result<(), Problem> {
        if self
            .replay(call.idempotency.as_ref(), Noun::Resend, now)?
            .is_some()
        {
            return Ok(());
        }
        let endpoint = self.endpoint_number(&call.endpoint)?;
        let message = self.message_named(&call.message)?;
        self.message_view(message)?.ok_or_else(Problem::not_found)?;
        let sequence = message.0.sequence;
        let wanted = self.try_of(endpoint, sequence)?;
        let armed = self.sql.atomic(|sql| {
            insert_try(sql, &wanted, now)?;
            idempotency::keep(sql, call.idempotency.as_ref(), Noun::Resend, sequence, now)?;
            self.wake_by(now, now)
        })?;
        self.armed = armed;
        Ok(())
    }

    /// Takes a message that is owed to nobody, and tries it once at one endpoint.
    pub(crate) fn test_attempt(
        &mut self,
        call: &TestAttempt,
        body: Vec<u8>,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Tested, Problem> {
        let endpoint = self.endpoint_number(&call.endpoint)?;
        self.is_on(endpoint)?;
        let mut accept = call.accept.clone();
        accept.only_endpoint = Some(0);
        let accepted = self.accept(&accept, body, now, random)?;
        let message = accepted.message.id;
        if !accepted.duplicate {
            let wanted = self.try_of(endpoint, message.0.sequence)?;
            let armed = self.sql.atomic(|sql| {
                insert_try(sql, &wanted, now)?;
                self.wake_by(now, now)
            })?;
            self.armed = armed;
        }
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&endpoint).ok_or_else(Problem::not_found)?;
        Ok(Tested {
            message,
            endpoint: Memory::endpoint_id(endpoint),
        })
    }

    /// The delivery's first attempt. While there is none the shell lets the caller wait, and asks again.
    pub(crate) fn attempt_await(
        &mut self,
        call: AttemptAwait,
    ) -> Result<(Option<AttemptView>, Vec<Vec<u8>>), Problem> {
        let endpoint = self.endpoint_number(&call.endpoint.to_string())?;
        let message = self.message_view(call.message)?.ok_or_else(Problem::not_found)?;
        let first = self.first_attempt(&message, endpoint)?;
        self.later.waits = first.is_none();
        let (view, response) = first.unzip();
        Ok((view, response.into_iter().collect()))
    }

    /// Cancels, by derivation, what an endpoint is owed of messages before a time. What was delivered stays so, manual
    /// tries go on.
    pub(crate) fn cancel_messages(&mut self, call: &CancelMessages, now: Millis) -> Result<(), Problem> {
        let number = self.endpoint_number(&call.endpoint)?;
        let through = self.sequence_at(call.before)?.saturating_sub(1);
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&number).ok_or_else(Problem::not_found)?;
        if through <= endpoint.cancelled_through {
            return Ok(());
        }
        self.write_endpoint(number, |endpoint| {
            endpoint.cancelled_through = through;
            endpoint.updated_at = now;
        })
    }

    /// Whether something may be sent to it at all.
    pub(crate) fn is_on(&mut self, endpoint: u32) -> Result<(), Problem> {
        let memory = self.memory()?;
        let endpoint = memory.endpoints.get(&endpoint).ok_or_else(Problem::not_found)?;
        if endpoint.is_on() {
            Ok(())
        } else {
            let detail = "The endpoint is disabled; enable it first: nothing is sent to it until then";
            Err(Problem::new(Code::Conflict, detail))
        }
    }

    /// A manual try of a message that is there.
    fn try_of(&mut self, endpoint: u32, sequence: u64) -> Result<Try, Problem> {
        self.is_on(endpoint)?;
        let memory = self.memory()?;
        let generation = memory.endpoints.get(&endpoint).map_or(0, |e| e.generation);
        let gone = || {
            let detail = "The message cannot be sent again: its content has gone, or is about to go";
            Problem::new(Code::BadRequest, detail)
        };
        let segment = memory.open_segment_of(sequence).ok_or_else(gone)?;
        let statement = format!("SELECT owed, content_type FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[sequence.into()])?;
        let row = row.ok_or_else(Problem::not_found)?;
        let (owed, content_type) = (row.text(0)?, row.text(1)?);
        if content_type.is_empty() {
            return Err(gone()); // it was taken away by hand
        }
        Ok(Try {
            endpoint,
            generation,
            segment,
            sequence,
            extra: !owes(&owed, endpoint),
        })
    }

    /// A time from `at` on at which no other manual try of the same delivery stands or is about to: rows of `due` are told
    /// apart by it.
    pub(crate) fn free_for_manual(
        &self,
        at: Millis,
        endpoint: u32,
        sequence: u64,
        taken: &mut BTreeSet<(Millis, u32, u64)>,
    ) -> Result<Millis, Problem> {
        let mut at = free_time(&self.sql, at, endpoint, sequence)?;
        while !taken.insert((at, endpoint, sequence)) {
            at = free_time(&self.sql, at.plus(1), endpoint, sequence)?;
        }
        Ok(at)
    }

    /// Every endpoint that lists of a message's attempts look at: those it was owed to, and those it was sent to by hand.
    pub(crate) fn endpoints_of(&self, segment: u64, sequence: u64, owed: &str) -> Result<Vec<u32>, Problem> {
        let mut all: Vec<u32> = owed_to(owed).collect();
        let statement = format!(
            "SELECT endpoint FROM extra_{segment} WHERE sequence = ? AND endpoint > 0 ORDER BY endpoint"
        );
        for row in self.sql.rows(&statement, &[sequence.into()])? {
            let endpoint = row.small(0)?;
            if !all.contains(&endpoint) {
                all.push(endpoint);
            }
        }
        Ok(all)
    }
}

/// Makes a manual try due. Part of the caller's transaction.
pub(crate) fn insert_try<S: Sql>(sql: &S, wanted: &Try, at: Millis) -> Result<(), Problem> {
    let at = free_time(sql, at, wanted.endpoint, wanted.sequence)?;
    let values = [
        at.into(),
        wanted.endpoint.into(),
        wanted.sequence.into(),
        wanted.generation.into(),
    ];
    sql.run("INSERT INTO due VALUES (?, ?, ?, 1, NULL, ?)", &values)?;
    if wanted.extra {
        let statement = format!(
            "INSERT OR IGNORE INTO extra_{} (sequence, endpoint) VALUES (?, ?)",
            wanted.segment
        );
        sql.run(&statement, &[wanted.sequence.into(), wanted.endpoint.into()])?;
    }
    Ok(())
}

fn free_time<S: Sql>(sql: &S, at: Millis, endpoint: u32, sequence: u64) -> Result<Millis, Problem> {
    let statement = "SELECT 1 FROM due WHERE time = ? AND endpoint = ? AND sequence = ? AND kind = 1";
    let mut at = at;
    while sql
        .row(statement, &[at.into(), endpoint.into(), sequence.into()])?
        .is_some()
    {
        at = at.plus(1);
    }
    Ok(at)
}

/// Numbers of manual attempts that no delivery row names.
pub(crate) fn extra_numbers<S: Sql>(
    sql: &S,
    segment: u64,
    sequence: u64,
    endpoint: u32,
) -> Result<Vec<u64>, Problem> {
    let statement = format!("SELECT numbers FROM extra_{segment} WHERE sequence = ? AND endpoint = ?");
    let Some(row) = sql.row(&statement, &[sequence.into(), endpoint.into()])? else {
        return Ok(Vec::new());
    };
    Ok(numbers_from(&row.maybe(0, Row::text)?.unwrap_or_default()))
}

/// Writes them.
pub(crate) fn put_extra<S: Sql>(
    sql: &S,
    segment: u64,
    sequence: u64,
    endpoint: u32,
    numbers: &[u64],
) -> Result<(), Problem> {
    let statement = format!(
        "INSERT INTO extra_{segment} (sequence, endpoint, numbers) VALUES (?, ?, ?) \
         ON CONFLICT DO UPDATE SET numbers = excluded.numbers"
    );
    let values = [sequence.into(), endpoint.into(), numbers_text(numbers).into()];
    sql.run(&statement, &values)?;
    Ok(())
}

/// Whether a message is for the endpoints that were named alone: no other has missed it.
pub(crate) fn is_for_named<S: Sql>(sql: &S, segment: u64, sequence: u64) -> Result<bool, Problem> {
    let statement = format!("SELECT 1 FROM extra_{segment} WHERE sequence = ? AND endpoint = 0");
    Ok(sql.row(&statement, &[sequence.into()])?.is_some())
}
