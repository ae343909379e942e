//! `/connect/result/{connection}/{attempt}`: how an attempt ended. Looking at it does nothing, however often.

use postern_domain::id::ConnectionId;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::{Outcome, ResultAgain, ResultShow};
use postern_platform::http;
use worker::{Env, Request, Response};

use super::callback::returned;
use super::{answer, object, page, session};

/// Seconds until a browser looks again whether the exchange has ended.
const LOOK_AGAIN: &str = "2";

/// Shows it.
pub(super) async fn show(env: &Env, connection: ConnectionId, id: &str) -> Result<Response, Problem> {
    let call = ResultShow {
        result: id.to_owned(),
    };
    let result = object(env, connection).call(call).await?;
    // While it is not known how it ends nobody is sent on.
    let ended = result.outcome != Outcome::Underway;
    let back = result.return_url.as_deref().filter(|_| ended);
    let back = back.and_then(|url| returned(url, connection, result.outcome));
    let again = result
        .again
        .then(|| format!("/connect/result/{connection}/{id}/again"));
    let markup = page::result(&result, connection, back.as_deref(), again.as_deref());
    let response = answer::page(200, &markup);
    if !ended {
        answer::set(response.headers(), "refresh", LOOK_AGAIN);
    }
    Ok(response)
}

/// Begins another attempt, for the browser whose last one did not connect.
pub(super) async fn again(
    request: &Request,
    env: &Env,
    connection: ConnectionId,
    id: &str,
) -> Result<Response, Problem> {
    let form = session::form(request, env)?;
    let call = ResultAgain {
        result: id.to_owned(),
        cookies: http::header(request, "cookie")
            .map(|header| form.read(&header))
            .unwrap_or_default(),
    };
    let departure = object(env, connection).call(call).await?;
    // Without its cookie, or with a session that is over, the page stays what it was.
    let otherwise = answer::Words::Expired.address();
    session::depart(request, env, &departure, &otherwise)
}
