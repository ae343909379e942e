//! Checks of health.

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Rotation;
use postern_domain::oauth::standing::Reason;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionTest, Import};
use postern_tests::connection::{Desk, entry};
use postern_tests::tenant::code;
use serde_json::json;

fn desk() -> Desk {
    let mut provider = entry(Rotation::Strict, &json!({}));
    provider.check = serde_json::from_value(json!({ "url": "https://api.peer.example/me" })).unwrap();
    let mut desk = Desk::of(Rotation::Strict, provider);
    desk.connect();
    desk
}

fn checks(desk: &Desk) -> usize {
    desk.peer
        .requests
        .iter()
        .filter(|url| url.ends_with("/me"))
        .count()
}

#[test]
fn a_test_asks_the_provider_now() {
    let mut desk = desk();
    let tested = desk.call(ConnectionTest {}).unwrap();
    assert!(tested.ok);
    assert_eq!(tested.status, Some(200));
    assert_eq!(checks(&desk), 1);
    assert!(tested.connection.last_check.unwrap().ok);
}

#[test]
fn a_test_of_an_expired_token_refreshes_first() {
    let mut desk = desk();
    desk.now = desk.now.plus(3_600_000);
    assert!(desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn a_test_of_what_nobody_connected_is_a_conflict() {
    let mut desk = Desk::connected(Rotation::None);
    desk.call(postern_domain::wire::connection::Reset {}).unwrap();
    assert_eq!(code(desk.call(ConnectionTest {})), Code::Conflict);
}

#[test]
fn health_is_checked_about_once_a_day_by_the_alarm() {
    let mut desk = desk();
    for _ in 0..10 * 24 {
        desk.pass(3_600_000);
        desk.token();
    }
    assert!((5..=20).contains(&checks(&desk)), "{}", checks(&desk));
    assert!(desk.view().last_check.unwrap().ok);
}

#[test]
fn two_checks_that_fail_degrade_and_a_good_one_heals() {
    let mut desk = desk();
    desk.peer.api = (500, json!({}));
    assert!(!desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.state().as_str(), "active");
    assert!(!desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.state().as_str(), "degraded");
    assert!(desk.lease().is_ok());
    desk.peer.api = (200, json!({}));
    assert!(desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(
        desk.told_types(),
        [
            "connection.created",
            "connection.degraded",
            "connection.recovered"
        ]
    );
}

#[test]
fn a_check_that_is_throttled_says_nothing_about_the_connection() {
    let mut desk = desk();
    desk.peer.api = (429, json!({}));
    for _ in 0..5 {
        desk.call(ConnectionTest {}).unwrap();
    }
    assert_eq!(desk.state().as_str(), "active");
}

#[test]
fn a_token_that_the_check_finds_refused_is_refreshed() {
    let mut desk = desk();
    desk.peer.refuse_access();
    assert!(!desk.call(ConnectionTest {}).unwrap().ok);
    desk.work();
    assert!(desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.peer.refreshes(), 1);
    desk.pass(Millis::DAY);
    assert_eq!(desk.state().as_str(), "active");
}

/// A token that nobody can refresh, as GitHub's.
fn brought(desk: &Desk, token: &str) -> Import {
    Import {
        app: desk.terms(),
        access_token: Some(Secret(token.to_owned())),
        refresh_token: None,
        scopes: vec!["repo".to_owned()],
        expires_at: None,
        account: None,
        label: None,
        uid: None,
        variables: std::collections::BTreeMap::new(),
        watches: Vec::new(),
    }
}

fn unconnected() -> Desk {
    let mut provider = entry(Rotation::None, &json!({}));
    provider.check = serde_json::from_value(json!({ "url": "https://api.peer.example/me" })).unwrap();
    let mut desk = Desk::of(Rotation::None, provider);
    desk.peer.keys.push("gho-canary-brought-0123".to_owned());
    desk
}

#[test]
fn an_access_token_that_is_brought_alone_is_shown_to_the_provider_before_anybody_relies_on_it() {
    let mut desk = unconnected();
    let call = brought(&desk, "gho-canary-brought-0123");
    let view = desk.call(call).unwrap();
    assert_eq!(view.state.as_str(), "active");
    assert!(view.last_check.unwrap().ok);
    assert_eq!(checks(&desk), 1);

    let mut desk = unconnected();
    let call = brought(&desk, "gho-canary-of-nobody-45");
    let view = desk.call(call).unwrap();
    assert_eq!(view.state.as_str(), "needs_reauth");
    assert_eq!(view.reason.unwrap(), Reason::NoRefreshToken);
    assert_eq!(code(desk.lease()), Code::Conflict);
}

#[test]
fn a_token_without_a_refresh_token_that_is_refused_twice_wants_a_person() {
    let mut desk = unconnected();
    let call = brought(&desk, "gho-canary-brought-0123");
    desk.call(call).unwrap();
    desk.peer.keys.clear();
    assert!(!desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.state().as_str(), "active");
    assert!(!desk.call(ConnectionTest {}).unwrap().ok);
    assert_eq!(desk.state().as_str(), "needs_reauth");
    assert_eq!(
        desk.told_types(),
        ["connection.created", "connection.needs_reauth"]
    );
}
