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

pub(crate) mod shape;

mod terms;

use postern_domain::id::ConnectionId;
use postern_domain::problem::Problem;
use postern_platform::connection::ConnectionObject;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::store::connection::{self, Key};

/// The connection that the path names. An id goes to its object without a look into the directory: the object knows its
/// tenant, and answers 404 to another.
async fn named(access: &TenantAccess, ask: &Ask) -> Result<ConnectionId, Problem> {
    of_segment(access, ask.param(1)).await
}

/// The same of a part of a path.
pub(crate) async fn of_segment(access: &TenantAccess, segment: &str) -> Result<ConnectionId, Problem> {
    match Key::read(segment).ok_or_else(Problem::not_found)? {
        Key::Id(id) => Ok(id),
        key @ Key::Uid(_) => {
            let directory = access.directory()?;
            let row = connection::find(&directory, access.organisation, access.tenant, &key).await?;
            row.map(|row| row.id).ok_or_else(Problem::not_found)
        }
    }
}

/// Its object.
async fn object(access: &TenantAccess, ask: &Ask) -> Result<ConnectionObject, Problem> {
    Ok(access.connection(named(access, ask).await?))
}
