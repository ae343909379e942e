//! `POST /api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example`: an example of an event type, to this endpoint alone.

use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Accept, EndpointGet};
use postern_platform::random;
use serde_json::{Value, json};

use super::super::msg::shape::MessageOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::event_type;

/// An event type that every deployment of Svix knows without having it.
const PING: &str = "svix.ping";

/// 200 with the message. Its delivery is one like any other, with its retries.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let event_type = form.required("eventType", field::event_type);
    let index = form.optional("exampleIndex", field::index);
    let event_type = form.finish(event_type)?;
    let object = access.object();
    let endpoint = ask.param(1).to_owned();
    let (endpoint, _) = object.call(EndpointGet { endpoint }, &[]).await?;
    if endpoint.config.disabled {
        let detail = "The endpoint is disabled; enable it first: nothing is sent to it until then";
        return Err(Problem::new(Code::Conflict, detail));
    }
    let example = if event_type == PING {
        json!({ "success": true })
    } else {
        let row = event_type::find(&access.directory()?, access.organisation, &event_type).await?;
        let row = row.ok_or_else(Problem::not_found)?;
        example(row.schemas.as_deref(), index.unwrap_or_default())?
    };
    let body = serde_json::to_vec(&example).map_err(Problem::internal)?;
    let accept = Accept {
        nonce: random::nonce(),
        sent_at: ask.now,
        repeat: false,
        source: None,
        event_type,
        event_id: None,
        channels: None,
        content_type: "application/json".to_owned(),
        headers: std::collections::BTreeMap::new(),
        hop: ask.hop,
        idempotency: ask.idempotency(access.organisation, &access.tenant.to_string())?,
        payload_hours: None,
        only_endpoint: u32::try_from(endpoint.id.0.sequence).ok(),
        received: None,
    };
    let has_key = accept.idempotency.is_some();
    let bodies = [body];
    let (accepted, _) = object.call(accept, &bodies).await?;
    let [body] = bodies;
    let message = MessageOut::new(accepted.message, Some(body))?;
    Ok(Answer::ok(&message)?.replayed_if(accepted.duplicate && has_key))
}

/// The example that the newest schema gives: of `examples` the one that is asked for, else `example`.
fn example(schemas: Option<&str>, index: usize) -> Result<Value, Problem> {
    let none = || {
        let detail = "The event type's schema gives no example that is an object; add `examples` to it";
        Problem::new(Code::BadRequest, detail)
    };
    let schemas: Value = serde_json::from_str(schemas.ok_or_else(none)?).map_err(Problem::internal)?;
    let versions = schemas.as_object().ok_or_else(none)?;
    let newest = versions
        .iter()
        .max_by_key(|(version, _)| (version.parse::<u64>().ok(), version.as_str()));
    let (_, schema) = newest.ok_or_else(none)?;
    let example = match schema.get("examples").and_then(Value::as_array) {
        Some(examples) if !examples.is_empty() => examples.get(index).ok_or_else(|| {
            let last = examples.len() - 1;
            Problem::fault(
                &["body", "exampleIndex"],
                format!("must be 0 to {last}: the schema has no more examples"),
            )
        })?,
        _ => schema.get("example").ok_or_else(none)?,
    };
    if example.is_object() {
        Ok(example.clone())
    } else {
        Err(none())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn the_newest_schema_gives_the_example_that_is_asked_for() {
        let schemas = json!({
            "2": { "examples": [{ "n": 2 }] },
            "10": { "examples": [{ "n": 10 }, { "n": 11 }], "example": { "n": 0 } },
        })
        .to_string();
        assert_eq!(example(Some(&schemas), 0).unwrap(), json!({ "n": 10 }));
        assert_eq!(example(Some(&schemas), 1).unwrap(), json!({ "n": 11 }));
        let refused = example(Some(&schemas), 2).unwrap_err();
        assert_eq!(refused.faults[0].loc, ["body", "exampleIndex"]);
        let single = json!({ "1": { "example": { "n": 1 } } }).to_string();
        assert_eq!(
            example(Some(&single), 7).unwrap(),
            json!({ "n": 1 }),
            "there is one, and the index means nothing"
        );
    }

    #[test]
    fn a_schema_without_an_example_that_can_be_sent_is_refused() {
        for schemas in [
            json!({}),
            json!({ "1": {} }),
            json!({ "1": { "examples": ["text"] } }),
            json!({ "1": { "examples": [] } }),
        ] {
            assert_eq!(
                example(Some(&schemas.to_string()), 0).unwrap_err().code,
                Code::BadRequest
            );
        }
        assert_eq!(example(None, 0).unwrap_err().code, Code::BadRequest);
    }
}
