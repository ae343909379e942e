//! The query of a callback, read once and strictly: what it says twice or says otherwise than the standard is refused
//! before anybody is asked.

use std::collections::BTreeMap;

use postern_domain::id::{ConnectionId, OAuthAppId};
use postern_domain::oauth::Secret;
use postern_domain::oauth::link::Link;
use postern_domain::wire::connection::Callback;
use url::form_urlencoded;

/// Bytes of a query, as it came.
const MAX_QUERY: usize = 8 * 1024;

/// Bytes of a code.
const MAX_CODE: usize = 4 * 1024;

/// Parameters.
const MAX_PARAMETERS: usize = 32;

/// Bytes of a parameter's name.
const MAX_NAME: usize = 64;

/// Bytes of an `iss`.
const MAX_ISSUER: usize = 1024;

/// Characters of a provider's sentence.
const MAX_WORDS: usize = 200;

/// What the query does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nobody's request: too long, twice the same, not text, code and error together, neither of them.
    Unreadable,
    /// A state that is none of ours. Says the same as one that is over.
    NoState,
}

/// Reads the query behind `?`. Whose object is asked stands in `state`; cookies are the caller's to add.
pub(super) fn read(app: OAuthAppId, query: &str) -> Result<(ConnectionId, Callback), Refused> {
    if query.len() > MAX_QUERY {
        return Err(Refused::Unreadable);
    }
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let readable = !name.is_empty() && name.len() <= MAX_NAME && is_text(&name) && is_text(&value);
        let again = parameters.insert(name.into_owned(), value.into_owned()).is_some();
        if !readable || again || parameters.len() > MAX_PARAMETERS {
            return Err(Refused::Unreadable);
        }
    }
    let code = match parameters.remove("code") {
        Some(code) if is_code(&code) => Some(Secret(code)),
        Some(_) => return Err(Refused::Unreadable),
        None => None,
    };
    let error = parameters.remove("error").map(|error| word(&error));
    if code.is_some() == error.is_some() {
        return Err(Refused::Unreadable);
    }
    let iss = parameters.remove("iss");
    if iss.as_ref().is_some_and(|iss| iss.len() > MAX_ISSUER) {
        return Err(Refused::Unreadable);
    }
    let error_description = parameters
        .remove("error_description")
        .map(|words| words.chars().take(MAX_WORDS).collect());
    let state = parameters.remove("state").ok_or(Refused::NoState)?;
    let link: Link = state.parse().map_err(|_| Refused::NoState)?;
    let callback = Callback {
        app,
        state: Secret(hex::encode(link.random)),
        cookies: BTreeMap::new(),
        code,
        error,
        error_description,
        iss,
        others: parameters,
    };
    Ok((link.connection, callback))
}

/// Text of one line: no control characters, and nothing that was not UTF-8.
fn is_text(value: &str) -> bool {
    !value
        .chars()
        .any(|char| char.is_control() || char == char::REPLACEMENT_CHARACTER)
}

/// A code is visible ASCII (RFC 6749 appendix A.11).
fn is_code(code: &str) -> bool {
    (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// An error's code, or what stands for one that is no word.
fn word(error: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if (1..=MAX_NAME).contains(&error.len()) && error.bytes().all(is_word) {
        error.to_owned()
    } else {
        "unreadable_error".to_owned()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const APP: OAuthAppId = OAuthAppId([1; 20]);

    fn state() -> String {
        let link = Link {
            connection: ConnectionId([7; 20]),
            random: [9; 32],
        };
        link.to_string()
    }

    fn refusal(query: &str) -> Option<Refused> {
        read(APP, query).err()
    }

    #[test]
    fn s15_a_callback_is_read_whole() {
        let query = format!(
            "code=4%2F0A+b&state={}&iss=https%3A%2F%2Fissuer.example&realmId=12&scope=a%20b",
            state()
        );
        let (connection, callback) = read(APP, &query).unwrap();
        assert_eq!(connection, ConnectionId([7; 20]));
        assert_eq!(callback.app, APP);
        assert_eq!(callback.state, Secret("09".repeat(32)));
        assert_eq!(callback.code, Some(Secret("4/0A b".to_owned())));
        assert_eq!(callback.iss.as_deref(), Some("https://issuer.example"));
        assert_eq!(callback.others.get("realmId").map(String::as_str), Some("12"));
        assert_eq!(callback.others.len(), 2);
    }

    #[test]
    fn s15_what_is_said_twice_or_otherwise_is_refused() {
        let state = state();
        for query in [
            format!("code=a&code=b&state={state}"),
            format!("code=a&state={state}&state={state}"),
            format!("code=a&state={state}&iss=x&iss=y"),
            format!("code=a&state={state}&realmId=1&realmId=2"),
            format!("code=a&error=access_denied&state={state}"),
            format!("code=&state={state}"),
            format!("state={state}"),
            format!("code={}&state={state}", "a".repeat(MAX_CODE + 1)),
            format!("code=a%0Ab&state={state}"),
            format!("code=%ff&state={state}"),
            format!("code=a&state={state}&x={}", "y".repeat(MAX_QUERY)),
            format!("code=a&state={state}&iss={}", "y".repeat(MAX_ISSUER + 1)),
            format!("code=a&state={state}&=x"),
            format!("code=a&state={state}&{}=x", "n".repeat(MAX_NAME + 1)),
            format!(
                "code=a&state={state}&{}",
                (0..MAX_PARAMETERS)
                    .map(|n| format!("p{n}=1"))
                    .collect::<Vec<_>>()
                    .join("&")
            ),
        ] {
            let shown: String = query.chars().take(60).collect();
            assert_eq!(refusal(&query), Some(Refused::Unreadable), "{shown}");
        }
        assert_eq!(
            refusal(&format!("code={}&state={state}", "a".repeat(MAX_CODE))),
            None
        );
    }

    #[test]
    fn s9_a_state_that_is_none_says_the_same_as_one_that_is_over() {
        for query in [
            "code=a",
            "code=a&state=",
            "code=a&state=abc",
            "error=access_denied",
        ] {
            assert_eq!(refusal(query), Some(Refused::NoState), "{query}");
        }
    }

    #[test]
    fn s16_a_providers_sentence_is_cut_and_its_code_is_a_word() {
        let query = format!(
            "error=access_denied&error_description={}&state={}",
            "%C3%A4".repeat(300),
            state()
        );
        let (_, callback) = read(APP, &query).unwrap();
        assert_eq!(callback.error.as_deref(), Some("access_denied"));
        assert_eq!(callback.error_description.unwrap().chars().count(), MAX_WORDS);
        let (_, callback) = read(APP, &format!("error=%3Cb%3E&state={}", state())).unwrap();
        assert_eq!(callback.error.as_deref(), Some("unreadable_error"));
    }
}
