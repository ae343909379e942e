//! `POST /api/v1/app/{app_id}/msg/batch`: publishes several events, all or none.

use postern_domain::problem::Problem;
use postern_domain::wire::publish::{AcceptBatch, MAX_BATCH};
use postern_platform::random;
use serde::Serialize;

use super::published::Published;
use super::shape::MessageOut;
use super::store;
use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The messages, in the order in which they were published.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct MessageBatchOut {
    data: Vec<MessageOut>,
}

/// 202 with the messages; 409 and nothing stored for an `eventId` that is there already or stands twice.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let with_content = query.flag("with_content", true);
    query.finish()?;
    let mut form = ask.form()?;
    let published = form.each("messages", 1..=MAX_BATCH, |form| Published::read(form, ask.now));
    let published = form.finish(published)?;
    for one in &published {
        one.check_size()?;
    }
    let (mut messages, mut bodies, mut brought) = (Vec::new(), Vec::new(), None);
    for one in published {
        messages.push(one.message);
        bodies.push(one.body);
        brought = brought.or(one.application);
    }
    let access = store::tenant(caller, &ask, brought).await?;
    let call = AcceptBatch {
        nonce: random::nonce(),
        sent_at: ask.now,
        repeat: false,
        hop: ask.hop,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
        alone: false,
        messages,
    };
    let has_key = call.idempotency.is_some();
    let repeat = AcceptBatch {
        repeat: true,
        ..call.clone()
    };
    let accepted = store::store(&access.object(), call, repeat, &bodies).await?;
    let messages = accepted.messages.into_iter().zip(bodies);
    let data = messages.map(|(message, body)| MessageOut::new(message, with_content.then_some(body)));
    let data = data.collect::<Result<Vec<MessageOut>, Problem>>()?;
    let answer = Answer::json(202, &MessageBatchOut { data })?;
    Ok(answer.replayed_if(accepted.duplicate && has_key))
}
