//! Requests to a token endpoint and to where grants are revoked, as the provider's entry wants them (RFC 6749 sections
//! 2.3.1, 4.1.3 and 6, RFC 7009, RFC 7523).
//!
//! Guaranteed: secrets stand in headers and bodies, never in a URL; client id and secret come one way only, never in the
//! header and the body at once (RFC 6749 section 2.3). Deliberately absent: a second way where the first one failed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::provider::{BodyForm, ClientAuth, OAuth, Provider, RevokeToken};
use super::template::{self, Unfilled};
use super::{Client, Request, Secret};
use crate::time::Millis;

/// How long an assertion of a service account lives, in seconds: what Google takes at the most.
const ASSERTION_SECONDS: u64 = 3600;

/// Why there is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    /// The entry has no `OAuth` part.
    #[error("the provider has no OAuth")]
    NoOAuth,
    /// The provider has no way to revoke a grant, or there is no token to revoke it with.
    #[error("the provider has no way to revoke this grant")]
    NoRevoke,
    /// A variable of the URL or of a field cannot be filled in.
    #[error(transparent)]
    Variable(#[from] Unfilled),
}

/// The exchange of a code for tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5). `redirect_uri`: the same bytes as in
/// the authorization request.
///
/// # Errors
/// See [`Unmade`].
pub fn exchange(
    provider: &Provider,
    client: &Client,
    code: &Secret,
    verifier: Option<&Secret>,
    redirect_uri: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unmade> {
    let oauth = oauth_of(provider)?;
    let mut fields = Fields::of(&oauth.token_parameters, variables)?;
    fields.set("grant_type", "authorization_code");
    fields.set("code", code.reveal());
    fields.set("redirect_uri", redirect_uri);
    if let Some(verifier) = verifier {
        fields.set("code_verifier", verifier.reveal());
    }
    token_request(oauth, &oauth.token_url, client, fields, variables)
}

/// The refresh of an access token (RFC 6749 section 6). Without `scope`: the same as granted.
///
/// # Errors
/// See [`Unmade`].
pub fn refresh(
    provider: &Provider,
    client: &Client,
    refresh_token: &Secret,
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unmade> {
    let oauth = oauth_of(provider)?;
    let mut fields = Fields::default();
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", refresh_token.reveal());
    let url = oauth.refresh_url.as_ref().unwrap_or(&oauth.token_url);
    token_request(oauth, url, client, fields, variables)
}

/// The end of a grant (RFC 7009, or the provider's own form of it). `account`: the account's key, for providers whose
/// fields say whose grant it is.
///
/// # Errors
/// See [`Unmade`]; [`Unmade::NoRevoke`] also where the provider wants a token that there is not.
pub fn revoke(
    provider: &Provider,
    client: &Client,
    access_token: Option<&Secret>,
    refresh_token: Option<&Secret>,
    account: Option<&str>,
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unmade> {
    let oauth = oauth_of(provider)?;
    let revoke = oauth.revoke.as_ref().ok_or(Unmade::NoRevoke)?;
    let token = match revoke.token {
        RevokeToken::Refresh => Some(refresh_token.or(access_token).ok_or(Unmade::NoRevoke)?),
        RevokeToken::Access => Some(access_token.ok_or(Unmade::NoRevoke)?),
        RevokeToken::None => None,
    };
    let mut variables = variables.clone();
    variables.insert("client_id".to_owned(), client.id.clone());
    if let Some(account) = account {
        variables.insert("account".to_owned(), account.to_owned());
    }

    let mut headers = vec![accept()];
    let mut fields = Fields::of(&revoke.fields, &variables)?;
    match token {
        Some(token) if revoke.bearer => {
            headers.push(("Authorization".to_owned(), format!("Bearer {}", token.reveal())));
        }
        Some(token) => fields.set(revoke.token_field.as_deref().unwrap_or("token"), token.reveal()),
        None => {}
    }
    if let Some(way) = revoke.client_auth {
        authenticate(way, client, &mut headers, &mut fields);
    }
    extend(&mut headers, &oauth.token_headers);
    let body = fields.write(revoke.body, &mut headers);
    Ok(Request {
        method: if revoke.method.eq_ignore_ascii_case("DELETE") {
            "DELETE"
        } else {
            "POST"
        },
        url: template::fill(&revoke.url, &variables)?,
        headers,
        body,
    })
}

/// What a service account asserts (RFC 7523 section 3; Google: "Using OAuth 2.0 for Server to Server Applications").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion<'a> {
    /// `iss`: the service account's e-mail.
    pub issuer: &'a str,
    /// `sub`: the user in whose name it acts (domain-wide delegation); none: in its own, and Google wants no `sub` then
    /// (RFC 7523 wants one always: for another server give the issuer).
    pub subject: Option<&'a str>,
    /// `kid`: the id of its key.
    pub key_id: Option<&'a str>,
    /// `scope`, separated by blanks; Google takes it among the claims.
    pub scopes: &'a [String],
    /// When.
    pub now: Millis,
}

/// The bytes that the service account's key signs with RS256: header and claims. `aud` is the token endpoint.
///
/// # Errors
/// See [`Unmade`].
pub fn jwt_bearer_claims(
    provider: &Provider,
    assertion: &Assertion<'_>,
    variables: &BTreeMap<String, String>,
) -> Result<String, Unmade> {
    let oauth = oauth_of(provider)?;
    let audience = template::fill(&oauth.token_url, variables)?;
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(key_id) = assertion.key_id {
        header["kid"] = key_id.into();
    }
    let now = assertion.now.seconds();
    let mut claims = json!({
        "iss": assertion.issuer,
        "aud": audience,
        "iat": now,
        "exp": now.saturating_add(ASSERTION_SECONDS),
    });
    if let Some(subject) = assertion.subject {
        claims["sub"] = subject.into();
    }
    if !assertion.scopes.is_empty() {
        claims["scope"] = assertion.scopes.join(" ").into();
    }
    let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    Ok(format!("{}.{}", text(&header), text(&claims)))
}

/// The exchange of a signed assertion for an access token (RFC 7523 section 2.1). The client is the assertion's issuer:
/// nobody else authenticates.
///
/// # Errors
/// See [`Unmade`].
pub fn jwt_bearer(
    provider: &Provider,
    signed: &str,
    signature: &[u8],
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unmade> {
    let oauth = oauth_of(provider)?;
    let mut fields = Fields::of(&oauth.token_parameters, variables)?;
    fields.set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    fields.set("assertion", &assertion);
    let mut headers = vec![accept()];
    extend(&mut headers, &oauth.token_headers);
    let body = fields.write(oauth.body, &mut headers);
    Ok(Request {
        method: "POST",
        url: template::fill(&oauth.token_url, variables)?,
        headers,
        body,
    })
}

fn oauth_of(provider: &Provider) -> Result<&OAuth, Unmade> {
    provider.oauth.as_ref().ok_or(Unmade::NoOAuth)
}

fn token_request(
    oauth: &OAuth,
    url: &str,
    client: &Client,
    mut fields: Fields,
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unmade> {
    let mut headers = vec![accept()];
    authenticate(oauth.client_auth, client, &mut headers, &mut fields);
    extend(&mut headers, &oauth.token_headers);
    let body = fields.write(oauth.body, &mut headers);
    Ok(Request {
        method: "POST",
        url: template::fill(url, variables)?,
        headers,
        body,
    })
}

/// Says who the client is. One without a secret is a public client, whatever the entry says: its id stands in the body.
fn authenticate(way: ClientAuth, client: &Client, headers: &mut Vec<(String, String)>, fields: &mut Fields) {
    match (way, &client.secret) {
        (ClientAuth::Basic, Some(secret)) => {
            let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", form(&client.id), form(secret.reveal()));
            let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
            headers.push(("Authorization".to_owned(), value));
        }
        (ClientAuth::Post, Some(secret)) => {
            fields.set("client_id", &client.id);
            fields.set("client_secret", secret.reveal());
        }
        (ClientAuth::Basic | ClientAuth::Post, None) | (ClientAuth::None, _) => {
            fields.set("client_id", &client.id);
        }
    }
}

/// GitHub answers in another form without it.
fn accept() -> (String, String) {
    ("Accept".to_owned(), "application/json".to_owned())
}

/// The entry's headers, which go before ours of the same name, but for those that say who we are.
fn extend(headers: &mut Vec<(String, String)>, more: &BTreeMap<String, String>) {
    for (name, value) in more {
        if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("content-type") {
            continue;
        }
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
}

/// The fields of a body; each once.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(more: &BTreeMap<String, String>, variables: &BTreeMap<String, String>) -> Result<Self, Unmade> {
        let mut fields = Self::default();
        for (name, value) in more {
            fields.set(name, &template::fill_value(value, variables)?);
        }
        Ok(fields)
    }

    /// What is set last holds: an entry's parameters cannot replace the protocol's.
    fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn write(self, form: BodyForm, headers: &mut Vec<(String, String)>) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (content_type, body) = match form {
            BodyForm::Form => {
                let body = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(self.0)
                    .finish();
                ("application/x-www-form-urlencoded", body)
            }
            BodyForm::Json => {
                let object: Map<String, Value> = self
                    .0
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect();
                ("application/json", Value::Object(object).to_string())
            }
        };
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        body.into_bytes()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
