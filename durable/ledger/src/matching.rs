//! Which endpoints a message is for, and why it is not for the others.

use std::cell::OnceCell;

use postern_domain::event_type;
use postern_domain::filter::Content;
use postern_domain::wire::call::Accept;
use postern_domain::wire::publish::SkipReason;
use serde_json::Value;

use crate::decided::Decided;
use crate::endpoint::Endpoint;
use crate::memory::Memory;

/// From this hop on a message is stored and goes nowhere: two gateways that point at each other stop.
const HOP_LIMIT: u8 = 3;

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
            match reason_against(endpoint, call, || parsed.get_or_init(|| object(body)).as_ref()) {
                None => wanted.push(endpoint.number),
                Some(reason) => decided.skip(endpoint.number, reason),
            }
        }
        decided.nowhere = wanted.is_empty();
        (wanted, decided)
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
