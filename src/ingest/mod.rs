//! `POST /in/{token}`: the way of a webhook in.
//!
//! In reading order: the source is found ([`source`]), the body is read, counted while it streams, the provider's verifier
//! judges the raw bytes (once more if the source has changed since it was last asked for), and what it accepts is stored
//! ([`store`]) before the provider hears 200. A refusal says one code and one sentence to the provider; why exactly is for
//! the tenant ([`rejection`]).

mod answer;
mod kept;
mod rejection;
mod route;
mod source;
mod store;

use postern_domain::id::IngestToken;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::{self, Accepted, Headers, Standing, Verdict};
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use worker::{Env, Method, Request, Response};

use source::Source;

use crate::platform::config::Config;
use crate::platform::{clock, http, log, random};

/// Bytes of a webhook's body at the most.
const MAX_BODY: usize = 1 << 20;

/// The type of an event that the provider does not name.
const UNNAMED: &str = "webhook.received";

/// Answers a request to `/in/{token_text}`. Costs nothing but the answer unless it is a POST to a token that may be one.
pub(crate) async fn receive(mut req: Request, env: &Env, token_text: &str) -> worker::Result<Response> {
    let answer = take(&mut req, env, token_text).await;
    answer::finish(answer.unwrap_or_else(|problem| answer::refusal(&problem)))
}

async fn take(req: &mut Request, env: &Env, token_text: &str) -> Result<Response, Problem> {
    if req.method() != Method::Post {
        return Err(Problem::new(
            Code::MethodNotAllowed,
            "Webhooks are posted here: use POST",
        ));
    }
    let token: IngestToken = token_text.parse().map_err(|_| Problem::not_found())?;
    let config = Config::from_env(env)?;
    let begun = clock::now();
    let mut source = source::find(env, &token).await?;
    let headers = Headers::new(req.headers().entries());
    let body = http::body(req, MAX_BODY).await?;

    let requested = req.inner().url();
    let base_url = config.base_url(&req.url().map_err(Problem::internal)?);
    let url = public_url(&base_url, &requested);
    let request = provider::Request {
        method: "POST",
        url: Some(&url),
        headers: &headers,
        body: &body,
    };
    let judge = |source: &Source| {
        let now = clock::now();
        let secrets = source.secrets(&config.master_keys, now)?;
        Ok::<Verdict, Problem>(provider::verify(
            &source.config,
            &secrets,
            &Standing::default(),
            &request,
            now,
        ))
    };
    let mut verdict = judge(&source)?;
    if matches!(verdict, Verdict::Reject(_))
        && let Some(newer) = source::find_again(env, &token, &source, begun).await?
    {
        source = newer;
        verdict = judge(&source)?;
    }
    let now = clock::now();
    match verdict {
        Verdict::Accept(accepted) => {
            let accept = accept(&source, &headers, accepted, now);
            store::store(env, &token, accept, body).await?;
            Ok(answer::accepted())
        }
        Verdict::Challenge(challenge) => Ok(answer::challenge(challenge.answer)),
        Verdict::NeedsSignature(_) => Err(unavailable("signature_not_checked", source.config.provider())),
        Verdict::Reject(rejected) => {
            rejection::note(env, &token, &rejected, now);
            let code = rejected.reason.public_code();
            Err(Problem::new(code, rejection::public_sentence(code)))
        }
    }
}

/// What is asked of the tenant's object. The presets that are there name one event a request; of several the first
/// names the message.
fn accept(source: &Source, headers: &Headers, accepted: Accepted, now: Millis) -> Accept {
    let event = accepted.events.into_iter().next();
    let mut kept = kept::headers(headers, &source.config.credential_headers());
    if let Some(event) = event.as_ref().filter(|_| source.app_level) {
        kept.extend(route::header(event));
    }
    let (event_type, event_id) = event.map_or_else(
        || (UNNAMED.to_owned(), None),
        |event| (event.event_type, event.id),
    );
    Accept {
        nonce: random::nonce(),
        sent_at: now,
        repeat: false,
        source: Some(source.number),
        event_type,
        event_id,
        channels: None,
        content_type: kept::content_type(headers),
        headers: kept,
        hop: kept::hop(headers),
        idempotency: None,
        payload_hours: None,
        only_endpoint: None,
    }
}

/// The address that the provider was given, with the query that it added: some providers sign it. Built from
/// configuration, never from `Host` or what a proxy says.
fn public_url(base_url: &str, requested: &str) -> String {
    let behind_host = requested
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))
        .unwrap_or("/");
    format!("{}{behind_host}", base_url.trim_end_matches('/'))
}

/// A failure of ours, for the log; the provider is asked to try again.
fn unavailable(event: &str, cause: impl std::fmt::Display) -> Problem {
    log::error(event, serde_json::json!({ "cause": cause.to_string() }));
    Problem::new(Code::Overloaded, "The webhook could not be taken now; try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_url_is_the_configured_base_with_the_requests_path_and_query() {
        assert_eq!(
            public_url(
                "https://hooks.example.com/",
                "http://127.0.0.1:8787/in/abc?x=1&y=%20"
            ),
            "https://hooks.example.com/in/abc?x=1&y=%20"
        );
    }

    #[test]
    fn a_url_without_a_path_is_the_root() {
        assert_eq!(
            public_url("https://hooks.example.com", "http://h"),
            "https://hooks.example.com/"
        );
    }
}
