//! `POST /api/v1/app/{app_id}/connection/{connection_id}/watch`: watches a mailbox or a calendar.

use postern_domain::problem::Problem;
use postern_domain::wire::watch::WatchPut;

use super::shape::WatchOut;
use super::wanted;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 201 when it stands, or is known to fail: then its state says so, and it is tried again. Asked again for the same, it is
/// the same watch, whatever the `Idempotency-Key`.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let wanted = wanted::read(&mut form);
    let wanted = form.finish(wanted)?;
    let object = super::super::object(&access, &ask).await?;
    let terms = wanted.terms(&access, &ask, &["body", "sourceId"]).await?;
    let view = object.call(WatchPut { terms }).await?;
    Answer::json(201, &WatchOut::new(view))
}
