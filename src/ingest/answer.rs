//! Answers of `/in/`. Strangers can make us give them, so a browser is told to run nothing of them.
//!
//! What a provider wants to hear differs: its descriptor says it ([`postern_domain::provider::Descriptor`]), its owner may
//! say otherwise, and a request may want an answer of its own. None of them is ever HTML, a redirect, 404 or 410 for a
//! source that is there.

use postern_domain::problem::{Code, Problem};
use postern_domain::provider::{Answer, Descriptor, Reason, Reply};
use postern_domain::wire::inbound::{AnswerKind, OwnAnswer};
use postern_platform::{http, log, random};
use worker::{Headers, Response, ResponseBuilder};

use super::rejection;

/// Seconds after which a provider shall try again, where its descriptor says nothing.
const RETRY_AFTER: &str = "30";

/// Bytes of an answer to a challenge at the most.
const MAX_CHALLENGE: usize = 1024;

/// Taken, or taken before: the provider cannot and need not tell them apart. An answer that the request itself wants goes
/// before one of its owner's, that before the preset's.
pub(super) fn accepted(wanted: Option<Answer>, own: Option<&OwnAnswer>, descriptor: &Descriptor) -> Response {
    match (wanted, own) {
        (Some(answer), _) => challenge(answer),
        (None, Some(own)) => {
            let kind = match own.kind {
                AnswerKind::Text => "text/plain; charset=utf-8",
                AnswerKind::Json => "application/json",
                AnswerKind::Xml => "text/xml; charset=utf-8",
            };
            with_body(own.status, kind, own.body.clone().into_bytes())
        }
        (None, None) => reply(&descriptor.ack),
    }
}

/// What the provider wants to hear back. Plain text, JSON or XML, capped, nothing else.
pub(super) fn challenge(answer: Answer) -> Response {
    let mut body = answer.body;
    body.truncate(MAX_CHALLENGE);
    let response = with_body(answer.status, harmless(answer.content_type.as_deref()), body);
    set(response.headers(), "cache-control", "no-store");
    response
}

/// Not taken now: the answer by which this provider comes again.
pub(super) fn later(problem: &Problem, descriptor: &Descriptor) -> Response {
    if let Some(cause) = &problem.cause {
        log::error("ingest_failed", serde_json::json!({ "cause": cause }));
    }
    let wanted = &descriptor.retry_please;
    if !wanted.body.is_empty() {
        return reply(wanted);
    }
    let response = problem_with(wanted.status, &too_busy());
    if let Some(seconds) = wanted.retry_after_s {
        set(response.headers(), "retry-after", &seconds.to_string());
    } else {
        let _ = response.headers().delete("retry-after");
    }
    response
}

/// Not believed: one public code and its sentence, unless the provider wants other words.
pub(super) fn rejected(reason: Reason, descriptor: &Descriptor) -> Response {
    let status = descriptor.refusal_status(reason);
    if !descriptor.bad_signature.body.is_empty() && status == descriptor.bad_signature.status {
        return reply(&descriptor.bad_signature);
    }
    let code = reason.public_code();
    problem_with(status, &Problem::new(code, rejection::public_sentence(code)))
}

/// All is well, and there is nothing to say.
pub(super) fn taken() -> Response {
    ResponseBuilder::new().with_status(200).empty()
}

/// One code and one sentence. A failure of ours asks for another try.
pub(super) fn refusal(problem: &Problem) -> Response {
    let problem = if problem.code.status() >= 500 {
        if let Some(cause) = &problem.cause {
            log::error("ingest_failed", serde_json::json!({ "cause": cause }));
        }
        &too_busy()
    } else {
        problem
    };
    let response = http::problem(problem);
    if problem.code == Code::Overloaded {
        set(response.headers(), "retry-after", RETRY_AFTER);
    }
    response
}

/// Another method than those.
pub(super) fn method_not_allowed(allowed: &[&str]) -> Response {
    let response = http::problem(&Problem::new(
        Code::MethodNotAllowed,
        "Webhooks are posted here: use one of the methods that this source takes",
    ));
    set(response.headers(), "allow", &allowed.join(", "));
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

fn reply(reply: &Reply) -> Response {
    let response = if reply.body.is_empty() && reply.content_type.is_none() {
        ResponseBuilder::new().with_status(reply.status).empty()
    } else {
        with_body(
            reply.status,
            harmless(reply.content_type),
            reply.body.as_bytes().to_vec(),
        )
    };
    if let Some(seconds) = reply.retry_after_s {
        set(response.headers(), "retry-after", &seconds.to_string());
    }
    response
}

fn with_body(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let builder = ResponseBuilder::new().with_status(status);
    // 204 and 205 have no body by HTTP, and the runtime refuses to make one with it.
    let response = if body.is_empty() || matches!(status, 204 | 205) {
        builder.empty()
    } else {
        builder.fixed(body)
    };
    set(response.headers(), "content-type", content_type);
    response
}

/// A content type that no browser renders as a page.
fn harmless(content_type: Option<&str>) -> &'static str {
    match content_type {
        Some(json) if json.starts_with("application/json") => "application/json",
        Some(xml) if xml.starts_with("text/xml") || xml.starts_with("application/xml") => {
            "text/xml; charset=utf-8"
        }
        _ => "text/plain; charset=utf-8",
    }
}

/// A problem under another status.
fn problem_with(status: u16, problem: &Problem) -> Response {
    let rendered = http::render(problem);
    let headers = Headers::new();
    for (name, value) in &rendered.headers {
        set(&headers, name, value);
    }
    ResponseBuilder::new()
        .with_status(status)
        .with_headers(headers)
        .fixed(rendered.body)
}

fn too_busy() -> Problem {
    Problem::new(Code::Overloaded, "The webhook could not be taken now; try again")
}

fn set(headers: &Headers, name: &str, value: &str) {
    // Names and values are our own: they are never refused.
    let _ = headers.set(name, value);
}
