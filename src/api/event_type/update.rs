//! `PUT /api/v1/event-type/{event_type_name}`: replaces, or makes.

use postern_domain::problem::{Code, Problem};

use super::shape::{self, EventTypeIn, EventTypeOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::event_type;

/// 200 for a replaced one, 201 for a new one.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let name = shape::named(ask.param(0))?.to_owned();
    let mut form = ask.form()?;
    let new = EventTypeIn::read_as(&mut form, Some(name.clone()));
    let new = form.finish(new)?;
    let directory = access.directory()?;
    let before = event_type::find(&directory, access.organisation, &name).await?;
    let new = new.row(before.as_ref(), ask.now)?;
    if before.is_some() && event_type::update(&directory, access.organisation, &new).await? {
        return Answer::ok(&EventTypeOut::new(new, true));
    }
    if event_type::insert(&directory, access.organisation, &new).await? {
        Answer::json(201, &EventTypeOut::new(new, true))
    } else {
        Err(Problem::new(Code::Conflict, "Somebody else is at it; try again"))
    }
}
