//! Whose account a grant is for.
//!
//! Guaranteed: two accounts of one provider never have one key. A reconnect for another account is told from one for the
//! same by the key alone; labels are for people.

use serde_json::Value;

use super::TokenSet;
use super::id_token::Claims;
use super::outcome::plain_text;
use super::provider::Identity;

/// Bytes of an account's key at the most.
const MAX_KEY: usize = 512;

/// Characters of a label that are kept.
const MAX_LABEL: usize = 128;

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What it is told apart by.
    pub key: String,
    /// What people call it.
    pub label: Option<String>,
}

/// The provider did not tell what the account's key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider did not tell whose account it is")]
pub struct Untold;

/// Out of the claims of an id token that was believed.
///
/// # Errors
/// When a part of the key is missing.
pub fn from_claims(identity: &Identity, claims: &Claims) -> Result<Account, Untold> {
    from_json(identity, &claims.to_value())
}

/// Out of a call's answer.
///
/// # Errors
/// When a part of the key is missing.
pub fn from_json(identity: &Identity, answer: &Value) -> Result<Account, Untold> {
    account(identity, |pointer| answer.pointer(pointer).and_then(plain_text))
}

/// Out of the token endpoint's answer, of which [`super::outcome::read`] keeps what the entry names.
///
/// # Errors
/// When a part of the key is missing.
pub fn from_answer(identity: &Identity, tokens: &TokenSet) -> Result<Account, Untold> {
    account(identity, |pointer| tokens.learned.get(pointer).cloned())
}

/// Whether userinfo is about the subject of the id token (`OpenID` Connect Core section 5.3.2): without that it is not to
/// be used.
#[must_use]
pub fn is_of_subject(userinfo: &Value, claims: &Claims) -> bool {
    let told = userinfo.get("sub").and_then(Value::as_str);
    told.is_some_and(|told| !told.is_empty() && told == claims.subject())
}

/// Whether a grant for `account` may take the place of one for `stored`; none is stored: any may.
#[must_use]
pub fn continues(stored: Option<&str>, account: &Account) -> bool {
    stored.is_none_or(|stored| stored == account.key)
}

fn account(identity: &Identity, find: impl Fn(&str) -> Option<String>) -> Result<Account, Untold> {
    let mut key = String::new();
    for pointer in &identity.key {
        let part = find(pointer).ok_or(Untold)?;
        if !key.is_empty() {
            key.push(':');
        }
        // So that `a:b` and `c` is another key than `a` and `b:c`.
        key.push_str(&part.replace('%', "%25").replace(':', "%3A"));
    }
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Untold);
    }
    let label = identity.label.iter().find_map(|pointer| find(pointer));
    Ok(Account {
        key,
        label: label.map(|label| label.chars().take(MAX_LABEL).collect()),
    })
}
