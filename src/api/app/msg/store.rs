//! On the way of a publish: the tenant that it is for, and the ledger's answer.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::TenantCall;
use postern_platform::deadline::within;
use postern_platform::tenant::TenantObject;

use super::super::lifecycle;
use super::super::shape::ApplicationIn;
use crate::api::access::{Caller, TenantAccess};
use crate::api::ask::Ask;
use crate::store::application::{Key, State};

/// How long a publisher waits for the ledger before it is told to come again.
const DEADLINE_MS: u64 = 1_500;

/// The tenant that the path names; made on the way if the request brings one along and there is none of that `uid`.
pub(super) async fn tenant(
    caller: Caller,
    ask: &Ask,
    brought: Option<ApplicationIn>,
) -> Result<TenantAccess, Problem> {
    let found = caller.again().tenant(ask.param(0), ask.now).await;
    let (Err(problem), Some(mut new), Some(Key::Uid(uid))) = (&found, brought, Key::read(ask.param(0)))
    else {
        return found;
    };
    if problem.code != Code::NotFound {
        return found;
    }
    if new.uid.as_ref().is_some_and(|named| *named != uid) {
        return Err(Problem::fault(
            &["body", "application", "uid"],
            "must be the one in the path",
        ));
    }
    new.uid = Some(uid);
    let access = caller.organisation()?;
    let row = match lifecycle::make(&access, new, ask.now).await? {
        Ok(row) => row,
        Err(row) => {
            if row.state == State::Creating {
                lifecycle::set_up(&access, &access.directory()?, &row).await?;
            }
            row
        }
    };
    Ok(access.tenant(row.id))
}

/// Asks the ledger, and once more with the same nonce when the answer was lost. One that has too much to do is not asked
/// again.
pub(super) async fn store<T: TenantCall>(
    object: &TenantObject,
    first: T,
    repeat: T,
    bodies: &[Vec<u8>],
) -> Result<T::Answer, Problem> {
    let tries = async {
        match object.call(first, bodies).await {
            Err(problem) if problem.code == Code::Internal => object.call(repeat, bodies).await,
            done => done,
        }
    };
    let done = within(DEADLINE_MS, tries).await.unwrap_or_else(|| {
        Err(Problem::new(
            Code::Overloaded,
            "Too much at once; publish it again after a moment, with the same eventId or Idempotency-Key",
        ))
    });
    done.map(|(accepted, _)| accepted)
}
