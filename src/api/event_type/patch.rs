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
    let feature_flag = form.change("featureFlag", field::word);
    form.finish(Some(()))?;

    let directory = access.directory()?;
    let row = event_type::find(&directory, access.organisation, name).await?;
    let mut row = row.ok_or_else(Problem::not_found)?;
    row.description = description.unwrap_or(row.description);
    row.archived = archived.map_or(row.archived, u8::from);
    row.deprecated = deprecated.map_or(row.deprecated, u8::from);
    row.schemas = schemas.map_or(row.schemas, |schemas| schemas.map(|schemas| schemas.to_string()));
    row.feature_flag = feature_flag.unwrap_or(row.feature_flag);
    row.updated_at = ask.now;
    if event_type::update(&directory, access.organisation, &row).await? {
        Answer::ok(&EventTypeOut::new(row, true))
    } else {
        Err(Problem::not_found())
    }
}
