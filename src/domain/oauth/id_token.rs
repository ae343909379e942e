//! The id token of an exchange (`OpenID` Connect Core section 3.1.3.7).
//!
//! Guaranteed: claims are read only after a signature held; the algorithm is one of two that a public key can check, and
//! the key, not the token, says which. Deliberately absent: encryption (JWE), HS256 (the client's secret as the key), and
//! the algorithm `none`.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::provider::Provider;
use super::{Secret, strict_json};
use crate::provider::{Check, KeySet};
use crate::time::Millis;

/// Bytes of a key set (JWKS) that are kept.
pub const KEYS_CAP: usize = 256 * 1024;

/// A key set is fetched again at most so often because a token names a key that it does not have, in milliseconds.
pub const KEYS_AGAIN_MS: u64 = 300_000;

/// Characters of a token at the most.
const MAX_TOKEN: usize = 16 * 1024;

/// Keys that one token is tried with at the most; with a key id there is one.
const MAX_CANDIDATES: usize = 8;

/// How far clocks may differ, in seconds.
const SKEW_S: u64 = 60;

/// How long ago a token may have been issued: it comes straight from the token endpoint. Seconds.
const ISSUED_WITHIN_S: u64 = 600;

/// The algorithms that are believed.
const ALGORITHMS: [&str; 2] = ["RS256", "ES256"];

/// Why an id token is not believed. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Not three parts of base64url with a JSON header, or longer than 16 KB.
    #[error("the id token is no signed JSON Web Token")]
    Form,
    /// Another algorithm than RS256 and ES256, or an extension that must be understood.
    #[error("the id token is signed in a way that is neither RS256 nor ES256")]
    Algorithm,
    /// The key set has no key of its id: to be fetched again, once.
    #[error("the issuer's key set has no key of the id in the token")]
    UnknownKey,
    /// No key has signed it.
    #[error("the id token's signature does not hold")]
    Signature,
    /// Its claims are no JSON object, or name one twice.
    #[error("the id token's claims cannot be read")]
    Claims,
    /// `iss` is another issuer.
    #[error("the id token is by another issuer")]
    Issuer,
    /// `aud` does not hold the client, or `azp` is another client.
    #[error("the id token is for another client")]
    Audience,
    /// `sub` is missing.
    #[error("the id token names no subject")]
    Subject,
    /// `exp` is missing or over, `iat` is missing or not now, `nbf` is yet to come.
    #[error("the id token is not valid now")]
    Time,
    /// `nonce` is not the attempt's.
    #[error("the id token belongs to another attempt")]
    Nonce,
    /// `at_hash` is that of another access token.
    #[error("the id token belongs to another access token")]
    AccessToken,
}

/// An id token whose signature was not looked at.
pub struct Unverified<'a> {
    algorithm: String,
    key_id: Option<String>,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// What a token must say.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The attempt's nonce; none: none was sent (a refresh).
    pub nonce: Option<&'a Secret>,
    /// The access token that came with it.
    pub access_token: &'a Secret,
    /// Now.
    pub now: Millis,
}

/// The claims of a token that is genuine and meant for us, now.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// All of them.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.get("sub").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Takes a token apart.
///
/// # Errors
/// [`Fault::Form`] and [`Fault::Algorithm`].
pub fn parse(token: &Secret) -> Result<Unverified<'_>, Fault> {
    let text = token.reveal();
    if text.len() > MAX_TOKEN {
        return Err(Fault::Form);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(Fault::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(Fault::Form)?;
    if payload.contains('.') {
        return Err(Fault::Form);
    }
    let header = object(header).ok_or(Fault::Form)?;
    let signature = BASE64_URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Fault::Form)?;
    let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Fault::Form)?;
    if !ALGORITHMS.contains(&algorithm) || header.contains_key("crit") {
        return Err(Fault::Algorithm);
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(Fault::Form),
    };
    Ok(Unverified {
        algorithm: algorithm.to_owned(),
        key_id,
        signed,
        payload,
        signature,
    })
}

impl Unverified<'_> {
    /// The signatures to be checked: one of them must hold.
    ///
    /// # Errors
    /// [`Fault::UnknownKey`].
    pub fn checks(&self, keys: &KeySet) -> Result<Vec<Check>, Fault> {
        let checks: Vec<Check> = keys
            .candidates(self.key_id.as_deref())
            .filter(|key| key.algorithm() == self.algorithm)
            .take(MAX_CANDIDATES)
            .map(|key| Check {
                key: key.clone(),
                signed: self.signed.as_bytes().to_vec(),
                signature: self.signature.clone(),
            })
            .collect();
        if checks.is_empty() {
            return Err(Fault::UnknownKey);
        }
        Ok(checks)
    }

    /// The claims, with what came of [`Self::checks`]: `held` is whether one of them did.
    ///
    /// # Errors
    /// Whatever of the token is not as it must be.
    pub fn claims(&self, held: bool, provider: &Provider, expected: &Expected<'_>) -> Result<Claims, Fault> {
        if !held {
            return Err(Fault::Signature);
        }
        let claims = object(self.payload).ok_or(Fault::Claims)?;
        check(&claims, provider, expected)?;
        Ok(Claims(claims))
    }
}

fn check(claims: &Map<String, Value>, provider: &Provider, expected: &Expected<'_>) -> Result<(), Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = text("iss").ok_or(Fault::Issuer)?;
    if !is_issuer(issuer, text("tid"), provider) {
        return Err(Fault::Issuer);
    }
    check_audience(claims, expected.client_id)?;
    if text("sub").is_none_or(str::is_empty) {
        return Err(Fault::Subject);
    }
    check_times(claims, expected.now)?;
    if let Some(nonce) = expected.nonce
        && !text("nonce").is_some_and(|told| nonce.is(told))
    {
        return Err(Fault::Nonce);
    }
    match claims.get("at_hash") {
        None => Ok(()),
        Some(Value::String(told)) if is_hash_of(told, expected.access_token) => Ok(()),
        Some(_) => Err(Fault::AccessToken),
    }
}

/// Whether it is the issuer of the entry, in one of its spellings. Microsoft's holds the id of the user's own directory,
/// which is told in `tid`.
fn is_issuer(told: &str, tid: Option<&str>, provider: &Provider) -> bool {
    let Some(oauth) = &provider.oauth else {
        return false;
    };
    oauth.issuer.iter().chain(&oauth.issuer_also).any(|known| {
        if !known.contains(TENANT) {
            return told == known;
        }
        tid.filter(|tid| is_guid(tid))
            .is_some_and(|tid| told == known.replace(TENANT, tid))
    })
}

const TENANT: &str = "{tenantid}";

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Fault> {
    let authorized = match claims.get("azp") {
        None => None,
        Some(Value::String(party)) => Some(party.as_str()),
        Some(_) => return Err(Fault::Audience),
    };
    let (ours, others) = match claims.get("aud") {
        Some(Value::String(audience)) => (audience == client_id, false),
        Some(Value::Array(list)) => (
            list.iter().any(|audience| audience == client_id),
            list.iter().any(|audience| audience != client_id),
        ),
        _ => return Err(Fault::Audience),
    };
    let authorized_fits = match authorized {
        Some(party) => party == client_id,
        None => !others,
    };
    if ours && authorized_fits {
        Ok(())
    } else {
        Err(Fault::Audience)
    }
}

fn check_times(claims: &Map<String, Value>, now: Millis) -> Result<(), Fault> {
    let now = now.seconds();
    let end = seconds(claims.get("exp"))?.ok_or(Fault::Time)?;
    let issued = seconds(claims.get("iat"))?.ok_or(Fault::Time)?;
    let begin = seconds(claims.get("nbf"))?.unwrap_or(0);
    let holds = end.saturating_add(SKEW_S) > now
        && issued.abs_diff(now) <= ISSUED_WITHIN_S
        && begin <= now.saturating_add(SKEW_S);
    if holds { Ok(()) } else { Err(Fault::Time) }
}

/// A `NumericDate`; it may have a fraction, which is dropped.
fn seconds(value: Option<&Value>) -> Result<Option<u64>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::Number(number)) => {
            let whole = || number.to_string().split('.').next()?.parse().ok();
            number.as_u64().or_else(whole).map(Some).ok_or(Fault::Time)
        }
        Some(_) => Err(Fault::Time),
    }
}

/// The left half of the access token's SHA-256: both algorithms hash with it.
fn is_hash_of(told: &str, access_token: &Secret) -> bool {
    let digest = Sha256::digest(access_token.reveal().as_bytes());
    let own = BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]);
    own.as_bytes().ct_eq(told.as_bytes()).into()
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    match strict_json::read(&bytes).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests;
