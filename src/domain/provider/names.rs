//! What an event is called, as data: where in the request each name stands.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{usable_id, usable_type};
use super::pick::{pick_all, text_of};
use super::verdict::{Event, Part, Reason, Rejection, Trust};
use super::{Headers, Request};
use crate::id::MAX_48;
use crate::time::Millis;

/// Items of a batch at the most. Providers send 100 to 1000; more is refused aloud, because half a batch must not be
/// acknowledged.
pub(super) const MAX_ITEMS: usize = 1000;

/// The type of an item that is not what the provider sends.
const UNKNOWN: &str = "unknown";

/// A place in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A header that no signature covers.
    Header(&'static str),
    /// A JSON pointer into the body.
    Body(&'static str),
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Rfc3339,
}

/// Where the names of an event stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// The first that is there.
    pub(super) id: &'static [Place],
    /// Those that are there, joined by dots.
    pub(super) event_type: &'static [Place],
    /// The first that can be read.
    pub(super) time: &'static [(Place, Unit)],
    /// The first that is there.
    pub(super) tenant_key: &'static [Place],
    /// A place, and what stands there for an event that only tries the address out.
    pub(super) test: Option<(Place, &'static str)>,
    /// Whether the signature covers the body.
    pub(super) body: Trust,
}

/// Names nothing; what a preset's own says stands in front of it.
pub(super) const UNNAMED: Names = Names {
    id: &[],
    event_type: &[],
    time: &[],
    tenant_key: &[],
    test: None,
    body: Trust::Signed,
};

impl Names {
    /// The event that a whole request is.
    pub(super) fn event(&self, request: &Request<'_>) -> Event {
        self.event_in(request.headers, request.body)
    }

    /// The event that these bytes are.
    pub(super) fn event_in(&self, headers: &Headers, body: &[u8]) -> Event {
        let times = self.time.iter().map(|(place, _)| place);
        let test = self.test.iter().map(|(place, _)| place);
        let places = (self.id.iter().chain(self.event_type).chain(self.tenant_key)).chain(times.chain(test));
        let pointers: Vec<&str> = places
            .filter_map(|place| match place {
                Place::Body(pointer) => Some(*pointer),
                Place::Header(_) => None,
            })
            .collect();
        let values = pick_all(body, &pointers);
        let find = |place: &Place| match place {
            Place::Header(name) => header(headers, name).map(Value::from),
            Place::Body(pointer) => {
                let at = pointers.iter().position(|other| other == pointer)?;
                values.get(at)?.clone()
            }
        };
        let name = |places: &[Place]| {
            places.iter().find_map(|place| {
                let found = usable_id(text_of(find(place).as_ref()))?;
                Some((found, self.trust(*place)))
            })
        };
        let (id, id_trust) = unzip(name(self.id));
        let (tenant_key, tenant_key_trust) = unzip(name(self.tenant_key));
        let event_type: Vec<String> = self
            .event_type
            .iter()
            .filter_map(|place| text_of(find(place).as_ref()).filter(|text| !text.is_empty()))
            .collect();
        let time = |(place, unit): &(Place, Unit)| time_of(find(place).as_ref(), *unit);
        let is_test =
            |(place, value): (Place, &str)| text_of(find(&place).as_ref()).as_deref() == Some(value);
        Event {
            id,
            id_trust,
            event_type: usable_type(Some(&event_type.join("."))),
            time: self.time.iter().find_map(time),
            tenant_key,
            tenant_key_trust,
            is_test: self.test.is_some_and(is_test),
            part: Part::Whole,
        }
    }

    fn trust(&self, place: Place) -> Trust {
        match place {
            Place::Header(_) => Trust::Unsigned,
            Place::Body(_) => self.body,
        }
    }
}

/// A header's only value, if it has one that can be a name.
pub(super) fn header<'a>(headers: &'a Headers, name: &'a str) -> Option<&'a str> {
    let mut values = headers.all(name);
    let value = values.next()?;
    (values.next().is_none() && !value.is_empty()).then_some(value)
}

/// A time as the provider writes it; numbers may stand in quotes, and may have a fraction.
pub(super) fn time_of(value: Option<&Value>, unit: Unit) -> Option<Millis> {
    let ms = match (value?, unit) {
        (Value::String(text), Unit::Rfc3339) => return Millis::from_rfc3339(text),
        (_, Unit::Rfc3339) => return None,
        (Value::String(text), unit) => in_ms(text.parse().ok()?, unit)?,
        (Value::Number(number), unit) => match number.as_u64() {
            Some(number) => in_ms(number, unit)?,
            None => in_ms(whole_part(&number.to_string())?, unit)?,
        },
        _ => return None,
    };
    (ms <= MAX_48).then_some(Millis(ms))
}

/// The elements of a JSON array with their bytes in the body. None: the body is no array.
pub(super) fn elements(body: &[u8]) -> Result<Option<Vec<Range<usize>>>, Rejection> {
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return Ok(None);
    };
    check_size(elements.len())?;
    let ranges = elements.into_iter().map(|element| range_in(body, element.get()));
    Ok(Some(ranges.collect()))
}

/// Where a text that was borrowed from the body stands in it.
pub(super) fn range_in(body: &[u8], text: &str) -> Range<usize> {
    let start = text.as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + text.len()
}

/// A batch that can be split.
pub(super) fn check_size(items: usize) -> Result<(), Rejection> {
    if items <= MAX_ITEMS {
        return Ok(());
    }
    let detail = format!("Genuine, but a batch of {items} items; at most {MAX_ITEMS} are taken at once");
    Err(Rejection::new(Reason::TooLarge, detail))
}

/// An item of a batch: named if it is an object, kept as `unknown` if it is anything else.
pub(super) fn item(body: &[u8], range: Range<usize>, name: impl FnOnce(&[u8]) -> Event) -> Event {
    let bytes = body.get(range.clone()).unwrap_or_default();
    let event = if bytes.first() == Some(&b'{') {
        name(bytes)
    } else {
        Event::of_type(UNKNOWN.to_owned())
    };
    Event {
        part: Part::Bytes(range),
        ..event
    }
}

/// An object's fields in their order, as they were sent; none if it is no object.
pub(super) fn fields(object: &str) -> Vec<(String, &RawValue)> {
    struct Fields<'a>(Vec<(String, &'a RawValue)>);
    impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Read;
            impl<'de> serde::de::Visitor<'de> for Read {
                type Value = Vec<(String, &'de RawValue)>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Self::Value, A::Error> {
                    let mut fields = Vec::new();
                    while let Some(field) = map.next_entry()? {
                        fields.push(field);
                    }
                    Ok(fields)
                }
            }
            deserializer.deserialize_map(Read).map(Fields)
        }
    }
    serde_json::from_str::<Fields<'_>>(object).map_or_else(|_| Vec::new(), |fields| fields.0)
}

fn unzip(name: Option<(String, Trust)>) -> (Option<String>, Trust) {
    match name {
        Some((text, trust)) => (Some(text), trust),
        None => (None, Trust::Signed),
    }
}

fn in_ms(number: u64, unit: Unit) -> Option<u64> {
    match unit {
        Unit::Millis => Some(number),
        _ => number.checked_mul(Millis::SECOND),
    }
}

fn whole_part(number: &str) -> Option<u64> {
    number.split('.').next()?.parse().ok()
}
