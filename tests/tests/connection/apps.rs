//! A broken app is not a dead grant.

use postern_connection::{AppFinding, AppRow};
use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Rotation;
use postern_domain::wire::connection::{AppChanged, Caller};
use postern_tests::connection::Desk;

/// What a refresh told the directory of the app.
fn broken(generation: u64) -> (u64, AppFinding) {
    let words = "invalid_client".to_owned();
    (generation, AppFinding::Broken { words })
}

fn set_secret(desk: &mut Desk, secret: &str) {
    let mut terms = desk.terms();
    terms.generation += 1;
    if let Some(client) = &mut terms.client {
        client.secret = Some(Secret(secret.to_owned()));
    }
    desk.app = Ok(AppRow::Active(Box::new(terms)));
}

#[test]
fn a_wrong_secret_blocks_and_the_right_one_heals() {
    let mut desk = Desk::connected(Rotation::Strict);
    "another".clone_into(&mut desk.peer.secret);
    desk.pass(51 * 60_000);
    assert_eq!(desk.view().state.as_str(), "blocked");
    assert!(desk.lease().is_ok(), "the token itself is good");
    set_secret(&mut desk, "another");
    desk.call_as(Caller::System, AppChanged {}).unwrap();
    assert_eq!(desk.view().state.as_str(), "active");
    assert!(desk.peer.has_grant());
    assert_eq!(desk.findings, [broken(1)]);
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
fn a_broken_app_is_looked_at_again_each_hour() {
    let mut desk = Desk::connected(Rotation::Strict);
    "another".clone_into(&mut desk.peer.secret);
    desk.pass(51 * 60_000);
    let asked = desk.peer.requests.len();
    desk.pass(10 * 3_600_000);
    assert!((8..=13).contains(&(desk.peer.requests.len() - asked)));
    desk.peer.secret = desk.terms().client.unwrap().secret.unwrap().0;
    desk.pass(2 * 3_600_000);
    assert_eq!(desk.view().state.as_str(), "active");
}

#[test]
fn what_one_refresh_finds_out_of_the_app_is_told_for_all_of_its_connections() {
    let mut desk = Desk::connected(Rotation::Strict);
    "another".clone_into(&mut desk.peer.secret);
    desk.pass(51 * 60_000);
    assert_eq!(desk.findings, [broken(1)]);
    assert_eq!(
        desk.peer
            .requests
            .iter()
            .filter(|url| url.ends_with("/token"))
            .count(),
        2
    );
}

#[test]
fn what_another_connection_found_out_blocks_without_a_request_until_this_one_is_the_probe() {
    let mut desk = Desk::connected(Rotation::Strict);
    let asked = desk.peer.requests.len();
    let Ok(AppRow::Active(mut terms)) = desk.app.clone() else {
        panic!("the app is there")
    };
    let again_at = desk.now.plus(3_600_000);
    desk.app = Ok(AppRow::Broken {
        words: Some("invalid_client: the secret has expired".to_owned()),
        again_at,
    });
    desk.pass(51 * 60_000);
    assert_eq!(desk.view().state.as_str(), "blocked");
    assert!(desk.lease().is_ok(), "the token itself is good");
    let line = desk.history().pop().unwrap();
    assert_eq!(
        line.words.as_deref(),
        Some("invalid_client: the secret has expired")
    );
    assert!(line.next_at.is_some_and(|at| at >= again_at));
    assert_eq!(desk.peer.requests.len(), asked, "another one is the probe");

    terms.broken = Some(desk.now);
    desk.app = Ok(AppRow::Active(terms));
    desk.pass(30 * 60_000);
    assert_eq!(desk.view().state.as_str(), "active");
    assert_eq!(desk.findings, [(1, AppFinding::Works)]);
    let told = [
        "connection.created",
        "connection.degraded",
        "connection.recovered",
    ];
    assert_eq!(desk.told_types(), told);
    desk.app = desk.app.map(|app| match app {
        AppRow::Active(mut terms) => {
            terms.broken = None;
            AppRow::Active(terms)
        }
        other => other,
    });
    desk.pass(3_600_000);
    assert_eq!(desk.findings.len(), 1, "what works anyway is not told");
}

#[test]
fn a_change_of_the_app_is_probed_in_the_next_minutes() {
    let mut desk = Desk::connected(Rotation::Strict);
    set_secret(&mut desk, "wrong");
    desk.call_as(Caller::System, AppChanged {}).unwrap();
    desk.pass(11 * 60_000);
    assert_eq!(desk.view().state.as_str(), "blocked");
}

#[test]
fn another_clients_refusal_of_a_grant_is_the_apps_fault() {
    let mut desk = Desk::connected(Rotation::Strict);
    let mut terms = desk.terms();
    terms.generation += 1;
    if let Some(client) = &mut terms.client {
        "client-2".clone_into(&mut client.id);
    }
    desk.app = Ok(AppRow::Active(Box::new(terms)));
    let invalid = postern_tests::peer::Fate::Refused(400, serde_json::json!({ "error": "invalid_grant" }));
    desk.peer.fates.extend(vec![invalid; 3]);
    desk.pass(4 * 3_600_000);
    let view = desk.view();
    assert_ne!(view.state.as_str(), "needs_reauth");
    assert_eq!(
        desk.findings,
        [],
        "the new client may be sound: its own connections go on"
    );
}

#[test]
fn a_disabled_app_refreshes_nothing_until_it_is_enabled() {
    let mut desk = Desk::connected(Rotation::Strict);
    let app = std::mem::replace(&mut desk.app, Ok(AppRow::Disabled));
    desk.pass(2 * 3_600_000);
    assert_eq!(format!("{:?}", desk.view().reason.unwrap()), "AppDisabled");
    assert!(desk.lease().is_err());
    assert_eq!(desk.peer.refreshes(), 0);
    desk.app = app;
    desk.call_as(Caller::System, AppChanged {}).unwrap();
    assert_eq!(desk.token().generation, 2);
}
