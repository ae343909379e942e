//! `GET /api/v1/event-type`.

use postern_domain::problem::Problem;

use super::shape::EventTypeOut;
use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};
use crate::store::event_type;

/// A page of event types, by name; with schemas if `with_content`. A portal sees those without a flag and those of its
/// flags.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let access = caller.reader()?;
    let mut query = ask.query();
    let of = query.page();
    let archived_too = query.flag("include_archived", false);
    let with_content = query.flag("with_content", false);
    query.finish()?;
    let (directory, flags) = (access.directory()?, access.flags.as_deref());
    let rows = event_type::list(&directory, access.organisation, of, archived_too, flags).await?;
    Answer::ok(&page(rows, |row| EventTypeOut::new(row, with_content)))
}
