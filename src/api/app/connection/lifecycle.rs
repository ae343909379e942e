//! A connection stands in two places, its object and the directory's row. The row comes first, so that no object is ever
//! lost: what breaks off half-way is found by its row, which the clock compares with the object.

use std::future::Future;

use futures::future::join_all;
use postern_domain::id::{ConnectionId, TenantId, Uid};
use postern_domain::oauth::standing::State;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{
    Caller, ConnectionCall, ConnectionErase, ConnectionGet, ConnectionView,
};
use postern_platform::connection::ConnectionObject;
use postern_platform::random;
use worker::Env;

use super::shape::ConnectionOut;
use super::terms::Chosen;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::Directory;
use crate::store::connection::{self, New, Row};
use crate::store::erasure::Ended;

/// Connections that are erased at a time.
const AT_ONCE: u64 = 20;

/// Times that, in one request or one run of the clock.
const SLICES: u32 = 10;

/// A connection whose object says that it is still pending is compared again after this.
const AGAIN_MS: u64 = 3600 * Millis::SECOND;

/// Asks for a connection, once under its idempotency key: 201 for a new one, 200 for one that stands.
pub(super) async fn put<C: ConnectionCall<Answer = ConnectionView>>(
    access: &TenantAccess,
    ask: &Ask,
    chosen: &Chosen,
    uid: Option<&Uid>,
    stands: Option<Row>,
    call: C,
) -> Result<Answer, Problem> {
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    let put = async {
        if let Some(row) = stands {
            let view = access.connection(row.id).call(call).await?;
            return Answer::ok(&ConnectionOut::new(view));
        }
        let ask_object = |object: ConnectionObject| async move { object.call(call).await };
        let made = make(access, chosen, uid, ask.now, ask_object, |view| view).await?;
        Answer::json(201, &ConnectionOut::new(made))
    };
    idempotency::once(&access.directory()?, key, ask.now, Box::pin(put)).await
}

/// Makes a connection: row, object, row. What the object refuses leaves nothing behind.
pub(super) async fn make<T, F>(
    access: &TenantAccess,
    chosen: &Chosen,
    uid: Option<&Uid>,
    now: Millis,
    ask: impl FnOnce(ConnectionObject) -> F,
    view: impl Fn(&T) -> &ConnectionView,
) -> Result<T, Problem>
where
    F: Future<Output = Result<T, Problem>>,
{
    let directory = access.directory()?;
    let id = ConnectionId(random::bytes());
    let new = New {
        id,
        organisation: access.organisation,
        application: access.tenant,
        app: chosen.terms.id,
        provider: &chosen.terms.provider.id,
        uid,
        now,
    };
    if !connection::insert(&directory, &new).await? {
        return Err(not_inserted(access, &directory, uid).await?);
    }
    match ask(access.connection(id)).await {
        Ok(made) => {
            // Its tenant may have gone meanwhile, row and all: nothing may live on that no row leads to.
            if !connection::show(&directory, view(&made)).await? && is_gone(access, &directory, id).await? {
                let object = ConnectionObject::new(access.env(), id, Caller::System);
                object.call(ConnectionErase {}).await?;
                return Err(Problem::not_found());
            }
            Ok(made)
        }
        Err(problem) => {
            // A refusal made nothing. Of anything else nobody knows: the clock will look.
            if problem.code.status() < 500 {
                connection::remove(&directory, id).await?;
            }
            Err(problem)
        }
    }
}

/// Whether the row that was just written is not there any more.
async fn is_gone(access: &TenantAccess, directory: &Directory, id: ConnectionId) -> Result<bool, Problem> {
    let key = connection::Key::Id(id);
    let row = connection::find(directory, access.organisation, access.tenant, &key).await?;
    Ok(row.is_none())
}

/// Why no row was written: another has its `uid`, or the tenant is not there.
async fn not_inserted(
    access: &TenantAccess,
    directory: &Directory,
    uid: Option<&Uid>,
) -> Result<Problem, Problem> {
    if let Some(uid) = uid {
        let key = connection::Key::Uid(uid.clone());
        let other = connection::find(directory, access.organisation, access.tenant, &key).await?;
        if other.is_some() {
            return Ok(taken());
        }
    }
    Ok(Problem::not_found())
}

/// 409.
pub(super) fn taken() -> Problem {
    Problem::new(Code::Conflict, "A connection with this uid exists already")
}

/// Ends all connections of a tenant that is being deleted: watches stopped, revoked at the providers, shredded, rows gone.
/// One that cannot be ended now does not keep the others waiting.
///
/// # Errors
/// The first failure; [`Code::Overloaded`] when there are more than one request can end. The clock goes on, as long as the
/// tenant's row says that it is being deleted.
pub(in crate::api) async fn erase_all(
    env: &Env,
    directory: &Directory,
    tenant: TenantId,
) -> Result<(), Problem> {
    let (mut last, mut failed) = (None, None);
    for _ in 0..SLICES {
        let mut rows = connection::some_of(directory, tenant, last.as_ref(), AT_ONCE).await?;
        if rows.is_empty() {
            return failed.map_or(Ok(()), Err);
        }
        let erased = join_all(rows.iter().map(|row| erase(env, directory, tenant, row))).await;
        failed = failed.or(erased.into_iter().find_map(Result::err));
        last = rows.pop();
    }
    Err(Problem::new(
        Code::Overloaded,
        "Its connections are being ended, which takes a while; the deletion goes on by itself",
    ))
}

async fn erase(env: &Env, directory: &Directory, tenant: TenantId, row: &Row) -> Result<(), Problem> {
    let was_over = row.state == State::Revoked.as_str();
    let object = ConnectionObject::new(env, row.id, Caller::System);
    let ended = match object.call(ConnectionErase {}).await {
        Ok(_) if was_over => Ended::Before,
        Ok(erased) => erased.connection.revoked.map_or(Ended::Unconnected, Ended::Grant),
        // Its object was never made, or has nothing left.
        Err(problem) if problem.code == Code::NotFound => match &row.view {
            _ if was_over => Ended::Before,
            None => Ended::Unconnected,
            Some(_) => Ended::Unknown,
        },
        Err(problem) => return Err(problem),
    };
    connection::remove_counted(directory, row.id, tenant, ended).await
}

/// Compares rows that may be half with their objects.
pub(crate) async fn tidy(env: &Env, now: Millis) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let mut failed = None;
    for row in connection::to_look_at(&directory, now).await? {
        if let Err(problem) = look(env, &directory, &row, now).await {
            // It is looked at again, and does not keep the others waiting.
            connection::look_again(&directory, row.id, now.plus(AGAIN_MS)).await?;
            failed = Some(problem);
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn look(env: &Env, directory: &Directory, row: &Row, now: Millis) -> Result<(), Problem> {
    let object = ConnectionObject::new(env, row.id, Caller::System);
    if row.state == State::Revoked.as_str() {
        // Its time is over: what its object still knows of whose account it was goes too, since no row leads to it then.
        return match object.call(ConnectionErase {}).await {
            Err(problem) if problem.code != Code::NotFound => Err(problem),
            _ => connection::remove(directory, row.id).await,
        };
    }
    match object.call(ConnectionGet {}).await {
        Ok(view) => {
            connection::show(directory, &view).await?;
            connection::look_again(directory, row.id, now.plus(AGAIN_MS)).await
        }
        Err(problem) if problem.code == Code::NotFound => connection::remove(directory, row.id).await,
        Err(problem) => Err(problem),
    }
}
