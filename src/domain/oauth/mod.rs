//! `OAuth` and API keys: providers as data, the protocol as pure functions.
//!
//! In reading order: what is known of a provider ([`provider`], [`catalogue`]), the request that begins a grant
//! ([`authorize`]), the token endpoint's requests and answers ([`token_request`], [`outcome`]), what an answer means for a
//! connection ([`standing`]), and how long a grant lives ([`lifetime`]).
//!
//! Nothing here makes a request: what is to be asked is a [`Request`], what came back an [`Ended`].

pub mod api_call;
pub mod app;
pub mod app_alert;
pub mod authorize;
pub mod callback_proof;
pub mod catalogue;
pub mod discovery;
pub mod doctor;
pub mod id_token;
pub mod identity;
pub mod lifetime;
pub mod link;
pub mod outcome;
pub mod provider;
pub mod proxy;
pub mod return_url;
pub mod rotation;
pub mod scopes;
pub mod standing;
pub mod strict_json;
pub mod template;
pub mod token_request;
pub mod validate;

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::outcome::Cause;

/// A secret: a token, a code, a verifier, a client's password, an API key. It stays out of logs; written where it is stored
/// or sent, and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its last four characters, for people who hold several; of a secret below 12 characters nothing is shown.
    #[must_use]
    pub fn last_four(&self) -> String {
        let chars: Vec<char> = self.0.chars().collect();
        if chars.len() < 12 {
            return String::new();
        }
        chars[chars.len() - 4..].iter().collect()
    }

    /// Whether it is that text, in a time that does not tell where they differ.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One request to a provider, as the protocol wants it. Its headers and body hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// Where to. Judged by the address rule before it is sent.
    pub url: String,
    /// All headers but what the runtime adds itself.
    pub headers: Vec<(String, String)>,
    /// The body; empty: none.
    pub body: Vec<u8>,
}

/// Where to, and nothing else.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        write!(f, "Request({} {url})", self.method)
    }
}

/// How a request to a provider ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Ended {
    /// The answer's status, if its headers came.
    pub status: Option<u16>,
    /// Why there is no answer, or not all of one; none: the body came whole. A status that says failure is no cause here.
    pub cause: Option<Cause>,
    /// `Content-Type`, lower case, without parameters.
    pub content_type: String,
    /// `Retry-After`, as milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// Other headers, with lower-case names, as many as were kept.
    pub headers: Vec<(String, String)>,
    /// The body, up to the cap of its kind.
    pub body: Vec<u8>,
    /// There was more of a body than the cap.
    pub cut: bool,
}

/// What came, without what stood in it.
impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended")
            .field("status", &self.status)
            .field("cause", &self.cause)
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Ended {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Who we are at a provider: the client of an `OAuth` app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// `client_secret`; none: a public client.
    #[serde(default)]
    pub secret: Option<Secret>,
}

/// What a token endpoint gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSet {
    /// 1 B to 16 KB of printable ASCII without blanks.
    pub access_token: Secret,
    /// None where the answer has none, or an empty one: on refresh the old one stays.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// Seconds; none where the answer does not say, or says nonsense.
    #[serde(default)]
    pub expires_in: Option<u64>,
    /// Seconds that the refresh token lives, where told.
    #[serde(default)]
    pub refresh_expires_in: Option<u64>,
    /// The scopes granted; none where the answer does not say: those asked for (RFC 6749 section 5.1).
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// As it came, not verified.
    #[serde(default)]
    pub id_token: Option<Secret>,
    /// Other values of the answer that the provider's entry names: an instance's URL, a team's id.
    #[serde(default)]
    pub learned: std::collections::BTreeMap<String, String>,
}

impl TokenSet {
    /// An access token or API key, and nothing beside it.
    #[must_use]
    pub const fn alone(access_token: Secret) -> Self {
        Self {
            access_token,
            refresh_token: None,
            expires_in: None,
            refresh_expires_in: None,
            scopes: None,
            id_token: None,
            learned: std::collections::BTreeMap::new(),
        }
    }
}

/// A provider with nothing special.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
pub(crate) fn test_provider() -> provider::Provider {
    let entry = serde_json::json!({
        "id": "plain",
        "name": "Plain",
        "kind": "oauth2",
        "oauth": {
            "authorizeUrl": "https://as.example/authorize",
            "tokenUrl": "https://as.example/token",
            "pkce": "s256",
            "clientAuth": "post",
            "rotation": "strict",
        },
    });
    serde_json::from_value(entry).unwrap()
}
