//! What each answer of the token endpoint does.

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{TokenLease, TokenRefused};
use postern_tests::connection::Desk;
use postern_tests::peer::Fate;
use postern_tests::tenant::code;
use serde_json::json;

fn refused(status: u16, error: &str) -> Fate {
    Fate::Refused(status, json!({ "error": error }))
}

#[test]
fn each_outcome_leads_to_its_state_and_its_message() {
    let rows = [
        (
            refused(400, "invalid_grant"),
            "needs_reauth",
            "GrantDead",
            "connection.needs_reauth",
        ),
        (
            refused(400, "consent_required"),
            "needs_reauth",
            "PolicyNeedsUser",
            "connection.needs_reauth",
        ),
        (
            refused(401, "invalid_client"),
            "blocked",
            "App",
            "connection.degraded",
        ),
        (
            refused(400, "unauthorized_client"),
            "blocked",
            "App",
            "connection.degraded",
        ),
        (
            refused(400, "invalid_scope"),
            "blocked",
            "Config",
            "connection.degraded",
        ),
        (refused(404, "x"), "blocked", "Config", "connection.degraded"),
    ];
    for (fate, state, reason, message) in rows {
        let mut desk = Desk::connected(Rotation::Strict);
        desk.peer.fates.push_back(fate.clone());
        desk.pass(51 * 60_000);
        let view = desk.view();
        assert_eq!(view.state.as_str(), state, "{fate:?}");
        assert_eq!(format!("{:?}", view.reason.unwrap()), reason, "{fate:?}");
        assert_eq!(desk.told_types(), ["connection.created", message], "{fate:?}");
        let line = desk.history().pop().unwrap();
        assert!(line.class.is_some() && line.words.is_some(), "{line:?}");
    }
}

#[test]
fn an_outage_degrades_when_a_reader_could_be_hurt_and_recovers_by_itself() {
    let mut desk = Desk::connected(Rotation::None);
    desk.peer
        .fates
        .extend((0..20).map(|_| Fate::Refused(503, json!({}))));
    desk.pass(61 * 60_000);
    assert_eq!(desk.view().state.as_str(), "degraded");
    assert_eq!(code(desk.lease()), Code::Overloaded);
    desk.peer.fates.clear();
    desk.pass(2 * 3_600_000);
    assert_eq!(desk.view().state.as_str(), "active");
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
fn four_days_of_outage_end_no_grant() {
    let mut desk = Desk::connected(Rotation::None);
    desk.peer
        .fates
        .extend((0..300).map(|_| Fate::Refused(500, json!({}))));
    desk.pass(4 * 86_400_000);
    assert!(desk.peer.refreshes() == 0);
    assert_eq!(desk.state().as_str(), "degraded");
    desk.peer.fates.clear();
    desk.pass(2 * 3_600_000);
    assert_eq!(desk.state().as_str(), "active");
}

#[test]
fn where_asking_harms_nothing_a_dead_grant_is_asked_once_more_after_half_a_minute() {
    let mut desk = Desk::connected(Rotation::None);
    desk.peer.fates.push_back(refused(400, "invalid_grant"));
    desk.pass(52 * 60_000);
    assert_eq!(desk.state().as_str(), "active", "the provider was wrong once");
    assert_eq!(desk.token().generation, 2);

    let mut desk = Desk::connected(Rotation::None);
    desk.peer.kill();
    desk.pass(53 * 60_000);
    assert_eq!(desk.state().as_str(), "needs_reauth");
    assert_eq!(desk.peer.refreshes(), 2);
    desk.pass(5 * 86_400_000);
    assert_eq!(desk.peer.refreshes(), 2, "a dead grant is not asked for days");
}

#[test]
fn a_reconnect_heals_a_dead_grant() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.peer.kill();
    desk.pass(3_600_000);
    assert_eq!(code(desk.lease()), Code::Conflict);
    desk.connect();
    assert_eq!(desk.state().as_str(), "active");
    assert!(desk.lease().is_ok());
    assert_eq!(desk.told_types().last(), Some(&"connection.recovered"));
}

#[test]
fn a_token_that_the_api_refuses_is_refreshed_once() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.peer.refuse_access();
    let token = desk.call(TokenRefused { generation: 1 }).unwrap();
    assert_eq!(token.generation, 2);
    // Whoever still holds the old one gets the newer one, without another refresh.
    let token = desk.call(TokenRefused { generation: 1 }).unwrap();
    assert_eq!((token.generation, desk.peer.refreshes()), (2, 1));
}

#[test]
fn an_api_that_refuses_fresh_tokens_twice_needs_a_person() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.call(TokenRefused { generation: 1 }).unwrap();
    assert_eq!(code(desk.call(TokenRefused { generation: 2 })), Code::Conflict);
    assert_eq!(desk.state().as_str(), "active");
    assert_eq!(code(desk.call(TokenRefused { generation: 2 })), Code::Conflict);
    assert_eq!(desk.state().as_str(), "needs_reauth");
    assert_eq!(desk.peer.refreshes(), 1, "no storm of refreshes");
}

#[test]
fn a_refresh_that_was_asked_for_and_failed_says_how_it_stands() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.peer.kill();
    let call = TokenLease {
        refresh: true,
        ..TokenLease::default()
    };
    assert_eq!(code(desk.call(call)), Code::Conflict);
}
