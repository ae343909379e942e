//! `GET /api/v1/app/{app_id}/connection/{connection_id}/watch/{watch_id}`.

use postern_domain::problem::Problem;
use postern_domain::wire::watch::WatchList;

use super::shape::WatchOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One watch.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let number = super::named(&ask)?;
    let object = super::super::object(&access, &ask).await?;
    let watches = object.call(WatchList {}).await?;
    let watch = watches.into_iter().find(|watch| watch.number == number);
    Answer::ok(&WatchOut::new(watch.ok_or_else(Problem::not_found)?))
}
