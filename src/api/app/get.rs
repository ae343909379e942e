//! `GET /api/v1/app/{app_id}`.

use postern_domain::problem::Problem;

use super::shape::ApplicationOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::application::{self, Key, State};

/// One application.
pub(crate) async fn handle(access: TenantAccess, _ask: Ask) -> Result<Answer, Problem> {
    let row = application::find(&access.directory()?, access.organisation, &Key::Id(access.tenant)).await?;
    let row = row
        .filter(|row| row.state == State::Active)
        .ok_or_else(Problem::not_found)?;
    Answer::ok(&ApplicationOut::new(&row))
}
