//! What others learn.

use postern_domain::oauth::provider::Rotation;
use postern_domain::time::Millis;
use postern_tests::connection::Desk;

#[test]
fn each_transition_is_told_once_though_the_ledger_was_away_and_the_object_died() {
    let mut desk = Desk::new(Rotation::Strict);
    desk.arrives = false;
    desk.connect();
    assert!(desk.told.is_empty() && desk.rows.is_empty());
    desk.die();
    desk.pass(3_600_000);
    desk.arrives = true;
    desk.pass(3_600_000);
    assert_eq!(desk.told_types(), ["connection.created"]);
    assert_eq!(desk.rows.last().unwrap().view.state.as_str(), "active");
    desk.die();
    desk.pass(Millis::DAY);
    assert_eq!(desk.told_types(), ["connection.created"]);
}

#[test]
fn the_directory_is_not_told_of_every_refresh() {
    let mut desk = Desk::connected(Rotation::Strict);
    let rows = desk.rows.len();
    for _ in 0..10 {
        desk.pass(3_600_000);
        desk.token();
    }
    assert_eq!(desk.rows.len(), rows);
}

#[test]
fn a_message_says_how_the_connection_stands_and_no_secret() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.peer.kill();
    desk.pass(3_600_000);
    let (id, event, payload) = desk.told.last().unwrap().clone();
    assert_eq!(event, "connection.needs_reauth");
    assert!(id.starts_with("conn_"));
    assert_eq!(payload["data"]["state"], "needs_reauth");
    assert_eq!(payload["data"]["reason"], "grant_dead");
    assert_eq!(payload["data"]["provider"], "peer");
    assert!(!payload.to_string().contains("canary"));
}
