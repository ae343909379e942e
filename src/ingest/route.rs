//! The routing key of an event that came through an app-level source. It is written beside the kept headers, where no
//! request can put one; who gets the event is decided behind the accept, and never before the signature held.

use postern_domain::app_level::{ROUTE, UNSIGNED_ROUTE, is_key};
use postern_domain::provider::{Event, Trust};

/// The header that says it, if the event has a key that can be claimed. One that the signature does not cover stands
/// under a name of its own: it routes nothing unless the source's owner trusts such keys.
pub(super) fn header(event: &Event) -> Option<(String, String)> {
    let key = event.tenant_key.as_ref().filter(|key| is_key(key))?;
    let name = match event.tenant_key_trust {
        Trust::Signed => ROUTE,
        Trust::Unsigned => UNSIGNED_ROUTE,
    };
    Some((name.to_owned(), key.clone()))
}
