//! Tokens to spend.

use postern_connection::sql::Sql as _;
use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionPatch, TokenLease};
use postern_tests::connection::{Desk, owner};
use postern_tests::peer::Fate;
use postern_tests::tenant::code;

#[test]
fn a_warm_read_answers_at_once_and_writes_nothing() {
    let mut desk = Desk::connected(Rotation::Strict);
    let writes = desk.storage.writes();
    for _ in 0..1000 {
        let asked = desk.ask(owner(), TokenLease::default(), None);
        assert!(!asked.waits && asked.answer.is_ok());
    }
    assert_eq!(desk.storage.writes(), writes);
    assert_eq!(desk.waiting(), 0);
}

#[test]
fn a_thousand_reads_at_the_end_of_a_token_make_one_request_and_all_get_the_new_one() {
    let mut desk = Desk::connected(Rotation::Strict);
    let old = desk.token();
    desk.slow = true;
    desk.storage.native().set_alarm(None).unwrap(); // it did not ring in time
    desk.now = old.expires_at.unwrap();
    let turns: Vec<u64> = (0..1000)
        .map(|_| {
            let asked = desk.ask(owner(), TokenLease::default(), None);
            assert!(asked.waits, "the old one is over");
            assert_eq!(asked.answer.unwrap_err().code, Code::Overloaded);
            asked.turn
        })
        .collect();
    desk.work();
    assert_eq!(desk.peer.refreshes(), 1);
    for turn in turns {
        let token = desk
            .ask(owner(), TokenLease::default(), Some(turn))
            .answer
            .unwrap();
        assert_eq!(token.generation, old.generation + 1);
        assert!(desk.peer.takes(token.token.reveal(), desk.now));
    }
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn nobody_gets_a_token_before_it_is_stored() {
    let mut desk = Desk::connected(Rotation::Strict);
    let old = desk.token();
    desk.slow = true;
    desk.now = old.expires_at.unwrap();
    desk.ask(owner(), TokenLease::default(), None);
    desk.step(); // the app
    let flight = desk.take().pop().unwrap();
    let answer = desk.deliver(&flight);
    desk.storage.fail_in_writes(Some(0));
    desk.finish(&flight, answer);
    // It came, and was not stored: the next one who asks has it stored first.
    let token = desk.token();
    assert_eq!(token.generation, old.generation + 1);
    assert_eq!(desk.peer.refreshes(), 1);
    desk.die();
    assert_eq!(desk.token(), token);
}

#[test]
fn near_its_end_a_good_token_is_served_while_the_next_one_is_fetched() {
    let mut desk = Desk::connected(Rotation::None);
    let old = desk.token();
    desk.slow = true;
    desk.now = old.expires_at.unwrap().minus(5 * 60_000);
    let asked = desk.ask(owner(), TokenLease::default(), None);
    assert!(!asked.waits);
    assert_eq!(asked.answer.unwrap().token, old.token);
    assert!(desk.waiting() > 0, "a refresh is on its way");
}

#[test]
fn in_its_last_minute_a_reader_waits_for_the_next_one_and_may_leave_with_the_old_one() {
    let mut desk = Desk::connected(Rotation::None);
    let old = desk.token();
    desk.slow = true;
    desk.now = old.expires_at.unwrap().minus(30_000);
    let asked = desk.ask(owner(), TokenLease::default(), None);
    assert!(asked.waits);
    assert_eq!(asked.answer.unwrap().token, old.token);
}

#[test]
fn the_edge_keeps_a_token_for_half_a_minute_and_never_past_its_margin() {
    let mut desk = Desk::connected(Rotation::None);
    let token = desk.token();
    assert_eq!(token.keep_until, desk.now.plus(30_000));
    desk.slow = true;
    desk.now = token.expires_at.unwrap().minus(600_000 + 10_000);
    assert_eq!(desk.token().keep_until, desk.now.plus(10_000));
}

#[test]
fn a_refresh_that_is_asked_for_happens_though_the_token_is_good() {
    let mut desk = Desk::connected(Rotation::None);
    let old = desk.token();
    let call = TokenLease {
        refresh: true,
        ..TokenLease::default()
    };
    let new = desk.call(call).unwrap();
    assert_eq!(new.generation, old.generation + 1);
    assert_eq!(desk.peer.refreshes(), 1);
}

#[test]
fn an_expired_token_is_never_served() {
    let mut desk = Desk::connected(Rotation::None);
    let old = desk.token();
    desk.app = Err(postern_domain::problem::Problem::new(Code::Overloaded, "planted"));
    desk.now = old.expires_at.unwrap();
    assert_eq!(code(desk.lease()), Code::Overloaded);
    desk.app = Desk::connected(Rotation::None).app;
    desk.now = desk.now.plus(6000);
    assert_eq!(desk.token().generation, 2);
}

#[test]
fn a_connection_that_is_switched_off_gives_no_token_and_lives_on() {
    let mut desk = Desk::connected(Rotation::Strict);
    let enabled = |enabled| ConnectionPatch {
        enabled: Some(enabled),
        ..ConnectionPatch::default()
    };
    desk.call(enabled(false)).unwrap();
    assert_eq!(code(desk.lease()), Code::Conflict);
    desk.call(enabled(true)).unwrap();
    assert!(desk.lease().is_ok());
}

#[test]
fn without_a_refresh_token_somebody_connects_again_when_the_token_is_over() {
    let mut desk = Desk::new(Rotation::None);
    desk.peer.gives_refresh = false;
    desk.connect();
    assert!(desk.lease().is_ok());
    desk.pass(3_600_000);
    let view = desk.view();
    assert_eq!(view.state.as_str(), "needs_reauth");
    assert_eq!(code(desk.lease()), Code::Conflict);
    assert_eq!(
        desk.told_types(),
        ["connection.created", "connection.needs_reauth"]
    );
    desk.connect();
    assert!(desk.lease().is_ok());
    assert_eq!(desk.told_types().last(), Some(&"connection.recovered"));
}

#[test]
fn uses_are_counted_and_survive_with_the_next_write() {
    let mut desk = Desk::connected(Rotation::None);
    for _ in 0..5 {
        desk.call(TokenLease {
            used: 3,
            ..TokenLease::default()
        })
        .unwrap();
    }
    let view = desk.view();
    assert_eq!((view.used_24h, view.last_used_at), (15, Some(desk.now)));
    desk.pass(3_600_000);
    desk.die();
    assert_eq!(desk.view().used_24h, 15);
    desk.pass(2 * Millis::DAY);
    assert_eq!(desk.view().used_24h, 0);
}

#[test]
fn the_first_failure_of_a_refresh_hurts_nobody_whose_token_is_good() {
    let mut desk = Desk::connected(Rotation::None);
    desk.peer
        .fates
        .extend([Fate::Refused(500, serde_json::json!({}))]);
    let before = desk.token();
    desk.pass(50 * 60_000);
    assert_eq!(desk.view().state.as_str(), "active");
    desk.pass(60_000);
    assert_eq!(desk.token().generation, before.generation + 1);
    assert_eq!(desk.told_types(), ["connection.created"]);
}
