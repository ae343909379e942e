//! Answers of `/in/`. Strangers can make us give them, so a browser is told to run nothing of them.

use postern_domain::problem::{Code, Problem};
use postern_domain::provider::Answer;
use worker::{Headers, Response, ResponseBuilder};

use crate::platform::{http, log, random};

/// Seconds after which a provider shall try again.
const RETRY_AFTER: &str = "30";

/// Bytes of an answer to a challenge at the most.
const MAX_CHALLENGE: usize = 1024;

/// Taken, or taken before: the provider cannot and need not tell them apart.
pub(super) fn accepted() -> Response {
    ResponseBuilder::new().with_status(200).empty()
}

/// What the provider wants to hear back. Plain text or JSON, capped, nothing else.
pub(super) fn challenge(answer: Answer) -> Response {
    let mut body = answer.body;
    body.truncate(MAX_CHALLENGE);
    let response = ResponseBuilder::new().with_status(answer.status).fixed(body);
    let content_type = match answer.content_type.as_deref() {
        Some(json) if json.starts_with("application/json") => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    set(response.headers(), "content-type", content_type);
    set(response.headers(), "cache-control", "no-store");
    response
}

/// One code and one sentence. A failure of ours asks for another try.
pub(super) fn refusal(problem: &Problem) -> Response {
    let problem = if problem.code.status() >= 500 {
        if let Some(cause) = &problem.cause {
            log::error("ingest_failed", serde_json::json!({ "cause": cause }));
        }
        &Problem::new(Code::Overloaded, "The webhook could not be taken now; try again")
    } else {
        problem
    };
    let response = http::problem(problem);
    match problem.code {
        Code::MethodNotAllowed => set(response.headers(), "allow", "POST"),
        Code::Overloaded => set(response.headers(), "retry-after", RETRY_AFTER),
        _ => {}
    }
    response
}

/// What every answer carries.
#[expect(clippy::unnecessary_wraps, reason = "the form of a handler's answer")]
pub(super) fn finish(response: Response) -> worker::Result<Response> {
    let headers = response.headers();
    set(headers, "content-security-policy", "sandbox; default-src 'none'");
    set(headers, "x-content-type-options", "nosniff");
    if !headers.has("x-request-id").unwrap_or(false) {
        set(headers, "x-request-id", &hex::encode(random::bytes::<16>()));
    }
    Ok(response)
}

fn set(headers: &Headers, name: &str, value: &str) {
    // Names and values are our own: they are never refused.
    let _ = headers.set(name, value);
}
