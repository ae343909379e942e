//! API keys.

use std::collections::BTreeMap;

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{
    ConnectionGet, ConnectionTest, Disconnect, KeyPut, RevokeResult, TokenRefused,
};
use postern_tests::connection::{Desk, key_entry, terms};
use postern_tests::tenant::code;
use serde_json::json;

const KEY: &str = "sk-canary-0123456789abcd";

fn put(key: &str, replace: bool) -> KeyPut {
    KeyPut {
        app: terms(key_entry()),
        key: Secret(key.to_owned()),
        user: None,
        label: Some("Billing".to_owned()),
        uid: None,
        variables: BTreeMap::new(),
        replace,
    }
}

fn desk() -> Desk {
    let mut desk = Desk::of(Rotation::None, key_entry());
    desk.peer.keys.push(KEY.to_owned());
    desk
}

#[test]
fn a_key_that_the_provider_takes_is_stored_sealed_and_its_last_four_are_shown() {
    let mut desk = desk();
    let view = desk.call(put(KEY, false)).unwrap();
    assert_eq!(view.state.as_str(), "active");
    assert_eq!(view.last_four.as_deref(), Some("abcd"));
    assert_eq!(desk.peer.requests, ["GET https://api.keys.example/me"]);
    let token = desk.token();
    assert_eq!((token.token.reveal(), token.expires_at), (KEY, None));
    assert!(!desk.dump().contains(KEY));
    assert_eq!(desk.told_types(), ["connection.created"]);
}

#[test]
fn a_key_that_the_provider_refuses_is_not_stored() {
    let mut desk = desk();
    let refused = desk.call(put("sk-wrong", false)).unwrap_err();
    assert_eq!(refused.code, Code::Validation);
    assert_eq!(refused.faults[0].loc, ["body", "key"]);
    assert_eq!(code(desk.call(ConnectionGet {})), Code::NotFound);
}

#[test]
fn a_new_key_that_is_refused_leaves_the_old_one() {
    let mut desk = desk();
    desk.call(put(KEY, false)).unwrap();
    assert_eq!(code(desk.call(put("sk-wrong", true))), Code::Validation);
    assert_eq!(desk.token().token.reveal(), KEY);
    desk.peer.keys.push("sk-better-0123456789wxyz".to_owned());
    let view = desk.call(put("sk-better-0123456789wxyz", true)).unwrap();
    assert_eq!(
        (view.generation, view.last_four.as_deref()),
        (Some(2), Some("wxyz"))
    );
    assert_eq!(desk.told_types(), ["connection.created"]);
}

#[test]
fn a_key_is_not_put_twice_and_not_replaced_where_none_is() {
    let mut desk = desk();
    assert_eq!(code(desk.call(put(KEY, true))), Code::NotFound);
    desk.call(put(KEY, false)).unwrap();
    assert_eq!(code(desk.call(put(KEY, false))), Code::Conflict);
}

#[test]
fn a_provider_that_does_not_answer_keeps_no_key_out() {
    let mut desk = desk();
    desk.peer.api = (500, json!({}));
    let view = desk.call(put(KEY, false)).unwrap();
    assert_eq!(view.state.as_str(), "active");
    let line = desk.history().pop().unwrap();
    assert!(line.decision.contains("unchecked"), "{line:?}");
}

#[test]
fn a_key_that_is_refused_twice_needs_a_new_one_and_heals_with_it() {
    let mut desk = desk();
    desk.call(put(KEY, false)).unwrap();
    assert_eq!(code(desk.call(TokenRefused { generation: 1 })), Code::Conflict);
    assert_eq!(desk.state().as_str(), "active");
    assert_eq!(code(desk.call(TokenRefused { generation: 1 })), Code::Conflict);
    assert_eq!(desk.state().as_str(), "needs_reauth");
    // It was put right at the provider: a test finds out.
    let tested = desk.call(ConnectionTest {}).unwrap();
    assert!(tested.ok);
    assert_eq!(tested.connection.state.as_str(), "active");
    assert_eq!(desk.told_types().last(), Some(&"connection.recovered"));
}

#[test]
fn a_disconnected_key_is_shredded() {
    let mut desk = desk();
    desk.call(put(KEY, false)).unwrap();
    assert_eq!(
        desk.call(Disconnect {}).unwrap().revoked,
        RevokeResult::Unsupported
    );
    assert_eq!(code(desk.lease()), Code::Conflict);
}
