//! Whose account a grant is for.
//!
//! Guaranteed: two accounts of one provider never have one key. A reconnect for another account is told from one for the
//! same by the key alone; labels are for people.

use serde_json::Value;

use super::TokenSet;
use super::id_token::Claims;
use super::outcome::plain_text;
use super::provider::Identity;
use crate::app_level::is_key;

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
    /// What the provider's webhooks call it.
    pub routing: Vec<String>,
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
    let mut account = account(identity, |pointer| answer.pointer(pointer).and_then(plain_text))?;
    // Whoever may write any address into an account would get another's events (OpenID Connect Core section 5.1).
    if answer.get("email_verified") != Some(&Value::Bool(true))
        && let Some(email) = answer.get("email").and_then(plain_text)
    {
        account.routing.retain(|key| *key != email);
    }
    Ok(account)
}

/// Out of the token endpoint's answer, of which [`super::outcome::read`] keeps what the entry names.
///
/// # Errors
/// When a part of the key is missing.
pub fn from_answer(identity: &Identity, tokens: &TokenSet) -> Result<Account, Untold> {
    let mut account = account(identity, |pointer| tokens.learned.get(pointer).cloned())?;
    // Whether it is verified is not kept of this answer.
    account
        .routing
        .retain(|key| tokens.learned.get("/email") != Some(key));
    Ok(account)
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
    let mut routing: Vec<String> = identity
        .routing
        .iter()
        .filter_map(|pointer| find(pointer))
        .collect();
    routing.retain(|key| is_key(key));
    routing.sort();
    routing.dedup();
    Ok(Account {
        key,
        label: label.map(|label| label.chars().take(MAX_LABEL).collect()),
        routing,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::oauth::provider::IdentityFrom;
    use crate::oauth::{Ended, outcome, test_provider};

    fn identity(key: &[&str], label: &[&str]) -> Identity {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Identity {
            from: IdentityFrom::Answer,
            key: texts(key),
            label: texts(label),
            routing: Vec::new(),
        }
    }

    fn claims(value: &Value) -> Claims {
        Claims(value.as_object().unwrap().clone())
    }

    #[test]
    fn an_account_is_what_the_entry_names_and_a_number_counts_as_its_text() {
        // GitHub: the id, a number, never the login.
        let github = identity(&["/id"], &["/login"]);
        let account = from_json(&github, &json!({"id": 583_231, "login": "octocat"})).unwrap();
        assert_eq!(account.key, "583231");
        assert_eq!(account.label.as_deref(), Some("octocat"));
        // Slack: team and user.
        let slack = identity(&["/team_id", "/user_id"], &["/team", "/user"]);
        let account = from_json(&slack, &json!({"team_id": "T1", "user_id": "U1", "user": "ann"})).unwrap();
        assert_eq!(account.key, "T1:U1");
        assert_eq!(account.label.as_deref(), Some("ann"));
        // Microsoft: never the e-mail.
        let microsoft = identity(&["/tid", "/oid"], &["/preferred_username"]);
        let told = claims(&json!({"tid": "t", "oid": "o", "sub": "s"}));
        assert_eq!(from_claims(&microsoft, &told).unwrap().key, "t:o");
    }

    #[test]
    fn what_webhooks_call_the_account_is_told_from_its_key_and_may_be_missing() {
        let mut slack = identity(&["/team_id", "/user_id"], &[]);
        slack.routing = vec!["/team_id".to_owned(), "/enterprise_id".to_owned()];
        let routing = |answer: &Value| from_json(&slack, answer).unwrap().routing;
        assert_eq!(routing(&json!({"team_id": "T1", "user_id": "U1"})), ["T1"]);
        let both = json!({"team_id": "T1", "user_id": "U1", "enterprise_id": 7});
        assert_eq!(routing(&both), ["7", "T1"]);
        let same = json!({"team_id": "T1", "user_id": "U1", "enterprise_id": "T1"});
        assert_eq!(routing(&same), ["T1"]);
        let long = json!({"team_id": "T".repeat(257), "user_id": "U1"});
        assert_eq!(routing(&long), Vec::<String>::new());
    }

    #[test]
    fn an_address_that_the_provider_did_not_verify_routes_nothing() {
        let mut google = identity(&["/sub"], &["/email"]);
        google.routing = vec!["/email".to_owned()];
        let routing = |verified: Value| {
            let told = json!({"sub": "1", "email": "ann@example.com", "email_verified": verified});
            from_claims(&google, &claims(&told)).unwrap().routing
        };
        assert_eq!(routing(json!(true)), ["ann@example.com"]);
        for other in [json!(false), json!("true"), json!(null), json!(1)] {
            assert_eq!(routing(other.clone()), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn an_account_of_which_a_part_is_not_told_is_none() {
        let slack = identity(&["/team_id", "/user_id"], &[]);
        for answer in [
            json!({"team_id": "T1"}),
            json!({"team_id": "T1", "user_id": ""}),
            json!({"team_id": "T1", "user_id": null}),
            json!({"team_id": "T1", "user_id": {"id": "U1"}}),
            json!({"team_id": "T1", "user_id": "U1\n"}),
            json!({"team_id": "T1", "user_id": "u".repeat(600)}),
            json!([]),
        ] {
            assert_eq!(from_json(&slack, &answer), Err(Untold), "{answer}");
        }
        assert_eq!(from_json(&identity(&[], &[]), &json!({"id": 1})), Err(Untold));
    }

    #[test]
    fn what_the_token_endpoint_tells_is_kept_with_the_tokens() {
        let mut notion = test_provider();
        let told = identity(&["/workspace_id", "/bot_id"], &["/workspace_name"]);
        notion.identity = Some(told.clone());
        let body = json!({
            "access_token": "a", "token_type": "bearer",
            "workspace_id": "w", "bot_id": "b", "workspace_name": "Ann's",
        });
        let ended = Ended {
            status: Some(200),
            cause: None,
            content_type: "application/json".to_owned(),
            retry_after_ms: None,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
            cut: false,
        };
        let account = from_answer(&told, &outcome::read(&notion, &ended).unwrap()).unwrap();
        assert_eq!(account.key, "w:b");
        assert_eq!(account.label.as_deref(), Some("Ann's"));
    }

    #[test]
    fn s29_a_reconnect_is_for_the_account_that_is_stored_and_userinfo_for_the_tokens_subject() {
        let account = Account {
            key: "T1:U1".to_owned(),
            label: None,
            routing: Vec::new(),
        };
        assert!(continues(None, &account));
        assert!(continues(Some("T1:U1"), &account));
        assert!(!continues(Some("T1:U2"), &account));
        assert!(!continues(Some("t1:u1"), &account));
        let told = claims(&json!({"sub": "1"}));
        assert!(is_of_subject(&json!({"sub": "1"}), &told));
        for other in [json!({"sub": "2"}), json!({"sub": 1}), json!({}), json!(null)] {
            assert!(!is_of_subject(&other, &told), "{other}");
        }
        assert!(!is_of_subject(&json!({"sub": ""}), &claims(&json!({}))));
    }

    proptest! {
        #[test]
        fn s29_two_accounts_never_have_one_key(one in "[ab:%3A]{1,4}", two in "[ab:%3A]{1,4}", three in "[ab:%3A]{1,4}", four in "[ab:%3A]{1,4}") {
            let identity = identity(&["/a", "/b"], &[]);
            let key = |a: &str, b: &str| from_json(&identity, &json!({"a": a, "b": b})).unwrap().key;
            prop_assert_eq!(key(&one, &two) == key(&three, &four), (one, two) == (three, four));
        }
    }
}
