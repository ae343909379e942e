//! `DELETE /api/v1/event-type/{event_type_name}`: archives; with `expunge` it goes for good.

use postern_domain::problem::Problem;

use super::shape;
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::event_type;

/// 204.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?;
    let mut query = ask.query();
    let expunge = query.flag("expunge", false);
    query.finish()?;
    let directory = access.directory()?;
    let done = if expunge {
        event_type::expunge(&directory, access.organisation, name).await?
    } else {
        let row = event_type::find(&directory, access.organisation, name).await?;
        let mut row = row.ok_or_else(Problem::not_found)?;
        row.archived = 1;
        row.updated_at = ask.now;
        event_type::update(&directory, access.organisation, &row).await?
    };
    if done {
        Ok(Answer::empty())
    } else {
        Err(Problem::not_found())
    }
}
