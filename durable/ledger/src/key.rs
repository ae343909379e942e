//! Dedupe keys: what a message was known by before it had an id of ours.

use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;

use crate::Ledger;
use crate::memory::message_id;
use crate::sql::{Row, Sql, Value};

/// What a key is unique in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The provider's ids at one source.
    Source(u16),
    /// The publisher's `eventId`s.
    EventId,
    /// `Idempotency-Key`s of publishes.
    Idempotency,
    /// Nonces of repeats: what was taken later than the minute after its first try is found by it.
    Nonce,
    /// Messages of the organisation's ledger that were routed here.
    Routed,
}

impl Scope {
    fn stored(self) -> i64 {
        match self {
            Self::Source(number) => number.into(),
            Self::EventId => 0,
            Self::Idempotency => -1,
            Self::Nonce => -2,
            Self::Routed => -3,
        }
    }
}

/// A key that was seen before.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) message: MessageId,
    pub(crate) fingerprint: Option<Vec<u8>>,
}

/// A key that goes with a message.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    pub(crate) scope: Scope,
    pub(crate) hash: Vec<u8>,
    pub(crate) fingerprint: Option<Vec<u8>>,
}

impl<S: Sql> Ledger<S> {
    /// Looks a key up in every generation that is kept and took keys after `since`, newest first.
    pub(crate) fn known(
        &mut self,
        scope: Scope,
        hash: &[u8],
        since: Millis,
    ) -> Result<Option<Known>, Problem> {
        let generations = &self.memory()?.key_generations;
        let newer = generations
            .iter()
            .rev()
            .scan(None, |next: &mut Option<Millis>, generation| {
                let ended = next.replace(generation.opened_at);
                ended
                    .is_none_or(|ended| ended >= since)
                    .then_some(generation.number)
            });
        for number in newer.collect::<Vec<u64>>() {
            let statement = format!(
                "SELECT sequence, time, random, fingerprint FROM key_{number} WHERE scope = ? AND hash = ?"
            );
            if let Some(row) = self
                .sql
                .row(&statement, &[Value::Int(scope.stored()), hash.into()])?
            {
                let message = message_id(row.number(0)?, row.time(1)?, &row.blob(2)?);
                return Ok(Some(Known {
                    message,
                    fingerprint: row.maybe(3, Row::blob)?,
                }));
            }
        }
        Ok(None)
    }
}

/// Writes a key into the newest generation. Part of the accept's transaction.
pub(crate) fn insert<S: Sql>(
    sql: &S,
    generation: u64,
    key: &NewKey,
    message: MessageId,
) -> Result<(), Problem> {
    let values = [
        Value::Int(key.scope.stored()),
        key.hash.clone().into(),
        message.0.sequence.into(),
        Millis(message.0.time).into(),
        Value::Blob(message.0.random.to_vec()),
        key.fingerprint.clone().into(),
    ];
    sql.run(
        &format!("INSERT INTO key_{generation} VALUES (?, ?, ?, ?, ?, ?)"),
        &values,
    )?;
    Ok(())
}
