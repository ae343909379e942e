//! A tenant stands in two places, its object and the directory's row. Making, changing and deleting one goes through
//! states of the row, so that whatever breaks off half-way is finished later.

use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Configure, SetUp, Wipe};
use postern_domain::wire::moving::Erase;
use postern_platform::random;
use postern_platform::tenant::TenantObject;
use worker::Env;

use super::connection::lifecycle::erase_all;
use super::shape::{self, ApplicationIn};
use crate::api::access::OrganisationAccess;
use crate::store::application::{self, Application, Key, State};
use crate::store::erasure::{self, Told};
use crate::store::{Directory, idempotency, revocation, uid};

/// A half that is younger than this has somebody at work on it.
const ABANDONED_MS: u64 = 60 * Millis::SECOND;

/// Makes a tenant: row, object, row. `Err` of the existing one when its `uid` is taken.
pub(crate) async fn make(
    access: &OrganisationAccess,
    new: ApplicationIn,
    now: Millis,
) -> Result<Result<Application, Application>, Problem> {
    let directory = access.directory()?;
    let wanted = new.uid.clone();
    let mut row = Application {
        id: TenantId(random::bytes()),
        organisation: access.organisation,
        uid: None,
        name: String::new(),
        metadata: String::new(),
        throttle_rate: None,
        retry_schedule: None,
        alert_email: None,
        retention_days: None,
        state: State::Creating,
        created_at: now,
        updated_at: now,
    };
    new.write(&mut row)?;
    if application::insert(&directory, &row).await? {
        set_up(access, &directory, &row).await?;
        return Ok(Ok(row));
    }
    let taken = wanted.ok_or_else(|| Problem::internal("two tenants drew the same id"))?;
    let existing = application::find(&directory, access.organisation, &Key::Uid(taken)).await?;
    // Deleted between the two statements: the caller tries again.
    existing.map(Err).ok_or_else(taken_just_now)
}

/// Finishes what [`make`] began. Again: nothing changes.
pub(crate) async fn set_up(
    access: &OrganisationAccess,
    directory: &Directory,
    row: &Application,
) -> Result<(), Problem> {
    let call = SetUp {
        organisation: row.organisation,
        settings: shape::settings(row),
    };
    access.tenant(row.id).object().call(call, &[]).await?;
    application::activate(directory, row.id).await
}

/// Writes a changed row: what the object owns goes to the object first.
pub(crate) async fn change(
    access: &OrganisationAccess,
    before: &Application,
    after: &Application,
) -> Result<(), Problem> {
    let settings = shape::settings(after);
    let changed = settings != shape::settings(before);
    let object = access.tenant(after.id).object();
    if changed {
        object.call(Configure { settings }, &[]).await?;
    }
    if !application::update(&access.directory()?, after).await? {
        if changed {
            let settings = shape::settings(before);
            object.call(Configure { settings }, &[]).await?;
        }
        return Err(taken_just_now());
    }
    if before.uid != after.uid {
        uid::forget(access.organisation, before.uid.as_ref());
        uid::forget(access.organisation, after.uid.as_ref());
    }
    Ok(())
}

/// Deletes a tenant: hidden at once, its object wiped, then the row goes.
pub(crate) async fn delete(
    access: &OrganisationAccess,
    row: &Application,
    now: Millis,
) -> Result<(), Problem> {
    let directory = access.directory()?;
    application::begin_delete(&directory, row.id, now).await?;
    uid::forget(access.organisation, row.uid.as_ref());
    let access = access.tenant(row.id);
    end(access.env(), &directory, &access.object(), row, now).await
}

/// Deletes a tenant and tells what there was: the line that proves it is written first, so that whatever breaks off is
/// finished as an erasure and not as a mere deletion.
pub(crate) async fn erase(
    access: &OrganisationAccess,
    row: &Application,
    now: Millis,
) -> Result<(), Problem> {
    erasure::begin(&access.directory()?, access.organisation, row.id, now).await?;
    delete(access, row, now).await
}

/// The active tenant that a path names.
pub(crate) async fn find(access: &OrganisationAccess, key: &Key) -> Result<Option<Application>, Problem> {
    let row = application::find(&access.directory()?, access.organisation, key).await?;
    Ok(row.filter(|row| row.state == State::Active))
}

/// The active tenant that a path names; made on the way if the request brings one along and there is none of that `uid`.
pub(crate) async fn find_or_make(
    access: &OrganisationAccess,
    segment: &str,
    brought: Option<ApplicationIn>,
    now: Millis,
) -> Result<Application, Problem> {
    let key = Key::read(segment).ok_or_else(Problem::not_found)?;
    if let Some(row) = find(access, &key).await? {
        return Ok(row);
    }
    let (Some(mut new), Key::Uid(uid)) = (brought, key) else {
        return Err(Problem::not_found());
    };
    if new.uid.as_ref().is_some_and(|named| *named != uid) {
        return Err(Problem::fault(
            &["body", "application", "uid"],
            "must be the one in the path",
        ));
    }
    new.uid = Some(uid);
    match make(access, new, now).await? {
        Ok(row) => Ok(row),
        Err(row) => {
            if row.state == State::Creating {
                set_up(access, &access.directory()?, &row).await?;
            }
            Ok(row)
        }
    }
}

/// Finishes halves, and drops keys that have expired. One that cannot be finished now does not keep the others waiting.
pub(crate) async fn tidy(env: &Env, now: Millis) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let mut failed = None;
    for row in application::halves(&directory, now.minus(ABANDONED_MS)).await? {
        if let Err(problem) = finish(env, &directory, &row, now).await {
            failed = Some(problem);
        }
    }
    idempotency::prune(&directory, now).await?;
    revocation::prune(&directory, now).await?;
    failed.map_or(Ok(()), Err)
}

async fn finish(env: &Env, directory: &Directory, row: &Application, now: Millis) -> Result<(), Problem> {
    let caller = postern_domain::wire::call::Caller::Organisation(row.organisation);
    let object = TenantObject::new(env, row.id, caller);
    match row.state {
        State::Creating => {
            let call = SetUp {
                organisation: row.organisation,
                settings: shape::settings(row),
            };
            object.call(call, &[]).await?;
            application::activate(directory, row.id).await
        }
        State::Deleting => end(env, directory, &object, row, now).await,
        State::Active => Ok(()),
    }
}

/// Takes away all of a tenant that is hidden already: what the directory holds is counted if somebody asked to be told,
/// then its connections end, then its object.
async fn end(
    env: &Env,
    directory: &Directory,
    object: &TenantObject,
    row: &Application,
    now: Millis,
) -> Result<(), Problem> {
    erasure::count(directory, row.organisation, row.id).await?;
    erase_all(env, directory, row.id).await?;
    wipe(directory, object, row, now).await
}

async fn wipe(
    directory: &Directory,
    object: &TenantObject,
    row: &Application,
    now: Millis,
) -> Result<(), Problem> {
    let line = erasure::find(directory, row.organisation, row.id).await?;
    if let Some(line) = line.filter(|line| line.erased_at.is_none()) {
        let told = line
            .told()
            .ok_or_else(|| Problem::internal("an erasure counted nothing"))?;
        return wipe_told(directory, object, row.id, told, now).await;
    }
    match object.call(Wipe {}, &[]).await {
        // Wiped before, or never set up: it refuses everything already.
        Err(problem) if problem.code != Code::NotFound => Err(problem),
        _ => application::end_delete(directory, row.id).await,
    }
}

async fn wipe_told(
    directory: &Directory,
    object: &TenantObject,
    id: TenantId,
    told: Told,
    now: Millis,
) -> Result<(), Problem> {
    let erased = match object.call(Erase {}, &[]).await {
        Ok((erased, _)) => Some(erased),
        // Wiped before, and the answer that told of it was lost: what there was nobody can tell any more.
        Err(problem) if problem.code == Code::NotFound => None,
        Err(problem) => return Err(problem),
    };
    let told = Told {
        object: erased,
        ..told
    };
    let told = serde_json::to_string(&told).map_err(Problem::internal)?;
    erasure::finish(directory, id, &told, now).await
}

/// 409.
pub(crate) fn taken_just_now() -> Problem {
    Problem::new(Code::Conflict, "An application with this uid exists already")
}
