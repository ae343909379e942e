//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/msg/test-attempt`: sends a message once, and answers what came of it.

use std::collections::BTreeMap;

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::Accept;
use postern_domain::wire::replay::{AttemptAwait, TestAttempt};
use postern_platform::random;

use super::super::attempt::shape::MessageAttemptOut;
use super::super::msg::published::Published;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The object answers after 20 s at the latest.
const DEADLINE_MS: u64 = 25_000;

/// 201 with the attempt. The message is stored, goes to this endpoint alone whatever its filters say, and is tried once.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let published = Published::read(&mut form, ask.now);
    let published = form.finish(published)?;
    published.check_size()?;
    let (message, body) = (published.message, published.body);
    let call = TestAttempt {
        accept: Accept {
            nonce: random::nonce(),
            sent_at: ask.now,
            repeat: false,
            source: None,
            event_type: message.event_type,
            event_id: message.event_id,
            channels: message.channels,
            content_type: message.content_type,
            headers: BTreeMap::new(),
            hop: ask.hop,
            idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
            payload_hours: message.payload_hours,
            only_endpoint: None,
            received: None,
        },
        endpoint: ask.param(1).to_owned(),
    };
    let object = access.object();
    let (tested, _) = object.call(call, &[body]).await?;
    let awaited = AttemptAwait {
        message: tested.message,
        endpoint: tested.endpoint,
    };
    let (attempt, bodies) = object.call_within(DEADLINE_MS, awaited, &[]).await?;
    let attempt = attempt.ok_or_else(|| {
        let detail = format!(
            "There was no result within 20 s; it will stand among the attempts of {}",
            tested.message
        );
        Problem::new(Code::Overloaded, detail)
    })?;
    let response = bodies.into_iter().next().unwrap_or_default();
    Answer::json(201, &MessageAttemptOut::new(&attempt, &response))
}
