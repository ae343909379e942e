//! `ANY /api/v1/app/{app_id}/connection/{connection_id}/proxy/{path}`: a request to the provider's API, with the connection's
//! token.
//!
//! Not in the table of operations: its method is anything, its bodies are streams either way, and its answers are the
//! provider's. What may be called, and which headers travel, is [`postern_domain::oauth::proxy`]'s to say. In reading
//! order: who asks, the token (warm: from this isolate's memory), the connection's limits, the request, what its answer
//! means, what goes back.
//!
//! A 401 is met by one refresh and one more try, a passing error of what may be done twice by up to two more; both only for
//! bodies that are kept, up to 1 MB. What is larger, or of unknown length, goes through once.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use postern_domain::access::Need;
use postern_domain::address::Target;
use postern_domain::oauth::api_call;
use postern_domain::oauth::provider::Api;
use postern_domain::oauth::proxy::{self, REPLAYABLE};
use postern_domain::outcome::Cause;
use postern_domain::problem::{Code, Problem};
use postern_domain::schedule;
use postern_domain::wire::connection::{Spent, Token};
use postern_platform::config::Config;
use postern_platform::deadline::{pause, within};
use postern_platform::fetch::{self, Opening, Sent, USER_AGENT};
use postern_platform::token::Spender;
use postern_platform::{clock, http, log, random};
use worker::{Env, Headers, Request, Response};

use crate::api::access::Caller;

/// Until an answer's headers are there.
const HEADERS_MS: u64 = 60_000;

/// An answer whose next part does not come for so long is over.
const IDLE_MS: u64 = 30_000;

/// A body in at the most: the platform takes no more either.
const MAX_BODY: usize = 100_000_000;

/// How long a token may take to come: it may be refreshed first.
const TOKEN_MS: u64 = 30_000;

/// Which connection, and what behind it.
pub(crate) struct Asked {
    application: String,
    connection: String,
    rest: String,
}

/// What a path of the proxy asks for; none: it is another's.
pub(crate) fn asked(path: &str) -> Option<Asked> {
    let rest = path.strip_prefix("/api/v1/app/")?;
    let (application, rest) = rest.split_once('/')?;
    let (connection, rest) = rest.strip_prefix("connection/")?.split_once('/')?;
    let rest = rest
        .strip_prefix("proxy")
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    Some(Asked {
        application: application.to_owned(),
        connection: connection.to_owned(),
        rest: rest.strip_prefix('/').unwrap_or_default().to_owned(),
    })
}

/// The provider's answer, or why there is none.
pub(crate) async fn answer(request: &mut Request, env: &Env, asked: &Asked) -> Result<Response, Problem> {
    let now = clock::now();
    if http::wants_socket(request) {
        return Err(Problem::new(Code::BadRequest, "The proxy takes no WebSockets"));
    }
    let caller = Caller::authenticate(env.clone(), http::authorization(request).as_deref(), now).await?;
    caller.may(Need::Whole)?;
    let access = caller.tenant(&asked.application, now).await?;
    let connection = super::of_segment(&access, &asked.connection).await?;
    let spender = Spender::new(env, access.organisation, access.tenant, connection);

    let mut token = spender.token(now, TOKEN_MS).await?;
    let api = token.api.clone().ok_or_else(no_api)?;
    let url = request.url().map_err(Problem::internal)?;
    let destination = proxy::url(&api, &asked.rest, url.query())
        .map_err(|refused| Problem::new(Code::BadRequest, refused.to_string()))?;
    let config = Config::from_env(env)?;
    let target = config
        .provider_policy
        .judge(&destination)
        .map_err(|refusal| Problem::new(Code::BadRequest, refusal.to_string()))?;

    // The library's own type makes `GET` of a method that it does not know.
    let method = request.inner().method();
    if !proxy::may_call(&method) {
        let detail = format!("The proxy does not make {method} requests");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    let repeatable = proxy::may_repeat(&method, http::header(request, "idempotency-key").is_some());
    let (kept, mut body) = body(request).await?;
    let passed: Vec<(String, String)> = request
        .headers()
        .entries()
        .filter(|(name, _)| proxy::goes_out(&api, name))
        .collect();

    let mut tries = 0_u8;
    let mut refreshed = false;
    loop {
        if let Some(refused) = over(&spender.spend(&token).await?)? {
            return Ok(refused);
        }
        tries += 1;
        let sent = match body.take() {
            Some(stream) => Sent::Stream(stream),
            None => Sent::Bytes(&kept.bytes),
        };
        let opening = Opening {
            target: &target,
            method: &method,
            headers: &headers_out(&api, &passed, &token),
            body: sent,
            deadline_ms: HEADERS_MS,
        };
        let answer = match fetch::open(opening).await {
            Ok(answer) => Came::read(answer, &api).await,
            Err(cause) => {
                let wait = proxy::wait_ms(tries, None, jitter()).filter(|_| repeatable && kept.whole);
                match wait {
                    Some(wait) => pause(wait).await,
                    None => return Err(no_answer(cause)),
                }
                continue;
            }
        };
        let status = answer.status;
        let challenge = answer.header("www-authenticate");
        if proxy::is_unauthorised(&api, status, challenge.as_deref(), &answer.first) {
            let newer = spender.refused(token.generation).await;
            match newer {
                Ok(newer) if !refreshed && kept.whole && newer.generation != token.generation => {
                    refreshed = true;
                    token = newer;
                    continue;
                }
                // The provider's own answer says more than our words about it.
                _ => return answer.into_response(&api, &target, &token, asked, tries),
            }
        }
        if proxy::is_passing(status) {
            let after = answer
                .header("retry-after")
                .and_then(|value| schedule::retry_after_ms(&value, clock::now()));
            if let (429, Some(ms)) = (status, after)
                && let Err(problem) = spender.throttled(ms).await
            {
                // The caller gets the provider's answer all the same.
                let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
                log::warn("throttled_untold", fields);
            }
            let wait = proxy::wait_ms(tries, after, jitter()).filter(|_| repeatable && kept.whole);
            if let Some(wait) = wait.filter(|_| status != 429 || after.is_none()) {
                pause(wait).await;
                continue;
            }
        }
        return answer.into_response(&api, &target, &token, asked, tries);
    }
}

/// A request's body, as far as it is kept.
struct Kept {
    bytes: Vec<u8>,
    /// It can be sent again.
    whole: bool,
}

/// The body: in memory where it says that it is small, as a stream otherwise.
async fn body(request: &mut Request) -> Result<(Kept, Option<wasm_bindgen::JsValue>), Problem> {
    let length = http::header(request, "content-length").and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY) {
        let detail = format!("The body is larger than {MAX_BODY} bytes");
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let stream = request.inner().body();
    let whole = stream.is_none() || length.is_some_and(|length| length <= REPLAYABLE);
    if whole {
        let bytes = http::body(request, REPLAYABLE).await?;
        return Ok((Kept { bytes, whole }, None));
    }
    let bytes = Vec::new();
    Ok((Kept { bytes, whole }, stream.map(Into::into)))
}

fn headers_out(api: &Api, passed: &[(String, String)], token: &Token) -> Vec<(String, String)> {
    let mut headers = vec![("user-agent".to_owned(), USER_AGENT.to_owned())];
    for (name, value) in &api.headers {
        if !passed.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            headers.push((name.clone(), value.clone()));
        }
    }
    headers.extend_from_slice(passed);
    headers.push(api_call::place(
        Some(&api.place),
        &token.token,
        token.user.as_deref(),
    ));
    headers
}

/// The answer to a request for which a limit has no room.
fn over(spent: &Spent) -> Result<Option<Response>, Problem> {
    let Some(limit) = &spent.limit else {
        return Ok(None);
    };
    let seconds = spent.wait_ms.div_ceil(1000).max(1);
    let detail = format!("This connection has used up {limit}; try again in {seconds} s");
    let mut refused = http::problem(&Problem::new(Code::RateLimited, detail));
    let after = seconds.to_string();
    refused
        .headers_mut()
        .set("retry-after", &after)
        .map_err(Problem::internal)?;
    Ok(Some(refused))
}

/// An answer whose headers and first part are there.
struct Came {
    status: u16,
    headers: Vec<(String, String)>,
    /// The beginning of the body, as it came.
    first: Vec<u8>,
    rest: Option<worker::ByteStream>,
}

impl Came {
    /// Takes the first part of the body as well where the provider may say in it that the token does not hold.
    async fn read(mut answer: Response, api: &Api) -> Self {
        let status = answer.status_code();
        let headers: Vec<_> = answer.headers().entries().collect();
        let mut came = Self {
            status,
            headers,
            first: Vec::new(),
            rest: answer.stream().ok(),
        };
        if !api.unauthorised.is_empty()
            && let Some(rest) = &mut came.rest
            && let Some(Some(Ok(first))) = within(IDLE_MS, rest.next()).await
        {
            came.first = first;
        }
        came
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    /// As it goes back: the provider's, without what is not for a caller, and never as a page of ours.
    fn into_response(
        self,
        api: &Api,
        target: &Target,
        token: &Token,
        asked: &Asked,
        tries: u8,
    ) -> Result<Response, Problem> {
        let headers = Headers::new();
        let mut kept = BTreeMap::new();
        for (name, value) in &self.headers {
            // The runtime has decoded the body: its length and encoding were of other bytes.
            let of_other_bytes = matches!(name.as_str(), "content-encoding" | "content-length");
            if of_other_bytes || !proxy::comes_back(name, value, &token.token) {
                continue;
            }
            let value = match name.as_str() {
                "location" => {
                    let own = format!(
                        "/api/v1/app/{}/connection/{}/proxy",
                        asked.application, asked.connection
                    );
                    proxy::location(api, target.as_str(), value, &own)
                }
                "content-type" => plain(value),
                _ => value.clone(),
            };
            kept.insert(name.clone(), value);
        }
        kept.insert("cache-control".to_owned(), "no-store".to_owned());
        kept.insert("x-content-type-options".to_owned(), "nosniff".to_owned());
        let sandbox = "sandbox; default-src 'none'";
        kept.insert("content-security-policy".to_owned(), sandbox.to_owned());
        kept.insert("postern-attempts".to_owned(), tries.to_string());
        kept.insert(
            "postern-token-generation".to_owned(),
            token.generation.to_string(),
        );
        for (name, value) in &kept {
            headers.set(name, value).map_err(Problem::internal)?;
        }
        let builder = Response::builder().with_status(self.status).with_headers(headers);
        let Some(rest) = self.rest.filter(|_| !matches!(self.status, 204 | 205 | 304)) else {
            return Ok(builder.empty());
        };
        let first = (!self.first.is_empty()).then_some(Ok(self.first));
        let rest = stream::unfold(Some(rest), |rest| async move {
            let mut rest = rest?;
            match within(IDLE_MS, rest.next()).await {
                Some(part) => part.map(|part| (part, Some(rest))),
                // The reader learns that it is not whole.
                None => Some((
                    Err(worker::Error::RustError("the provider fell silent".to_owned())),
                    None,
                )),
            }
        });
        let parts = stream::iter(first).chain(rest);
        builder.from_stream(parts).map_err(Problem::internal)
    }
}

/// Never as a page: a browser that is led here shows text.
fn plain(content_type: &str) -> String {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_page = [
        "text/html",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/xml",
    ]
    .iter()
    .any(|page| kind.eq_ignore_ascii_case(page));
    if is_page {
        "text/plain; charset=utf-8".to_owned()
    } else {
        content_type.to_owned()
    }
}

fn no_api() -> Problem {
    Problem::new(
        Code::Conflict,
        "No API is known of this connection's provider: give the provider of its app an api.base",
    )
}

fn no_answer(cause: Cause) -> Problem {
    let mut problem = Problem::new(
        Code::UpstreamFailed,
        format!("The provider's API gave no answer: {}", cause.sentence()),
    );
    problem.cause = Some(format!("{cause:?}"));
    problem
}

fn jitter() -> u8 {
    let [byte] = random::bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_proxy_is_told_from_any_other() {
        let asked_for = |path| asked(path).map(|asked| (asked.application, asked.connection, asked.rest));
        let parts = |a: &str, b: &str, c: &str| Some((a.to_owned(), b.to_owned(), c.to_owned()));
        assert_eq!(
            asked_for("/api/v1/app/a/connection/b/proxy/c/d"),
            parts("a", "b", "c/d")
        );
        assert_eq!(asked_for("/api/v1/app/a/connection/b/proxy"), parts("a", "b", ""));
        assert_eq!(asked_for("/api/v1/app/a/connection/b/proxyc"), None);
        assert_eq!(asked_for("/api/v1/app/a/connection/b"), None);
        assert_eq!(asked_for("/api/v1/app/a/endpoint/b/proxy/c"), None);
    }

    #[test]
    fn a_page_comes_back_as_text() {
        assert_eq!(plain("text/HTML; charset=utf-8"), "text/plain; charset=utf-8");
        assert_eq!(plain("application/json"), "application/json");
    }
}
