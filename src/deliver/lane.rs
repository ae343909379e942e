//! A lane, opened: its URL judged, its keys unsealed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use postern_domain::address::Target;
use postern_domain::legacy_signature::{Scheme, Secret};
use postern_domain::outcome::Cause;
use postern_domain::seal::{self, MasterKeys, OpenError, Place};
use postern_domain::signature::SigningKey;
use postern_domain::time::Millis;
use postern_domain::wire::frame;
use postern_domain::wire::lane::{Lane, SealedPart};
use postern_platform::clock;
use postern_platform::config::Config;
use url::Url;

use super::turns::{EndpointKey, Waiting};

/// In an endpoint's query, this makes the consumer panic before it sends anything. For tests, behind `TEST_HOOKS`.
const PLANTED_PANIC: &str = "x-postern-panic=consumer";

/// A lane with all that its sends have in common.
pub(super) struct OpenLane {
    /// As it came.
    pub(super) head: Lane,
    /// The endpoint, for turns and reports.
    pub(super) key: EndpointKey,
    /// What every request needs; or why none can be made.
    pub(super) route: Result<Route, Cause>,
    /// The URL as attempts show it.
    pub(super) shown_url: String,
    /// When it came: a delivery waits from then on for its permit.
    pub(super) arrived_at: Millis,
    bodies: Vec<Rc<Vec<u8>>>,
}

/// Where to, and what each request carries.
pub(super) struct Route {
    /// Judged again, now.
    pub(super) target: Target,
    /// Each signs; never none.
    pub(super) keys: Vec<SigningKey>,
    /// A signature of an older kind beside theirs, with its secret.
    pub(super) legacy: Option<(Scheme, Secret)>,
    /// The endpoint's own headers.
    pub(super) headers: BTreeMap<String, String>,
}

impl OpenLane {
    /// The body of the delivery at this place, if it came with the lane.
    pub(super) fn body(&self, index: usize) -> Option<Rc<Vec<u8>>> {
        let number = self.head.deliveries.get(index)?.body?;
        self.bodies.get(usize::from(number)).cloned()
    }

    /// Its deliveries as they wait for their turn; none if there is nowhere to send them.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        if self.route.is_err() {
            return Vec::new();
        }
        let deliveries = self.head.deliveries.iter().enumerate();
        deliveries
            .map(|(index, handout)| Waiting {
                index,
                until: handout.until,
                here: self.body(index).is_some(),
            })
            .collect()
    }
}

/// Opens a lane; a panic in here is one message's misfortune and not the batch's.
pub(super) fn open_caught(bytes: &[u8], config: &Config) -> Result<OpenLane, String> {
    catch_unwind(AssertUnwindSafe(|| open(bytes, config))).unwrap_or_else(|_| Err("panicked".to_owned()))
}

fn open(bytes: &[u8], config: &Config) -> Result<OpenLane, String> {
    let (head, bodies) = frame::decode::<Lane>(bytes).map_err(|error| error.to_string())?;
    let number =
        u32::try_from(head.endpoint.0.sequence).map_err(|_| "not an endpoint's number".to_owned())?;
    let planted = config.test_hooks && query_of(&head.url).contains(PLANTED_PANIC);
    assert!(!planted, "planted: the consumer");
    let route = route(&head, number, config)?;
    let shown_url = route
        .as_ref()
        .map_or_else(|_| origin_and_path(&head.url), |route| route.target.shown());
    Ok(OpenLane {
        key: (head.tenant, number),
        route,
        shown_url,
        arrived_at: clock::now(),
        bodies: bodies.into_iter().map(Rc::new).collect(),
        head,
    })
}

/// The route, or the cause that is every delivery's result.
///
/// # Errors
/// When this deployment has not the master key yet or any more: no endpoint's fault, and no attempt of its plan.
fn route(head: &Lane, number: u32, config: &Config) -> Result<Result<Route, Cause>, String> {
    // A token goes nowhere in clear.
    let policy = match head.connection {
        Some(_) => &config.provider_policy,
        None => &config.policy,
    };
    let Ok(target) = policy.judge(&head.url) else {
        return Ok(Err(Cause::AddressRefused));
    };
    let open = |column, part: &SealedPart| unseal(&config.master_keys, head, number, column, part);
    let mut keys = Vec::new();
    let symmetric = head.keys.iter().map(|part| ("secret", part));
    let asymmetric = head.asymmetric_keys.iter().map(|part| ("asymmetric", part));
    for (column, part) in symmetric.chain(asymmetric) {
        let read = |plain: Vec<u8>| match column {
            "secret" => SigningKey::from_bytes(&plain),
            _ => SigningKey::asymmetric_from_bytes(&plain),
        };
        // Every key must open: one that is left out would break the receiver that knows only that one.
        match open(column, part)?.map(read) {
            Some(Ok(key)) => keys.push(key),
            _ => return Ok(Err(Cause::SealBroken)),
        }
    }
    let legacy = match &head.legacy {
        None => None,
        Some(legacy) => match open("legacy", &legacy.secret)?.and_then(Secret::from_bytes) {
            Some(secret) => Some((legacy.scheme.clone(), secret)),
            None => return Ok(Err(Cause::SealBroken)),
        },
    };
    let headers = match &head.headers {
        None => Some(BTreeMap::new()),
        Some(part) => open("headers", part)?.and_then(|plain| serde_json::from_slice(&plain).ok()),
    };
    // Nothing is ever sent unsigned.
    let signed = headers.filter(|_| !keys.is_empty());
    Ok(signed.map_or(Err(Cause::SealBroken), |headers| {
        Ok(Route {
            target,
            keys,
            legacy,
            headers,
        })
    }))
}

/// The plain value; none: it is broken, or was sealed for another place.
fn unseal(
    keys: &MasterKeys,
    head: &Lane,
    number: u32,
    column: &str,
    part: &SealedPart,
) -> Result<Option<Vec<u8>>, String> {
    let Some(blob) = seal::from_text(&part.sealed) else {
        return Ok(None);
    };
    let place = Place {
        tenant: head.tenant,
        table: "endpoint",
        column,
        row: number.into(),
        generation: part.generation,
    };
    match keys.open(&place, &blob) {
        Ok(plain) => Ok(Some(plain)),
        Err(OpenError::UnknownKey) => {
            Err("sealed under a master key that this deployment has not".to_owned())
        }
        Err(OpenError::Broken) => Ok(None),
    }
}

fn query_of(url: &str) -> &str {
    url.split_once('?').map_or("", |(_, query)| query)
}

/// Of a URL that the rule refuses: it may hold credentials anywhere else.
fn origin_and_path(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| String::new(),
        |url| format!("{}{}", url.origin().ascii_serialization(), url.path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refused_url_neither_credentials_nor_the_query_are_shown() {
        assert_eq!(
            origin_and_path("https://user:secret@10.0.0.1/hook?token=secret#secret"),
            "https://10.0.0.1/hook"
        );
        assert_eq!(origin_and_path("not a url, with a secret"), "");
    }

    #[test]
    fn a_panic_is_planted_in_the_query_only() {
        assert!(query_of("https://h/p?a=1&x-postern-panic=consumer").contains(PLANTED_PANIC));
        assert!(!query_of("https://h/x-postern-panic=consumer").contains(PLANTED_PANIC));
    }
}
