//! What was published, as a request says it.

use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::publish::NewMessage;

use super::super::shape::ApplicationIn;
use crate::api::field;
use crate::api::form::Form;

/// A message's body at the most.
pub(crate) const BODY_CAP: usize = 1_048_576;

/// One message and its body.
pub(in crate::api::app) struct Published {
    pub(in crate::api::app) message: NewMessage,
    pub(in crate::api::app) body: Vec<u8>,
    pub(in crate::api::app) application: Option<ApplicationIn>,
}

impl Published {
    /// Reads it; `None`: the form knows why.
    pub(in crate::api::app) fn read(form: &mut Form<'_>, now: Millis) -> Option<Self> {
        let event_type = form.required("eventType", field::event_type);
        let event_id = form.optional("eventId", field::word);
        let channels = form.optional("channels", field::message_channels);
        let tags = form.optional("tags", field::tags).filter(|tags| !tags.is_empty());
        let deliver_at = form.optional("deliverAt", |value| field::deliver_at(value, now));
        let application = form.inner("application", ApplicationIn::read);
        let payload_hours = payload_hours(form);
        let payload = payload(form);
        let params = form.inner("transformationsParams", |form| Some(Params::read(form)));
        let params = params.unwrap_or_default();
        let body = params.raw.or(payload)?.into_bytes();
        let content_type = params
            .content_type
            .unwrap_or_else(|| "application/json".to_owned());
        let message = NewMessage {
            event_type: event_type?,
            event_id,
            channels,
            tags,
            content_type,
            deliver_at,
            payload_hours,
        };
        Some(Self {
            message,
            body,
            application,
        })
    }

    /// Whether it fits.
    pub(in crate::api::app) fn check_size(&self) -> Result<(), Problem> {
        if self.body.len() > BODY_CAP {
            let detail = format!("The payload is larger than {BODY_CAP} bytes");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        Ok(())
    }
}

/// How long the payload may be kept: Svix has days, and hours for less than five of them. Both: the shorter.
fn payload_hours(form: &mut Form<'_>) -> Option<u16> {
    let days = form.optional("payloadRetentionPeriod", field::payload_days);
    let hours = form.optional("payloadRetentionHours", field::payload_hours);
    days.map(|days| 24 * days).into_iter().chain(hours).min()
}

/// The text of `payload`, as it came: its bytes are what is signed and sent.
pub(crate) fn payload(form: &mut Form<'_>) -> Option<String> {
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

/// Svix's way for bodies that are no JSON object: `rawPayload`, and the type among `headers`. Other headers are not sent.
#[derive(Default)]
struct Params {
    raw: Option<String>,
    content_type: Option<String>,
}

impl Params {
    fn read(form: &mut Form<'_>) -> Self {
        let raw = form.optional("rawPayload", field::text);
        let headers = form.optional("headers", field::metadata).unwrap_or_default();
        let mut types = headers
            .into_iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = types.next();
        if let Some((name, _)) = types.next() {
            form.say(&["headers", &name], "stands twice", "value_error");
        }
        if let Some((name, value)) = &content_type
            && (!(1..=256).contains(&value.len()) || !value.bytes().all(|b| (b' '..=b'~').contains(&b)))
        {
            let msg = "must be 1 to 256 visible ASCII characters";
            form.say(&["headers", name], msg, "value_error");
        }
        Self {
            raw,
            content_type: content_type.map(|(_, value)| value),
        }
    }
}
