//! `Idempotency-Key` for what the directory, and no object, keeps account of.

use std::future::Future;

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::Idempotency;

use super::reply::Answer;
use crate::store::Directory;
use crate::store::idempotency::{self, Begun};

/// Does the work once per key, and gives the first answer to whoever comes again. Only what went well is kept.
pub(crate) async fn once(
    directory: &Directory,
    key: Option<Idempotency>,
    now: Millis,
    work: impl Future<Output = Result<Answer, Problem>>,
) -> Result<Answer, Problem> {
    let Some(key) = key else {
        return work.await;
    };
    if let Some((status, answer)) = begin(directory, &key, now).await? {
        return Ok(Answer::again(status, answer));
    }
    let answer = work.await;
    let kept = answer
        .as_ref()
        .ok()
        .map(|answer| (answer.status, String::from_utf8_lossy(&answer.body)));
    end(
        directory,
        &key,
        kept.as_ref().map(|(status, body)| (*status, body.as_ref())),
    )
    .await?;
    answer
}

/// Takes the key: `None` for the first, the answer of before for a later one.
pub(crate) async fn begin(
    directory: &Directory,
    key: &Idempotency,
    now: Millis,
) -> Result<Option<(u16, String)>, Problem> {
    match idempotency::begin(directory, key, now).await? {
        Begun::First => Ok(None),
        Begun::Done { status, answer } => Ok(Some((status, answer))),
        Begun::OtherBody => Err(Problem::new(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key came with another body before; take a new one",
        )),
        Begun::InFlight => Err(Problem::new(
            Code::Conflict,
            "The first request with this Idempotency-Key is still at work; try again after a moment",
        )),
    }
}

/// The work is done, with this answer, or has failed.
pub(crate) async fn end(
    directory: &Directory,
    key: &Idempotency,
    kept: Option<(u16, &str)>,
) -> Result<(), Problem> {
    match kept {
        Some((status, answer)) => idempotency::keep(directory, key, status, answer).await,
        None => idempotency::forget(directory, key).await,
    }
}
