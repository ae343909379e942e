//! One delivery: judged, signed, sent.

use std::collections::BTreeMap;

use postern_domain::address::Policy;
use postern_domain::outcome::Cause;
use postern_domain::seal::{self, MasterKeys, OpenError, Place};
use postern_domain::signature::{self, SigningKey};
use postern_domain::time::Millis;
use postern_domain::wire::lane::{Handout, Lane, SealedPart};
use postern_domain::wire::report::SendResult;
use worker::Method;

use crate::platform::clock;
use crate::platform::fetch::{self, Outgoing, USER_AGENT};

/// Between the end of a send and the end of its lease: for the report.
const REPORT_MS: u64 = 5000;

/// What a lane's deliveries have in common, opened.
pub(super) struct Opened {
    keys: Vec<SigningKey>,
    headers: BTreeMap<String, String>,
}

/// Why a lane cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// This deployment lacks the master key: it heals by itself, so nothing is recorded.
    KeyMissing,
    /// A sealed value does not open: an attempt that failed.
    Broken,
}

/// Opens what a lane carries sealed.
pub(super) fn open(lane: &Lane, keys: &MasterKeys) -> Result<Opened, NotOpened> {
    let read = |part: &SealedPart, column: &'static str| {
        let blob = seal::from_text(&part.sealed).ok_or(NotOpened::Broken)?;
        let place = Place {
            tenant: lane.tenant,
            table: "endpoint",
            column,
            row: lane.endpoint.0.sequence,
            generation: part.generation,
        };
        keys.open(&place, &blob).map_err(|error| match error {
            OpenError::UnknownKey => NotOpened::KeyMissing,
            OpenError::Broken => NotOpened::Broken,
        })
    };
    let key = |part| SigningKey::from_bytes(&read(part, "secret")?).map_err(|_| NotOpened::Broken);
    let headers = lane
        .headers
        .as_ref()
        .map(|part| read(part, "headers"))
        .transpose()?;
    let headers = headers
        .map(|json| serde_json::from_slice(&json))
        .transpose()
        .map_err(|_| NotOpened::Broken)?;
    Ok(Opened {
        keys: lane.keys.iter().map(key).collect::<Result<_, _>>()?,
        headers: headers.unwrap_or_default(),
    })
}

/// Whether a send that begins now can end, and be reported, inside its lease.
pub(super) fn lease_allows(now: Millis, until: Millis, timeout_ms: u64) -> bool {
    now.plus(timeout_ms + REPORT_MS) <= until
}

/// Sends one delivery; answers what is to be reported, and what is kept of the response's body.
pub(super) async fn send(
    lane: &Lane,
    opened: Result<&Opened, NotOpened>,
    handout: &Handout,
    body: &[u8],
    policy: &Policy,
    timeout_ms: u64,
    waited_ms: u64,
) -> (SendResult, Vec<u8>) {
    let now = clock::now();
    let mut result = SendResult {
        message: handout.message,
        number: handout.number,
        until: handout.until,
        trigger: handout.trigger,
        started_at: now,
        duration_ms: 0,
        waited_ms: u32::try_from(waited_ms).unwrap_or(u32::MAX),
        url: String::new(),
        status: None,
        cause: None,
        retry_after_ms: None,
    };
    let target = match policy.judge(&lane.url) {
        Ok(target) => target,
        Err(refusal) => {
            result.cause = Some(Cause::AddressRefused);
            return (result, refusal.sentence().as_bytes().to_vec());
        }
    };
    result.url = target.shown();
    let Ok(opened) = opened else {
        result.cause = Some(Cause::SealBroken);
        return (result, Vec::new());
    };
    let headers = headers(lane, opened, handout, body, now);
    let outgoing = Outgoing {
        target: &target,
        method: Method::Post,
        headers: &headers,
        body,
        deadline_ms: timeout_ms,
    };
    let ended = fetch::send(outgoing).await;
    result.started_at = ended.started_at;
    result.duration_ms = ended.duration_ms;
    result.status = ended.status;
    result.cause = ended.cause;
    result.retry_after_ms = ended.retry_after_ms;
    (result, ended.body)
}

/// All that the request carries: the endpoint's own headers first, so that none of them replaces one of ours.
fn headers(
    lane: &Lane,
    opened: &Opened,
    handout: &Handout,
    body: &[u8],
    now: Millis,
) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = opened.headers.clone().into_iter().collect();
    headers.push(("user-agent".to_owned(), USER_AGENT.to_owned()));
    headers.push(("content-type".to_owned(), handout.content_type.clone()));
    headers.push((
        "postern-hop".to_owned(),
        handout.hop.saturating_add(1).to_string(),
    ));
    let id = handout.message.to_string();
    let signed = signature::headers(lane.header_names, &opened.keys, &id, now.seconds(), body);
    headers.extend(signed.into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_begins_only_if_it_can_end_and_be_reported_inside_its_lease() {
        let until = Millis(60_000);
        assert!(lease_allows(Millis(40_000), until, 15_000));
        assert!(!lease_allows(Millis(40_001), until, 15_000));
    }
}
