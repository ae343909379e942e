//! What a webhook is sent with beside our own headers, and the form that its source asks for.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_domain::provider::{self, Proof};
use postern_domain::wire::inbound::{ForwardMode, Forwarded, METHOD, QUERY};
use postern_domain::wire::lane::Handout;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use worker::Method;

/// The body, as the source asks for it: as it came, or in an envelope.
pub(super) fn body<'a>(handout: &Handout, body: &'a [u8]) -> Cow<'a, [u8]> {
    match &handout.forwarded {
        Some(forwarded) if forwarded.mode == ForwardMode::Envelope => {
            Cow::Owned(envelope(handout, forwarded, body))
        }
        _ => Cow::Borrowed(body),
    }
}

/// The method: of a webhook that is passed through, its own.
pub(super) fn method(handout: &Handout) -> Method {
    let own = passed(handout).and_then(|forwarded| forwarded.headers.get(METHOD));
    match own.map(String::as_str) {
        Some("GET") => Method::Get,
        Some("PUT") => Method::Put,
        Some("PATCH") => Method::Patch,
        _ => Method::Post,
    }
}

/// The content type.
pub(super) fn content_type(handout: &Handout) -> String {
    match &handout.forwarded {
        Some(forwarded) if forwarded.mode == ForwardMode::Envelope => "application/json".to_owned(),
        _ => handout.content_type.clone(),
    }
}

/// The request's own headers, of what is passed through. Ours and the endpoint's go before them.
pub(super) fn own_headers(handout: &Handout) -> Vec<(String, String)> {
    let headers = passed(handout).map(|forwarded| forwarded.headers.iter());
    headers
        .into_iter()
        .flatten()
        .filter(|(name, _)| !name.starts_with(':'))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What we say of it.
pub(super) fn our_headers(handout: &Handout) -> Vec<(&'static str, String)> {
    let Some(forwarded) = &handout.forwarded else {
        return Vec::new();
    };
    let mut headers = vec![
        ("postern-provider", forwarded.provider.clone()),
        ("postern-received-at", forwarded.received_at.to_rfc3339()),
    ];
    let mut maybe = |name, value: Option<String>| headers.extend(value.map(|value| (name, value)));
    maybe(
        "postern-source",
        forwarded.source.map(|source| source.to_string()),
    );
    maybe("postern-event-type", handout.event_type.clone());
    maybe(
        "postern-event-id",
        forwarded.event_id.clone().filter(|id| is_plain(id)),
    );
    maybe("postern-replay-of", forwarded.replay_of.map(|id| id.to_string()));
    maybe("postern-query", forwarded.headers.get(QUERY).cloned());
    headers
}

fn passed(handout: &Handout) -> Option<&Forwarded> {
    let forwarded = handout.forwarded.as_deref()?;
    (forwarded.mode == ForwardMode::Passthrough).then_some(forwarded)
}

/// JSON with the body inside: as it is, if it is JSON, so that its numbers and its spaces stay; as base64 else.
fn envelope(handout: &Handout, forwarded: &Forwarded, body: &[u8]) -> Vec<u8> {
    let verified = match provider::descriptor(&forwarded.provider).map(|descriptor| descriptor.proof) {
        Some(Proof::Signed) => "signed",
        Some(Proof::Token) => "token",
        Some(Proof::None) | None => "none",
    };
    let mut fields: Map<String, Value> = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", json!(handout.message));
    put("type", json!(handout.event_type));
    put("timestamp", json!(forwarded.received_at.to_rfc3339()));
    put("source", json!(forwarded.source));
    put("provider", json!(forwarded.provider));
    put("providerEventId", json!(forwarded.event_id));
    put("verified", json!(verified));
    put("contentType", json!(handout.content_type));
    put("headers", json!(forwarded.headers));
    if let Some(message) = forwarded.replay_of {
        put("replayOf", json!(message));
    }
    let data = std::str::from_utf8(body).ok();
    let data = data.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    if data.is_none() {
        put("dataBase64", json!(STANDARD.encode(body)));
    }
    let mut text = Value::Object(fields).to_string();
    if let Some(data) = data {
        text.pop();
        text.push_str(",\"data\":");
        text.push_str(data.get());
        text.push('}');
    }
    text.into_bytes()
}

/// Whether a text may stand in a header as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn handout(mode: &str, headers: &Value) -> Handout {
        serde_json::from_value(json!({
            "message": "msg_000000000000000000000000000",
            "number": 1,
            "until": 2,
            "event_type": "order.paid",
            "content_type": "application/x-www-form-urlencoded",
            "forwarded": {
                "provider": "stripe", "mode": mode, "received_at": 1_700_000_000_000_u64, "event_id": "evt_1",
                "headers": headers,
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_passed_through_keeps_its_bytes_its_method_and_its_headers() {
        let given = handout(
            "passthrough",
            &json!({":method": "PUT", ":query": "a=1", "x-topic": "t"}),
        );
        assert_eq!(body(&given, b"a=1&b=%20").as_ref(), b"a=1&b=%20");
        assert_eq!(method(&given), Method::Put);
        assert_eq!(content_type(&given), "application/x-www-form-urlencoded");
        assert_eq!(own_headers(&given), [("x-topic".to_owned(), "t".to_owned())]);
        let ours = our_headers(&given);
        assert!(ours.contains(&("postern-query", "a=1".to_owned())), "{ours:?}");
        assert!(
            ours.contains(&("postern-event-id", "evt_1".to_owned())),
            "{ours:?}"
        );
    }

    #[test]
    fn json_stands_in_an_envelope_byte_for_byte() {
        let given = handout("envelope", &json!({":method": "PUT", "x-topic": "t"}));
        let text = String::from_utf8(body(&given, br#"{"n": 1.00, "e":1e2}"#).into_owned()).unwrap();
        assert!(text.ends_with(r#","data":{"n": 1.00, "e":1e2}}"#), "{text}");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["type"], "order.paid");
        assert_eq!(read["verified"], "signed");
        assert_eq!(read["headers"]["x-topic"], "t");
        assert_eq!(method(&given), Method::Post);
        assert_eq!(own_headers(&given), []);
        assert_eq!(content_type(&given), "application/json");
    }

    #[test]
    fn bytes_that_are_no_json_stand_in_an_envelope_as_base64() {
        let given = handout("envelope", &json!({}));
        let read: Value = serde_json::from_slice(&body(&given, b"\xff\x00")).unwrap();
        assert_eq!(read["dataBase64"], "/wA=");
        assert_eq!(read.get("data"), None);
    }
}
