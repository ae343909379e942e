//! `GET /api/v1/event-type/{event_type_name}`.

use postern_domain::problem::Problem;

use super::shape::{self, EventTypeOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::event_type;

/// One event type, archived or not.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?;
    let row = event_type::find(&access.directory()?, access.organisation, name).await?;
    Answer::ok(&EventTypeOut::new(row.ok_or_else(Problem::not_found)?, true))
}
