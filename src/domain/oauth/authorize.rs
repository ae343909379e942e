//! The authorization request: where the browser is sent to (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
//!
//! Guaranteed: each parameter that the protocol's safety hangs on is written by us alone and once, whatever an entry says;
//! PKCE is S256 or is switched off by the entry for a written reason, never `plain`, never forgotten.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::Secret;
use super::provider::{Kind, OAuth, Pkce, Provider};
use super::template::{self, Unfilled};

/// Parameters that no entry may set: what they hold is the attempt's, or changes what comes back.
pub(super) const RESERVED: [&str; 11] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_type",
    "scope",
    "state",
];

/// The longest URL that browsers and providers take without question, in bytes.
const MAX_BYTES: usize = 8192;

/// What one attempt asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The app's client id.
    pub client_id: &'a str,
    /// Where the provider sends the browser back to; the same bytes go to the token endpoint.
    pub redirect_uri: &'a str,
    /// The attempt's `state`.
    pub state: &'a Secret,
    /// Scopes asked for. The entry's own are put before them.
    pub scopes: &'a [String],
    /// PKCE's verifier: 43 to 128 unreserved characters. Must be there unless the entry switches PKCE off.
    pub verifier: Option<&'a Secret>,
    /// The id token's nonce. Must be there for `OpenID` Connect.
    pub nonce: Option<&'a Secret>,
    /// On reconnect, the account that must come back, as the provider takes a hint for it (an e-mail address).
    pub reconnect_account: Option<&'a str>,
    /// The session's variables, judged already.
    pub variables: &'a BTreeMap<String, String>,
}

/// Why there is no authorization URL. Each but the first two is a mistake of the entry or of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// Scopes at a provider that takes none.
    #[error("this provider takes no scopes: what is granted is set in the app at the provider")]
    TakesNoScopes,
    /// The URL gets longer than browsers take.
    #[error("this is more than fits into a URL: ask for fewer scopes")]
    TooLong,
    /// The entry is not for `OAuth` in a browser.
    #[error("this provider is not authorised in a browser")]
    NoOAuth,
    /// A variable has no value.
    #[error(transparent)]
    Unfilled(#[from] Unfilled),
    /// The authorization endpoint is no URL.
    #[error("the authorization endpoint is no https URL")]
    NoUrl,
    /// The entry sets a parameter that is ours.
    #[error("the entry sets `{0}`, which is set for each attempt")]
    Reserved(String),
    /// PKCE is on and there is no verifier of its form.
    #[error("the attempt has no verifier")]
    NoVerifier,
    /// `OpenID` Connect without a nonce.
    #[error("the attempt has no nonce")]
    NoNonce,
}

/// The URL that the browser is sent to. It holds `state`, so it is a secret as long as the attempt lives.
///
/// # Errors
/// [`Unasked`]; nothing is left out silently.
pub fn url(provider: &Provider, ask: &Ask) -> Result<String, Unasked> {
    let oauth = provider.oauth.as_ref().ok_or(Unasked::NoOAuth)?;
    if !matches!(provider.kind, Kind::Oauth2 | Kind::Oidc) {
        return Err(Unasked::NoOAuth);
    }
    let base = template::fill(&oauth.authorize_url, ask.variables)?;
    let parsed = Url::parse(&base).map_err(|_| Unasked::NoUrl)?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.fragment().is_some() {
        return Err(Unasked::NoUrl);
    }
    if let Some((name, _)) = parsed.query_pairs().find(|(name, _)| is_ours(oauth, name)) {
        return Err(Unasked::Reserved(name.into_owned()));
    }
    let mut query = protocol(provider, oauth, ask)?;
    query.extend(extras(oauth, ask)?);

    let mut url = base;
    for (name, value) in query {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&template::escaped(&name));
        url.push('=');
        url.push_str(&template::escaped(&value));
    }
    if url.len() > MAX_BYTES {
        return Err(Unasked::TooLong);
    }
    Ok(url)
}

/// The scopes that are asked for: the entry's own and `asked`, each once, in this order.
#[must_use]
pub fn scopes(oauth: &OAuth, asked: &[String]) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in oauth.scopes.iter().chain(asked) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}

/// What is asked, in words, one a scope; a scope without words as itself. Those of the entry's own that have no words are
/// machinery (`openid`) and not shown.
#[must_use]
pub fn in_words(oauth: &OAuth, asked: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for scope in scopes(oauth, asked) {
        let words = match oauth.scope_words.get(&scope) {
            Some(words) => words.clone(),
            None if oauth.scopes.contains(&scope) => continue,
            None => scope,
        };
        if !shown.contains(&words) {
            shown.push(words);
        }
    }
    shown
}

/// PKCE's challenge: base64url of the verifier's SHA-256 (RFC 7636 section 4.2).
#[must_use]
pub fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.reveal().as_bytes()))
}

/// Whether a parameter is set for each attempt and by nobody else.
pub(super) fn is_ours(oauth: &OAuth, name: &str) -> bool {
    RESERVED.contains(&name) || oauth.scope_parameter.as_deref() == Some(name)
}

/// What the standards want, in their order.
fn protocol(provider: &Provider, oauth: &OAuth, ask: &Ask) -> Result<Vec<(String, String)>, Unasked> {
    let mut query = vec![
        ("response_type".to_owned(), "code".to_owned()),
        ("client_id".to_owned(), ask.client_id.to_owned()),
        ("redirect_uri".to_owned(), ask.redirect_uri.to_owned()),
        ("state".to_owned(), ask.state.reveal().to_owned()),
    ];
    let scopes = scopes(oauth, ask.scopes);
    if !scopes.is_empty() {
        if oauth.scope_separator.is_empty() {
            return Err(Unasked::TakesNoScopes);
        }
        let name = oauth.scope_parameter.as_deref().unwrap_or("scope");
        query.push((name.to_owned(), scopes.join(&oauth.scope_separator)));
    }
    if oauth.pkce == Pkce::S256 {
        let verifier = ask
            .verifier
            .filter(|text| is_verifier(text))
            .ok_or(Unasked::NoVerifier)?;
        query.push(("code_challenge".to_owned(), challenge(verifier)));
        query.push(("code_challenge_method".to_owned(), "S256".to_owned()));
    }
    if provider.kind == Kind::Oidc {
        let nonce = ask
            .nonce
            .filter(|nonce| !nonce.reveal().is_empty())
            .ok_or(Unasked::NoNonce)?;
        query.push(("nonce".to_owned(), nonce.reveal().to_owned()));
    }
    Ok(query)
}

/// What this provider wants beside it; on reconnect some of it otherwise.
fn extras(oauth: &OAuth, ask: &Ask) -> Result<BTreeMap<String, String>, Unasked> {
    let mut variables = ask.variables.clone();
    let mut parameters = oauth.authorize_parameters.clone();
    if let Some(account) = ask.reconnect_account {
        variables.insert("account".to_owned(), account.to_owned());
        parameters.extend(oauth.reconnect_parameters.clone());
    }
    let mut filled = BTreeMap::new();
    for (name, value) in parameters {
        if is_ours(oauth, &name) {
            return Err(Unasked::Reserved(name));
        }
        let value = template::fill_value(&value, &variables)?;
        filled.insert(name, value);
    }
    Ok(filled)
}

/// RFC 7636 section 4.1.
fn is_verifier(text: &Secret) -> bool {
    let text = text.reveal();
    (43..=128).contains(&text.len())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests;
