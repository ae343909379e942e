//! When tokens are refreshed, what it costs, and what stays.

use postern_domain::oauth::provider::Rotation;
use postern_domain::oauth::standing::State;
use postern_domain::time::Millis;
use postern_domain::wire::connection::TokenLease;
use postern_tests::connection::{Desk, entry};
use postern_tests::peer::Fate;
use serde_json::json;

#[test]
fn a_token_in_use_is_refreshed_ahead_of_its_end_by_the_alarm() {
    let mut desk = Desk::connected(Rotation::Strict);
    for hour in 0..48 {
        desk.pass(1_800_000);
        let token = desk.token();
        assert!(
            desk.peer.takes(token.token.reveal(), desk.now),
            "in hour {hour} the token is good without a wait"
        );
    }
    assert!(desk.peer.has_grant());
    assert!(
        (25..=36).contains(&desk.peer.refreshes()),
        "{}",
        desk.peer.refreshes()
    );
}

#[test]
fn an_hourly_refresh_writes_at_most_four_rows() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.pass(10 * 60_000);
    desk.token();
    let writes = desk.storage.writes();
    desk.pass(50 * 60_000);
    assert_eq!(desk.peer.refreshes(), 1);
    let written = desk.storage.writes() - writes;
    assert!(written <= 4, "{written} rows");
}

#[test]
fn an_idle_connection_rests_and_is_refreshed_when_it_is_needed() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.pass(10 * Millis::DAY);
    let rest = desk.peer.refreshes();
    assert!(
        (23..=30).contains(&rest),
        "a day long ahead, then no more: {rest}"
    );
    let token = desk.token();
    assert!(desk.peer.takes(token.token.reveal(), desk.now));
    assert_eq!(desk.peer.refreshes(), rest + 1);
    desk.pass(3_600_000);
    assert_eq!(desk.peer.refreshes(), rest + 2, "it is in use again");
}

#[test]
fn an_idle_grant_is_kept_alive_at_a_quarter_of_its_limit() {
    let limit = 60 * Millis::DAY / 1000;
    let mut desk = Desk::of(
        Rotation::Strict,
        entry(Rotation::Strict, &json!({ "lifetime": { "idle": limit } })),
    );
    desk.connect();
    desk.pass(2 * Millis::DAY);
    let rest = desk.peer.refreshes();
    desk.pass(60 * Millis::DAY);
    assert_eq!(desk.peer.refreshes() - rest, 4, "every 15 days");
    assert!(desk.peer.has_grant());
}

#[test]
fn a_token_of_two_minutes_is_refreshed_on_demand_only() {
    let mut desk = Desk::new(Rotation::None);
    desk.peer.expires_in = Some(120);
    desk.connect();
    desk.pass(3_600_000);
    assert_eq!(desk.peer.refreshes(), 0);
    let token = desk.token();
    assert!(desk.peer.takes(token.token.reveal(), desk.now));
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn without_a_told_end_the_entrys_is_taken_and_without_one_only_a_refusal_refreshes() {
    let mut desk = Desk::of(
        Rotation::None,
        entry(Rotation::None, &json!({ "lifetime": { "access": 7200 } })),
    );
    desk.peer.expires_in = None;
    desk.connect();
    assert_eq!(desk.token().expires_at, Some(desk.now.plus(7_200_000)));

    let mut desk = Desk::new(Rotation::None);
    desk.peer.expires_in = None;
    desk.connect();
    desk.pass(30 * Millis::DAY);
    assert_eq!((desk.token().expires_at, desk.peer.refreshes()), (None, 0));
}

#[test]
fn a_refresh_without_a_new_refresh_token_keeps_the_old_one() {
    let mut desk = Desk::connected(Rotation::None);
    desk.peer.gives_refresh = false;
    for _ in 0..3 {
        let call = TokenLease {
            refresh: true,
            ..TokenLease::default()
        };
        desk.call(call).unwrap();
    }
    assert_eq!(desk.peer.shown.len(), 1);
    assert_eq!(desk.token().generation, 4);
}

#[test]
fn a_new_refresh_token_takes_the_old_ones_place() {
    let mut desk = Desk::connected(Rotation::Strict);
    for _ in 0..3 {
        let call = TokenLease {
            refresh: true,
            ..TokenLease::default()
        };
        desk.call(call).unwrap();
    }
    assert_eq!(desk.peer.shown.values().collect::<Vec<_>>(), [&1, &1, &1]);
    assert!(desk.peer.has_grant());
}

#[test]
fn a_reconnect_while_a_refresh_is_in_the_air_wins_over_it() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.slow = true;
    desk.now = desk.now.plus(3_600_000);
    let asked = desk.ask(postern_tests::connection::owner(), TokenLease::default(), None);
    assert!(asked.waits);
    desk.step(); // the app
    let flight = desk.take();
    let late: Vec<_> = flight.iter().map(|errand| desk.deliver(errand)).collect();
    desk.connect();
    let token = desk.token();
    for (errand, done) in flight.iter().zip(late) {
        desk.finish(errand, done);
    }
    assert_eq!(desk.token(), token);
}

#[test]
fn at_the_forecast_end_of_a_grant_that_nobody_uses_it_is_tried_and_the_answer_counts() {
    let near_its_end = || {
        let lifetime = json!({ "lifetime": { "absolute": 30 * 86400 } });
        let mut desk = Desk::of(Rotation::Strict, entry(Rotation::Strict, &lifetime));
        desk.connect();
        desk.pass(30 * Millis::DAY - 60_000);
        assert_eq!(desk.state(), State::Active);
        desk
    };
    let mut right = near_its_end();
    let dead = json!({ "error": "invalid_grant" });
    right.peer.fates.push_back(Fate::Refused(400, dead));
    right.pass(120_000);
    assert_eq!(right.state(), State::NeedsReauth);

    let mut wrong = near_its_end();
    let before = wrong.peer.refreshes();
    wrong.pass(120_000);
    assert_eq!(wrong.peer.refreshes(), before + 1);
    wrong.pass(60 * Millis::DAY);
    assert_eq!(wrong.peer.refreshes(), before + 1, "once");
    assert_eq!(wrong.state(), State::Active);
}

#[test]
fn the_end_of_a_grant_is_forecast_and_told_14_3_and_1_days_ahead() {
    let year = 365 * Millis::DAY / 1000;
    let mut desk = Desk::of(
        Rotation::Strict,
        entry(
            Rotation::Strict,
            &json!({ "lifetime": { "absolute": year, "idle": 90 * 86400 } }),
        ),
    );
    desk.connect();
    let begun = desk.now;
    let view = desk.view();
    assert_eq!(view.dies_confidence.as_deref(), Some("documented"));
    desk.pass(340 * Millis::DAY);
    assert_eq!(desk.told_types(), ["connection.created"]);
    assert_eq!(desk.view().dies_at, Some(begun.plus(365 * Millis::DAY)));
    desk.pass(24 * Millis::DAY + 60_000);
    let expiring = desk
        .told_types()
        .iter()
        .filter(|told| **told == "connection.expiring")
        .count();
    assert_eq!(expiring, 3);
}
