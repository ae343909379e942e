//! One delivery: signed, sent, and how it ended.

use std::collections::BTreeMap;

use postern_domain::header;
use postern_domain::outcome::Cause;
use postern_domain::signature;
use postern_domain::time::Millis;
use postern_domain::wire::lane::Handout;
use postern_domain::wire::report::{SendResult, SentHeader};
use postern_platform::clock;
use postern_platform::config::Config;
use postern_platform::fetch::{self, Outgoing, USER_AGENT};
use worker::Env;

use super::forwarded;
use super::lane::{OpenLane, Route};
use super::token::Bearer;

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

/// Bytes kept of the headers that are sent.
const KEPT_OF_HEADERS: usize = 2048;

/// How one send ended.
pub(super) struct Sent {
    /// What is reported.
    pub(super) result: SendResult,
    /// The answer's body.
    pub(super) body: Vec<u8>,
    /// The token that the receiver did not take: its connection is to be told.
    pub(super) refused: Option<Bearer>,
}

/// Sends one delivery of the lane. Called with the permit in hand: its deadline starts here, and covers the wait for a
/// connection's token.
///
/// A token that is refused is one attempt that failed, and no second request is made under its name: the connection is told,
/// and the next attempt of the plan carries another one.
pub(super) async fn send(
    env: &Env,
    lane: &OpenLane,
    route: &Route,
    handout: &Handout,
    body: &[u8],
    config: &Config,
) -> Sent {
    let began = clock::now();
    let bearer = match lane.head.connection {
        None => None,
        Some(connection) => match Bearer::lease(env, &lane.head, connection, route.target.as_str()).await {
            Ok(bearer) => Some(bearer),
            Err(cause) => return Sent::none(not_sent(lane, handout, cause, clock::now())),
        },
    };
    let now = clock::now();
    let body = forwarded::body(handout, body);
    let body = body.as_ref();
    let mut ours = vec![
        ("content-type", forwarded::content_type(handout)),
        ("user-agent", USER_AGENT.to_owned()),
        ("postern-hop", handout.hop.saturating_add(1).to_string()),
    ];
    let id = handout.message.to_string();
    let names = lane.head.header_names;
    ours.extend(signature::headers(names, &route.keys, &id, now.seconds(), body));
    if let Some((scheme, secret)) = &route.legacy {
        let value = scheme.sign(secret, &id, now.seconds(), body);
        ours.push((&scheme.header, value));
    }
    ours.extend(forwarded::our_headers(handout));
    let mut came = forwarded::own_headers(handout);
    if let Some(bearer) = &bearer {
        came.retain(|(name, _)| {
            !bearer
                .beside
                .keys()
                .any(|beside| beside.eq_ignore_ascii_case(name))
        });
        came.extend(bearer.beside.clone());
        let (name, value) = &bearer.header;
        ours.push((name, value.clone()));
    }
    let headers = together(came, &route.headers, ours);
    let secret_name = bearer.as_ref().map(|bearer| bearer.header.0.clone());
    let outgoing = Outgoing {
        target: &route.target,
        method: forwarded::method(handout),
        headers: &headers,
        body,
        deadline_ms: config.delivery_timeout_ms.saturating_sub(now.since(began)).max(1),
        through: config.egress.as_ref(),
    };
    let mut ended = fetch::send(outgoing).await;
    let refused = bearer.filter(|bearer| bearer.judge(&mut ended));
    if refused.is_some() {
        ended.cause = Some(Cause::TokenRefused);
    }
    let mut result = result(lane, handout, ended.started_at);
    result.duration_ms = ended.duration_ms;
    result.waited_ms = u32::try_from(ended.started_at.since(lane.arrived_at)).unwrap_or(u32::MAX);
    result.status = ended.status;
    result.cause = ended.cause;
    result.retry_after_ms = ended.retry_after_ms;
    result.sent_headers = shown(&headers, secret_name.as_deref());
    result.response_headers = ended.headers;
    Sent {
        result,
        body: ended.body,
        refused,
    }
}

impl Sent {
    /// No request was made.
    fn none(result: SendResult) -> Self {
        Self {
            result,
            body: Vec::new(),
            refused: None,
        }
    }
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
        sent_headers: Vec::new(),
        response_headers: Vec::new(),
    }
}

/// What is kept of the headers that were sent: no credentials, the one of this name among them, and up to 2 KiB.
fn shown(headers: &[(String, String)], credential: Option<&str>) -> Vec<SentHeader> {
    let mut room = KEPT_OF_HEADERS;
    // Ours stand last and tell most.
    let mut kept: Vec<SentHeader> = headers
        .iter()
        .rev()
        .map(|(name, value)| {
            let secret =
                credential.is_some_and(|own| own.eq_ignore_ascii_case(name)) || header::is_sensitive(name);
            (name.clone(), (!secret).then(|| value.clone()))
        })
        .take_while(|(name, value)| {
            let size = name.len() + value.as_ref().map_or(0, String::len) + 8;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .collect();
    kept.reverse();
    kept
}

/// The webhook's headers, the endpoint's own and ours. Ours win: nobody's setting can replace a signature or the hop
/// counter; and what the endpoint's owner set wins over what a stranger sent.
fn together(
    came: Vec<(String, String)>,
    own: &BTreeMap<String, String>,
    ours: Vec<(&str, String)>,
) -> Vec<(String, String)> {
    let is_ours = |name: &str| ours.iter().any(|(our, _)| our.eq_ignore_ascii_case(name));
    let is_own = |name: &str| own.keys().any(|own| own.eq_ignore_ascii_case(name));
    let is_connections = |name: &str| OF_THE_CONNECTION.iter().any(|of| of.eq_ignore_ascii_case(name));
    let mut headers: Vec<(String, String)> = came
        .into_iter()
        .filter(|(name, _)| !is_own(name))
        .chain(own.iter().map(|(name, value)| (name.clone(), value.clone())))
        .filter(|(name, _)| !is_ours(name) && !is_connections(name))
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
            vec![
                ("authorization".to_owned(), "Bearer stranger".to_owned()),
                ("x-topic".to_owned(), "orders".to_owned()),
            ],
            &own(&[("Authorization", "Bearer t")]),
            vec![("postern-hop", "1".to_owned())],
        );
        assert_eq!(
            headers,
            [
                ("x-topic".to_owned(), "orders".to_owned()),
                ("Authorization".to_owned(), "Bearer t".to_owned()),
                ("postern-hop".to_owned(), "1".to_owned()),
            ]
        );
    }

    #[test]
    fn of_what_was_sent_no_credential_is_kept_and_ours_before_anything_else() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            pair("X-Long", &"x".repeat(3000)),
            pair("Authorization", "Bearer t"),
            pair("webhook-id", "msg_1"),
        ];
        assert_eq!(
            shown(&headers, None),
            [
                ("Authorization".to_owned(), None),
                ("webhook-id".to_owned(), Some("msg_1".to_owned())),
            ]
        );
        assert_eq!(
            shown(&headers[2..], Some("Webhook-Id")),
            [("webhook-id".to_owned(), None)],
            "whatever a provider calls it"
        );
    }

    #[test]
    fn an_endpoints_own_headers_replace_neither_a_signature_nor_the_connections() {
        let headers = together(
            vec![("webhook-signature".to_owned(), "v1,provider".to_owned())],
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
