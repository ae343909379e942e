//! `/in/{token}`: the way of a webhook in.
//!
//! In reading order: the source is found ([`source`]), the body is read, counted while it streams, the provider's verifier
//! judges the raw bytes ([`judge`]; once more if the source has changed since it was last asked for), and what it accepts
//! is stored ([`store`]) before the provider hears what its descriptor says ([`answer`]). A refusal says one code and one
//! sentence to the provider; why exactly is for the tenant ([`rejection`]).
//!
//! HEAD, OPTIONS and whatever no provider sends cost nothing but the answer. Nothing here redirects, and a source that is
//! there never answers 404 or 410: providers take a webhook away on either.

mod answer;
mod channel;
mod judge;
mod kept;
mod rejection;
mod route;
mod source;
mod store;
mod watchers;

use std::rc::Rc;

use postern_domain::id::IngestToken;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::{
    Accepted, Challenge, Effect, Headers, Once, Otherwise, Reason, Rejection, Verdict,
};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Accept, Caller};
use postern_domain::wire::inbound::{HandshakeEffect, Intake, REPLAYED, Received, SourceHandshake, UsedOnce};
use postern_platform::config::Config;
use postern_platform::deadline::within;
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, http, log, random};
use worker::{Env, Request, Response};

use judge::Judged;
use source::Source;
use store::Event;

/// Methods that some provider uses. Any other is refused without a look at the address.
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH"];

/// The type of a request that stays whole although it tells of several events.
const UNNAMED: &str = "webhook.received";

/// For the object's answer to a handshake: providers give us 3 s at the least.
const HANDSHAKE_MS: u64 = 2_000;

/// A provider that was told to come again for so long has given up by then: from then on it is told that all is well.
const CLOSED_MS: u64 = 72 * 3_600_000;

/// Answers a request to `/in/{token_text}`.
pub(crate) async fn receive(mut req: Request, env: &Env, token_text: &str) -> worker::Result<Response> {
    let answer = take(&mut req, env, token_text).await;
    answer::finish(answer.unwrap_or_else(|problem| answer::refusal(&problem)))
}

/// A request as far as it was read.
struct Incoming {
    method: String,
    query: Option<String>,
    headers: Headers,
    body: Vec<u8>,
    begun: Millis,
}

async fn take(req: &mut Request, env: &Env, token_text: &str) -> Result<Response, Problem> {
    if let Some(connection) = token_text.strip_prefix("channel/") {
        return channel::take(req, env, connection).await;
    }
    let method = req.method().as_ref().to_owned();
    if !METHODS.contains(&method.as_str()) {
        return Ok(answer::method_not_allowed(&["POST"]));
    }
    let token: IngestToken = token_text.parse().map_err(|_| Problem::not_found())?;
    let config = Config::from_env(env)?;
    let begun = clock::now();
    let source = source::find(env, &token).await?;
    let allowed = source.methods();
    if !allowed.contains(&method.as_str()) {
        return Ok(answer::method_not_allowed(&allowed));
    }
    let cap = source.options.body_cap();
    let cap = usize::try_from(cap).unwrap_or(usize::MAX);
    let body = within(config.body_ms, http::body(req, cap)).await;
    let body = body.ok_or_else(|| Problem::new(Code::RequestTimeout, "The body did not come in time"))??;
    let requested = req.inner().url();
    let base_url = config.base_url(&req.url().map_err(Problem::internal)?);
    let incoming = Incoming {
        method,
        query: query_of(&requested),
        headers: Headers::new(req.headers().entries()),
        body,
        begun,
    };
    let behind_host = requested
        .split_once("://")
        .and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..)))
        .unwrap_or("/");
    let answer_to = |source: &Source| source.options.address(&base_url, behind_host);

    let mut source = source;
    let mut judged = judge::judge(&config, &source, &incoming, &answer_to(&source)).await?;
    if matches!(judged.verdict, Verdict::Reject(_))
        && let Some(newer) = source::find_again(env, &token, &source, begun).await?
    {
        source = newer;
        judged = judge::judge(&config, &source, &incoming, &answer_to(&source)).await?;
    }
    match judged.verdict {
        Verdict::Accept(_) if source.options.intake == Intake::Closed => {
            Ok(closed(&token, &source, clock::now()))
        }
        Verdict::Accept(_) => accepted(env, &token, source, incoming, judged).await,
        Verdict::Challenge(challenge) => handshake(env, &token, &source, &incoming, challenge).await,
        Verdict::Reject(rejection) => Ok(rejected(env, &token, &source, &incoming, &rejection)),
        Verdict::NeedsSignature(_) => Err(unavailable("signature_not_checked", source.config.provider())),
    }
}

/// Stores what is believed, and says so.
async fn accepted(
    env: &Env,
    token: &IngestToken,
    source: Rc<Source>,
    incoming: Incoming,
    judged: Judged,
) -> Result<Response, Problem> {
    let Verdict::Accept(mut accepted) = judged.verdict else {
        return Err(Problem::internal("only what is accepted is stored"));
    };
    let descriptor = source.config.descriptor();
    let wanted = accepted.answer.take();
    let ack = || answer::accepted(wanted.clone(), source.options.answer.as_ref(), descriptor);
    if accepted.events.is_empty() {
        return Ok(ack()); // genuine, and nothing to tell of
    }
    let now = clock::now();
    let secret = accepted
        .matched_secret
        .and_then(|index| judged.secrets.generation(index));
    let accept = accept(&source, &incoming, &accepted, secret, now);
    let events = events(&source, accepted, &incoming.body);
    let stored = match store::store(env, token, accept, events, &incoming.body).await {
        Ok(watchers) => watchers::tell(env, watchers, &incoming.body).await,
        Err(problem) => Err(problem),
    };
    match stored {
        Ok(()) => Ok(ack()),
        Err(problem) => match problem.code {
            Code::NotFound => Err(problem),
            // Disabled since this isolate asked for it.
            Code::Forbidden => {
                let newer = source::find_again(env, token, &source, incoming.begun).await?;
                Ok(closed(token, newer.as_ref().unwrap_or(&source), now))
            }
            Code::SignatureInvalid if problem.detail == REPLAYED => {
                let rejection = Rejection {
                    reason: Reason::Replayed,
                    detail: problem.detail.clone(),
                };
                Ok(rejected(env, token, &source, &incoming, &rejection))
            }
            _ => Ok(answer::later(&problem, descriptor)),
        },
    }
}

/// Does what a handshake asks for, and says what the provider wants to hear. What could not be done is not answered as if
/// it were.
async fn handshake(
    env: &Env,
    token: &IngestToken,
    source: &Source,
    incoming: &Incoming,
    challenge: Challenge,
) -> Result<Response, Problem> {
    let effect = match challenge.effect {
        Effect::Nothing => None,
        Effect::Activate | Effect::OpenChannel(_) => Some(HandshakeEffect::Activate),
        Effect::Capture(captured) => Some(HandshakeEffect::Capture(captured.0)),
    };
    // One that is active needs no call for that.
    let known = matches!(effect, Some(HandshakeEffect::Activate)) && source.is_active();
    if let Some(effect) = effect.filter(|_| !known) {
        let object = TenantObject::new(env, token.tenant, Caller::Ingest);
        let call = SourceHandshake {
            source: token.source,
            effect,
        };
        match within(HANDSHAKE_MS, object.call(call, &[])).await {
            Some(Ok(_)) => source::forget(token),
            Some(Err(problem)) if problem.code == Code::Conflict => {
                let rejection = Rejection {
                    reason: Reason::HandshakeRefused,
                    detail: problem.detail.clone(),
                };
                return Ok(rejected(env, token, source, incoming, &rejection));
            }
            Some(Err(problem)) if problem.code == Code::NotFound => return Err(problem),
            Some(Err(problem)) => return Ok(answer::later(&problem, source.config.descriptor())),
            None => {
                let late = unavailable("handshake_not_kept", "no answer within the deadline");
                return Ok(answer::later(&late, source.config.descriptor()));
            }
        }
    }
    Ok(answer::challenge(challenge.answer))
}

fn rejected(
    env: &Env,
    token: &IngestToken,
    source: &Source,
    incoming: &Incoming,
    rejection: &Rejection,
) -> Response {
    rejection::note(env, token, source, incoming, rejection, clock::now());
    answer::rejected(rejection.reason, source.config.descriptor())
}

/// A disabled source: the provider is asked to come again while it may be enabled soon, unless its failures would make the
/// provider switch it off; after three days it is told that all is well. Counted, never stored.
fn closed(token: &IngestToken, source: &Source, now: Millis) -> Response {
    let descriptor = source.config.descriptor();
    rejection::count(token, "disabled", now);
    let since = source.options.closed_at.unwrap_or_default();
    if now.since(since) >= CLOSED_MS || !descriptor.disables_on.is_empty() || !descriptor.retries() {
        return answer::accepted(None, source.options.answer.as_ref(), descriptor);
    }
    answer::later(
        &Problem::new(Code::Overloaded, "This source takes nothing now"),
        descriptor,
    )
}

/// What all events of the request have in common, as it is asked of the tenant's object.
fn accept(
    source: &Source,
    incoming: &Incoming,
    accepted: &Accepted,
    secret: Option<u64>,
    now: Millis,
) -> Accept {
    let once = accepted.once.as_ref().map(|Once { key, otherwise }| UsedOnce {
        key: key.clone(),
        refuse: *otherwise == Otherwise::Refuse,
    });
    let headers = &incoming.headers;
    Accept {
        nonce: random::nonce(),
        sent_at: now,
        repeat: false,
        source: Some(source.number),
        event_type: UNNAMED.to_owned(),
        event_id: None,
        channels: None,
        content_type: kept::content_type(headers),
        headers: kept::of(source, &incoming.method, incoming.query.as_deref(), headers),
        hop: kept::hop(headers),
        idempotency: None,
        payload_hours: None,
        only_endpoint: None,
        received: Some(Received {
            secret,
            body_at: None,
            once,
            retry: kept::retry(headers),
            only_once: !source.config.descriptor().retries(),
            watched: watchers::watched(source.config.provider(), &incoming.body),
        }),
    }
}

/// The events of a request. One that its owner wants whole is one event, known by the ids of all.
fn events(source: &Source, accepted: Accepted, body: &[u8]) -> Vec<Event> {
    let mut events = accepted.events;
    let route = |event: &_| {
        if source.app_level {
            route::header(event)
        } else {
            None
        }
    };
    let of_first = events.first().and_then(route);
    // Of several accounts, each gets its own part, whatever its owner wants.
    let of_one = events.iter().all(|event| route(event) == of_first);
    let several = events.len() > 1 && of_one;
    if several
        && (source.options.whole_batches || events.iter().any(|event| store::is_large(event.part.of(body))))
    {
        let ids: Option<Vec<&[u8]>> = events
            .iter()
            .map(|event| event.id.as_ref().map(String::as_bytes))
            .collect();
        let first = events.first().map(|event| event.event_type.clone());
        let same = events
            .iter()
            .all(|event| Some(&event.event_type) == first.as_ref());
        return vec![Event {
            event_type: first.filter(|_| same).unwrap_or_else(|| UNNAMED.to_owned()),
            event_id: ids.map(|ids| postern_domain::digest::of_parts(&ids)),
            route: of_first,
            body: None,
        }];
    }
    events
        .drain(..)
        .map(|event| Event {
            route: route(&event),
            body: match &event.part {
                postern_domain::provider::Part::Whole => None,
                part => Some(part.of(body).to_vec()),
            },
            event_type: event.event_type,
            event_id: event.id,
        })
        .collect()
}

fn query_of(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    (!query.is_empty()).then(|| query.to_owned())
}

/// A failure of ours, for the log; the provider is asked to try again.
fn unavailable(event: &str, cause: impl std::fmt::Display) -> Problem {
    log::error(event, serde_json::json!({ "cause": cause.to_string() }));
    Problem::new(Code::Overloaded, "The webhook could not be taken now; try again")
}
