//! `GET /api/v1/app`.

use postern_domain::problem::Problem;

use super::shape::ApplicationOut;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};
use crate::store::application;

/// A page of applications, in the order they were made.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    query.finish()?;
    let rows = application::list(&access.directory()?, access.organisation, of).await?;
    Answer::ok(&page(rows, |row| ApplicationOut::new(&row)))
}
