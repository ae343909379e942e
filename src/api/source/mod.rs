//! `/api/v1/source`: app-level sources, which belong to the organisation. What they have in common with those of a tenant
//! is done by the same handlers; here is how a request comes to the organisation's ledger, and what routing adds.

pub(crate) mod delete;
pub(crate) mod replay;
pub(crate) mod route;
pub(crate) mod routing;
pub(crate) mod unrouted;

use postern_domain::app_level::{self, is_key, ledger_of};
use postern_domain::problem::Problem;
use postern_domain::wire::call::{SetUp, SourceGet, TenantSettings};
use postern_domain::wire::route::RouteChanged;

use super::access::{OrganisationAccess, TenantAccess};
use super::ask::Ask;
use crate::store::route::Place;

/// The organisation's ledger, which is set up by whoever asks first. It has no row in the directory, so that no list and
/// no path shows it.
pub(super) async fn access(organisation: &OrganisationAccess) -> Result<TenantAccess, Problem> {
    let access = organisation.tenant(ledger_of(organisation.organisation));
    let set_up = SetUp {
        organisation: organisation.organisation,
        settings: TenantSettings::default(),
    };
    access.object().call(set_up, &[]).await?;
    Ok(access)
}

/// The source that a path names: 404 for any but the organisation's own.
async fn place(access: &TenantAccess, ask: &Ask) -> Result<Place, Problem> {
    let source = ask.param(1).to_owned();
    let (source, _) = access.object().call(SourceGet { source }, &[]).await?;
    Ok(Place {
        organisation: access.organisation,
        source: source.id,
    })
}

/// The routing key that a path names.
fn key(ask: &Ask) -> Result<String, Problem> {
    let key = ask.param(2);
    if is_key(key) {
        return Ok(key.to_owned());
    }
    let msg = format!(
        "must be 1 to {} bytes without control characters",
        app_level::MAX_KEY
    );
    Err(Problem::fault(&["path", "key"], msg))
}

/// Lets the ledger ask the directory again: a new claim counts from the next event on.
async fn changed(access: &TenantAccess, ask: &Ask, key: String) -> Result<(), Problem> {
    let source = ask.param(1).to_owned();
    let changed = RouteChanged {
        source,
        key,
        all: false,
    };
    access.object().call(changed, &[]).await?;
    Ok(())
}

/// The same for all keys of the source.
async fn all_changed(access: &TenantAccess, ask: &Ask) -> Result<(), Problem> {
    let source = ask.param(1).to_owned();
    let changed = RouteChanged {
        source,
        key: String::new(),
        all: true,
    };
    access.object().call(changed, &[]).await?;
    Ok(())
}
