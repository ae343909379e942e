//! `GET /api/v1/app/{app_id}/msg`.

use postern_domain::problem::Problem;
use postern_domain::wire::call::MessageList;

use super::shape::MessageOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, try_page};

/// A page of messages, the newest first.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = MessageList {
        page: query.page(),
        filter: query.messages(),
        with_content: query.flag("with_content", true),
    };
    query.finish()?;
    let (messages, bodies) = access.object().call(call, &[]).await?;
    let mut bodies = bodies.into_iter();
    Answer::ok(&try_page(messages, |message| {
        MessageOut::new(message, bodies.next())
    })?)
}
