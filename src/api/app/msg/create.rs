//! `POST /api/v1/app/{app_id}/msg`: publishes an event.

use postern_domain::problem::Problem;
use postern_domain::wire::MessageView;
use postern_domain::wire::call::{Accept, Idempotency};
use postern_domain::wire::publish::AcceptBatch;
use postern_platform::random;
use postern_platform::tenant::TenantObject;

use super::published::Published;
use super::shape::MessageOut;
use super::store;
use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 202 with the message; 409 for an `eventId` that is there already.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let with_content = query.flag("with_content", true);
    query.finish()?;
    let mut form = ask.form()?;
    let published = Published::read(&mut form, ask.now);
    let mut published = form.finish(published)?;
    published.check_size()?;
    let access = store::tenant(caller, &ask, published.application.take()).await?;
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    let has_key = key.is_some();
    let (message, duplicate) = accept(&access.object(), &ask, &published, key).await?;
    let message = MessageOut::new(message, with_content.then_some(published.body))?;
    Ok(Answer::json(202, &message)?.replayed_if(duplicate && has_key))
}

/// What a plain accept does not carry goes as a batch of one: an object of a release that does not know it refuses it,
/// and does not send at once what shall wait.
async fn accept(
    object: &TenantObject,
    ask: &Ask,
    published: &Published,
    idempotency: Option<Idempotency>,
) -> Result<(MessageView, bool), Problem> {
    let message = published.message.clone();
    let bodies = std::slice::from_ref(&published.body);
    if message.deliver_at.is_some() || message.tags.is_some() {
        let call = AcceptBatch {
            nonce: random::nonce(),
            sent_at: ask.now,
            repeat: false,
            hop: ask.hop,
            idempotency,
            alone: true,
            messages: vec![message],
        };
        let repeat = AcceptBatch {
            repeat: true,
            ..call.clone()
        };
        let mut accepted = store::store(object, call, repeat, bodies).await?;
        let message = accepted.messages.pop();
        let message = message.ok_or_else(|| Problem::internal("an answer without its message"))?;
        return Ok((message, accepted.duplicate));
    }
    let call = Accept {
        nonce: random::nonce(),
        sent_at: ask.now,
        repeat: false,
        source: None,
        event_type: message.event_type,
        event_id: message.event_id,
        channels: message.channels,
        content_type: message.content_type,
        headers: std::collections::BTreeMap::new(),
        hop: ask.hop,
        idempotency,
        payload_hours: message.payload_hours,
        only_endpoint: None,
        received: None,
    };
    let repeat = Accept {
        repeat: true,
        ..call.clone()
    };
    let accepted = store::store(object, call, repeat, bodies).await?;
    Ok((accepted.message, accepted.duplicate))
}
