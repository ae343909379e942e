//! `/api/v1`: one file per operation, named after its path.
//!
//! What every operation goes through stands in [`answer`], in this order: the route, the token, what the token may, the body
//! (capped while it comes), the tenant, the handler; then one place writes answers and errors.

mod access;
mod ask;
mod field;
mod form;
mod idempotency;
mod operations;
mod query;
mod reply;

mod app;
mod auth;
mod background_task;
mod broadcast;
mod connection_provider;
mod environment;
mod erasure;
mod event_type;
mod health;
mod import;
mod master_key;
mod oauth_app;
mod operational;
mod portal;
mod source;
mod stats;
mod testing;
mod version;

#[cfg(test)]
mod openapi;

use postern_domain::problem::{Code, Problem};
use postern_platform::{clock, http, log, random};
use worker::{Env, Request, Response};

use access::{Caller, PollerAccess};
use ask::Ask;
use operations::{Found, Handler};
use reply::Answer;

/// The body of a request to the API at the most: a message of 1 MiB and what stands around it.
const BODY_CAP: usize = 1_310_720;

/// Answers any request that is not a provider's webhook.
pub(crate) async fn answer(mut request: Request, env: Env) -> worker::Result<Response> {
    let id = format!("req_{}", hex::encode(random::bytes::<12>()));
    if let Some(asked) = app::connection::proxy::asked(&request.path()) {
        let answer = app::connection::proxy::answer(&mut request, &env, &asked).await;
        return match answer {
            Ok(answer) => Ok(answer),
            Err(problem) => refusal(&request, &id, &problem)
                .with("x-request-id", &id)
                .into_response(),
        };
    }
    let answer = work(&mut request, env)
        .await
        .unwrap_or_else(|problem| refusal(&request, &id, &problem));
    answer.with("x-request-id", &id).into_response()
}

/// A problem as an answer; one of ours stands in the log as well.
fn refusal(request: &Request, id: &str, problem: &Problem) -> Answer {
    if problem.code.status() >= 500 && problem.code != Code::NotImplemented {
        let fields = serde_json::json!({
            "request": id,
            "method": request.method().as_ref(),
            "path": request.path(),
            "code": problem.code,
            "cause": problem.cause,
        });
        log::error("api_failed", fields);
    }
    Answer::problem(problem)
}

/// What the clock calls: finishes tenants that were made or deleted by halves, goes on with broadcasts that were cut off,
/// drops what has expired, writes down how background tasks ended, compares connections that may be half with their
/// objects, tells them of changed apps, and has them seal anew under a new master key.
pub(crate) async fn tidy(env: &Env) {
    let now = clock::now();
    for done in [
        app::lifecycle::tidy(env, now).await,
        background_task::live::tidy(env, now).await,
        app::connection::lifecycle::tidy(env, now).await,
        oauth_app::tell::tidy(env).await,
        master_key::tidy(env).await,
        master_key::tidy_tenants(env, now).await,
    ] {
        if let Err(problem) = done {
            let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
            log::error("tidy_failed", fields);
        }
    }
    if let Err(problem) = broadcast::go_on(env, clock::now()).await {
        let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
        log::error("broadcast_failed", fields);
    }
}

async fn work(request: &mut Request, env: Env) -> Result<Answer, Problem> {
    let now = clock::now();
    let url = request
        .url()
        .map_err(|_| Problem::new(Code::BadRequest, "The request's URL cannot be read"))?;
    let method = request.method();
    let (operation, params) = match operations::find(method.as_ref(), url.path()) {
        Found::Operation(operation, params) => (operation, params),
        Found::OtherMethods(allowed) => return Ok(Answer::method_not_allowed(&allowed)),
        Found::Nothing => return Err(Problem::new(Code::NotFound, "There is no such path")),
    };
    let ask = Ask::new(request, env.clone(), url, operation, params, now);
    if let Handler::Open(handle) = operation.handler {
        let ask = if operation.takes_body() {
            ask.with_body(http::body(request, BODY_CAP).await?)
        } else {
            ask
        };
        return handle(ask).await;
    }

    let authorization = http::authorization(request);
    if let Handler::Poller(handle) = operation.handler {
        let access =
            PollerAccess::authenticate(env, authorization.as_deref(), ask.param(0), operation.need, now)
                .await?;
        let body = http::body(request, BODY_CAP).await?;
        return handle(access, ask.with_body(body)).await;
    }
    let caller = Caller::authenticate(env, authorization.as_deref(), now).await?;
    caller.may(operation.need)?;
    let ask = if operation.takes_body() {
        ask.with_body(http::body(request, BODY_CAP).await?)
    } else {
        ask
    };
    match operation.handler {
        Handler::Open(handle) => handle(ask).await,
        Handler::Poller(_) => Err(Problem::internal("answered above")),
        Handler::Caller(handle) => handle(caller, ask).await,
        Handler::Organisation(handle) => handle(caller.organisation()?, ask).await,
        Handler::Tenant(handle) => {
            let tenant = caller.tenant(ask.param(0), now).await?;
            handle(tenant, ask).await
        }
        Handler::Operational(handle) => {
            let access = operational::access(&caller.organisation()?).await?;
            let ask = ask.of_tenant(access.tenant);
            handle(access, ask).await
        }
        Handler::AppLevel(handle) => {
            let access = source::access(&caller.organisation()?).await?;
            let ask = ask.of_tenant(access.tenant);
            handle(access, ask).await
        }
        Handler::NotBuilt => Err(operations::not_built()),
    }
}
