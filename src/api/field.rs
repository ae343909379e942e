//! Readers of single fields: from JSON to types that hold, with what is wrong and where inside the field.

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::access::Capability;
use postern_domain::entitlement::{PastDue, Provider};
use postern_domain::event_type;
use postern_domain::filter::Filter;
use postern_domain::header;
use postern_domain::id::Uid;
use postern_domain::legacy_signature::{Algorithm, Encoding, Secret};
use postern_domain::oauth::provider::Limits;
use postern_domain::schedule::Schedule;
use postern_domain::signature::{SigningKey, Version};
use postern_domain::time::Millis;
use postern_domain::wire::{DisableAfter, EndpointKind, HeaderNames, Ordering};
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

/// An address of mail: what stands on both sides of its `@` is the business of whoever sends there.
pub(crate) fn email(value: &Value) -> Read<String> {
    let text = bounded(value, 3, 254)?;
    let halves = text.split_once('@');
    let holds =
        halves.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    if holds && text.chars().all(|c| !c.is_control() && !c.is_whitespace()) {
        Ok(text)
    } else {
        Err(wrong("must be an address such as ops@example.com"))
    }
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

/// A time.
pub(crate) fn time(value: &Value) -> Read<Millis> {
    Millis::from_rfc3339(&text(value)?)
        .ok_or_else(|| wrong("must be a time of RFC 3339, such as 2026-08-01T12:00:00Z"))
}

/// Seconds after which a new token ends.
pub(crate) fn poller_token_expiry(value: &Value) -> Read<u32> {
    value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| (1..=31_536_000).contains(n))
        .ok_or_else(|| of_type("a whole number of seconds, 1 to 31536000"))
}

/// Seconds after which the token before ends.
pub(crate) fn old_token_expiry(value: &Value) -> Read<u32> {
    value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n <= 86_400)
        .ok_or_else(|| of_type("a whole number of seconds, 0 to 86400"))
}

/// Whether an endpoint is sent to or polled.
pub(crate) fn endpoint_kind(value: &Value) -> Read<EndpointKind> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be webhook or polling"))
}

/// Deliveries per second.
pub(crate) fn rate(value: &Value) -> Read<u16> {
    value
        .as_u64()
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n >= 1)
        .ok_or_else(|| of_type("a whole number from 1 to 65535"))
}

/// How fast a connection's API may be asked.
pub(crate) fn limits(value: &Value) -> Read<Limits> {
    const NAMES: [&str; 3] = ["perSecond", "perMinute", "perDay"];
    let members = value.as_object().ok_or_else(|| of_type("an object"))?;
    if let Some(name) = members.keys().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(inside(name, "is not one of perSecond, perMinute and perDay"));
    }
    let zero = members.iter().find(|(_, limit)| limit.as_u64() == Some(0));
    if let Some((name, _)) = zero {
        return Err(inside(
            name,
            "must be at least 1; `enabled: false` stops everything",
        ));
    }
    serde_json::from_value(value.clone())
        .map_err(|_| wrong("must hold whole numbers from 1 to 4294967295, or null"))
}

/// Waits between tries.
pub(crate) fn schedule(value: &Value) -> Read<Schedule> {
    let steps = list(value, |step| {
        let step = step.as_u64().and_then(|n| u32::try_from(n).ok());
        step.ok_or_else(|| of_type("a whole number of seconds"))
    })?;
    Schedule::new(steps).map_err(|error| wrong(error.to_string()))
}

/// In which order an endpoint gets its messages.
pub(crate) fn ordering(value: &Value) -> Read<Ordering> {
    let ordering: Ordering = serde_json::from_value(value.clone()).map_err(|_| {
        wrong("must be an object with `key` (null, or a JSON pointer such as /customer/id) and `onFailure` (wait or skip)")
    })?;
    let pointer = ordering.key.as_deref().unwrap_or("/");
    let escaped = |part: &str| part.starts_with(['0', '1']);
    if !pointer.starts_with('/') || pointer.len() > 256 || !pointer.split('~').skip(1).all(escaped) {
        return Err(inside(
            "key",
            "must be a JSON pointer of up to 256 characters, such as /customer/id",
        ));
    }
    Ok(ordering)
}

/// When an endpoint that keeps failing is disabled.
pub(crate) fn disable_after(value: &Value) -> Read<DisableAfter> {
    let after: DisableAfter = serde_json::from_value(value.clone()).map_err(|_| {
        wrong("must be an object with `failed` (deliveries in a row) and `days`, whole numbers")
    })?;
    if after.failed > 1_000_000 {
        return Err(inside("failed", "must be at most 1000000; 0 is never"));
    }
    if after.days > 365 {
        return Err(inside("days", "must be at most 365; 0 is never"));
    }
    Ok(after)
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
    let headers = map(value, |name, value| {
        header::check_name(name).map_err(wrong)?;
        header_value(value)
    })?;
    once_in_any_case(headers.keys())?;
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > header::MAX_ALL {
        return Err(wrong("are larger than 16 KiB together"));
    }
    Ok(headers)
}

/// Headers that change; null takes one away.
pub(crate) fn header_changes(value: &Value) -> Read<BTreeMap<String, Option<String>>> {
    let changes = map(value, |name, value| {
        header::check_name(name).map_err(wrong)?;
        if value.is_null() {
            Ok(None)
        } else {
            header_value(value).map(Some)
        }
    })?;
    once_in_any_case(changes.keys())?;
    Ok(changes)
}

fn header_value(value: &Value) -> Read<String> {
    let value = text(value)?;
    header::check_value(&value).map_err(wrong)?;
    Ok(value)
}

fn once_in_any_case<'a>(names: impl Iterator<Item = &'a String>) -> Read<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(wrong(format!("name {name} twice, in another case")));
        }
    }
    Ok(())
}

/// Kinds of signature.
pub(crate) fn signatures(value: &Value) -> Read<Vec<Version>> {
    let kinds = list(value, |kind| {
        serde_json::from_value::<Version>(kind.clone()).map_err(|_| wrong("must be v1 or v1a"))
    })?;
    if kinds.is_empty() {
        return Err(wrong("must name v1, v1a or both"));
    }
    Ok(kinds)
}

/// The code of a signature of an older kind.
pub(crate) fn legacy_algorithm(value: &Value) -> Read<Algorithm> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be hmac-sha256, hmac-sha1 or hmac-sha512"))
}

/// How it is written.
pub(crate) fn legacy_encoding(value: &Value) -> Read<Encoding> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be hex, base64 or base64url"))
}

/// Its secret.
pub(crate) fn legacy_secret(value: &Value) -> Read<Secret> {
    Secret::parse(&text(value)?).map_err(wrong)
}

/// The name of an event type.
pub(crate) fn event_type(value: &Value) -> Read<String> {
    checked(value, event_type::check_name)
}

/// The publisher's id of an event, a feature flag: a short word.
pub(crate) fn word(value: &Value) -> Read<String> {
    checked(value, check_word)
}

/// Feature flags of an event type: at least one.
pub(crate) fn feature_flags(value: &Value) -> Read<Vec<String>> {
    set(value, 100, check_word)
}

/// Feature flags of a token: there may be none.
pub(crate) fn token_flags(value: &Value) -> Read<Vec<String>> {
    match value.as_array() {
        Some(flags) if flags.is_empty() => Ok(Vec::new()),
        _ => set(value, 100, check_word),
    }
}

/// What a portal may do.
pub(crate) fn capabilities(value: &Value) -> Read<Vec<Capability>> {
    let read = |word: &Value| {
        let word = text(word)?;
        let known = Capability::ALL.into_iter().find(|one| one.as_str() == word);
        known.ok_or_else(|| wrong("is no capability"))
    };
    let capabilities = list(value, read)?;
    if capabilities.contains(&Capability::ViewBase) {
        Ok(capabilities)
    } else {
        Err(wrong("must hold ViewBase"))
    }
}

/// The caller's own name for a session.
pub(crate) fn session(value: &Value) -> Read<String> {
    checked(value, check_session)
}

/// Sessions: there may be none.
pub(crate) fn sessions(value: &Value) -> Read<Vec<String>> {
    let sessions = list(value, session)?;
    if sessions.len() > 1000 {
        return Err(wrong("must name at most 1000"));
    }
    Ok(sessions)
}

/// How long a portal's token holds: an hour to seven days.
pub(crate) fn portal_expiry(value: &Value) -> Read<u64> {
    between(value, 3600, 7 * 86_400)
}

/// How long revoked tokens still hold: up to three days.
pub(crate) fn grace(value: &Value) -> Read<u64> {
    between(value, 0, 259_200)
}

/// How long a publisher's token holds: up to ten years.
pub(crate) fn token_expiry(value: &Value) -> Read<u64> {
    between(value, 0, 315_360_000)
}

/// Days that messages are kept.
pub(crate) fn retention_days(value: &Value) -> Read<u16> {
    between(value, 1, 90).and_then(small)
}

/// Days that a payload is kept.
pub(crate) fn payload_days(value: &Value) -> Read<u16> {
    between(value, 5, 90).and_then(small)
}

/// Hours that a payload is kept.
pub(crate) fn payload_hours(value: &Value) -> Read<u16> {
    between(value, 1, 2160).and_then(small)
}

/// Waits between tries, as Svix writes them: `{secs, nanos}`.
pub(crate) fn durations(value: &Value) -> Read<Schedule> {
    let steps = list(value, |step| {
        let part = |name: &str| step.get(name).and_then(Value::as_u64);
        match (part("secs").map(u32::try_from), part("nanos")) {
            (Some(Ok(seconds)), Some(0)) => Ok(seconds),
            (Some(Ok(_)), Some(_)) => Err(wrong("must be whole seconds: nanos is 0")),
            _ => Err(of_type("an object of secs and nanos, whole numbers")),
        }
    })?;
    Schedule::new(steps).map_err(|error| wrong(error.to_string()))
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

/// Labels of a message: up to 5.
pub(crate) fn tags(value: &Value) -> Read<Vec<String>> {
    if value.as_array().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    set(value, 5, check_tag)
}

/// One label, as Svix's clients write it.
pub(crate) fn check_tag(text: &str) -> Result<(), &'static str> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./\\#".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(form) {
        Ok(())
    } else {
        Err("must be 1 to 128 of A-Z a-z 0-9 - _ . / \\ #")
    }
}

/// When the deliveries of a message shall leave.
pub(crate) fn deliver_at(value: &Value, now: Millis) -> Read<Millis> {
    let time = Millis::from_rfc3339(&text(value)?);
    let time = time.ok_or_else(|| wrong("must be a time of RFC 3339, such as 2026-08-01T12:00:00Z"))?;
    if time.since(now) > 30 * Millis::DAY {
        return Err(wrong("must be within 30 days"));
    }
    Ok(time)
}

/// What must hold of a message's content. The first thing wrong with it is told.
pub(crate) fn filter(value: &Value) -> Read<Filter> {
    Filter::parse(value).map_err(|invalid| {
        vec![Wrong {
            at: invalid.at,
            msg: invalid.message,
            kind: "value_error",
        }]
    })
}

/// A signing key, kept as it was written.
pub(crate) fn signing_key(value: &Value) -> Read<String> {
    let key = text(value)?;
    // The error's own text stays out: it stands too near to a secret.
    SigningKey::parse(&key).map(|_| key).map_err(|_| {
        wrong("must be whsec_ and the base64 of 24 to 75 bytes, or whsk_ and the base64 of an Ed25519 key")
    })
}

/// Items of a page.
pub(crate) fn limit(value: &Value) -> Read<u16> {
    value
        .as_u64()
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| (1..=250).contains(n))
        .ok_or_else(|| of_type("a whole number from 1 to 250"))
}

/// One channel.
pub(crate) fn channel(value: &Value) -> Read<String> {
    checked(value, event_type::check_channel)
}

/// Names of event types, each once.
pub(crate) fn event_type_names(value: &Value) -> Read<Vec<String>> {
    set(value, usize::MAX, event_type::check_name)
}

/// What a tag may be.
pub(crate) const TAG: &str = "must be 1 to 128 of A-Z a-z 0-9 - _ . / \\ #";

/// A tag.
pub(crate) fn tag(value: &Value) -> Read<String> {
    checked(value, |text| if is_tag(text) { Ok(()) } else { Err(TAG) })
}

/// Whether a text may be a tag.
pub(crate) fn is_tag(text: &str) -> bool {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./\\#".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(form)
}

/// The token of another server, as a header can carry it.
pub(crate) fn bearer_token(value: &Value) -> Read<String> {
    checked(value, |text| {
        if (1..=4096).contains(&text.len()) && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            Ok(())
        } else {
            Err("must be 1 to 4096 visible ASCII characters")
        }
    })
}

/// A key of Stripe's API, secret or restricted: the one that a browser may know reads nothing.
pub(crate) fn stripe_api_key(value: &Value) -> Read<String> {
    checked(value, |text| {
        let kind = text.get(..3).is_some_and(|kind| matches!(kind, "sk_" | "rk_"));
        let form = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if kind && form && (16..=256).contains(&text.len()) {
            Ok(())
        } else {
            Err("must be a secret or restricted key of Stripe's API: sk_… or rk_…")
        }
    })
}

/// A secret key of `RevenueCat`'s API: the ones that an app knows have other beginnings.
pub(crate) fn revenuecat_api_key(value: &Value) -> Read<String> {
    checked(value, |text| {
        let form = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if text.starts_with("sk_") && form && (16..=256).contains(&text.len()) {
            Ok(())
        } else {
            Err("must be a secret key of RevenueCat's API: sk_…")
        }
    })
}

/// A project of `RevenueCat`'s.
pub(crate) fn revenuecat_project(value: &Value) -> Read<String> {
    checked(value, |text| {
        let form = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if form && (1..=255).contains(&text.len()) {
            Ok(())
        } else {
            Err("must be the id of a project at RevenueCat, as its settings show it")
        }
    })
}

/// Who is asked about customers.
pub(crate) fn entitlement_provider(value: &Value) -> Read<Provider> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be stripe or revenuecat"))
}

/// What an unpaid renewal means.
pub(crate) fn past_due(value: &Value) -> Read<PastDue> {
    serde_json::from_value(value.clone()).map_err(|_| wrong("must be deny, grace or grant"))
}

/// A whole number that is not large.
pub(crate) fn small_number(value: &Value) -> Read<u16> {
    between(value, 0, u64::from(u16::MAX)).and_then(small)
}

/// Applications, by id or `uid`: up to 100.
pub(crate) fn applications(value: &Value) -> Read<Vec<String>> {
    set(value, 100, check_word)
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

fn check_session(text: &str) -> Result<(), &'static str> {
    let form = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(form) {
        Ok(())
    } else {
        Err("must be 1 to 64 of A-Z a-z 0-9 @ _ -")
    }
}

fn between(value: &Value, least: u64, most: u64) -> Read<u64> {
    value
        .as_u64()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| of_type(&format!("a whole number from {least} to {most}")))
}

fn small(n: u64) -> Read<u16> {
    u16::try_from(n).map_err(|_| of_type("a smaller number"))
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

fn inside(place: &str, msg: &str) -> Vec<Wrong> {
    vec![Wrong {
        at: vec![place.to_owned()],
        msg: msg.to_owned(),
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
    fn durations_are_whole_seconds() {
        let steps = |value: &Value| durations(value).ok().map(|schedule| schedule.steps().to_vec());
        assert_eq!(steps(&json!([{"secs": 5, "nanos": 0}])), Some(vec![5]));
        assert_eq!(steps(&json!([])), Some(vec![]));
        for value in [
            json!([{"secs": 5, "nanos": 1}]),
            json!([{"secs": 5}]),
            json!([{"secs": -5, "nanos": 0}]),
            json!([{"secs": 0, "nanos": 0}]),
            json!([{"secs": 604_801, "nanos": 0}]),
            json!([5]),
            json!({"secs": 5, "nanos": 0}),
        ] {
            assert_eq!(steps(&value), None, "{value}");
        }
    }

    #[test]
    fn capabilities_are_words_that_are_known_and_view_base_is_always_one() {
        assert!(capabilities(&json!(["ViewBase", "ManageEndpoint"])).is_ok());
        for value in [
            json!(["ManageEndpoint"]),
            json!([]),
            json!(["ViewBase", "Fly"]),
            json!("ViewBase"),
        ] {
            assert!(capabilities(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn an_order_is_by_a_json_pointer_or_by_none() {
        for key in [json!(null), json!("/customer/id"), json!("/a~1b/~0")] {
            assert!(ordering(&json!({ "key": key })).is_ok(), "{key}");
        }
        assert!(ordering(&json!({ "onFailure": "skip" })).is_ok());
        for wrong in [
            json!({ "key": "customer" }),
            json!({ "key": "" }),
            json!({ "key": "/a~2" }),
            json!({ "key": "/a~" }),
            json!({ "key": 1 }),
            json!({ "onFailure": "stop" }),
            json!({ "keys": null }),
            json!("/a"),
            json!({ "key": format!("/{}", "a".repeat(256)) }),
        ] {
            assert!(ordering(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_of_failures_is_whole_and_bounded() {
        assert!(disable_after(&json!({ "failed": 0 })).is_ok_and(|after| after.days == 5));
        for wrong in [
            json!({ "failed": -1 }),
            json!({ "failed": 1_000_001 }),
            json!({ "days": 366 }),
            json!({ "days": 1.5 }),
            json!({ "hours": 1 }),
            json!(10),
        ] {
            assert!(disable_after(&wrong).is_err(), "{wrong}");
        }
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
