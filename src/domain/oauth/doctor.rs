//! The app doctor: whether a client id and secret are good, before the first person finds out.
//!
//! A token request with a code that nobody gave is sent; a provider that looks at the secret first says which of the two
//! it does not like. Where that order is not known, the doctor says that it cannot be sure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::outcome::{self, Refusal};
use super::provider::{Class, ClientAuth, Pkce, Provider};
use super::token_request::{self, Unmade};
use super::{Client, Ended, Request, Secret};

/// Entries whose provider is known to look at the secret before the code.
const SECRET_FIRST: [&str; 5] = ["google", "github", "github-app", "microsoft", "oidc"];

/// Codes that say that the code was not good, and so that the rest was looked at. `invalid_grant` is RFC 6749's.
const BAD_CODE: [&str; 5] = [
    "invalid_grant",
    "bad_verification_code",
    "invalid_code",
    "code_already_used",
    "code_not_found",
];

/// Codes that say that the secret's time is over.
const EXPIRED: [&str; 1] = ["AADSTS7000222"];

/// Codes that say that there is no such app.
const NO_APP: [&str; 4] = [
    "AADSTS700016",
    "invalid_client_id",
    "deleted_client",
    "disabled_client",
];

/// Codes that say that the redirect URI is not registered.
const REDIRECT: [&str; 3] = ["redirect_uri_mismatch", "bad_redirect_uri", "AADSTS50011"];

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// In one word.
    pub verdict: Verdict,
    /// For people: what it means and what to do.
    pub sentence: String,
    /// The provider's code for it.
    #[serde(default)]
    pub error: Option<String>,
    /// The provider's sentence, at most 200 characters; not ours, and to be escaped.
    #[serde(default)]
    pub words: Option<String>,
}

/// What the doctor found, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Id and secret are good.
    Good,
    /// The provider complained about the code alone, and it is not known that it looks at the secret first.
    ProbablyGood,
    /// The secret is wrong (or the id: many providers say the same of both).
    WrongSecret,
    /// The secret was good once.
    ExpiredSecret,
    /// There is no app of that id, or it is switched off.
    NoSuchApp,
    /// The redirect URI is not registered at the provider.
    RedirectNotRegistered,
    /// The answer says nothing about the app.
    CannotTell,
}

impl Verdict {
    /// What it means, and what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Good => "The provider took the client id and secret",
            Self::ProbablyGood => {
                "The provider complained about the made-up code alone; it is not known to look at the secret first"
            }
            Self::WrongSecret => {
                "The provider does not take this client id with this secret: copy both again"
            }
            Self::ExpiredSecret => "The client secret is expired: make a new one at the provider",
            Self::NoSuchApp => {
                "The provider knows no app of this client id, or the app is switched off there"
            }
            Self::RedirectNotRegistered => {
                "The redirect URI is not registered at the provider: register it exactly as it is shown here"
            }
            Self::CannotTell => "The provider's answer does not tell whether id and secret are good",
        }
    }
}

/// The request that is sent. `random`: a code that nobody can have been given is made of it; it is no secret afterwards.
///
/// # Errors
/// When the entry makes no token request.
pub fn request(
    provider: &Provider,
    client: &Client,
    redirect_uri: &str,
    variables: &BTreeMap<String, String>,
    random: &[u8; 32],
) -> Result<Request, Unmade> {
    let made_up = Secret(BASE64_URL_SAFE_NO_PAD.encode(random));
    let pkce = provider
        .oauth
        .as_ref()
        .is_some_and(|oauth| oauth.pkce == Pkce::S256);
    let verifier = pkce.then_some(&made_up);
    token_request::exchange(provider, client, &made_up, verifier, redirect_uri, variables)
}

/// What the answer says about the app.
#[must_use]
pub fn judge(provider: &Provider, ended: &Ended) -> Finding {
    let Err(refusal) = outcome::read(provider, ended) else {
        // Nobody gives tokens for it but who gives them to anybody; they are dropped here.
        return Finding {
            verdict: Verdict::CannotTell,
            sentence: "The provider gave tokens for a code that it never gave: do not trust it".to_owned(),
            error: None,
            words: None,
        };
    };
    let verdict = verdict(provider, &refusal);
    let mut sentence = verdict.sentence().to_owned();
    if verdict == Verdict::CannotTell {
        sentence = format!("{sentence} ({})", refusal.why.sentence());
    }
    if verdict == Verdict::Good && is_public(provider) {
        "The provider knows the client id; there is no secret to be looked at".clone_into(&mut sentence);
    }
    Finding {
        verdict,
        sentence,
        error: refusal.error,
        words: refusal.words,
    }
}

fn verdict(provider: &Provider, refusal: &Refusal) -> Verdict {
    let error = refusal.error.as_deref().unwrap_or_default();
    let words = refusal.words.as_deref().unwrap_or_default().to_ascii_lowercase();
    // Microsoft's number stands in its sentence as well, whichever of the two is taken for the code.
    let says = |codes: &[&str]| {
        codes
            .iter()
            .any(|code| error == *code || words.contains(&format!("{}:", code.to_ascii_lowercase())))
    };
    if says(&EXPIRED) {
        return Verdict::ExpiredSecret;
    }
    if says(&NO_APP) {
        return Verdict::NoSuchApp;
    }
    // Some tell it as `invalid_grant` or `invalid_request` with a sentence. `invalid_grant` is also "another redirect URI
    // than before" (RFC 6749 section 5.2), in a sentence that lists all it could be: that is no finding.
    if says(&REDIRECT) || (error == "invalid_request" && words.contains("redirect")) {
        return Verdict::RedirectNotRegistered;
    }
    match refusal.class {
        Class::BrokenApp => Verdict::WrongSecret,
        Class::DeadGrant if BAD_CODE.contains(&error) => {
            if SECRET_FIRST.contains(&provider.id.as_str()) {
                Verdict::Good
            } else {
                Verdict::ProbablyGood
            }
        }
        _ => Verdict::CannotTell,
    }
}

fn is_public(provider: &Provider) -> bool {
    provider
        .oauth
        .as_ref()
        .is_some_and(|oauth| oauth.client_auth == ClientAuth::None)
}

#[cfg(test)]
mod tests;
