//! `/oauth/callback/{app}`: a browser comes back from the provider.
//!
//! Whatever comes of it, the answer is a 303 to an address without code, state or error, so that neither stays in the
//! browser's bar, its history or a reload.

use postern_domain::id::{ConnectionId, OAuthAppId};
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{Arrival, Outcome};
use postern_platform::{http, log};
use url::Url;
use worker::{Env, Request, Response};

use super::answer::{self, Words};
use super::query::{self, Refused};
use super::{object, session};

/// Answers the callback.
pub(super) async fn receive(request: &Request, env: &Env, app: OAuthAppId) -> Result<Response, Problem> {
    match arrive(request, env, app).await {
        Ok(answer) => Ok(answer),
        Err(problem) => Ok(failed(&problem)),
    }
}

async fn arrive(request: &Request, env: &Env, app: OAuthAppId) -> Result<Response, Problem> {
    let requested = request.inner().url();
    let query = requested.split_once('?').map_or("", |(_, query)| query);
    let (connection, mut callback) = match query::read(app, query) {
        Ok(read) => read,
        Err(Refused::Unreadable) => return Ok(answer::redirect(&Words::Unreadable.address())),
        Err(Refused::NoState) => return Ok(answer::redirect(&Words::Expired.address())),
    };
    let form = session::form(request, env)?;
    callback.cookies = http::header(request, "cookie")
        .map(|header| form.read(&header))
        .unwrap_or_default();
    let arrival = object(env, connection).call(callback).await?;
    let location = location(connection, &arrival);
    Ok(match &arrival.cookie_name {
        Some(name) => answer::redirect_with(&location, &form.clear(name)),
        None => answer::redirect(&location),
    })
}

/// Where it ends: where the product wants it, on the attempt's own page, or on one that says the same to everybody.
fn location(connection: ConnectionId, arrival: &Arrival) -> String {
    let product = arrival.return_url.as_deref();
    let product = product.and_then(|url| returned(url, connection, arrival.outcome));
    match (product, &arrival.result) {
        (Some(product), _) => product,
        (None, Some(result)) => format!("/connect/result/{connection}/{result}"),
        (None, None) => match arrival.outcome {
            Outcome::OtherBrowser => Words::OtherBrowser,
            Outcome::ProviderError => Words::Unreadable,
            _ => Words::Expired,
        }
        .address(),
    }
}

/// A return URL with which connection it was and how it ended. Nothing else of ours stands in it.
pub(super) fn returned(url: &str, connection: ConnectionId, outcome: Outcome) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "connection_id" && name != "status")
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair("connection_id", &connection.to_string())
        .append_pair("status", outcome.as_str());
    Some(url.into())
}

fn failed(problem: &Problem) -> Response {
    if problem.code.status() >= 500 {
        let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
        log::error("callback_failed", fields);
    }
    let words = match problem.code {
        // A connection that is not there has no attempt.
        Code::NotFound => Words::Expired,
        Code::RateLimited => Words::TooOften,
        Code::Overloaded | Code::SealingUnavailable => Words::Busy,
        _ => Words::Broken,
    };
    answer::redirect(&words.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: ConnectionId = ConnectionId([7; 20]);

    fn arrival(outcome: Outcome, return_url: Option<&str>, result: Option<&str>) -> Arrival {
        Arrival {
            outcome,
            return_url: return_url.map(str::to_owned),
            result: result.map(str::to_owned),
            cookie_name: None,
        }
    }

    #[test]
    fn s13_a_return_url_gets_the_connection_and_the_status_and_nothing_else() {
        let to = |url| location(CONNECTION, &arrival(Outcome::Connected, Some(url), Some("aa")));
        assert_eq!(
            to("https://product.example/done?tab=1&status=mine#here"),
            format!("https://product.example/done?tab=1&connection_id={CONNECTION}&status=connected#here")
        );
        assert_eq!(
            to("https://product.example/done"),
            format!("https://product.example/done?connection_id={CONNECTION}&status=connected")
        );
    }

    #[test]
    fn s13_without_one_the_attempt_has_a_page_of_its_own() {
        assert_eq!(
            location(CONNECTION, &arrival(Outcome::Denied, None, Some("aa"))),
            format!("/connect/result/{CONNECTION}/aa")
        );
    }

    #[test]
    fn s9_what_touched_nothing_says_the_same_to_everybody() {
        assert_eq!(
            location(CONNECTION, &arrival(Outcome::Expired, None, None)),
            "/connect/result/expired"
        );
        assert_eq!(
            location(CONNECTION, &arrival(Outcome::OtherBrowser, None, None)),
            "/connect/result/other-browser"
        );
    }
}
