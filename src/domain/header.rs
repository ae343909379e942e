//! Names and values of HTTP headers: which an endpoint's owner may choose, and which are never shown.

/// Characters of a header's value at the most.
pub const MAX_VALUE: usize = 4096;

/// Bytes of all headers of one endpoint at the most, names and values together: a lane has to carry them.
pub const MAX_ALL: usize = 16 * 1024;

/// Names that frame the request, name its sender, or belong to whoever carries it.
const OURS: [&str; 24] = [
    "accept-encoding",
    "age",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "warning",
];

/// What names of senders, signatures and carriers begin with.
const FAMILIES: [&str; 13] = [
    "cf-", "postern-", "proxy-", "svix-", "webhook-", "x-amz-", "x-amzn-", "x-azure-", "x-fd-", "x-gfe",
    "x-goog-", "x-google", "x-svix-",
];

/// Whether an endpoint's owner may choose this header: none that frames the request, names its sender or carries its
/// signature.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        Err("is not the name of a header")
    } else if OURS.contains(&lower.as_str()) || FAMILIES.iter().any(|family| lower.starts_with(family)) {
        Err("is a header that the sender sets")
    } else {
        Ok(())
    }
}

/// Whether a value can be sent as it is.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    let visible = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\t';
    if value.len() <= MAX_VALUE && value.bytes().all(visible) {
        Ok(())
    } else {
        Err("must be up to 4096 visible ASCII characters")
    }
}

/// Whether a header's value is a credential, as far as its name tells: it is then never shown and never kept in clear.
/// Rather one too many: what is hidden for nothing can be set again.
#[must_use]
pub fn is_sensitive(name: &str) -> bool {
    const PARTS: [&str; 12] = [
        "auth",
        "bearer",
        "cookie",
        "credential",
        "jwt",
        "key",
        "passphrase",
        "passwd",
        "password",
        "secret",
        "session",
        "token",
    ];
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_connection_of_the_sender_or_of_a_signature_cannot_be_chosen() {
        for name in [
            "Host",
            "content-LENGTH",
            "Transfer-Encoding",
            "User-Agent",
            "Webhook-Signature",
            "svix-id",
            "X-Svix-Anything",
            "Postern-Hop",
            "CF-Connecting-IP",
            "x-amz-date",
            "Cache-Control",
            "",
            "two words",
            "colon:",
            "ümlaut",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in [
            "Authorization",
            "X-Webhook-Signature",
            "x-api-key",
            "Stripe-Signature",
            "X-1",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_values_of_credentials_are_told_by_their_names() {
        for name in [
            "Authorization",
            "X-Auth-Token",
            "x-api-KEY",
            "ApiKey",
            "Cookie",
            "X-Client-Secret",
            "X-Session-Id",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in ["X-Tenant", "Accept", "X-Request-Id", "traceparent"] {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn a_value_is_visible_ascii_of_a_bounded_length() {
        assert_eq!(check_value(&"x".repeat(4096)), Ok(()));
        assert_eq!(check_value("a\tb c"), Ok(()));
        for value in ["x".repeat(4097).as_str(), "a\r\nb: c", "ü", "\u{7f}"] {
            assert!(check_value(value).is_err());
        }
    }
}
