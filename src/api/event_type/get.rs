//! `GET /api/v1/event-type/{event_type_name}`.

use postern_domain::problem::Problem;

use super::shape::{self, EventTypeOut};
use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::event_type;

/// One event type, archived or not. To a portal without its flag it is not there.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let access = caller.reader()?;
    let name = shape::named(ask.param(0))?;
    let row = event_type::find(&access.directory()?, access.organisation, name).await?;
    let row = row.filter(|row| row.is_visible(access.flags.as_deref()));
    Answer::ok(&EventTypeOut::new(row.ok_or_else(Problem::not_found)?, true))
}
