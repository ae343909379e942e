//! A message's body between its two forms: bytes in the ledger, a JSON object in the API.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postern_domain::id::MessageId;
use postern_domain::problem::Problem;
use postern_domain::wire::inbound::BodyAt;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// What the API shows: `{"expired": true}` of a payload that is gone, as Svix does; a JSON object as it came, byte for byte; of any other body its type and its text or base64.
pub(super) fn shown(content_type: &str, body: Vec<u8>) -> Result<Box<RawValue>, Problem> {
    if content_type.is_empty() {
        return raw(&json!({ "expired": true }));
    }
    let text = match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let base64 = STANDARD.encode(error.as_bytes());
            return raw(&json!({ "contentType": content_type, "base64": base64 }));
        }
    };
    if is_json(content_type)
        && text.trim_start().starts_with('{')
        && let Ok(object) = serde_json::from_str::<Box<RawValue>>(&text)
    {
        return Ok(object);
    }
    raw(&json!({ "contentType": content_type, "text": text }))
}

/// Too large for an answer: its type, its size, and where its bytes are, below `/api/v1/app/{app_id}/`.
pub(super) fn elsewhere(id: MessageId, content_type: &str, at: &BodyAt) -> Result<Box<RawValue>, Problem> {
    let path = format!("msg/{id}/body");
    raw(&json!({ "contentType": content_type, "bytes": at.size, "sha256": at.digest, "path": path }))
}

/// Not asked for: `{}`, as Svix does.
pub(super) fn hidden() -> Result<Box<RawValue>, Problem> {
    raw(&json!({}))
}

/// Taken away: as Svix says it.
pub(super) fn expired() -> Result<Box<RawValue>, Problem> {
    raw(&json!({ "expired": true }))
}

fn raw(value: &serde_json::Value) -> Result<Box<RawValue>, Problem> {
    to_raw_value(value).map_err(Problem::internal)
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn text(content_type: &str, body: &[u8]) -> String {
        shown(content_type, body.to_vec()).unwrap().get().to_owned()
    }

    #[test]
    fn a_json_object_is_shown_byte_for_byte() {
        let body = br#"{"b" : 1.00, "a":1e2}"#;
        assert_eq!(text("application/json; charset=utf-8", body).as_bytes(), body);
        assert_eq!(text("application/cloudevents+json", body).as_bytes(), body);
    }

    #[test]
    fn any_other_body_is_shown_with_its_type() {
        assert_eq!(text("", b""), r#"{"expired":true}"#);
        assert_eq!(
            text("application/json", b"[1]"),
            r#"{"contentType":"application/json","text":"[1]"}"#
        );
        assert_eq!(
            text("application/json", b"{"),
            r#"{"contentType":"application/json","text":"{"}"#
        );
        assert_eq!(
            text("text/plain", b"{}"),
            r#"{"contentType":"text/plain","text":"{}"}"#
        );
        assert_eq!(
            text("image/png", b"\xff\x00"),
            r#"{"base64":"/wA=","contentType":"image/png"}"#
        );
    }
}
