//! `POST /api/v1/app/{app_id}/msg/search`: the list of messages, with its filters in the body.

use postern_domain::problem::Problem;
use postern_domain::wire::call::{MessageFilter, MessageList, PageOf};

use super::shape::MessageOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::{Answer, try_page};

/// A page of messages, the newest first.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let page = PageOf {
        limit: form.optional("limit", field::limit).unwrap_or(50),
        iterator: form.optional("iterator", field::text),
        ascending: false,
    };
    let filter = MessageFilter {
        before: form.optional("before", field::time),
        after: form.optional("after", field::time),
        channel: form.optional("channel", field::channel),
        event_types: form.optional("event_types", field::event_type_names),
        tag: form.optional("tag", field::tag),
    };
    let with_content = form.optional("with_content", field::flag).unwrap_or(false);
    let call = form.finish(Some(MessageList {
        page,
        filter,
        with_content,
    }))?;
    let (messages, bodies) = access.object().call(call, &[]).await?;
    let mut bodies = bodies.into_iter();
    Answer::ok(&try_page(messages, |message| {
        MessageOut::new(message, bodies.next())
    })?)
}
