//! `POST /api/v1/app/{app_id}/msg`: publishes an event.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Accept, Accepted};

use super::super::lifecycle;
use super::super::shape::ApplicationIn;
use super::shape::MessageOut;
use crate::api::access::{Caller, TenantAccess};
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;
use crate::api::reply::Answer;
use crate::platform::deadline::within;
use crate::platform::random;
use crate::platform::tenant::TenantObject;
use crate::store::application::{Key, State};

/// A message's body at the most.
pub(in crate::api::app) const BODY_CAP: usize = 1_048_576;

/// How long a publisher waits for the ledger before it is told to come again.
const DEADLINE_MS: u64 = 1_500;

/// 202 with the message; 409 for an `eventId` that is there already.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let with_content = query.flag("with_content", true);
    query.finish()?;
    let mut form = ask.form()?;
    let published = Published::read(&mut form);
    let published = form.finish(published)?;
    if published.body.len() > BODY_CAP {
        let detail = format!("The payload is larger than {BODY_CAP} bytes");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let access = tenant(caller, &ask, published.application).await?;
    let accept = Accept {
        nonce: random::nonce(),
        sent_at: ask.now,
        repeat: false,
        source: None,
        event_type: published.event_type,
        event_id: published.event_id,
        channels: published.channels,
        content_type: published.content_type,
        headers: std::collections::BTreeMap::new(),
        hop: ask.hop,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
        only_endpoint: None,
    };
    let has_key = accept.idempotency.is_some();
    let bodies = [published.body];
    let accepted = store(&access.object(), accept, &bodies).await?;
    let [body] = bodies;
    let message = MessageOut::new(accepted.message, with_content.then_some(body))?;
    Ok(Answer::json(202, &message)?.replayed_if(accepted.duplicate && has_key))
}

/// What was published.
pub(in crate::api::app) struct Published {
    pub(in crate::api::app) event_type: String,
    pub(in crate::api::app) event_id: Option<String>,
    pub(in crate::api::app) channels: Option<Vec<String>>,
    pub(in crate::api::app) content_type: String,
    pub(in crate::api::app) body: Vec<u8>,
    application: Option<ApplicationIn>,
}

impl Published {
    /// Reads it; `None`: the form knows why.
    pub(in crate::api::app) fn read(form: &mut Form<'_>) -> Option<Self> {
        let event_type = form.required("eventType", field::event_type);
        let event_id = form.optional("eventId", field::word);
        let channels = form.optional("channels", field::message_channels);
        let application = form.inner("application", ApplicationIn::read);
        let payload = payload(form);
        let raw = form.inner("transformationsParams", raw_payload);
        let json = "application/json".to_owned();
        let (content_type, body) = raw.or_else(|| payload.map(|text| (json, text.into_bytes())))?;
        Some(Self {
            event_type: event_type?,
            event_id,
            channels,
            content_type,
            body,
            application,
        })
    }
}

/// The text of `payload`, as it came: its bytes are what is signed and sent.
fn payload(form: &mut Form<'_>) -> Option<String> {
    let Some(raw) = form.raw("payload") else {
        form.say(&["payload"], "is missing", "missing");
        return None;
    };
    if raw.get().starts_with('{') {
        Some(raw.get().to_owned())
    } else {
        form.say(&["payload"], "must be an object", "type_error");
        None
    }
}

/// Svix's way for bodies that are no JSON object: `rawPayload`, and the type among `headers`.
fn raw_payload(form: &mut Form<'_>) -> Option<(String, Vec<u8>)> {
    let raw = form.optional("rawPayload", field::text)?;
    let headers = form.optional("headers", field::metadata).unwrap_or_default();
    let content_type = headers
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or_else(|| "application/json".to_owned(), |(_, value)| value);
    if content_type.is_empty()
        || content_type.len() > 256
        || !content_type.bytes().all(|b| (b' '..=b'~').contains(&b))
    {
        form.say(
            &["headers", "content-type"],
            "must be 1 to 256 visible ASCII characters",
            "value_error",
        );
        return None;
    }
    Some((content_type, raw.into_bytes()))
}

/// The tenant that the path names; made on the way if the request brings one along and there is none of that `uid`.
async fn tenant(caller: Caller, ask: &Ask, brought: Option<ApplicationIn>) -> Result<TenantAccess, Problem> {
    let found = caller.again().tenant(ask.param(0), ask.now).await;
    let (Err(problem), Some(mut new), Some(Key::Uid(uid))) = (&found, brought, Key::read(ask.param(0)))
    else {
        return found;
    };
    if problem.code != Code::NotFound {
        return found;
    }
    if new.uid.as_ref().is_some_and(|named| *named != uid) {
        return Err(Problem::fault(
            &["body", "application", "uid"],
            "must be the one in the path",
        ));
    }
    new.uid = Some(uid);
    let access = caller.organisation()?;
    let row = match lifecycle::make(&access, new, ask.now).await? {
        Ok(row) => row,
        Err(row) => {
            if row.state == State::Creating {
                lifecycle::set_up(&access, &access.directory()?, &row).await?;
            }
            row
        }
    };
    Ok(access.tenant(row.id))
}

/// Asks the ledger, and once more with the same nonce when the answer was lost. One that has too much to do is not asked
/// again.
async fn store(object: &TenantObject, accept: Accept, bodies: &[Vec<u8>]) -> Result<Accepted, Problem> {
    let repeat = Accept {
        repeat: true,
        ..accept.clone()
    };
    let tries = async {
        match object.call(accept, bodies).await {
            Err(problem) if problem.code == Code::Internal => object.call(repeat, bodies).await,
            done => done,
        }
    };
    let done = within(DEADLINE_MS, tries).await.unwrap_or_else(|| {
        Err(Problem::new(
            Code::Overloaded,
            "Too much at once; publish it again after a moment, with the same eventId or Idempotency-Key",
        ))
    });
    done.map(|(accepted, _)| accepted)
}
