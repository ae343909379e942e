//! `Idempotency-Key`s of POSTs whose outcome stands in the directory. Of those that an object answers, the object keeps
//! them.

use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::Idempotency;
use serde::Deserialize;

use super::{Directory, number, text};

/// How long an answer is kept.
const KEPT_MS: u64 = Millis::DAY;

/// A request in flight for longer than this died on its way: the next one with its key takes over.
const ABANDONED_MS: u64 = 60 * Millis::SECOND;

/// What is to be done with a request that carries a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is the first: do it, then [`keep`] or [`forget`].
    First,
    /// It was done before, with this answer.
    Done { status: u16, answer: String },
    /// The key came with another body before.
    OtherBody,
    /// The first one is still at it.
    InFlight,
}

#[derive(Deserialize)]
struct Row {
    fingerprint: String,
    status: Option<u16>,
    answer: Option<String>,
}

/// Takes the key, in one statement: of two requests at once one is first.
pub(crate) async fn begin(directory: &Directory, key: &Idempotency, now: Millis) -> Result<Begun, Problem> {
    let sql = "INSERT INTO idempotency (key, fingerprint, started_at, expires_at) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (key) DO UPDATE SET fingerprint = ?2, status = NULL, answer = NULL, started_at = ?3, \
               expires_at = ?4 WHERE expires_at <= ?3 OR (status IS NULL AND started_at < ?5 AND fingerprint = ?2)";
    let values = [
        text(Some(&key.key)),
        text(Some(&key.fingerprint)),
        number(now.0),
        number(now.plus(KEPT_MS).0),
        number(now.minus(ABANDONED_MS).0),
    ];
    if directory.change(sql, &values).await? > 0 {
        return Ok(Begun::First);
    }
    let sql = "SELECT fingerprint, status, answer FROM idempotency WHERE key = ?1";
    let row: Option<Row> = directory.row(sql, &[text(Some(&key.key))]).await?;
    Ok(match row {
        Some(row) if row.fingerprint != key.fingerprint => Begun::OtherBody,
        Some(Row {
            status: Some(status),
            answer,
            ..
        }) => Begun::Done {
            status,
            answer: answer.unwrap_or_default(),
        },
        // Forgotten between the two statements: as good as in flight, the caller tries again.
        _ => Begun::InFlight,
    })
}

/// It went well: the same answer from now on.
pub(crate) async fn keep(
    directory: &Directory,
    key: &Idempotency,
    status: u16,
    answer: &str,
) -> Result<(), Problem> {
    let sql = "UPDATE idempotency SET status = ?2, answer = ?3 WHERE key = ?1";
    let values = [text(Some(&key.key)), number(status.into()), text(Some(answer))];
    directory.change(sql, &values).await.map(drop)
}

/// It did not go well: the next one may try.
pub(crate) async fn forget(directory: &Directory, key: &Idempotency) -> Result<(), Problem> {
    let sql = "DELETE FROM idempotency WHERE key = ?1 AND status IS NULL";
    directory.change(sql, &[text(Some(&key.key))]).await.map(drop)
}

/// Drops what has expired, in slices.
pub(crate) async fn prune(directory: &Directory, now: Millis) -> Result<(), Problem> {
    let sql = "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= ?1 LIMIT 5000)";
    directory.change(sql, &[number(now.0)]).await.map(drop)
}
