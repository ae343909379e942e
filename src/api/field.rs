//! Readers of single fields: from JSON to types that hold, with what is wrong and where inside the field.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::event_type;
use postern_domain::id::Uid;
use postern_domain::schedule::Schedule;
use postern_domain::signature::SigningKey;
use postern_domain::wire::HeaderNames;
use serde_json::Value;

/// One thing wrong inside of a field.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: Vec<String>,
    pub(crate) msg: String,
    pub(crate) kind: &'static str,
}

type Read<T> = Result<T, Vec<Wrong>>;

/// Labels of one thing, keys and values together.
const MAX_METADATA: usize = 16 * 1024;

/// A text.
pub(crate) fn text(value: &Value) -> Read<String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| of_type("a string"))
}

/// A text of up to 4,096 characters, for people.
pub(crate) fn description(value: &Value) -> Read<String> {
    bounded(value, 0, 4096)
}

/// A name for people.
pub(crate) fn name(value: &Value) -> Read<String> {
    bounded(value, 1, 256)
}

/// A URL, of a length that fits where it travels. What it may be, the rule for addresses says.
pub(crate) fn url(value: &Value) -> Read<String> {
    bounded(value, 1, 4096)
}

/// A truth.
pub(crate) fn flag(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| of_type("true or false"))
}

/// The caller's own name for a thing.
pub(crate) fn uid(value: &Value) -> Read<Uid> {
    Uid::try_from(text(value)?).map_err(|error| wrong(error.to_string()))
}

/// A place in a list.
pub(crate) fn index(value: &Value) -> Read<usize> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| of_type("a whole number from 0 on"))
}

/// A number of seconds.
pub(crate) fn seconds(value: &Value) -> Read<u32> {
    value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n <= 7 * 86_400)
        .ok_or_else(|| of_type("a whole number of seconds, 0 to 604800"))
}

/// Deliveries per second.
pub(crate) fn rate(value: &Value) -> Read<u16> {
    value
        .as_u64()
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n >= 1)
        .ok_or_else(|| of_type("a whole number from 1 to 65535"))
}

/// Waits between tries.
pub(crate) fn schedule(value: &Value) -> Read<Schedule> {
    let steps = list(value, |step| {
        let step = step.as_u64().and_then(|n| u32::try_from(n).ok());
        step.ok_or_else(|| of_type("a whole number of seconds"))
    })?;
    Schedule::new(steps).map_err(|error| wrong(error.to_string()))
}

/// Names of the signature's headers.
pub(crate) fn header_names(value: &Value) -> Read<HeaderNames> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be standard, svix or both"))
}

/// Labels.
pub(crate) fn metadata(value: &Value) -> Read<BTreeMap<String, String>> {
    let labels = map(value, |_, value| text(value))?;
    let size: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_METADATA {
        return Err(wrong("is larger than 16 KiB"));
    }
    Ok(labels)
}

/// Headers that an endpoint wants with every request.
pub(crate) fn headers(value: &Value) -> Read<BTreeMap<String, String>> {
    map(value, |name, value| {
        let value = text(value)?;
        header_name(name).map_err(wrong)?;
        if value.len() > 4096
            || !value
                .bytes()
                .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t')
        {
            return Err(wrong("must be up to 4096 visible ASCII characters"));
        }
        Ok(value)
    })
}

/// The name of an event type.
pub(crate) fn event_type(value: &Value) -> Read<String> {
    checked(value, event_type::check_name)
}

/// The publisher's id of an event, a feature flag: a short word.
pub(crate) fn word(value: &Value) -> Read<String> {
    checked(value, check_word)
}

/// What an endpoint wants: names and patterns.
pub(crate) fn event_types(value: &Value) -> Read<Vec<String>> {
    set(value, usize::MAX, event_type::check_pattern)
}

/// Channels of an endpoint.
pub(crate) fn endpoint_channels(value: &Value) -> Read<Vec<String>> {
    set(value, 10, event_type::check_channel)
}

/// Channels of a message.
pub(crate) fn message_channels(value: &Value) -> Read<Vec<String>> {
    set(value, 5, event_type::check_channel)
}

/// A signing key, kept as it was written.
pub(crate) fn signing_key(value: &Value) -> Read<String> {
    let key = text(value)?;
    // The error's own text stays out: it stands too near to a secret.
    SigningKey::parse(&key)
        .map(|_| key)
        .map_err(|_| wrong("must be whsec_ and the base64 of 24 to 75 bytes"))
}

/// Texts, as they are.
pub(crate) fn texts(value: &Value) -> Read<Vec<String>> {
    list(value, text)
}

/// A JSON object, as it is.
pub(crate) fn object(value: &Value) -> Read<Value> {
    if value.is_object() {
        Ok(value.clone())
    } else {
        Err(of_type("an object"))
    }
}

/// JSON schemas, by version.
pub(crate) fn schemas(value: &Value) -> Read<Value> {
    match value.as_object() {
        Some(versions) if versions.values().all(Value::is_object) => Ok(value.clone()),
        _ => Err(of_type("an object of objects")),
    }
}

/// Of `A-Z a-z 0-9 - _ .`, 1 to 256.
pub(crate) fn check_word(text: &str) -> Result<(), &'static str> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=256).contains(&text.len()) && text.bytes().all(form) {
        Ok(())
    } else {
        Err("must be 1 to 256 of A-Z a-z 0-9 - _ .")
    }
}

/// Whether an endpoint may choose this header: none that frames the request, names its sender or carries its signature.
fn header_name(name: &str) -> Result<(), &'static str> {
    const OURS: [&str; 13] = [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    const FAMILIES: [&str; 5] = ["cf-", "postern-", "proxy-", "svix-", "webhook-"];
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        Err("is not the name of a header")
    } else if OURS.contains(&lower.as_str()) || FAMILIES.iter().any(|family| lower.starts_with(family)) {
        Err("is a header that the sender sets")
    } else {
        Ok(())
    }
}

fn bounded(value: &Value, least: usize, most: usize) -> Read<String> {
    let text = text(value)?;
    if (least..=most).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(wrong(format!("must be {least} to {most} characters")))
    }
}

fn checked(value: &Value, check: fn(&str) -> Result<(), &'static str>) -> Read<String> {
    let text = text(value)?;
    check(&text).map_err(wrong)?;
    Ok(text)
}

/// One or more texts, each once.
fn set(value: &Value, most: usize, check: fn(&str) -> Result<(), &'static str>) -> Read<Vec<String>> {
    let texts = list(value, |text| checked(text, check))?;
    let unique: BTreeSet<&String> = texts.iter().collect();
    if texts.is_empty() {
        Err(wrong("must name at least one; leave it out, or null, for all"))
    } else if unique.len() < texts.len() {
        Err(wrong("must name each once"))
    } else if texts.len() > most {
        Err(wrong(format!("must name at most {most}")))
    } else {
        Ok(texts)
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    let items = value.as_array().ok_or_else(|| of_type("a list"))?;
    let items = items
        .iter()
        .enumerate()
        .map(|(n, item)| (n.to_string(), read(item)));
    collect(items).map(|items| items.into_iter().map(|(_, item)| item).collect())
}

fn map<T>(value: &Value, read: impl Fn(&str, &Value) -> Read<T>) -> Read<BTreeMap<String, T>> {
    let fields = value.as_object().ok_or_else(|| of_type("an object"))?;
    let fields = fields.iter().map(|(key, value)| (key.clone(), read(key, value)));
    collect(fields).map(|fields| fields.into_iter().collect())
}

/// All values, or all that is wrong with any.
fn collect<T>(parts: impl Iterator<Item = (String, Read<T>)>) -> Read<Vec<(String, T)>> {
    let (mut values, mut wrongs) = (Vec::new(), Vec::new());
    for (place, part) in parts {
        match part {
            Ok(value) => values.push((place, value)),
            Err(inner) => wrongs.extend(inner.into_iter().map(|mut wrong| {
                wrong.at.insert(0, place.clone());
                wrong
            })),
        }
    }
    if wrongs.is_empty() {
        Ok(values)
    } else {
        Err(wrongs)
    }
}

fn wrong(msg: impl Into<String>) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: msg.into(),
        kind: "value_error",
    }]
}

fn of_type(what: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: Vec::new(),
        msg: format!("must be {what}"),
        kind: "type_error",
    }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_may_not_choose_the_headers_that_the_sender_sets() {
        for name in [
            "Host",
            "webhook-id",
            "SVIX-signature",
            "content-length",
            "a b",
            "",
            "x\r\ny",
        ] {
            assert!(headers(&json!({ name: "x" })).is_err(), "{name}");
        }
        assert!(headers(&json!({ "Authorization": "Bearer x" })).is_ok());
        assert!(headers(&json!({ "x-a": "a\nb" })).is_err());
    }

    #[test]
    fn a_set_names_at_least_one_each_once_and_no_more_than_it_may() {
        for value in [
            json!([]),
            json!(["a", "a"]),
            json!(["1", "2", "3", "4", "5", "6"]),
            json!("a"),
            json!([1]),
        ] {
            assert!(message_channels(&value).is_err(), "{value}");
        }
        assert!(message_channels(&json!(["a", "b"])).is_ok());
    }
}
