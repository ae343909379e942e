//! `PATCH /api/v1/event-type/{event_type_name}`: changes what is given.

use postern_domain::problem::Problem;

use super::shape::{self, EventTypeOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::event_type;

/// 200.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?;
    let mut form = ask.form()?;
    let description = form.given("description", field::description);
    let archived = form.given("archived", field::flag);
    let deprecated = form.given("deprecated", field::flag);
    let schemas = form.change("schemas", field::schemas);
    let flags = shape::flags(&mut form);
    let group_name = form.change("groupName", field::word);
    let retry_schedule = form.change("retrySchedule", field::schedule);
    form.finish(Some(()))?;

    let directory = access.directory()?;
    let row = event_type::find(&directory, access.organisation, name).await?;
    let mut row = row.ok_or_else(Problem::not_found)?;
    row.description = description.unwrap_or(row.description);
    row.archived = archived.map_or(row.archived, u8::from);
    row.deprecated = deprecated.map_or(row.deprecated, u8::from);
    row.schemas = schemas.map_or(row.schemas, |schemas| schemas.map(|schemas| schemas.to_string()));
    if let Some(flags) = flags {
        row.set_flags(&flags.unwrap_or_default())?;
    }
    row.group_name = group_name.unwrap_or(row.group_name);
    if let Some(schedule) = retry_schedule {
        row.set_schedule(schedule.as_ref())?;
    }
    row.updated_at = ask.now;
    if event_type::update(&directory, access.organisation, &row).await? {
        Answer::ok(&EventTypeOut::new(row, true))
    } else {
        Err(Problem::not_found())
    }
}
