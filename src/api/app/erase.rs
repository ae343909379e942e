//! `POST /api/v1/app/{app_id}/erase`: everything of the tenant goes, and what it was is told.

use postern_domain::id::TenantId;
use postern_domain::problem::Problem;

use super::lifecycle;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::erasure::shape::ErasureOut;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::application::{self, Key};
use crate::store::erasure;

/// 200 with what there was. Again with the id: the same answer, from the line that outlives the tenant. It takes no
/// `Idempotency-Key`: nothing of the tenant may stay in the directory for its sake.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let directory = access.directory()?;
    let row = application::find(&directory, access.organisation, &key).await?;
    let tenant = match (&row, &key) {
        (Some(row), _) => row.id,
        (None, Key::Id(id)) => *id,
        (None, Key::Uid(_)) => return Err(Problem::not_found()),
    };
    if row.is_none() {
        let line = erasure::find(&directory, access.organisation, tenant).await?;
        line.ok_or_else(Problem::not_found)?;
    }
    confirmed(&ask, tenant)?;
    if let Some(row) = &row {
        lifecycle::erase(&access, row, ask.now).await?;
    }
    let line = erasure::find(&directory, access.organisation, tenant).await?;
    Answer::ok(&ErasureOut::new(&line.ok_or_else(Problem::not_found)?))
}

/// The id, said again in the body: nothing brings back what is erased.
fn confirmed(ask: &Ask, tenant: TenantId) -> Result<(), Problem> {
    let mut form = ask.form()?;
    let confirm = form.required("confirm", field::text);
    if confirm
        .as_ref()
        .is_some_and(|confirm| *confirm != tenant.to_string())
    {
        form.say(&["confirm"], "must be the application's id", "value_error");
    }
    form.finish(confirm).map(drop)
}
