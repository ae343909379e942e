//! What is kept of a webhook's request beside its body: headers on a list, or all but credentials and the connection's where
//! the owner asks for that; parameters of the query that the owner named.

use std::collections::BTreeMap;

use postern_domain::provider::Headers;
use postern_domain::wire::inbound::{ForwardHeaders, METHOD, QUERY};

use super::source::Source;

/// Bytes of kept headers at the most, names and values.
const MAX_BYTES: usize = 4096;

/// The same where all of them are kept.
const MAX_BYTES_OF_ALL: usize = 12 * 1024;

/// Bytes of the query that are kept.
const MAX_QUERY: usize = 2048;

/// Bytes of a content type at the most.
const MAX_CONTENT_TYPE: usize = 255;

/// Headers with which providers name the event, its delivery or its sender, and one that says how the body reads.
const KEPT: &[&str] = &[
    "content-encoding",
    "content-type",
    "user-agent",
    "webhook-id",
    "svix-id",
    "x-github-event",
    "x-github-delivery",
    "x-github-hook-id",
    "x-gitlab-event",
    "x-gitlab-event-uuid",
    "x-shopify-topic",
    "x-shopify-event-id",
    "x-shopify-webhook-id",
    "x-shopify-shop-domain",
    "linear-event",
    "linear-delivery",
    "x-event-key",
    "x-event-type",
    "x-event-id",
    "x-request-id",
    "x-slack-retry-num",
    "x-slack-retry-reason",
    "x-goog-resource-state",
    "x-goog-resource-id",
    "x-goog-channel-id",
    "x-goog-message-number",
    "i-twilio-idempotency-token",
];

/// Headers of a connection and of the network in front of us: nothing of the provider's.
const OF_THE_CONNECTION: &[&str] = &[
    "accept-encoding",
    "cdn-loop",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "postern-hop",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-real-ip",
];

/// Beginnings of more such names.
const OF_THE_NETWORK: &[&str] = &["cf-", "x-forwarded-", ":"];

/// Headers that carry a credential of somebody's, whatever the preset.
const CREDENTIALS: &[&str] = &["authorization", "cookie", "proxy-authorization", "set-cookie"];

/// The kept headers by their lower-case names, the method if it is not POST, and what is kept of the query. What does not
/// fit any more is left out whole.
pub(super) fn of(
    source: &Source,
    method: &str,
    query: Option<&str>,
    headers: &Headers,
) -> BTreeMap<String, String> {
    let descriptor = source.config.descriptor();
    let credentials = source.config.credential_headers();
    let all = source.options.headers == ForwardHeaders::All;
    // What the settings name an event by is kept, so that a replay can name it again.
    let of_event = source.config.naming_headers();
    let named = |name: &str| {
        (KEPT.contains(&name)
            || descriptor.kept_headers.contains(&name)
            || of_event.iter().any(|own| own == name))
            && !descriptor.signature_headers.contains(&name)
    };
    let wanted = |name: &str| {
        let connection = OF_THE_CONNECTION.contains(&name)
            || OF_THE_NETWORK.iter().any(|beginning| name.starts_with(beginning));
        let credential = CREDENTIALS.contains(&name) || credentials.iter().any(|own| own == name);
        !connection && !credential && (all || named(name))
    };
    let room = if all { MAX_BYTES_OF_ALL } else { MAX_BYTES };
    let mut kept = fitting(headers, room, wanted);
    if method != "POST" {
        kept.insert(METHOD.to_owned(), method.to_owned());
    }
    if let Some(query) = kept_query(query, &source.options.query) {
        kept.insert(QUERY.to_owned(), query);
    }
    kept
}

fn fitting(headers: &Headers, room: usize, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let mut bytes = 0;
    // What names the event goes before whatever else is there.
    let (first, rest): (Vec<_>, Vec<_>) = headers.iter().partition(|(name, _)| KEPT.contains(name));
    for (name, value) in first.into_iter().chain(rest) {
        let size = name.len() + value.len();
        // What is no plain text cannot be sent on as it was.
        let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if !wanted(name) || !plain || bytes + size > room {
            continue;
        }
        bytes += size;
        kept.entry(name.to_owned())
            .and_modify(|before| {
                before.push_str(", ");
                before.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    kept
}

/// The parameters that the owner named, as they came.
fn kept_query(query: Option<&str>, named: &[String]) -> Option<String> {
    let is_named = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        named.iter().any(|wanted| wanted == name)
    };
    let kept: Vec<&str> = query?.split('&').filter(is_named).collect();
    let kept = kept.join("&");
    (!kept.is_empty() && kept.len() <= MAX_QUERY).then_some(kept)
}

/// The body's content type, as it came; without one, bytes are bytes.
pub(super) fn content_type(headers: &Headers) -> String {
    headers
        .get("content-type")
        .filter(|value| !value.is_empty() && value.len() <= MAX_CONTENT_TYPE)
        .unwrap_or("application/octet-stream")
        .to_owned()
}

/// How many gateways it came through. What cannot be a count of ours is none.
pub(super) fn hop(headers: &Headers) -> u8 {
    let Some(value) = headers.get("postern-hop") else {
        return 0;
    };
    match value.parse::<u64>() {
        Ok(hop) => u8::try_from(hop).unwrap_or(u8::MAX),
        Err(_) => 0,
    }
}

/// How often the provider says that it has tried before.
pub(super) fn retry(headers: &Headers) -> Option<u32> {
    headers
        .get("x-slack-retry-num")
        .and_then(|value| value.parse().ok())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn source(options: serde_json::Value) -> Source {
        Source::of_parts(
            "api_key",
            &json!({"header": "x-event-id"}),
            serde_json::from_value(options).unwrap(),
        )
    }

    fn names(source: &Source, headers: &Headers) -> Vec<String> {
        of(source, "POST", None, headers).into_keys().collect()
    }

    #[test]
    fn credentials_cookies_and_signatures_are_never_kept() {
        let given = given(&[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("stripe-signature", "t=1"),
            ("webhook-signature", "v1,x"),
            ("x-event-id", "the secret of an odd source"),
            ("x-github-event", "push"),
        ]);
        assert_eq!(names(&source(json!({})), &given), ["x-github-event"]);
    }

    #[test]
    fn where_all_are_asked_for_signatures_are_kept_and_credentials_still_are_not() {
        let given = given(&[
            ("Authorization", "Bearer x"),
            ("X-Event-Id", "the secret"),
            ("Stripe-Signature", "t=1"),
            ("X-Custom", "1"),
            ("Host", "h"),
            ("CF-Connecting-IP", "1.2.3.4"),
            ("X-Forwarded-For", "1.2.3.4"),
            (":method", "forged"),
        ]);
        let all = source(json!({"headers": "all"}));
        assert_eq!(names(&all, &given), ["stripe-signature", "x-custom"]);
    }

    #[test]
    fn a_header_that_does_not_fit_is_left_out_and_the_next_one_is_kept() {
        let long = "x".repeat(MAX_BYTES);
        let given = given(&[("user-agent", &long), ("webhook-id", "msg_1")]);
        assert_eq!(names(&source(json!({})), &given), ["webhook-id"]);
    }

    #[test]
    fn of_the_query_what_was_named_is_kept_and_nothing_else() {
        let named = ["shop".to_owned(), "a".to_owned()];
        let query = Some("token=secret&shop=x%20y&a&shops=1");
        assert_eq!(kept_query(query, &named).as_deref(), Some("shop=x%20y&a"));
        assert_eq!(kept_query(query, &[]), None);
        assert_eq!(kept_query(None, &named), None);
    }

    #[test]
    fn a_body_without_a_usable_content_type_is_bytes() {
        assert_eq!(content_type(&given(&[])), "application/octet-stream");
        let long = "x".repeat(256);
        assert_eq!(
            content_type(&given(&[("content-type", &long)])),
            "application/octet-stream"
        );
        assert_eq!(content_type(&given(&[("content-type", "text/xml")])), "text/xml");
    }

    #[test]
    fn a_hop_counter_saturates_and_nonsense_counts_nothing() {
        assert_eq!(hop(&given(&[])), 0);
        assert_eq!(hop(&given(&[("postern-hop", "2")])), 2);
        assert_eq!(hop(&given(&[("postern-hop", "70000")])), 255);
        assert_eq!(hop(&given(&[("postern-hop", "two")])), 0);
    }
}
