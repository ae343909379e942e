//! A provider out of its own discovery document (`OpenID` Connect Discovery 1.0 sections 4.1 to 4.3).
//!
//! Guaranteed: the document speaks for the issuer that was asked and for no other, and every URL in it is one that may be
//! called. Deliberately absent: dynamic registration, and keeping up with a document that changes later; whoever
//! configured the provider reads it again.

use serde_json::Value;

use super::provider::{Check, ClientAuth, Pkce, Provider, Revoke, RevokeToken};
use super::{Ended, catalogue, strict_json};
use crate::address::{Policy, Refusal};

/// Bytes of a document that are read.
pub const CAP: usize = 256 * 1024;

/// What every issuer's document is called.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Why no provider came of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undiscovered {
    /// The issuer is no URL that may be called.
    #[error("the issuer cannot be called: {}", .0.sentence())]
    Issuer(Refusal),
    /// An issuer has neither query nor fragment.
    #[error("an issuer is an https URL without query or fragment")]
    IssuerForm,
    /// No document came.
    #[error("no discovery document came from the issuer: it must answer 200 with JSON")]
    NoDocument,
    /// What came cannot be read.
    #[error("the discovery document cannot be read: it must be one JSON object without doubled members")]
    Unreadable,
    /// It speaks for another.
    #[error("the discovery document is another issuer's; write the issuer exactly as the document does")]
    OtherIssuer,
    /// A member is missing, or has not its type.
    #[error("the discovery document has no `{0}`, or none that can be read")]
    Missing(&'static str),
    /// A URL that may not be called.
    #[error("the discovery document's `{member}` cannot be called: {}", refusal.sentence())]
    Url {
        /// Which member it is.
        member: &'static str,
        /// Why not.
        refusal: Refusal,
    },
    /// It has nothing that we could use.
    #[error("the provider supports none of: {0}")]
    Unsupported(&'static str),
}

/// Where an issuer's document is.
///
/// # Errors
/// When the issuer is no URL that may be called.
pub fn url(issuer: &str, policy: &Policy) -> Result<String, Undiscovered> {
    policy.judge(issuer).map_err(Undiscovered::Issuer)?;
    if issuer.contains(['?', '#']) {
        return Err(Undiscovered::IssuerForm);
    }
    Ok(format!(
        "{}{WELL_KNOWN}",
        issuer.strip_suffix('/').unwrap_or(issuer)
    ))
}

/// The provider that an issuer's document describes: the catalogue's `oidc` with its blanks filled in. Nothing is known of
/// its refresh tokens, so they are taken to die at use.
///
/// # Errors
/// When the document is not the issuer's, or not enough.
pub fn provider(issuer: &str, ended: &Ended, policy: &Policy) -> Result<Provider, Undiscovered> {
    let is_json = ended.content_type == "application/json" || ended.content_type.ends_with("+json");
    if ended.status != Some(200) || ended.cause.is_some() || !is_json {
        return Err(Undiscovered::NoDocument);
    }
    if ended.cut || ended.body.len() > CAP {
        return Err(Undiscovered::Unreadable);
    }
    let document = strict_json::read(&ended.body).map_err(|_| Undiscovered::Unreadable)?;
    if !document.is_object() {
        return Err(Undiscovered::Unreadable);
    }
    // Section 4.3: exactly the one that was asked; a slash more is another.
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(Undiscovered::OtherIssuer);
    }
    let document = Document { document, policy };

    let mut provider = catalogue::find("oidc").ok_or(Undiscovered::Missing("oidc"))?;
    let oauth = provider.oauth.as_mut().ok_or(Undiscovered::Missing("oidc"))?;
    document.one_of("response_types_supported", "code")?;
    document.any_of("id_token_signing_alg_values_supported", &["RS256", "ES256"])?;
    oauth.issuer = Some(issuer.to_owned());
    oauth.authorize_url = document.url("authorization_endpoint")?;
    oauth.token_url = document.url("token_endpoint")?;
    oauth.jwks_url = Some(document.url("jwks_uri")?);
    oauth.iss_required = document
        .document
        .get("authorization_response_iss_parameter_supported")
        == Some(&Value::Bool(true));
    oauth.client_auth = document.client_auth()?;
    oauth.pkce = document.pkce()?;
    oauth.revoke = document.optional_url("revocation_endpoint")?.map(|url| Revoke {
        method: "POST".to_owned(),
        url,
        token: RevokeToken::Refresh,
        client_auth: Some(oauth.client_auth),
        bearer: false,
        body: super::provider::BodyForm::Form,
        token_field: None,
        fields: std::collections::BTreeMap::new(),
        gone: Vec::new(),
    });
    if document
        .words("scopes_supported")?
        .is_some_and(|scopes| scopes.contains(&"offline_access"))
    {
        oauth.scopes.push("offline_access".to_owned());
        // OpenID Connect Core section 11: without it the scope is to be ignored.
        oauth
            .authorize_parameters
            .insert("prompt".to_owned(), "consent".to_owned());
    }
    provider.check = document.optional_url("userinfo_endpoint")?.map(|url| Check {
        method: "GET".to_owned(),
        url,
        body: None,
        content_type: None,
        ok: None,
        holds: None,
    });
    Ok(provider)
}

struct Document<'a> {
    document: Value,
    policy: &'a Policy,
}

impl Document<'_> {
    fn url(&self, name: &'static str) -> Result<String, Undiscovered> {
        self.optional_url(name)?.ok_or(Undiscovered::Missing(name))
    }

    /// As it stands in the document: the judged form may differ in a slash.
    fn optional_url(&self, name: &'static str) -> Result<Option<String>, Undiscovered> {
        let Some(value) = self.document.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let url = value.as_str().ok_or(Undiscovered::Missing(name))?;
        self.policy.judge(url).map_err(|refusal| Undiscovered::Url {
            member: name,
            refusal,
        })?;
        // Braces would be read as our variables.
        if url.contains(['{', '}', '#']) {
            return Err(Undiscovered::Missing(name));
        }
        Ok(Some(url.to_owned()))
    }

    /// A list of words; none: the document does not say.
    fn words(&self, name: &'static str) -> Result<Option<Vec<&str>>, Undiscovered> {
        let Some(value) = self.document.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or(Undiscovered::Missing(name))?;
        let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        words.map(Some).ok_or(Undiscovered::Missing(name))
    }

    fn one_of(&self, name: &'static str, wanted: &'static str) -> Result<(), Undiscovered> {
        match self.words(name)? {
            Some(words) if !words.contains(&wanted) => Err(Undiscovered::Unsupported(wanted)),
            _ => Ok(()),
        }
    }

    fn any_of(&self, name: &'static str, wanted: &[&str]) -> Result<(), Undiscovered> {
        match self.words(name)? {
            Some(words) if !wanted.iter().any(|one| words.contains(one)) => {
                Err(Undiscovered::Unsupported("RS256, ES256"))
            }
            _ => Ok(()),
        }
    }

    /// Discovery section 3: `client_secret_basic` where the document does not say.
    fn client_auth(&self) -> Result<ClientAuth, Undiscovered> {
        let Some(words) = self.words("token_endpoint_auth_methods_supported")? else {
            return Ok(ClientAuth::Basic);
        };
        let known = [
            ("client_secret_basic", ClientAuth::Basic),
            ("client_secret_post", ClientAuth::Post),
            ("none", ClientAuth::None),
        ];
        let found = known.into_iter().find(|(name, _)| words.contains(name));
        found.map(|(_, way)| way).ok_or(Undiscovered::Unsupported(
            "client_secret_basic, client_secret_post, none",
        ))
    }

    /// On where S256 is named and where nothing is: a server that does not know PKCE ignores it (RFC 6749 section 3.1).
    fn pkce(&self) -> Result<Pkce, Undiscovered> {
        match self.words("code_challenge_methods_supported")? {
            Some(words) if !words.contains(&"S256") => Ok(Pkce::Off {
                reason: "The discovery document names the methods of PKCE, and S256 is not among them"
                    .to_owned(),
            }),
            _ => Ok(Pkce::S256),
        }
    }
}

#[cfg(test)]
mod tests;
