//! The one way out: every request that Postern makes to somebody else's server goes through [`send`].
//!
//! What is called is a [`Target`], and only [`postern_domain::address::Policy`] makes one, so an address that was not
//! judged cannot be called. Redirects are never followed, nothing is cached, one deadline covers connecting, the headers
//! and the body, and no more of a body is read than is kept. The runtime adds `Host`, `Content-Length` and `CF-Worker`;
//! every other header comes from the caller.

use futures::StreamExt as _;
use postern_domain::address::Target;
use postern_domain::egress::{self, Forwarded, Word};
use postern_domain::outcome::{Answered, Cause, is_success};
use postern_domain::schedule;
use postern_domain::time::Millis;
use wasm_bindgen::JsValue;
use worker::{
    AbortController, AbortSignal, CacheMode, Error, Fetch, Headers, Method, Request, RequestInit,
    RequestRedirect, Response,
};

use crate::config::Egress;
use crate::deadline::within;
use crate::{clock, http};

/// The name under which Postern calls.
pub const USER_AGENT: &str = concat!("Postern/", env!("CARGO_PKG_VERSION"));

/// Bytes kept of the body of a success.
const KEPT_OF_SUCCESS: usize = 1024;

/// Bytes kept of the body of a failure: enough for an error page's sentence.
const KEPT_OF_FAILURE: usize = 16 * 1024;

/// Bytes kept of an answer's headers.
const KEPT_OF_HEADERS: usize = 2048;

/// The forwarder gives up so much earlier than we do, so that its word still comes.
const FORWARDER_MARGIN_MS: u64 = 500;

/// One request to be made.
pub struct Outgoing<'a> {
    /// Where to: sent exactly as the rule wrote it.
    pub target: &'a Target,
    /// How.
    pub method: Method,
    /// All that the request carries.
    pub headers: &'a [(String, String)],
    /// What; empty: the request has no body.
    pub body: &'a [u8],
    /// For all of it, from now on.
    pub deadline_ms: u64,
    /// The forwarder that it goes through; none: it goes directly.
    pub through: Option<&'a Egress>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// The answer's status, if its headers came.
    pub status: Option<u16>,
    /// Why it failed; none: a status of 2xx, and as much of the body as is kept.
    pub cause: Option<Cause>,
    /// A failure's `Retry-After`, as milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// The body, up to the cap.
    pub body: Vec<u8>,
    /// The answer's headers, as many as are kept.
    pub headers: Vec<(String, String)>,
    /// `Content-Type`, lower case, without parameters.
    pub content_type: String,
    /// There was more of a body than the cap.
    pub cut: bool,
    /// When the request was begun.
    pub started_at: Millis,
    /// From then to the end of the body.
    pub duration_ms: u32,
}

/// Makes one request. Never fails in another way than by [`Ended::cause`].
pub async fn send(outgoing: Outgoing<'_>) -> Ended {
    send_keeping(outgoing, KEPT_OF_SUCCESS).await
}

/// The same where the answer is what it is made for: keeps so much of a success's body.
pub async fn send_keeping(outgoing: Outgoing<'_>, kept: usize) -> Ended {
    let started_at = clock::now();
    let mut ended = exchange(&outgoing, started_at, kept).await;
    ended.duration_ms = u32::try_from(clock::now().since(started_at)).unwrap_or(u32::MAX);
    ended
}

/// A request whose answer is handed on while it comes.
pub struct Opening<'a> {
    /// Where to: sent exactly as the rule wrote it.
    pub target: &'a Target,
    /// How: any method that the runtime knows.
    pub method: &'a str,
    /// All that the request carries.
    pub headers: &'a [(String, String)],
    /// What.
    pub body: Sent<'a>,
    /// Until the answer's headers are there.
    pub deadline_ms: u64,
}

/// A request's body.
pub enum Sent<'a> {
    /// In one piece; empty: none.
    Bytes(&'a [u8]),
    /// As it comes from somebody else.
    Stream(JsValue),
}

/// Makes one request and gives its answer back as soon as the headers are there. Redirects are not followed, nothing is
/// cached. Whoever reads the body minds how long it takes.
///
/// # Errors
/// Why there is no answer.
pub async fn open(opening: Opening<'_>) -> Result<Response, Cause> {
    let abort = AbortController::default();
    let signal = abort.signal();
    let body = match opening.body {
        Sent::Bytes([]) => None,
        Sent::Bytes(bytes) => Some(js_sys::Uint8Array::from(bytes).into()),
        Sent::Stream(stream) => Some(stream),
    };
    let request = to_request(opening.target.as_str(), opening.method, opening.headers, body)
        .map_err(|error| cause_of(&error, Phase::Headers))?;
    let sent = Fetch::Request(request);
    if let Some(answer) = within(opening.deadline_ms, sent.send_with_signal(&signal)).await {
        answer.map_err(|error| cause_of(&error, Phase::Headers))
    } else {
        abort.abort();
        Err(Cause::Timeout)
    }
}

async fn exchange(outgoing: &Outgoing<'_>, started_at: Millis, kept: usize) -> Ended {
    let mut ended = Ended {
        status: None,
        cause: None,
        retry_after_ms: None,
        body: Vec::new(),
        headers: Vec::new(),
        content_type: String::new(),
        cut: false,
        started_at,
        duration_ms: 0,
    };
    let deadline = u32::try_from(outgoing.deadline_ms).unwrap_or(u32::MAX);
    let deadline: AbortSignal = worker::web_sys::AbortSignal::timeout_with_u32(deadline).into();
    let answer = match request(outgoing, started_at) {
        Ok(request) => Fetch::Request(request).send_with_signal(&deadline).await,
        Err(error) => Err(error),
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let cause = cause_of(&error, Phase::Headers);
            // It was the forwarder that could not be reached, and no endpoint.
            ended.cause = Some(outgoing.through.map_or(cause, |_| Cause::Egress));
            return ended;
        }
    };

    let received = answer.headers().clone();
    let header = |name: &str| received.get(name).ok().flatten();
    if outgoing.through.is_some()
        && let Word::Failed(cause) = Word::read(header(egress::WORD).as_deref())
    {
        ended.cause = Some(cause);
        return ended;
    }
    let status = answer.status_code();
    ended.status = Some(status);
    ended.headers = kept_headers(received.entries());
    ended.content_type = media_type(header("content-type").as_deref());
    let cap = if is_success(status) { kept } else { KEPT_OF_FAILURE };
    let mut broken = None;
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length <= cap) && header("content-encoding").is_none() {
        // By HTTP it ends there.
        match http::whole(&answer).await {
            Ok(body) => ended.cut = keep(&mut ended.body, &body, cap),
            Err(error) => broken = Some(cause_of(&error, Phase::Body)),
        }
    } else if let Ok(mut chunks) = answer.stream() {
        // An answer that can have no body has no stream: that is an empty body.
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) => {
                    if keep(&mut ended.body, &chunk, cap) {
                        ended.cut = true;
                        break; // dropping the stream closes the connection
                    }
                }
                Err(error) => {
                    broken = Some(cause_of(&error, Phase::Body));
                    break;
                }
            }
        }
    }
    let answered = Answered {
        status,
        header,
        body: &ended.body,
    };
    // An answer that says failure says more than how its body ended.
    ended.cause = answered.cause().or(broken);
    if ended.cause.is_some() {
        let after = received.get("retry-after").ok().flatten();
        ended.retry_after_ms = after.and_then(|value| schedule::retry_after_ms(&value, clock::now()));
    }
    ended
}

fn request(outgoing: &Outgoing<'_>, now: Millis) -> worker::Result<Request> {
    let forwarded = outgoing.through.map(|through| {
        let forwarded = Forwarded {
            target: outgoing.target.as_str(),
            method: outgoing.method.as_ref(),
            headers: outgoing.headers,
            body: outgoing.body,
            deadline_ms: outgoing.deadline_ms.saturating_sub(FORWARDER_MARGIN_MS),
        };
        (
            through.target.as_str(),
            forwarded.signed(&through.secret, now.seconds()),
        )
    });
    let (url, carried) = match &forwarded {
        Some((url, carried)) => (*url, carried.as_slice()),
        None => (outgoing.target.as_str(), outgoing.headers),
    };
    let body = (!outgoing.body.is_empty()).then(|| js_sys::Uint8Array::from(outgoing.body).into());
    to_request(url, outgoing.method.as_ref(), carried, body)
}

fn to_request(
    url: &str,
    method: &str,
    carried: &[(String, String)],
    body: Option<JsValue>,
) -> worker::Result<Request> {
    let headers = Headers::new();
    for (name, value) in carried {
        headers.set(name, value)?;
    }
    let mut init = RequestInit::new();
    init.with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_cache(CacheMode::NoStore)
        .with_body(body);
    // The library's own type knows ten methods, and makes `GET` of any other.
    let init = web_sys::RequestInit::from(&init);
    init.set_method(method);
    Ok(web_sys::Request::new_with_str_and_init(url, &init)?.into())
}

/// Keeps what fits; true when there was more than that.
fn keep(kept: &mut Vec<u8>, chunk: &[u8], cap: usize) -> bool {
    let room = cap.saturating_sub(kept.len());
    kept.extend(chunk.iter().take(room));
    chunk.len() > room
}

/// What is kept of an answer's headers: no cookies, nothing of the forwarder's, and up to 2 KiB.
fn kept_headers(headers: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut room = KEPT_OF_HEADERS;
    headers
        .filter(|(name, _)| {
            !matches!(name.as_str(), "set-cookie" | "set-cookie2") && !name.starts_with(egress::FAMILY)
        })
        .take_while(|(name, value)| {
            let size = name.len() + value.len() + 8;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .collect()
}

fn media_type(header: Option<&str>) -> String {
    let kind = header.and_then(|header| header.split(';').next());
    kind.unwrap_or_default().trim().to_ascii_lowercase()
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Headers,
    Body,
}

fn cause_of(error: &Error, phase: Phase) -> Cause {
    match error {
        Error::UnknownJsError { name, message, .. } => {
            cause_of_text(name.as_deref().unwrap_or_default(), message, phase)
        }
        _ => Cause::Unknown,
    }
}

/// The runtime tells its errors apart by their texts only.
fn cause_of_text(name: &str, message: &str, phase: Phase) -> Cause {
    if matches!(name, "TimeoutError" | "AbortError") {
        return match phase {
            Phase::Headers => Cause::Timeout,
            Phase::Body => Cause::BodyTimeout,
        };
    }
    if message.contains("Network connection lost") {
        Cause::ConnectionLost
    } else if message.starts_with("internal error") && phase == Phase::Headers {
        Cause::NameOrTls
    } else {
        Cause::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_told_apart_by_whether_the_answer_had_begun() {
        let text = "The operation was aborted due to timeout";
        assert_eq!(
            cause_of_text("TimeoutError", text, Phase::Headers),
            Cause::Timeout
        );
        assert_eq!(
            cause_of_text("TimeoutError", text, Phase::Body),
            Cause::BodyTimeout
        );
    }

    #[test]
    fn a_connection_that_was_refused_or_cut_off_is_a_lost_one_in_either_phase() {
        for phase in [Phase::Headers, Phase::Body] {
            assert_eq!(
                cause_of_text("Error", "Network connection lost.", phase),
                Cause::ConnectionLost
            );
        }
    }

    #[test]
    fn an_internal_error_before_the_headers_is_a_name_or_a_certificate() {
        let text = "internal error; reference = abc";
        assert_eq!(cause_of_text("Error", text, Phase::Headers), Cause::NameOrTls);
        assert_eq!(cause_of_text("Error", text, Phase::Body), Cause::Unknown);
    }

    #[test]
    fn any_other_text_is_unknown() {
        let text = "Fetch API cannot load: ftp://example.com/";
        assert_eq!(cause_of_text("TypeError", text, Phase::Headers), Cause::Unknown);
    }

    #[test]
    fn of_an_answers_headers_no_cookie_is_kept_and_not_more_than_2_kib() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            pair("server", "nginx"),
            pair("set-cookie", "session=1"),
            pair("postern-egress", "answered"),
            pair("x-long", &"x".repeat(2000)),
            pair("x-more", &"x".repeat(100)),
        ];
        let kept = kept_headers(headers.into_iter());
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["server", "x-long"]);
    }

    #[test]
    fn a_body_is_kept_up_to_the_cap_and_what_is_beyond_is_noticed() {
        let mut kept = Vec::new();
        assert!(!keep(&mut kept, b"abc", 5));
        assert!(!keep(&mut kept, b"de", 5));
        assert!(keep(&mut kept, b"f", 5));
        assert_eq!(kept, b"abcde");
    }
}
