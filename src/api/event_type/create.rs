//! `POST /api/v1/event-type`: makes one, or brings an archived one back.

use postern_domain::problem::{Code, Problem};

use super::shape::{EventTypeIn, EventTypeOut};
use crate::api::access::OrganisationAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::event_type;

/// 201.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let new = EventTypeIn::read(&mut form);
    let new = form.finish(new)?.row(None, ask.now)?;
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, "")?;
    idempotency::once(&directory, key, ask.now, async {
        if event_type::insert(&directory, access.organisation, &new).await? {
            Answer::json(201, &EventTypeOut::new(new, true))
        } else {
            Err(Problem::new(
                Code::Conflict,
                "An event type with this name exists already",
            ))
        }
    })
    .await
}
