//! What an event is called. Asked only after the signature held, and never a reason to lose it.

use serde_json::{Map, Value};

use super::config::CREDENTIAL_HEADERS;
use super::settings::{Settings, is_header_name};
use super::verdict::{Event, Trust};
use super::{Headers, Request};
use crate::id::MAX_48;
use crate::time::Millis;

/// The type of an event that names none.
const UNNAMED: &str = "webhook.received";

const MAX_TYPE: usize = 256;

/// An id longer than this identifies nothing that a person ever looks for, and would be stored with each message.
const MAX_ID: usize = 1024;

const MAX_LOOKUP: usize = 512;

/// Where the generic presets find what an event is called: settings `eventType`, `eventId`, `eventTime` and `routingKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Naming {
    event_type: Option<Lookup>,
    event_id: Option<Lookup>,
    event_time: Option<Lookup>,
    tenant_key: Option<Lookup>,
}

impl Naming {
    /// Reads the settings. A header that carries a credential cannot be a name: it would be stored and shown.
    pub(super) fn read(settings: &mut Settings<'_>, credential_header: Option<&str>) -> Self {
        let mut lookup = |key| {
            let text = settings.text(key)?;
            let lookup = Lookup::parse(text);
            match &lookup {
                Err(msg) => settings.fault(key, *msg),
                Ok(lookup) if lookup.is_credential(credential_header) => {
                    settings.fault(
                        key,
                        "names a header that carries a credential: take another place",
                    );
                }
                Ok(_) => {}
            }
            lookup.ok()
        };
        Self {
            event_type: lookup("eventType"),
            event_id: lookup("eventId"),
            event_time: lookup("eventTime"),
            tenant_key: lookup("routingKey"),
        }
    }

    /// Writes the settings.
    pub(super) fn write(&self, settings: &mut Map<String, Value>) {
        for (key, lookup) in [
            ("eventType", &self.event_type),
            ("eventId", &self.event_id),
            ("eventTime", &self.event_time),
            ("routingKey", &self.tenant_key),
        ] {
            if let Some(lookup) = lookup {
                settings.insert(key.to_owned(), lookup.text.clone().into());
            }
        }
    }

    /// The headers that it looks at, in lower case.
    pub(super) fn headers(&self) -> Vec<String> {
        let lookups = [
            &self.event_type,
            &self.event_id,
            &self.event_time,
            &self.tenant_key,
        ];
        let names = lookups
            .into_iter()
            .flatten()
            .filter_map(|lookup| match &lookup.place {
                Place::Header(name) => Some(name.to_ascii_lowercase()),
                Place::Pointer(_) => None,
            });
        names.collect()
    }

    /// What a stored event is called by these settings.
    pub(super) fn again(&self, headers: &Headers, body: &[u8], body_trust: Trust) -> Renamed {
        let request = Request {
            method: "POST",
            url: None,
            headers,
            body,
        };
        let event = self.event(&request, None, body_trust);
        let found = event.event_type != UNNAMED || self.event_type.is_none();
        Renamed {
            event_type: found.then_some(event.event_type),
            id: event.id,
            tenant_key: event.tenant_key.map(|key| (key, event.tenant_key_trust)),
        }
    }

    /// The event's name; `signed_id` is its id where `eventId` is not set, and `body_trust` how far the body is believed.
    pub(super) fn event(&self, request: &Request<'_>, signed_id: Option<&str>, body_trust: Trust) -> Event {
        let lookups = [
            &self.event_type,
            &self.event_id,
            &self.event_time,
            &self.tenant_key,
        ];
        let body = lookups
            .into_iter()
            .flatten()
            .any(Lookup::wants_body)
            .then(|| serde_json::from_slice::<Value>(request.body).ok())
            .flatten();
        let find = |lookup: &Option<Lookup>| lookup.as_ref()?.find(request.headers, body.as_ref());
        let id = match self.event_id {
            Some(_) => find(&self.event_id),
            None => signed_id.map(str::to_owned),
        };
        let trust = |lookup: &Option<Lookup>| match lookup {
            Some(lookup) if !lookup.wants_body() => Trust::Unsigned,
            _ => body_trust,
        };
        Event {
            id: usable_id(id),
            id_trust: trust(&self.event_id),
            time: find(&self.event_time).as_deref().and_then(written_time),
            tenant_key: usable_id(find(&self.tenant_key)),
            tenant_key_trust: trust(&self.tenant_key),
            ..Event::of_type(usable_type(find(&self.event_type).as_deref()))
        }
    }
}

/// Names that today's settings find in a stored event. `None`: they do not look for one, or look at what was not kept; it
/// stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renamed {
    /// The type; the default one where the settings name no place for it.
    pub event_type: Option<String>,
    /// The provider's id.
    pub id: Option<String>,
    /// Whose it is, and how far that is believed.
    pub tenant_key: Option<(String, Trust)>,
}

/// An id to deduplicate by: never empty, which would make one event of all that lack an id.
pub(super) fn usable_id(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id.len() <= MAX_ID)
}

/// A type that every endpoint's filter can name: other characters become `_`, what is too long is cut, what is not
/// there is `webhook.received`.
pub(super) fn usable_type(text: Option<&str>) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    text.filter(|text| !text.is_empty())
        .unwrap_or(UNNAMED)
        .chars()
        .take(MAX_TYPE)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}

/// A time in a body: whole seconds, or RFC 3339.
pub(super) fn usable_time(value: Option<&Value>) -> Option<Millis> {
    match value? {
        Value::String(text) => Millis::from_rfc3339(text),
        value => value
            .as_u64()?
            .checked_mul(Millis::SECOND)
            .filter(|ms| *ms <= MAX_48)
            .map(Millis),
    }
}

/// A time in whatever way it is written: RFC 3339, seconds, or milliseconds, which have three digits more.
fn written_time(text: &str) -> Option<Millis> {
    let Ok(number) = text.parse::<u64>() else {
        return Millis::from_rfc3339(text);
    };
    let ms = if number < 100_000_000_000 {
        number * Millis::SECOND
    } else {
        number
    };
    (ms <= MAX_48).then_some(Millis(ms))
}

/// A place in a request that the owner named.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lookup {
    /// As it was posted.
    text: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Header(String),
    Pointer(String),
}

impl Lookup {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let place = if text.starts_with('/') {
            if !is_pointer(text) {
                return Err("is no JSON pointer: after `~` comes 0 or 1, and it has at most 512 characters");
            }
            Place::Pointer(text.to_owned())
        } else {
            let name = text.strip_prefix("header:").unwrap_or(text);
            if !is_header_name(name) {
                return Err(
                    "must be a header, such as header:X-Event, or a JSON pointer into the body, such as /type",
                );
            }
            Place::Header(name.to_owned())
        };
        Ok(Self {
            text: text.to_owned(),
            place,
        })
    }

    fn is_credential(&self, own: Option<&str>) -> bool {
        let Place::Header(name) = &self.place else {
            return false;
        };
        CREDENTIAL_HEADERS
            .into_iter()
            .chain(own)
            .any(|credential| credential.eq_ignore_ascii_case(name))
    }

    fn wants_body(&self) -> bool {
        matches!(self.place, Place::Pointer(_))
    }

    /// A text or a whole number. A number with a fraction, or beyond 64 bits, is none: two of them could look the same.
    fn find(&self, headers: &Headers, body: Option<&Value>) -> Option<String> {
        match &self.place {
            Place::Header(name) => {
                let mut values = headers.all(name);
                let value = values.next()?;
                values.next().is_none().then(|| value.to_owned())
            }
            Place::Pointer(pointer) => match body?.pointer(pointer)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
                _ => None,
            },
        }
    }
}

/// A JSON pointer by RFC 6901 that does not point at the whole body.
fn is_pointer(text: &str) -> bool {
    let mut after_tilde = text.split('~').skip(1);
    text.len() <= MAX_LOOKUP && after_tilde.all(|rest| rest.starts_with(['0', '1']))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn every_text_becomes_a_type_that_a_filter_can_name(text in ".*") {
            let event_type = usable_type(Some(&text));
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
            prop_assert!((1..=256).contains(&event_type.len()));
            prop_assert!(event_type.bytes().all(allowed));
        }

        #[test]
        fn a_type_that_is_already_good_stays_as_it_is(text in "[A-Za-z0-9_./:-]{1,256}") {
            prop_assert_eq!(usable_type(Some(&text)), text);
        }
    }

    #[test]
    fn an_event_that_names_no_type_is_still_an_event() {
        assert_eq!(usable_type(None), "webhook.received");
        assert_eq!(usable_type(Some("")), "webhook.received");
        assert_eq!(usable_type(Some("order paid*")), "order_paid_");
        assert_eq!(usable_type(Some("é")), "_");
        assert_eq!(usable_type(Some(&"a".repeat(300))).len(), 256);
    }

    #[test]
    fn a_routing_key_is_believed_as_far_as_the_place_where_it_stands() {
        let headers = Headers::new([("x-shop".to_owned(), "acme".to_owned())]);
        let request = Request {
            method: "POST",
            url: None,
            headers: &headers,
            body: br#"{"team":{"id":7}}"#,
        };
        let key = |place: &str| {
            let config = json!({ "routingKey": place });
            let mut settings = Settings::new("hmac", &config).unwrap();
            let naming = Naming::read(&mut settings, None);
            let mut written = Map::new();
            naming.write(&mut written);
            assert_eq!(Value::Object(written), config);
            let event = naming.event(&request, None, Trust::Signed);
            (event.tenant_key, event.tenant_key_trust)
        };
        assert_eq!(key("/team/id"), (Some("7".to_owned()), Trust::Signed));
        assert_eq!(key("header:X-Shop"), (Some("acme".to_owned()), Trust::Unsigned));
        assert_eq!(key("/nobody"), (None, Trust::Signed));
    }

    #[test]
    fn an_empty_id_is_no_id() {
        assert_eq!(usable_id(Some(String::new())), None);
        assert_eq!(usable_id(Some("a".repeat(1025))), None);
        assert_eq!(usable_id(Some("a".to_owned())), Some("a".to_owned()));
    }

    #[test]
    fn a_time_that_the_owner_named_may_be_written_in_three_ways() {
        for text in ["1700000000", "1700000000000", "2023-11-14T22:13:20Z"] {
            assert_eq!(written_time(text), Some(Millis(1_700_000_000_000)), "{text}");
        }
        for text in ["", "soon", "-1", "18446744073709551615"] {
            assert_eq!(written_time(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_seconds_or_rfc_3339_and_nothing_that_overflows() {
        assert_eq!(usable_time(Some(&json!(12))), Some(Millis(12_000)));
        assert_eq!(
            usable_time(Some(&json!("1970-01-01T00:00:12Z"))),
            Some(Millis(12_000))
        );
        for value in [
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!("soon"),
            json!([1]),
            json!(null),
        ] {
            assert_eq!(usable_time(Some(&value)), None, "{value}");
        }
        assert_eq!(usable_time(None), None);
    }
}
