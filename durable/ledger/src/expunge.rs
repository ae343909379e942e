//! Taking contents away.
//!
//! A message without content has neither a body nor a content type nor headers: no message that came in is like that,
//! so that nothing else has to say so, and a release that knows nothing of it sends nothing of it either. It is never
//! handed out ([`crate::handout::MessageToSend::read`]), so what of it is not settled is cancelled with it. What has
//! left for the queue already may still arrive; a success is recorded, as always.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::reads::{AttemptExpunge, Expunged, MessageExpunge};

use crate::decided::Decided;
use crate::delivery::{self, State};
use crate::sql::{Row, Sql, Value};
use crate::stat::Moves;
use crate::sweep::owed_to;
use crate::{Garbage, Ledger};

/// What stands in place of a response that was taken away: Svix's word.
const RESPONSE: &[u8] = b"EXPUNGED";

impl<S: Sql> Ledger<S> {
    /// Takes the bodies of messages away. Again: nothing changes.
    pub(crate) fn message_expunge(
        &mut self,
        call: &MessageExpunge,
        now: Millis,
    ) -> Result<Expunged, Problem> {
        let mut found = Vec::with_capacity(call.messages.len());
        for name in &call.messages {
            // A name that is nobody's, and a message whose key outlived it, are both not there.
            let view = match self.message_named(name) {
                Ok(id) => self.message_view(id)?,
                Err(problem) if problem.cause.is_none() => None,
                Err(problem) => return Err(problem),
            };
            found.push(view.is_some());
            if let Some(view) = view.filter(|view| !view.expunged) {
                self.expunge(view.id.0.sequence, now)?;
            }
        }
        Ok(Expunged { found })
    }

    /// Takes the response of an attempt away.
    pub(crate) fn attempt_expunge(&mut self, call: &AttemptExpunge) -> Result<(), Problem> {
        let (id, segment) = self.attempt_named(&call.message, &call.attempt)?;
        let (endpoint, number, sequence) = (id.endpoint(), id.0.time, id.0.sequence);
        let row = delivery::read(&self.sql, segment, endpoint, sequence)?.ok_or_else(Problem::not_found)?;
        let response = Value::Blob(RESPONSE.to_vec());
        let written = if row.first.is_some_and(|(first, _)| first == number) {
            let statement =
                format!("UPDATE delivery_{segment} SET response = ? WHERE endpoint = ? AND sequence = ?");
            self.sql
                .run(&statement, &[response, endpoint.into(), sequence.into()])?
        } else {
            let statement = format!(
                "UPDATE attempt_{segment} SET response = ? WHERE endpoint = ? AND number = ? AND sequence = ?"
            );
            let values = [response, endpoint.into(), number.into(), sequence.into()];
            self.sql.run(&statement, &values)?
        };
        if written == 0 {
            return Err(Problem::not_found());
        }
        Ok(())
    }

    /// Takes one message's body away, and cancels what of it is not settled: all or nothing.
    pub(crate) fn expunge(&mut self, sequence: u64, now: Millis) -> Result<(), Problem> {
        let memory = self.memory()?;
        let segment = memory
            .segment_of(sequence)
            .map(|s| s.number)
            .ok_or_else(Problem::not_found)?;
        let statement = format!("SELECT owed, not_sent FROM message_{segment} WHERE sequence = ?");
        let row = self.sql.row(&statement, &[sequence.into()])?;
        let row = row.ok_or_else(Problem::not_found)?;
        let owed = row.text(0)?;
        let decided = Decided::read(row.maybe(1, Row::text)?);
        let memory = self.memory.as_ref().ok_or_else(Problem::not_found)?;
        let mut moves = Moves::default();
        self.sql.atomic(|sql| {
            let statement = format!(
                "UPDATE message_{segment} SET body = ?, content_type = '', headers = NULL WHERE sequence = ?"
            );
            sql.run(&statement, &[Value::Blob(Vec::new()), sequence.into()])?;
            for endpoint in owed_to(&owed)
                .filter(|endpoint| memory.endpoints.contains_key(endpoint) && !memory.is_polled(*endpoint))
            {
                let before = Moves::before(sql, memory, (endpoint, sequence), None)?;
                cancel_delivery(sql, segment, endpoint, sequence, now)?;
                moves.after(sql, memory, before)?;
            }
            // The request that it is part of says what it said.
            if let Some(batch) = decided.batch {
                sql.run("DELETE FROM request WHERE sequence = ?", &[batch.into()])?;
            }
            moves.write(sql)
        })?;
        self.garbage
            .extend(decided.body_at.map(|at| Garbage::One(at.key)));
        // What waits to leave has the body in its hands.
        self.outbox
            .retain(|outgoing| outgoing.handout.message.0.sequence != sequence);
        Ok(())
    }
}

/// Cancels a delivery that is not settled. Its row in `due`, if it has one, goes when it comes up.
fn cancel_delivery<S: Sql>(
    sql: &S,
    segment: u64,
    endpoint: u32,
    sequence: u64,
    now: Millis,
) -> Result<(), Problem> {
    let cancelled = Value::Int(State::Cancelled.stored());
    match delivery::read(sql, segment, endpoint, sequence)? {
        None => {
            let statement = format!(
                "INSERT INTO delivery_{segment} (endpoint, sequence, state, attempts, updated_at) VALUES (?, ?, ?, 0, ?)"
            );
            sql.run(
                &statement,
                &[endpoint.into(), sequence.into(), cancelled, now.into()],
            )?;
        }
        Some(row) if row.state == State::Waiting => {
            let statement = format!(
                "UPDATE delivery_{segment} SET state = ?, updated_at = ?, next_at = NULL \
                 WHERE endpoint = ? AND sequence = ?"
            );
            sql.run(
                &statement,
                &[cancelled, now.into(), endpoint.into(), sequence.into()],
            )?;
        }
        Some(_) => {}
    }
    Ok(())
}
