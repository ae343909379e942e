//! `Idempotency-Key` of POSTs that make configuration: the answer is made again from what stands, for 24 hours. The same
//! call is one transaction, so nothing is ever in flight here.

use postern_domain::digest;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Idempotency;

use crate::Ledger;
use crate::sql::{Sql, Value};

/// What a key made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Endpoint,
    Source,
    /// A manual try; the number is the message's.
    Resend,
}

impl Noun {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Source => "source",
            Self::Resend => "resend",
        }
    }
}

/// The key came with another body before.
pub(crate) fn reused() -> Problem {
    Problem::new(
        Code::IdempotencyKeyReused,
        "This Idempotency-Key was used with another body; use a new key for a new request",
    )
}

impl<S: Sql> Ledger<S> {
    /// The number of what this key made already.
    pub(crate) fn replay(
        &mut self,
        key: Option<&Idempotency>,
        noun: Noun,
        now: Millis,
    ) -> Result<Option<u64>, Problem> {
        let Some(key) = key else { return Ok(None) };
        let statement = "SELECT fingerprint, noun, number FROM idempotency WHERE hash = ? AND expires_at > ?";
        let Some(row) = self.sql.row(statement, &[half(&key.key)?.into(), now.into()])? else {
            return Ok(None);
        };
        if row.blob(0)? != half(&key.fingerprint)? || row.text(1)? != noun.as_str() {
            return Err(reused());
        }
        Ok(Some(row.number(2)?))
    }

    /// Forgets keys that are older than a day.
    pub(crate) fn prune_idempotency(&mut self, now: Millis) -> Result<(), Problem> {
        let old = "SELECT 1 FROM idempotency WHERE expires_at <= ? LIMIT 1";
        if self.sql.row(old, &[now.into()])?.is_some() {
            self.sql
                .run("DELETE FROM idempotency WHERE expires_at <= ?", &[now.into()])?;
        }
        Ok(())
    }
}

/// Keeps what a key made. Part of the caller's transaction.
pub(crate) fn keep<S: Sql>(
    sql: &S,
    key: Option<&Idempotency>,
    noun: Noun,
    number: u64,
    now: Millis,
) -> Result<(), Problem> {
    let Some(key) = key else { return Ok(()) };
    let values = [
        half(&key.key)?.into(),
        half(&key.fingerprint)?.into(),
        Value::from(noun.as_str()),
        number.into(),
        now.plus(Millis::DAY).into(),
    ];
    sql.run(
        "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)",
        &values,
    )?;
    Ok(())
}

fn half(hex: &str) -> Result<Vec<u8>, Problem> {
    digest::half_of_hex(hex).ok_or_else(|| Problem::internal("a digest that is none"))
}
