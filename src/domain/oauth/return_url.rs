//! Where a browser may end up: the allow-list of an app, and whether a session's return URL is on it.
//!
//! An entry allows its exact origin, and its path with everything below it. Both are judged as a browser would read them,
//! and whatever browsers and servers read in two ways is refused, so that no entry opens more than it says.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Entries of one list at the most.
pub const MAX_ENTRIES: usize = 20;

/// Bytes of a return URL at the most.
const MAX_LENGTH: usize = 2048;

/// Why a text is no place for a browser to end up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not an absolute URL, too long, or with characters that are read in two ways.
    #[error(
        "must be an absolute URL such as https://app.example.com/done, without `\\`, blanks, encoded slashes or a fragment"
    )]
    Form,
    /// Another scheme.
    #[error("must be https (http is for this machine, in development)")]
    Scheme,
    /// Somebody's name or password stands in it.
    #[error("must not hold a user name or a password")]
    UserInfo,
    /// A query in an entry of the list.
    #[error("must have no query: an entry is an origin and a path")]
    Query,
    /// None of the list's entries lets it through.
    #[error("is not allowed by the app's returnUrls")]
    NotAllowed,
}

/// An entry, as it is kept: the origin and the path.
///
/// # Errors
/// When it is none. `development`: this machine may be reached by http.
pub fn entry(text: &str, development: bool) -> Result<String, Refused> {
    let url = parse(text, development)?;
    match url.query() {
        Some(_) => Err(Refused::Query),
        None => Ok(url.into()),
    }
}

/// A session's return URL, if one of the entries lets it through: as it is kept.
///
/// # Errors
/// When it is none, or none does.
pub fn admit(text: &str, entries: &[String], development: bool) -> Result<String, Refused> {
    let url = parse(text, development)?;
    let allowed = entries.iter().filter_map(|entry| Url::parse(entry).ok());
    if allowed
        .into_iter()
        .any(|entry| entry.origin() == url.origin() && is_below(url.path(), entry.path()))
    {
        Ok(url.into())
    } else {
        Err(Refused::NotAllowed)
    }
}

/// By whole segments: `/done` lets `/done/x` through, and not `/donex`.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

fn parse(text: &str, development: bool) -> Result<Url, Refused> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\' || c == '#';
    if text.len() > MAX_LENGTH || text.chars().any(odd) {
        return Err(Refused::Form);
    }
    let url = Url::parse(text).map_err(|_| Refused::Form)?;
    // `https:/host` and `https:host` are read as a URL by browsers, and by others not.
    let (_, rest) = text.split_once(':').ok_or(Refused::Form)?;
    let path = url.path().to_ascii_lowercase();
    if !rest.starts_with("//")
        || rest.starts_with("///")
        || ["%2f", "%5c", "//"].iter().any(|odd| path.contains(odd))
    {
        return Err(Refused::Form);
    }
    if !url.username().is_empty() || url.password().is_some() || authority(rest).contains('@') {
        return Err(Refused::UserInfo);
    }
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if development && is_this_machine(&host) => Ok(url),
        ("https", None) => Err(Refused::Form),
        _ => Err(Refused::Scheme),
    }
}

/// What stands before the path, in the text as it came: an empty user name leaves no trace in a parsed URL.
fn authority(rest: &str) -> &str {
    let rest = rest.trim_start_matches('/');
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST,
        Host::Ipv6(address) => *address == Ipv6Addr::LOCALHOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    #[test]
    fn an_entry_allows_its_origin_and_what_is_below_its_path() {
        let entries = list(&["https://app.example.com/done", "https://other.example.com/"]);
        for url in [
            "https://app.example.com/done",
            "https://app.example.com/done?from=postern",
            "https://app.example.com/done/slack",
            "https://APP.example.com:443/done",
            "https://other.example.com/any/where",
        ] {
            assert!(admit(url, &entries, false).is_ok(), "{url}");
        }
        for url in [
            "https://app.example.com/",
            "https://app.example.com/donex",
            "https://app.example.com/done/../admin",
            "https://app.example.com/done/%2e%2e/admin",
            "https://app.example.com:8443/done",
            "https://app.example.com.evil.example/done",
            "https://evil.example/?to=https://app.example.com/done",
        ] {
            assert_eq!(admit(url, &entries, false), Err(Refused::NotAllowed), "{url}");
        }
    }

    #[test]
    fn what_browsers_and_servers_read_in_two_ways_is_refused() {
        let entries = list(&["https://app.example.com/"]);
        for (url, why) in [
            ("//app.example.com/done", Refused::Form),
            ("/done", Refused::Form),
            ("https:/app.example.com/done", Refused::Form),
            ("https:app.example.com/done", Refused::Form),
            ("https:///app.example.com/done", Refused::Form),
            ("https:\\\\app.example.com/done", Refused::Form),
            ("https://app.example.com\\@evil.example/", Refused::Form),
            ("https://app.example.com/a//b", Refused::Form),
            ("https://app.example.com/done%2f..%2fadmin", Refused::Form),
            ("https://app.example.com/done%5Cadmin", Refused::Form),
            ("https://app.example.com/do\nne", Refused::Form),
            ("https://app.example.com/do\tne", Refused::Form),
            (" https://app.example.com/", Refused::Form),
            ("https://app.example.com/#token", Refused::Form),
            ("https://user@app.example.com/", Refused::UserInfo),
            ("https://@app.example.com/", Refused::UserInfo),
            ("https://:pass@app.example.com/", Refused::UserInfo),
            ("http://app.example.com/", Refused::Scheme),
            ("javascript://app.example.com/%0aalert(1)", Refused::Scheme),
            ("app://app.example.com/done", Refused::Scheme),
        ] {
            assert_eq!(admit(url, &entries, true), Err(why), "{url}");
        }
        let long = format!("https://app.example.com/{}", "a".repeat(3000));
        assert_eq!(admit(&long, &entries, false), Err(Refused::Form));
    }

    #[test]
    fn this_machine_is_reached_by_http_in_development_alone() {
        for url in [
            "http://localhost:3000/done",
            "http://127.0.0.1:3000/done",
            "http://[::1]:3000/done",
        ] {
            assert!(entry(url, true).is_ok(), "{url}");
            assert_eq!(entry(url, false), Err(Refused::Scheme), "{url}");
        }
        assert_eq!(entry("http://10.0.0.1/done", true), Err(Refused::Scheme));
    }

    #[test]
    fn an_entry_has_no_query() {
        assert_eq!(
            entry("https://app.example.com/done?x=1", false),
            Err(Refused::Query)
        );
        assert_eq!(
            entry("https://app.example.com", false).as_deref(),
            Ok("https://app.example.com/")
        );
    }
}
