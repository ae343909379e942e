//! `/api/v1/oauth-app` and `/api/v1/app/{app_id}/oauth-app`: clients at providers' authorization servers. Those of the
//! organisation may be used by all of its tenants, those of a tenant by it alone. Both are done by the same handlers: the
//! organisation's come as if its ledger stood first in the path.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod update;

pub(crate) mod shape;

mod draft;
pub(crate) mod tell;

pub(in crate::api) use draft::scopes;

use postern_domain::app_level::ledger_of;
use postern_domain::oauth::app::Row;
use postern_domain::problem::{Code, Problem};

use super::access::TenantAccess;
use super::ask::Ask;
use crate::store::application::{self, State};
use crate::store::oauth_app::{self, Key, Owner};

/// Whose apps the path means: 404 for a tenant that is not there.
pub(super) async fn owner(access: &TenantAccess) -> Result<Owner, Problem> {
    let organisation = access.organisation;
    if access.tenant == ledger_of(organisation) {
        return Ok(Owner {
            organisation,
            application: None,
        });
    }
    let key = application::Key::Id(access.tenant);
    let row = application::find(&access.directory()?, organisation, &key).await?;
    row.filter(|row| row.state == State::Active)
        .ok_or_else(Problem::not_found)?;
    Ok(Owner {
        organisation,
        application: Some(access.tenant),
    })
}

/// The app that the path names.
async fn named(access: &TenantAccess, ask: &Ask) -> Result<Row, Problem> {
    let key = Key::read(ask.param(1)).ok_or_else(Problem::not_found)?;
    let owner = owner(access).await?;
    oauth_app::find(&access.directory()?, owner, &key)
        .await?
        .ok_or_else(Problem::not_found)
}

/// 409.
fn taken() -> Problem {
    Problem::new(
        Code::Conflict,
        "An app with this uid exists already, or this one was changed meanwhile",
    )
}
