//! One delivery: signed, sent, and how it ended.

use std::collections::BTreeMap;

use postern_domain::outcome::Cause;
use postern_domain::signature;
use postern_domain::time::Millis;
use postern_domain::wire::lane::Handout;
use postern_domain::wire::report::SendResult;
use worker::Method;

use super::lane::{OpenLane, Route};
use crate::platform::clock;
use crate::platform::fetch::{self, Outgoing, USER_AGENT};

/// Headers that belong to the connection and not to the endpoint's owner.
const OF_THE_CONNECTION: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sends one delivery of the lane. Called with the permit in hand: its deadline starts here.
pub(super) async fn send(
    lane: &OpenLane,
    route: &Route,
    handout: &Handout,
    body: &[u8],
    deadline_ms: u64,
) -> (SendResult, Vec<u8>) {
    let now = clock::now();
    let mut ours = vec![
        ("content-type", handout.content_type.clone()),
        ("user-agent", USER_AGENT.to_owned()),
        ("postern-hop", handout.hop.saturating_add(1).to_string()),
    ];
    let id = handout.message.to_string();
    let names = lane.head.header_names;
    ours.extend(signature::headers(names, &route.keys, &id, now.seconds(), body));
    let outgoing = Outgoing {
        target: &route.target,
        method: Method::Post,
        headers: &together(&route.headers, ours),
        body,
        deadline_ms,
    };
    let ended = fetch::send(outgoing).await;
    let mut result = result(lane, handout, ended.started_at);
    result.duration_ms = ended.duration_ms;
    result.waited_ms = u32::try_from(ended.started_at.since(lane.arrived_at)).unwrap_or(u32::MAX);
    result.status = ended.status;
    result.cause = ended.cause;
    result.retry_after_ms = ended.retry_after_ms;
    (result, ended.body)
}

/// The result of a delivery for which no request can be made.
pub(super) fn not_sent(lane: &OpenLane, handout: &Handout, cause: Cause, now: Millis) -> SendResult {
    let mut result = result(lane, handout, now);
    result.cause = Some(cause);
    result
}

fn result(lane: &OpenLane, handout: &Handout, started_at: Millis) -> SendResult {
    SendResult {
        message: handout.message,
        number: handout.number,
        until: handout.until,
        trigger: handout.trigger,
        started_at,
        duration_ms: 0,
        waited_ms: 0,
        url: lane.shown_url.clone(),
        status: None,
        cause: None,
        retry_after_ms: None,
        schedule: None,
    }
}

/// The endpoint's own headers and ours. Ours win: nobody's setting can replace a signature or the hop counter.
fn together(own: &BTreeMap<String, String>, ours: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    let is_ours = |name: &str| ours.iter().any(|(our, _)| our.eq_ignore_ascii_case(name));
    let is_connections = |name: &str| OF_THE_CONNECTION.iter().any(|of| of.eq_ignore_ascii_case(name));
    let mut headers: Vec<(String, String)> = own
        .iter()
        .filter(|(name, _)| !is_ours(name) && !is_connections(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    headers.extend(ours.into_iter().map(|(name, value)| (name.to_owned(), value)));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_endpoints_own_headers_are_sent_beside_ours() {
        let headers = together(
            &own(&[("Authorization", "Bearer t")]),
            vec![("postern-hop", "1".to_owned())],
        );
        assert_eq!(
            headers,
            [
                ("Authorization".to_owned(), "Bearer t".to_owned()),
                ("postern-hop".to_owned(), "1".to_owned()),
            ]
        );
    }

    #[test]
    fn an_endpoints_own_headers_replace_neither_a_signature_nor_the_connections() {
        let headers = together(
            &own(&[
                ("Webhook-Signature", "v1,forged"),
                ("HOST", "internal"),
                ("Transfer-Encoding", "chunked"),
            ]),
            vec![("webhook-signature", "v1,true".to_owned())],
        );
        assert_eq!(headers, [("webhook-signature".to_owned(), "v1,true".to_owned())]);
    }
}
