//! Answers to browsers: what every one carries, and the few kinds of them.

use maud::{Markup, PreEscaped};
use worker::{Headers, Response, ResponseBuilder};

use super::page;

/// Own styles, and nothing else: no script, no image, no frame, no form, no other base.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer carries.
pub(super) const EVERY: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("x-robots-tag", "noindex, nofollow"),
    ("content-security-policy", POLICY),
];

/// Pages that say one thing whoever asks: of what none of ours was touched by, and of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// The attempt is over, or there never was one.
    Expired,
    /// Another browser than the one that began it.
    OtherBrowser,
    /// What the provider sent cannot be read.
    Unreadable,
    /// Too many attempts.
    TooOften,
    /// Too much at once.
    Busy,
    /// A failure of ours.
    Broken,
    /// Fetched by a browser that shows nothing of it.
    FetchedAhead,
}

impl Words {
    /// All that have an address of their own: callbacks lead there.
    const NAMED: &[(Self, &str)] = &[
        (Self::Expired, "expired"),
        (Self::OtherBrowser, "other-browser"),
        (Self::Unreadable, "unreadable"),
        (Self::TooOften, "too-often"),
        (Self::Busy, "busy"),
        (Self::Broken, "failed"),
    ];

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let mut all = Self::NAMED.iter();
        all.find(|(_, known)| *known == name).map(|(words, _)| *words)
    }

    /// Where it is shown.
    pub(super) fn address(self) -> String {
        let mut all = Self::NAMED.iter();
        let name = all
            .find(|(words, _)| *words == self)
            .map_or("failed", |(_, name)| name);
        format!("/connect/result/{name}")
    }
}

/// A page.
pub(super) fn page(status: u16, markup: &Markup) -> Response {
    let PreEscaped(html) = markup;
    let response = ResponseBuilder::new()
        .with_status(status)
        .fixed(html.clone().into_bytes());
    set(response.headers(), "content-type", "text/html; charset=utf-8");
    finish(response)
}

/// A page that says one thing.
pub(super) fn words(status: u16, words: Words) -> Response {
    let response = page(status, &page::words(words));
    if status == 503 {
        set(response.headers(), "retry-after", "5");
    }
    response
}

/// Elsewhere, by GET (303: never with a body that came).
pub(super) fn redirect(location: &str) -> Response {
    let response = ResponseBuilder::new().with_status(303).empty();
    set(response.headers(), "location", location);
    finish(response)
}

/// The same, and a cookie is set or taken away.
pub(super) fn redirect_with(location: &str, cookie: &str) -> Response {
    let response = redirect(location);
    set(response.headers(), "set-cookie", cookie);
    response
}

/// To look, and nothing to see: HEAD.
pub(super) fn nothing() -> Response {
    finish(ResponseBuilder::new().with_status(204).empty())
}

/// Only to be looked at.
pub(super) fn method_not_allowed() -> Response {
    let response = page(405, &page::nothing_here());
    set(response.headers(), "allow", "GET, HEAD");
    response
}

/// The pages' stylesheet.
pub(super) fn style() -> Response {
    let response = ResponseBuilder::new()
        .with_status(200)
        .fixed(page::STYLE.as_bytes().to_vec());
    set(response.headers(), "content-type", "text/css; charset=utf-8");
    finish(response)
}

fn finish(response: Response) -> Response {
    for (name, value) in EVERY {
        set(response.headers(), name, value);
    }
    response
}

/// Names and values are ours, or were judged: none that could be refused.
pub(super) fn set(headers: &Headers, name: &str, value: &str) {
    let _ = headers.set(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_forbids_all_that_is_not_ours() {
        assert!(POLICY.starts_with("default-src 'none';"));
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http"));
        let says = |name: &str| {
            EVERY
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(says("cache-control"), Some("no-store"));
        assert_eq!(says("referrer-policy"), Some("no-referrer"));
        assert_eq!(says("x-content-type-options"), Some("nosniff"));
        assert_eq!(says("x-frame-options"), Some("DENY"));
    }

    #[test]
    fn what_has_an_address_is_found_there() {
        for (words, name) in Words::NAMED {
            assert_eq!(Words::named(name), Some(*words));
            assert_eq!(words.address(), format!("/connect/result/{name}"));
        }
    }
}
