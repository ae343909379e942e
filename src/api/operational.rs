//! `/api/v1/operational-webhook/endpoint`: the endpoints of the operational tenant. Their operations are those of every
//! endpoint; here is how they come to it.

use postern_domain::operational::tenant_of;
use postern_domain::problem::Problem;
use postern_domain::wire::call::{SetUp, TenantSettings};

use super::access::{OrganisationAccess, TenantAccess};
use super::app::endpoint;
use super::ask::Ask;
use super::reply::Answer;

/// The operational tenant, which is set up by whoever asks first. It has no row in the directory, so that no list and no
/// path shows it.
pub(super) async fn access(organisation: &OrganisationAccess) -> Result<TenantAccess, Problem> {
    let access = organisation.tenant(tenant_of(organisation.organisation));
    let set_up = SetUp {
        organisation: organisation.organisation,
        settings: TenantSettings::default(),
    };
    access.object().call(set_up, &[]).await?;
    Ok(access)
}

/// `PUT …/{endpoint_id}`: 200, also for the one that a `uid` names and that was not there.
pub(super) async fn update(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut answer = endpoint::update::handle(access, ask).await?;
    answer.status = 200;
    Ok(answer)
}
