//! The browser's way: `/connect/{link}`, the provider, `/oauth/callback/{app}`, a result page.
//!
//! In reading order: a session's page and the link that begins an attempt ([`session`]), the way back ([`callback`], whose
//! query is read in [`query`]), what is said at the end ([`result`]). Pages stand in [`page`], headers in [`mod@answer`], the
//! cookie that binds an attempt to its browser in [`cookie`].
//!
//! Guaranteed: no script, nothing from a third party, nothing kept by caches, no secret in the address of a page that stays
//! open. A page writes nothing. What begins an attempt or ends one is done for GET alone, and not for a browser that only
//! fetches ahead. Nothing here depends on `Host`: addresses are relative, and what the provider is given comes from
//! `BASE_URL` (see [`cookie::Form`] for the one other use).
//!
//! Deliberately absent: pop-ups, frames, messages between windows, forms. A link is enough, and one that leads to another
//! origin needs no exception in the Content-Security-Policy, which a form's redirect would.

mod answer;
mod callback;
mod cookie;
mod page;
mod query;
mod result;
mod session;

use postern_domain::id::{ConnectionId, OAuthAppId};
use postern_domain::oauth::link::Link;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::Caller;
use postern_platform::connection::ConnectionObject;
use postern_platform::{http, log};
use worker::{Env, Request, Response};

use answer::Words;

/// Whether a request is one for this module.
pub(crate) fn is_here(path: &str) -> bool {
    path.starts_with("/connect/") || path.starts_with("/oauth/")
}

/// Answers a request to `/connect/…` or `/oauth/…`.
pub(crate) async fn answer(request: &Request, env: &Env) -> worker::Result<Response> {
    let path = request.path();
    let answer = match (request.method().as_ref(), route(&path)) {
        (_, None) => answer::page(404, &page::nothing_here()),
        ("GET", Some(route)) if !(route.acts() && is_ahead(request)) => work(request, env, route)
            .await
            .unwrap_or_else(|problem| failed(&problem)),
        // Answered with a success, it would be shown when the link is followed, and nothing would have begun.
        ("GET", Some(_)) => answer::words(503, Words::FetchedAhead),
        ("HEAD", Some(_)) => answer::nothing(),
        _ => answer::method_not_allowed(),
    };
    Ok(answer)
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Style,
    Session(&'a str),
    Go(&'a str),
    Said(Words),
    Result(ConnectionId, &'a str),
    Again(ConnectionId, &'a str),
    Callback(OAuthAppId),
}

impl Route<'_> {
    /// Whether more is done than to look.
    const fn acts(&self) -> bool {
        matches!(self, Self::Go(_) | Self::Again(..) | Self::Callback(_))
    }
}

fn route(path: &str) -> Option<Route<'_>> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let parts: [Option<&str>; 6] = std::array::from_fn(|_| parts.next());
    let result = |connection: &str, result: &'_ str| {
        let is_one = result.len() == 32 && result.bytes().all(|byte| byte.is_ascii_hexdigit());
        connection.parse().ok().filter(|_| is_one)
    };
    match parts {
        [Some("connect"), Some("style.css"), None, ..] => Some(Route::Style),
        [Some("connect"), Some("result"), Some(word), None, ..] => Words::named(word).map(Route::Said),
        [
            Some("connect"),
            Some("result"),
            Some(connection),
            Some(id),
            None,
            ..,
        ] => Some(Route::Result(result(connection, id)?, id)),
        [
            Some("connect"),
            Some("result"),
            Some(connection),
            Some(id),
            Some("again"),
            None,
        ] => Some(Route::Again(result(connection, id)?, id)),
        [Some("connect"), Some(session), None, ..] => Some(Route::Session(session)),
        [Some("connect"), Some(session), Some("go"), None, ..] => Some(Route::Go(session)),
        [Some("oauth"), Some("callback"), Some(app), None, ..] => app.parse().ok().map(Route::Callback),
        _ => None,
    }
}

async fn work(request: &Request, env: &Env, route: Route<'_>) -> Result<Response, Problem> {
    match route {
        Route::Style => Ok(answer::style()),
        Route::Said(words) => Ok(answer::words(200, words)),
        Route::Session(text) => session::show(env, text).await,
        Route::Go(text) => session::go(request, env, text).await,
        Route::Result(connection, id) => result::show(env, connection, id).await,
        Route::Again(connection, id) => result::again(request, env, connection, id).await,
        Route::Callback(app) => callback::receive(request, env, app).await,
    }
}

/// A browser on its way to a connection's object.
fn object(env: &Env, connection: ConnectionId) -> ConnectionObject {
    ConnectionObject::new(env, connection, Caller::Browser)
}

/// A text that is no link of ours is an unknown link.
fn link_of(text: &str) -> Result<Link, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// A browser that fetches what somebody might want to see: `Sec-Purpose: prefetch;prerender`, `Purpose: prefetch` in older
/// ones, `X-Moz: prefetch`.
fn is_ahead(request: &Request) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .any(|name| http::header(request, name).is_some_and(|value| says_ahead(&value)))
}

fn says_ahead(purpose: &str) -> bool {
    let purpose = purpose.to_ascii_lowercase();
    ["prefetch", "prerender", "preview"]
        .iter()
        .any(|word| purpose.contains(word))
}

/// A problem as a page. What happened inside stands in the log; the address, which holds secrets, does not.
fn failed(problem: &Problem) -> Response {
    if problem.code.status() >= 500 {
        let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
        log::error("connect_failed", fields);
    }
    match problem.code {
        Code::NotFound => answer::page(404, &page::unknown_link()),
        Code::RateLimited => answer::words(429, Words::TooOften),
        Code::Overloaded | Code::SealingUnavailable => answer::words(503, Words::Busy),
        _ => answer::words(500, Words::Broken),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_one_meaning() {
        let connection = ConnectionId([7; 20]);
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(route("/connect/style.css"), Some(Route::Style));
        assert_eq!(route("/connect/abc"), Some(Route::Session("abc")));
        assert_eq!(route("/connect/abc/go"), Some(Route::Go("abc")));
        assert_eq!(
            route("/connect/result/expired"),
            Some(Route::Said(Words::Expired))
        );
        assert_eq!(
            route(&format!("/connect/result/{connection}/{id}")),
            Some(Route::Result(connection, id))
        );
        assert_eq!(
            route(&format!("/connect/result/{connection}/{id}/again")),
            Some(Route::Again(connection, id))
        );
        let app = OAuthAppId([9; 20]);
        assert_eq!(
            route(&format!("/oauth/callback/{app}")),
            Some(Route::Callback(app))
        );
    }

    #[test]
    fn any_other_path_is_nothing() {
        let connection = ConnectionId([7; 20]);
        let id = "0123456789abcdef0123456789abcdef";
        for path in [
            "/connect/abc/stop".to_owned(),
            "/connect/abc/go/on".to_owned(),
            "/connect/result/nonsense".to_owned(),
            format!("/connect/result/{connection}/{id}0"),
            format!("/connect/result/{connection}/{}", &id[1..]),
            format!("/connect/result/conn_1/{id}"),
            format!("/connect/result/{connection}/{id}/again/"),
            "/oauth/callback".to_owned(),
            "/oauth/callback/google".to_owned(),
            "/oauth/token".to_owned(),
        ] {
            assert_eq!(route(&path), None, "{path}");
        }
    }

    #[test]
    fn only_what_looks_is_done_ahead() {
        for (path, acts) in [("/connect/abc", false), ("/connect/abc/go", true)] {
            assert_eq!(route(path).unwrap().acts(), acts, "{path}");
        }
        assert!(says_ahead("prefetch;prerender"));
        assert!(says_ahead("Prefetch"));
        assert!(!says_ahead("navigate"));
    }
}
