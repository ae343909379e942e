//! What is kept of a webhook's headers. Only what is on the list: never a credential, a cookie or a signature.

use std::collections::BTreeMap;

use postern_domain::provider::Headers;

/// Bytes of kept headers at the most, names and values.
const MAX_BYTES: usize = 4096;

/// Bytes of a content type at the most.
const MAX_CONTENT_TYPE: usize = 255;

/// Headers with which providers name the event, its delivery or its sender.
const KEPT: &[&str] = &[
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

/// The kept headers by their lower-case names. `credentials` names those that carry this source's secret: they are left
/// out even if they are on the list. What does not fit any more is left out whole.
pub(super) fn headers(headers: &Headers, credentials: &[String]) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    let mut bytes = 0;
    for name in KEPT {
        if credentials.iter().any(|credential| credential == name) {
            continue;
        }
        let Some(value) = headers.get(name) else { continue };
        let size = name.len() + value.len();
        if bytes + size <= MAX_BYTES {
            bytes += size;
            kept.insert((*name).to_owned(), value.to_owned());
        }
    }
    kept
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

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
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
        let kept = headers(&given, &["x-event-id".to_owned()]);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["x-github-event"]);
    }

    #[test]
    fn a_header_that_does_not_fit_is_left_out_and_the_next_one_is_kept() {
        let long = "x".repeat(MAX_BYTES);
        let given = given(&[("user-agent", &long), ("webhook-id", "msg_1")]);
        let kept = headers(&given, &[]);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["webhook-id"]);
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
