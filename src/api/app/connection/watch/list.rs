//! `GET /api/v1/app/{app_id}/connection/{connection_id}/watch`: its watches, oldest first.

use postern_domain::problem::Problem;
use postern_domain::wire::call::Page;
use postern_domain::wire::watch::WatchList;

use super::shape::WatchOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, page};

/// All of them: a connection has at most [`postern_domain::watch::MOST`].
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    ask.query().finish()?;
    let object = super::super::object(&access, &ask).await?;
    let watches = object.call(WatchList {}).await?;
    let all = Page {
        data: watches,
        iterator: None,
        prev_iterator: None,
        done: true,
    };
    Answer::ok(&page(all, WatchOut::new))
}
