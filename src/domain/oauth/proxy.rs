//! What the proxy lets through: where a request may go, which headers travel either way, what is tried again.
//!
//! Guaranteed: what is called is the pinned base of the provider's API and something below it, written by one parser from
//! parts that were decoded once; a caller chooses among bases by name and never names a host. The token is in no header
//! that goes back.

use url::Url;

use super::Secret;
use super::provider::Api;

/// Of a first segment that begins with this, the rest names one of the provider's other bases: `@gmail/gmail/v1/…`.
const BASE_MARK: char = '@';

/// The longest path and query together, in bytes.
const MAX_BYTES: usize = 8192;

/// Bodies up to here are kept to be sent again.
pub const REPLAYABLE: usize = 1_000_000;

/// The longest wait for a `Retry-After` or between tries; a longer one is handed to the caller.
pub const MAX_WAIT_MS: u64 = 10_000;

/// Tries of one request at the most, the first one included.
pub const MAX_TRIES: u8 = 3;

/// Why a path is not called. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathRefused {
    /// No base of this name.
    #[error("The provider's API has no base of this name")]
    NoBase,
    /// Path and query are longer than 8 KiB.
    #[error("The path and query must be at most 8192 bytes long")]
    TooLong,
    /// `.`, `..` or nothing between two slashes.
    #[error("The path must not hold empty segments, `.` or `..`")]
    Segment,
    /// An escaped slash or backslash, a NUL, or an escape that is none.
    #[error("The path must not hold escaped slashes or backslashes, NUL, or broken escapes")]
    Escape,
    /// `access_token` in the query.
    #[error("The query must not hold access_token: the token is put where it belongs")]
    TokenInQuery,
    /// What came out is not below the base: of a base that is none.
    #[error("The path leads out of the provider's API")]
    Outside,
}

/// The URL below one of the API's bases. `path` is what stands behind `/proxy/`, as it came, escapes and all.
pub fn url(api: &Api, path: &str, query: Option<&str>) -> Result<String, PathRefused> {
    if path.len() + query.map_or(0, str::len) > MAX_BYTES {
        return Err(PathRefused::TooLong);
    }
    let (base, path) = match path.strip_prefix(BASE_MARK) {
        Some(rest) => {
            let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
            (api.bases.get(name).ok_or(PathRefused::NoBase)?, rest)
        }
        None => (&api.base, path),
    };
    let base = base.trim_end_matches('/');
    let mut text = base.to_owned();
    // One slash at the end is the API's own business.
    let (path, slash) = match path.strip_suffix('/') {
        Some(path) => (path, "/"),
        None => (path, ""),
    };
    if !path.is_empty() {
        for segment in path.split('/') {
            text.push('/');
            escape(&unescape(segment)?, &mut text);
        }
    }
    text.push_str(slash);
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        for pair in query.split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            let name = url::form_urlencoded::parse(name.as_bytes()).next();
            if name.is_some_and(|(name, _)| name.eq_ignore_ascii_case("access_token")) {
                return Err(PathRefused::TokenInQuery);
            }
        }
        if query
            .bytes()
            .any(|c| c <= b' ' || c == b'#' || c == b'\\' || c >= 0x7f)
        {
            return Err(PathRefused::Escape);
        }
        text.push('?');
        text.push_str(query);
    }
    below(base, &text).ok_or(PathRefused::Outside)
}

/// Whether a URL that somebody else wrote whole, an endpoint's, is below one of these bases, and stays there however its
/// path is read: no escaped slash, no `..`. The same rule as for what the proxy calls.
pub fn is_below<'a>(bases: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    bases.into_iter().any(|base| {
        let inside = below(base, text).zip(Url::parse(base).ok());
        inside.is_some_and(|(url, base)| {
            let path = Url::parse(&url)
                .map(|url| url.path().to_owned())
                .unwrap_or_default();
            let rest = path
                .get(base.path().trim_end_matches('/').len()..)
                .unwrap_or_default();
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            rest.is_empty() || rest.split('/').all(|segment| unescape(segment).is_ok())
        })
    })
}

/// All bases of an API.
pub fn bases(api: &Api) -> impl Iterator<Item = &str> {
    std::iter::once(&api.base)
        .chain(api.bases.values())
        .map(String::as_str)
}

/// The text as the parser writes it, if it is still below the base.
fn below(base: &str, text: &str) -> Option<String> {
    let (base, url) = (Url::parse(base).ok()?, Url::parse(text).ok()?);
    let same = base.origin() == url.origin() && url.username().is_empty() && url.password().is_none();
    let prefix = base.path().trim_end_matches('/');
    let inside = url
        .path()
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (same && inside && url.fragment().is_none()).then(|| url.into())
}

/// A segment, decoded once.
fn unescape(segment: &str) -> Result<Vec<u8>, PathRefused> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = if byte == b'%' {
            let digit = |c: Option<u8>| c.and_then(|c| char::from(c).to_digit(16));
            let (high, low) = (digit(rest.next()), digit(rest.next()));
            let (high, low) = high.zip(low).ok_or(PathRefused::Escape)?;
            u8::try_from(high * 16 + low).map_err(|_| PathRefused::Escape)?
        } else {
            byte
        };
        bytes.push(byte);
    }
    if bytes.iter().any(|c| matches!(c, 0 | b'/' | b'\\')) {
        return Err(PathRefused::Escape);
    }
    if matches!(bytes.as_slice(), b"" | b"." | b"..") {
        return Err(PathRefused::Segment);
    }
    Ok(bytes)
}

/// `pchar` of RFC 3986 section 3.3 stays; everything else is escaped.
fn escape(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
            | b':'
            | b'@' => text.push(char::from(*byte)),
            other => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                text.push('%');
                for digit in [other >> 4, other & 15] {
                    text.push(char::from(HEX[usize::from(digit)]));
                }
            }
        }
    }
}

/// Headers of a caller that are let through everywhere, lower case. `accept…` and `if-…` are beside them.
const CALLER_HEADERS: [&str; 7] = [
    "content-type",
    "content-encoding",
    "content-language",
    "range",
    "prefer",
    "idempotency-key",
    "x-request-id",
];

/// Whether a caller's header goes to the provider: the usual ones and those that its entry names. Never a cookie, a host, a
/// credential or anything that says where the request came from.
#[must_use]
pub fn goes_out(api: &Api, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("accept")
        || name.starts_with("if-")
        || CALLER_HEADERS.contains(&name.as_str())
        || (api.caller_headers.contains(&name) && !is_credential(&name))
}

fn is_credential(name: &str) -> bool {
    matches!(
        name,
        "authorization" | "proxy-authorization" | "cookie" | "host" | "forwarded" | "content-length"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with("cf-")
}

/// Headers of an answer that never come back: cookies, policies of another origin, what belongs to one connection.
const ANSWER_DROPPED: [&str; 20] = [
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "content-security-policy",
    "content-security-policy-report-only",
    "alt-svc",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "clear-site-data",
    "nel",
    "report-to",
    "reporting-endpoints",
    "access-control-allow-origin",
    "access-control-allow-credentials",
];

/// Whether an answer's header comes back. One that repeats the token does not.
#[must_use]
pub fn comes_back(name: &str, value: &str, token: &Secret) -> bool {
    let name = name.to_ascii_lowercase();
    !ANSWER_DROPPED.contains(&name.as_str())
        && !name.starts_with("postern-")
        && (token.reveal().is_empty() || !value.contains(token.reveal()))
}

/// Where a redirect leads, for a caller: below the base it is a path of the proxy's own; anything else stays as plain
/// information. Never followed here.
#[must_use]
pub fn location(api: &Api, called: &str, location: &str, proxy: &str) -> String {
    let Some(url) = Url::parse(called).ok().and_then(|base| base.join(location).ok()) else {
        return location.to_owned();
    };
    let text: String = url.into();
    let bases =
        std::iter::once(("", &api.base)).chain(api.bases.iter().map(|(name, base)| (name.as_str(), base)));
    for (name, base) in bases {
        let base = base.trim_end_matches('/');
        if below(base, &text).is_some()
            && let Some(rest) = text.strip_prefix(base)
        {
            let mark = if name.is_empty() {
                String::new()
            } else {
                format!("/{BASE_MARK}{name}")
            };
            return format!("{}{mark}{rest}", proxy.trim_end_matches('/'));
        }
    }
    text
}

/// Whether the answer says that the token does not hold: 401 without `insufficient_scope` (RFC 6750 section 3.1), or one of
/// the provider's own words in the beginning of a body.
#[must_use]
pub fn is_unauthorised(api: &Api, status: u16, challenge: Option<&str>, body: &[u8]) -> bool {
    if status == 401 {
        return !challenge.is_some_and(|challenge| challenge.contains("insufficient_scope"));
    }
    if status != 200 && status != 400 && status != 403 || api.unauthorised.is_empty() {
        return false;
    }
    // A word of an error stands as a JSON string; a mail that holds it somewhere is none.
    let head = String::from_utf8_lossy(&body[..body.len().min(2048)]);
    api.unauthorised.iter().any(|word| {
        ["error", "errorCode", "code", ".tag"].iter().any(|field| {
            let (loose, tight) = (
                format!("\"{field}\": \"{word}\""),
                format!("\"{field}\":\"{word}\""),
            );
            head.contains(&loose) || head.contains(&tight)
        })
    })
}

/// Whether a request of this method is made at all. What is meant for a proxy itself, or shows a request's headers to
/// whoever asks, is not (RFC 9110 sections 9.3.6 and 9.3.8).
#[must_use]
pub fn may_call(method: &str) -> bool {
    !matches!(method, "CONNECT" | "TRACE" | "TRACK")
}

/// Whether a request may be sent again when its answer did not come or was 429 or 502 to 504: methods that do the same
/// twice (RFC 9110 section 9.2.2), and a `POST` that carries a key for that.
#[must_use]
pub fn may_repeat(method: &str, has_idempotency_key: bool) -> bool {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" => true,
        "POST" => has_idempotency_key,
        _ => false,
    }
}

/// Whether an answer is one that may be asked for again, by its status.
#[must_use]
pub const fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

/// How long to wait before the next try; none: the answer goes to the caller. `tries` have been made, `jitter` is 0 to 255.
#[must_use]
pub fn wait_ms(tries: u8, retry_after_ms: Option<u64>, jitter: u8) -> Option<u64> {
    if tries >= MAX_TRIES {
        return None;
    }
    let wait = match retry_after_ms {
        Some(ms) => ms,
        None => (250 << u32::from(tries.min(4))) + u64::from(jitter),
    };
    (wait <= MAX_WAIT_MS).then_some(wait)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::oauth::provider::{Limits, TokenPlace};

    fn api() -> Api {
        Api {
            base: "https://api.example.com/v1".to_owned(),
            bases: BTreeMap::from([("mail".to_owned(), "https://mail.example.com".to_owned())]),
            place: TokenPlace::Bearer,
            headers: BTreeMap::new(),
            caller_headers: vec!["notion-version".to_owned(), "cookie".to_owned()],
            limits: Limits::default(),
            unauthorised: vec!["token_expired".to_owned()],
        }
    }

    #[test]
    fn a_path_goes_below_the_base_and_a_name_chooses_another_base() {
        let url = |path, query| url(&api(), path, query);
        assert_eq!(
            url("users/me", Some("a=1&b=%20")).unwrap(),
            "https://api.example.com/v1/users/me?a=1&b=%20"
        );
        assert_eq!(url("", None).unwrap(), "https://api.example.com/v1");
        assert_eq!(url("users/", None).unwrap(), "https://api.example.com/v1/users/");
        assert_eq!(
            url("@mail/gmail/v1/users", None).unwrap(),
            "https://mail.example.com/gmail/v1/users"
        );
        assert_eq!(
            url("topics/a:publish", None).unwrap(),
            "https://api.example.com/v1/topics/a:publish"
        );
        assert_eq!(
            url("a%20b/%C3%A9", None).unwrap(),
            "https://api.example.com/v1/a%20b/%C3%A9"
        );
        assert_eq!(url("@other/x", None), Err(PathRefused::NoBase));
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for path in [
            "..",
            "a/../b",
            "%2e%2e/x",
            ".%2e",
            "a//b",
            "/a",
            "//evil.example/x",
            ".",
        ] {
            assert_eq!(url(&api(), path, None), Err(PathRefused::Segment), "{path}");
        }
        for path in ["a%2fb", "a%2F..%2f", "a%5cb", "a\\b", "%00", "%zz", "%4"] {
            assert_eq!(url(&api(), path, None), Err(PathRefused::Escape), "{path}");
        }
        for query in ["access_token=x", "a=1&Access_Token=x", "access%5ftoken=x"] {
            assert_eq!(
                url(&api(), "x", Some(query)),
                Err(PathRefused::TokenInQuery),
                "{query}"
            );
        }
        assert_eq!(url(&api(), "x", Some("a=1#b")), Err(PathRefused::Escape));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_host_and_the_prefix_hold(path in ".{0,60}", query in proptest::option::of(".{0,40}")) {
            if let Ok(text) = url(&api(), &path, query.as_deref()) {
                let below_one = text.starts_with("https://api.example.com/v1") || text.starts_with("https://mail.example.com");
                prop_assert!(below_one, "{text}");
                let url = Url::parse(&text).unwrap();
                prop_assert!(["api.example.com", "mail.example.com"].contains(&url.host_str().unwrap()));
                prop_assert!(!url.path().split('/').any(|part| part == ".."));
                prop_assert_eq!(url.as_str(), text.as_str());
            }
        }
    }

    #[test]
    fn an_endpoints_url_is_below_a_base_or_it_is_not() {
        let api = api();
        for inside in [
            "https://api.example.com/v1",
            "https://api.example.com/v1/",
            "https://api.example.com/v1/hooks/a?x=1",
            "https://api.example.com:443/v1/hooks",
            "https://mail.example.com/anything",
        ] {
            assert!(is_below(bases(&api), inside), "{inside}");
        }
        for outside in [
            "https://api.example.com/v10/hooks",
            "https://api.example.com/v1/../admin",
            "https://api.example.com/v1/%2e%2e/admin",
            "https://api.example.com/v1/..%2fadmin",
            "https://api.example.com/v1/a%5cb",
            "https://api.example.com/v1//evil",
            "https://api.example.com.evil.example/v1/a",
            "https://api.example.com@evil.example/v1/a",
            "https://user@api.example.com/v1/a",
            "http://api.example.com/v1/a",
            "https://api.example.com:8443/v1/a",
            "not a url",
        ] {
            assert!(!is_below(bases(&api), outside), "{outside}");
        }
        let none: [&str; 0] = [];
        assert!(!is_below(none, "https://api.example.com/v1"));
    }

    #[test]
    fn of_a_callers_headers_only_the_known_ones_go_out_and_never_a_credential() {
        for name in [
            "Accept",
            "accept-language",
            "If-None-Match",
            "Content-Type",
            "Notion-Version",
            "Range",
        ] {
            assert!(goes_out(&api(), name), "{name}");
        }
        for name in [
            "Authorization",
            "Cookie",
            "Host",
            "Forwarded",
            "X-Forwarded-For",
            "CF-Connecting-IP",
            "Connection",
            "X-Anything",
        ] {
            assert!(!goes_out(&api(), name), "{name}");
        }
    }

    #[test]
    fn of_an_answers_headers_no_cookie_no_policy_and_no_echo_of_the_token_comes_back() {
        let token = Secret("secret-token-1".to_owned());
        for name in [
            "Content-Type",
            "ETag",
            "X-RateLimit-Remaining",
            "Retry-After",
            "Link",
        ] {
            assert!(comes_back(name, "x", &token), "{name}");
        }
        for name in [
            "Set-Cookie",
            "Strict-Transport-Security",
            "Alt-Svc",
            "Transfer-Encoding",
        ] {
            assert!(!comes_back(name, "x", &token), "{name}");
        }
        assert!(!comes_back("x-echo", "Bearer secret-token-1", &token));
    }

    #[test]
    fn a_redirect_inside_the_api_becomes_a_path_of_the_proxy_and_any_other_stays_information() {
        let to = |target: &str| location(&api(), "https://api.example.com/v1/a", target, "/proxy/");
        assert_eq!(to("/v1/b?x=1"), "/proxy/b?x=1");
        assert_eq!(to("https://mail.example.com/c"), "/proxy/@mail/c");
        assert_eq!(to("https://evil.example/v1"), "https://evil.example/v1");
        assert_eq!(to("/v10/b"), "https://api.example.com/v10/b");
    }

    #[test]
    fn a_401_is_one_unless_only_the_scope_is_missing_and_a_provider_may_say_it_in_200() {
        assert!(is_unauthorised(&api(), 401, None, b""));
        assert!(!is_unauthorised(
            &api(),
            401,
            Some("Bearer error=\"insufficient_scope\""),
            b""
        ));
        assert!(!is_unauthorised(&api(), 403, None, b"{}"));
        assert!(is_unauthorised(
            &api(),
            200,
            None,
            br#"{"ok":false,"error":"token_expired"}"#
        ));
        assert!(!is_unauthorised(
            &api(),
            200,
            None,
            br#"{"text":"token_expired"}"#
        ));
    }

    #[test]
    fn what_may_be_done_twice_is_tried_three_times_with_short_waits() {
        assert!(may_call("PROPFIND") && !may_call("TRACE") && !may_call("CONNECT"));
        assert!(may_repeat("GET", false) && may_repeat("POST", true));
        assert!(!may_repeat("POST", false) && !may_repeat("PATCH", true));
        assert_eq!(wait_ms(1, Some(2_000), 0), Some(2_000));
        assert_eq!(wait_ms(1, Some(60_000), 0), None);
        assert_eq!(wait_ms(1, None, 5), Some(505));
        assert_eq!(wait_ms(3, None, 0), None);
    }
}
