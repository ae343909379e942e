//! JSON Web Tokens in compact form (RFC 7519, RFC 7515), read with the algorithm that the settings fix and never with the
//! one that the token asks for.
//!
//! A token's claims are read only after its signature held.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::check::{Check, NotProven, any_held};
use super::keys::KeySet;
use super::verdict::{Reason, Rejection};
use super::{Asked, Headers};
use crate::time::Millis;

/// Characters of a token at the most.
const MAX_TOKEN: usize = 16_384;

/// Keys that one token is tried with at the most; with a key id there is one.
const MAX_CANDIDATES: usize = 8;

/// A token whose signature is yet to be checked.
pub(super) struct Token<'a> {
    header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    /// The token behind `Bearer` in a header, or alone in another one.
    pub(super) fn read(headers: &'a Headers, name: &'a str) -> Result<Self, Rejection> {
        let value = headers.single(name)?;
        let text = match value.split_once(' ') {
            Some((scheme, text)) if scheme.eq_ignore_ascii_case("bearer") => text.trim_start_matches(' '),
            None if !name.eq_ignore_ascii_case("authorization") => value,
            _ => {
                let detail = format!("The header {name} is there, but its scheme is not Bearer");
                return Err(Rejection::new(Reason::UnknownScheme, detail));
            }
        };
        Self::parse(text)
            .ok_or_else(|| Rejection::malformed(format!("The header {name} holds no JSON Web Token")))
    }

    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.crit.is_some() || payload.contains('.') {
            return None;
        }
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self {
            header,
            signed,
            payload,
            signature,
        })
    }

    /// A token that stands by itself, in a body.
    pub(super) fn of_text(text: &'a str) -> Result<Self, Rejection> {
        Self::parse(text).ok_or_else(|| Rejection::malformed("A token in the body is no JSON Web Token"))
    }

    /// The claims, once a key of the set has been found to have signed them.
    pub(super) fn claims(
        &self,
        keys: Option<&KeySet>,
        algorithms: &[&str],
        asked: &Asked<'_>,
    ) -> Result<Claims, NotProven> {
        any_held(self.checks(keys, algorithms)?, asked.held)?;
        Ok(self.read_claims()?)
    }

    /// The claims of several tokens, once each of them has been found to be signed by a key of the set.
    pub(super) fn claims_of_all(
        tokens: &[Self],
        keys: Option<&KeySet>,
        algorithms: &[&str],
        asked: &Asked<'_>,
    ) -> Result<Vec<Claims>, NotProven> {
        let mut of_each = Vec::with_capacity(tokens.len());
        for token in tokens {
            of_each.push(token.checks(keys, algorithms)?);
        }
        let Some(mut held) = asked.held else {
            return Err(NotProven::Ask(of_each.concat()));
        };
        let mut claims = Vec::with_capacity(tokens.len());
        for (token, checks) in tokens.iter().zip(of_each) {
            // Fewer results than checks are no result: what is left is then none of this token's.
            let (own, rest) = held.split_at(checks.len().min(held.len()));
            any_held(checks, Some(own))?;
            held = rest;
            claims.push(token.read_claims()?);
        }
        if held.is_empty() {
            Ok(claims)
        } else {
            Err(Rejection::mismatch().into()) // results of other checks than these
        }
    }

    /// What is to be checked: the signature with each key that may have made it.
    fn checks(&self, keys: Option<&KeySet>, algorithms: &[&str]) -> Result<Vec<Check>, Rejection> {
        if !algorithms.contains(&self.header.alg.as_str()) {
            let detail = format!(
                "The token is signed in a way that is not {}",
                algorithms.join(" or ")
            );
            return Err(Rejection::new(Reason::UnknownScheme, detail));
        }
        let Some(keys) = keys else {
            return Err(Rejection::new(
                Reason::StaleKeys,
                "The key set has not been fetched",
            ));
        };
        let checks: Vec<Check> = keys
            .candidates(self.header.kid.as_deref())
            .filter(|key| key.algorithm() == self.header.alg)
            .take(MAX_CANDIDATES)
            .map(|key| Check {
                key: key.clone(),
                signed: self.signed.as_bytes().to_vec(),
                signature: self.signature.clone(),
            })
            .collect();
        if checks.is_empty() {
            let detail = "The key set has no key of the id in the token";
            return Err(Rejection::new(Reason::StaleKeys, detail));
        }
        Ok(checks)
    }

    fn read_claims(&self) -> Result<Claims, Rejection> {
        let payload = BASE64_URL_SAFE_NO_PAD.decode(self.payload).ok();
        let claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        claims
            .map(Claims)
            .ok_or_else(|| Rejection::malformed("The token's claims are no JSON object"))
    }
}

/// What a token says.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// Whether the audience is this one, alone or in a list.
    pub(super) fn check_audience(&self, wanted: &str) -> Result<(), Rejection> {
        let holds = match self.0.get("aud") {
            Some(Value::String(audience)) => audience == wanted,
            Some(Value::Array(list)) => list.iter().any(|audience| audience == wanted),
            _ => false,
        };
        if holds {
            return Ok(());
        }
        let detail = "Genuine, but the token is for another audience";
        Err(Rejection::new(Reason::WrongAudience, detail))
    }

    pub(super) fn check_issuer(&self, wanted: &[&str]) -> Result<(), Rejection> {
        if self.text("iss").is_some_and(|issuer| wanted.contains(&issuer)) {
            return Ok(());
        }
        let detail = "Genuine, but the token is by another issuer";
        Err(Rejection::new(Reason::WrongIssuer, detail))
    }

    /// `exp`, which must be there if `must_end`, `nbf` and `iat`, each with `skew` seconds of grace.
    pub(super) fn check_times(&self, must_end: bool, skew: u64, now: Millis) -> Result<(), Rejection> {
        let now = now.seconds();
        let bad = |name: &str| {
            let detail = format!("The token's {name} is missing, or no number of seconds since 1970");
            Rejection::new(Reason::BadTimestamp, detail)
        };
        match self.seconds("exp").map_err(|()| bad("exp"))? {
            Some(end) if now > end.saturating_add(skew) => {
                let detail = format!("Genuine, but the token ended {} s ago", now - end);
                return Err(Rejection::new(Reason::Stale, detail));
            }
            None if must_end => return Err(bad("exp")),
            _ => {}
        }
        for name in ["nbf", "iat"] {
            let begin = self.seconds(name).map_err(|()| bad(name))?;
            if let Some(begin) = begin.filter(|begin| *begin > now.saturating_add(skew)) {
                let detail = format!(
                    "Genuine, but the token begins {} s ahead of our clock",
                    begin - now
                );
                return Err(Rejection::new(Reason::Future, detail));
            }
        }
        Ok(())
    }

    /// A `NumericDate`; it may have a fraction, which is dropped. An error: it is there and is none.
    fn seconds(&self, name: &str) -> Result<Option<u64>, ()> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let whole = || number.to_string().split('.').next()?.parse().ok();
                number.as_u64().or_else(whole).map(Some).ok_or(())
            }
            Some(_) => Err(()),
        }
    }
}
