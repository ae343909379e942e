//! `/api/v1/app/{app_id}/connection`: a tenant's authorised accounts at providers. What a connection is, its own object
//! knows; the directory has a row for lists, and gives `uid`s.

pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod proxy;
pub(crate) mod reset;
pub(crate) mod service_account;
pub(crate) mod session;
pub(crate) mod test;
pub(crate) mod toggle;
pub(crate) mod token;
pub(crate) mod token_reads;
pub(crate) mod watch;

pub(crate) mod shape;

mod terms;

use postern_domain::id::ConnectionId;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;
use postern_platform::connection::ConnectionObject;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::oauth_app;
use crate::store::connection::{self, Key, Row};

/// The connection that the path names. An id goes to its object without a look into the directory: the object knows its
/// tenant, and answers 404 to another.
async fn named(access: &TenantAccess, ask: &Ask) -> Result<ConnectionId, Problem> {
    of_segment(access, ask.param(1)).await
}

/// The same of a part of a path.
pub(in crate::api) async fn of_segment(
    access: &TenantAccess,
    segment: &str,
) -> Result<ConnectionId, Problem> {
    match Key::read(segment).ok_or_else(Problem::not_found)? {
        Key::Id(id) => Ok(id),
        key @ Key::Uid(_) => {
            let directory = access.directory()?;
            let row = connection::find(&directory, access.organisation, access.tenant, &key).await?;
            row.map(|row| row.id).ok_or_else(Problem::not_found)
        }
    }
}

/// What a body names, and is not there. Where the application itself is not, that comes first: 404.
async fn unnamed(access: &TenantAccess, field: &str, msg: &str) -> Problem {
    match oauth_app::owner(access).await {
        Ok(_) => Problem::fault(&["body", field], msg),
        Err(problem) => problem,
    }
}

/// The connection that a body's `connectionId` names, unless it is over.
pub(in crate::api) async fn of_body(access: &TenantAccess, named: &str) -> Result<Row, Problem> {
    let row = match Key::read(named) {
        Some(key) => connection::find(&access.directory()?, access.organisation, access.tenant, &key).await?,
        None => None,
    };
    match row.filter(|row| row.state != State::Revoked.as_str()) {
        Some(row) => Ok(row),
        None => Err(unnamed(access, "connectionId", "names no connection").await),
    }
}

/// Its object.
async fn object(access: &TenantAccess, ask: &Ask) -> Result<ConnectionObject, Problem> {
    Ok(access.connection(named(access, ask).await?))
}
