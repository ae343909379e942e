//! Which endpoints a message is for, and why it is not for the others.

use std::cell::OnceCell;

use postern_domain::event_type;
use postern_domain::filter::Content;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::wire::call::Accept;
use postern_domain::wire::publish::SkipReason;
use serde_json::Value;

use crate::Ledger;
use crate::decided::Decided;
use crate::endpoint::Endpoint;
use crate::memory::Memory;
use crate::sql::{Row, Sql};

/// From this hop on a message is stored and goes nowhere: two gateways that point at each other stop.
pub(crate) const HOP_LIMIT: u8 = 3;

impl Memory {
    /// The endpoints that want it, and what was decided of the others. The body is parsed where a filter asks for it and
    /// nothing else spoke against the endpoint, and then once.
    pub(crate) fn wanted_by(&self, call: &Accept, body: &[u8]) -> (Vec<u32>, Decided) {
        let mut decided = Decided {
            hops: (call.hop >= HOP_LIMIT).then_some(call.hop),
            ..Decided::default()
        };
        let parsed = OnceCell::new();
        let mut wanted = Vec::new();
        for endpoint in self.endpoints.values().filter(|e| e.deleted_at.is_none()) {
            if let Some(only) = call.only_endpoint {
                // Whatever its filters say; of the others none missed it.
                if only == endpoint.number && endpoint.is_on() {
                    wanted.push(only);
                }
                continue;
            }
            match reason_against(endpoint, call, || parsed.get_or_init(|| object(body)).as_ref()) {
                None => wanted.push(endpoint.number),
                Some(reason) => decided.skip(endpoint.number, reason),
            }
        }
        decided.nowhere = wanted.is_empty();
        (wanted, decided)
    }
}

impl<S: Sql> Ledger<S> {
    /// Whether a message that is stored passes an endpoint's filter as it is now.
    pub(crate) fn passes_filter(
        &mut self,
        endpoint: u32,
        segment: u64,
        sequence: u64,
    ) -> Result<bool, Problem> {
        let endpoint = self.memory()?.endpoints.get(&endpoint);
        let Some(filter) = endpoint.and_then(|endpoint| endpoint.config.filter.clone()) else {
            return Ok(true);
        };
        let statement = format!("SELECT headers, body FROM message_{segment} WHERE sequence = ?");
        let Some(row) = self.sql.row(&statement, &[sequence.into()])? else {
            return Ok(false);
        };
        let headers = row
            .maybe(0, Row::text)?
            .map(|text| json::read(&text))
            .transpose()
            .map_err(Problem::internal)?
            .unwrap_or_default();
        let body = object(&row.blob(1)?);
        Ok(filter.matches(Content {
            headers: &headers,
            body: body.as_ref().filter(|_| filter.reads_body()),
        }))
    }
}

fn reason_against<'a>(
    endpoint: &Endpoint,
    call: &Accept,
    body: impl FnOnce() -> Option<&'a Value>,
) -> Option<SkipReason> {
    let config = &endpoint.config;
    if call.hop >= HOP_LIMIT {
        Some(SkipReason::Hop)
    } else if config.disabled {
        Some(SkipReason::Disabled)
    } else if !event_type::wants(config.event_types.as_deref(), &call.event_type) {
        Some(SkipReason::Type)
    } else if !event_type::hears(config.channels.as_deref(), call.channels.as_deref()) {
        Some(SkipReason::Channel)
    } else {
        let filter = config.filter.as_ref()?;
        let content = Content {
            headers: &call.headers,
            body: if filter.reads_body() { body() } else { None },
        };
        (!filter.matches(content)).then_some(SkipReason::Filter)
    }
}

/// The body, if it is a JSON object, whatever its content type says.
fn object(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::cell::Cell;

    use postern_domain::time::Millis;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_is_asked_for_only_by_a_filter_that_reads_it_where_nothing_else_speaks_against() {
        let call: Accept = serde_json::from_value(json!({
            "nonce": 1, "sent_at": 0, "event_type": "invoice.paid", "content_type": "application/json",
        }))
        .unwrap();
        for (config, reason, asked) in [
            (json!({}), None, false),
            (
                json!({"filter": {"headers": {"x": {"$exists": false}}}}),
                None,
                false,
            ),
            (json!({"filter": {"body": {"a": 1}}}), None, true),
            (
                json!({"filter": {"body": {"a": 2}}}),
                Some(SkipReason::Filter),
                true,
            ),
            (
                json!({"filter": {"body": {"a": 1}}, "disabled": true}),
                Some(SkipReason::Disabled),
                false,
            ),
            (
                json!({"filter": {"body": {"a": 1}}, "eventTypes": ["order.made"]}),
                Some(SkipReason::Type),
                false,
            ),
            (
                json!({"filter": {"body": {"a": 1}}, "channels": ["eu"]}),
                Some(SkipReason::Channel),
                false,
            ),
        ] {
            let mut whole = json!({"url": "https://shop.example/"});
            whole
                .as_object_mut()
                .unwrap()
                .extend(config.as_object().unwrap().clone());
            let endpoint = Endpoint {
                number: 1,
                random: [0; 7],
                created_at: Millis(0),
                updated_at: Millis(0),
                deleted_at: None,
                generation: 1,
                cancelled_through: 0,
                config: serde_json::from_value(whole).unwrap(),
                signing: crate::signing::Signing::default(),
                headers: None,
            };
            let (body, was_asked) = (json!({"a": 1}), Cell::new(false));
            let found = reason_against(&endpoint, &call, || {
                was_asked.set(true);
                Some(&body)
            });
            assert_eq!((found, was_asked.get()), (reason, asked), "{config}");
        }
    }
}
