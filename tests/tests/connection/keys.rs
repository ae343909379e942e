//! API keys.

use std::collections::BTreeMap;

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::{Check, Identity, IdentityFrom, Rotation};
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

fn told_desk() -> Desk {
    let mut entry = key_entry();
    entry.identity = Some(Identity {
        from: IdentityFrom::Call(Check {
            url: "https://api.keys.example/me".to_owned(),
            ..entry.check.clone().unwrap()
        }),
        key: vec!["/id".to_owned()],
        label: vec!["/name".to_owned()],
        routing: vec!["/id".to_owned()],
    });
    let mut desk = Desk::of(Rotation::None, entry);
    let keys = [KEY, "sk-other-0123456789wxyz", "sk-next-0123456789efgh"];
    desk.peer.keys.extend(keys.map(str::to_owned));
    desk.peer.api = (200, json!({ "id": 7, "name": "Acme" }));
    desk
}

#[test]
fn whose_key_it_is_is_told_where_the_provider_tells_and_another_accounts_key_does_not_take_its_place() {
    let mut desk = told_desk();
    let provider = desk.terms().provider;
    let put = |key, replace| KeyPut {
        app: terms(provider.clone()),
        ..put(key, replace)
    };
    let view = desk.call(put(KEY, false)).unwrap();
    assert_eq!(
        (view.account.as_deref(), view.account_key.as_deref()),
        (Some("Acme"), Some("7"))
    );
    assert_eq!(view.routing, ["7"], "its webhooks name it so");
    desk.peer.api = (200, json!({ "id": 8, "name": "Other" }));
    let refused = desk.call(put("sk-other-0123456789wxyz", true)).unwrap_err();
    assert_eq!(refused.faults[0].loc, ["body", "key"]);
    assert!(refused.faults[0].msg.contains("which is for Acme"), "{refused:?}");
    assert_eq!(desk.token().token.reveal(), KEY);
    desk.peer.api = (200, json!({ "id": 7, "name": "Acme Ltd" }));
    let view = desk.call(put("sk-next-0123456789efgh", true)).unwrap();
    assert_eq!(
        (view.generation, view.account.as_deref()),
        (Some(2), Some("Acme Ltd"))
    );
}

/// A proxy may serve thousands of models.
#[test]
fn a_list_that_is_longer_than_what_is_read_says_that_the_key_is_good_by_its_status() {
    let mut desk = desk();
    desk.peer.api = (200, json!({ "data": "x".repeat(70_000) }));
    desk.call(put(KEY, false)).unwrap();
    assert!(desk.call(ConnectionTest {}).unwrap().ok);
    assert!(
        desk.history()
            .iter()
            .all(|line| !line.decision.contains("unchecked"))
    );
}

#[test]
fn graphql_says_200_to_what_it_refuses_and_that_is_no_good_key() {
    let mut entry = key_entry();
    if let Some(check) = &mut entry.check {
        check.holds = Some("/data/viewer/id".to_owned());
    }
    let mut desk = Desk::of(Rotation::None, entry);
    desk.peer.keys.push(KEY.to_owned());
    desk.peer.api = (200, json!({ "data": { "viewer": { "id": "u1" } } }));
    let key = KeyPut {
        app: desk.terms(),
        ..put(KEY, false)
    };
    desk.call(key).unwrap();
    assert!(desk.call(ConnectionTest {}).unwrap().ok);
    desk.peer.api = (
        200,
        json!({ "data": null, "errors": [{ "message": "not authenticated" }] }),
    );
    let tested = desk.call(ConnectionTest {}).unwrap();
    assert!(!tested.ok);
    assert!(tested.detail.contains("not authenticated"), "{}", tested.detail);
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
