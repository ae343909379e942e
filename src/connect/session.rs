//! A session's page, and the link on it that begins an attempt.

use postern_domain::oauth::Secret;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::{Departure, SessionGo, SessionShow, SessionState};
use postern_platform::config::Config;
use worker::{Env, Request, Response};

use super::cookie::Form;
use super::{answer, link_of, object, page};

/// `/connect/{link}`: who asks for what. Writes nothing, whoever fetches it how often.
pub(super) async fn show(env: &Env, text: &str) -> Result<Response, Problem> {
    let link = link_of(text)?;
    let random = Secret(hex::encode(link.random));
    let session = object(env, link.connection).call(SessionShow { random }).await?;
    let status = match session.state {
        SessionState::Open | SessionState::Connected => 200,
        SessionState::Expired => 410,
    };
    Ok(answer::page(
        status,
        &page::session(&session, link.connection, text),
    ))
}

/// `/connect/{link}/go`: begins an attempt and sends the browser to the provider.
pub(super) async fn go(request: &Request, env: &Env, text: &str) -> Result<Response, Problem> {
    let link = link_of(text)?;
    let random = Secret(hex::encode(link.random));
    let departure = object(env, link.connection).call(SessionGo { random }).await?;
    // One that cannot be followed any more says so on its page.
    let otherwise = format!("/connect/{text}");
    depart(request, env, &departure, &otherwise)
}

/// To the provider, with the cookie of the attempt; or elsewhere, if there is none.
pub(super) fn depart(
    request: &Request,
    env: &Env,
    departure: &Departure,
    otherwise: &str,
) -> Result<Response, Problem> {
    let Some(url) = &departure.url else {
        return Ok(answer::redirect(otherwise));
    };
    let cookie = form(request, env)?.set(
        &departure.cookie_name,
        &departure.cookie,
        departure.cookie_seconds,
    );
    Ok(answer::redirect_with(url.reveal(), &cookie))
}

/// How this deployment writes its cookies.
pub(super) fn form(request: &Request, env: &Env) -> Result<Form, Problem> {
    let config = Config::from_env(env)?;
    let asked = request.url().map_err(Problem::internal)?;
    Ok(Form::of(&config.base_url(&asked)))
}
