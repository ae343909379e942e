//! Answers that were lost: what is safe is tried, by what the provider does with refresh tokens.

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::wire::connection::TokenRefused;
use postern_tests::connection::{Desk, owner};
use postern_tests::peer::Fate;
use postern_tests::tenant::code;

/// Into the time when its token is refreshed ahead, with this fate.
fn refreshed_with(rotation: Rotation, fate: Fate) -> Desk {
    let mut desk = Desk::connected(rotation);
    desk.peer.fates.push_back(fate);
    desk.pass(51 * 60_000);
    desk
}

#[test]
fn where_the_token_never_changes_it_is_simply_sent_again() {
    for rotation in [Rotation::None, Rotation::ReissueOldOk] {
        let mut desk = refreshed_with(rotation, Fate::AnswerLost);
        desk.pass(60_000);
        assert_eq!(desk.token().generation, 2);
        assert!(desk.peer.has_grant());
        assert_eq!(desk.told_types(), ["connection.created"]);
    }
}

#[test]
fn within_the_providers_grace_it_is_sent_again_at_once() {
    let mut desk = refreshed_with(Rotation::Grace { seconds: 600 }, Fate::AnswerLost);
    desk.pass(60_000);
    assert_eq!(desk.token().generation, 2);
    assert!(desk.peer.has_grant());
}

#[test]
fn past_the_grace_it_is_not_sent_again() {
    let rotation = Rotation::Grace { seconds: 600 };
    let mut desk = Desk::connected(rotation);
    desk.pass(30 * 60_000);
    desk.peer.fates.extend([Fate::AnswerLost]);
    desk.slow = true;
    desk.pass(21 * 60_000);
    desk.step();
    // The request is carried out, and the object dies with the answer.
    let flight = desk.take();
    for errand in &flight {
        desk.deliver(errand);
    }
    desk.die();
    desk.now = desk.now.plus(700_000);
    desk.slow = false;
    let shown = desk.peer.refreshes();
    desk.lease().ok();
    assert!(
        desk.peer.refreshes() <= shown + 1,
        "once more at the most, and never again"
    );
}

#[test]
fn a_strict_provider_is_served_the_old_access_token_until_it_is_of_no_more_use() {
    let mut desk = refreshed_with(Rotation::Strict, Fate::AnswerLost);
    let lost_at = desk.now;
    let token = desk.token();
    assert_eq!(token.generation, 1);
    assert_eq!(desk.peer.refreshes(), 1);
    desk.pass(token.expires_at.unwrap().since(lost_at).saturating_sub(61_000));
    assert_eq!(desk.peer.refreshes(), 1, "not before the last useful moment");
    desk.pass(120_000);
    assert_eq!(desk.peer.refreshes(), 2, "once more");
    assert_eq!(
        desk.view().reason.map(|reason| format!("{reason:?}")).as_deref(),
        Some("RefreshAnswerLost")
    );
    desk.pass(86_400_000);
    assert_eq!(desk.peer.refreshes(), 2, "and never again");
    assert_eq!(desk.told_types().last(), Some(&"connection.needs_reauth"));
    let decisions: Vec<String> = desk.history().into_iter().map(|line| line.decision).collect();
    assert!(
        decisions.iter().any(|decision| decision.contains("probe_once")),
        "the one more try is written down: {decisions:?}"
    );
}

#[test]
fn a_strict_providers_grant_is_whole_if_the_request_never_arrived() {
    // A cut connection does not say whether it arrived; here it did not.
    let mut desk = Desk::connected(Rotation::Strict);
    desk.slow = true;
    desk.pass(51 * 60_000);
    desk.step(); // the app
    desk.take(); // and the object dies before the request leaves
    desk.die();
    desk.slow = false;
    desk.pass(20 * 60_000);
    assert_eq!(desk.peer.refreshes(), 1, "the one more try");
    assert_eq!(desk.token().generation, 2);
    assert!(desk.peer.has_grant());
    assert_eq!(desk.view().state.as_str(), "active");
}

#[test]
fn a_strict_provider_that_was_not_reached_is_tried_again_freely() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.peer.fates.extend(vec![Fate::Unreached; 4]);
    desk.pass(90 * 60_000);
    assert_eq!(desk.token().generation, 2);
    assert!(desk.peer.has_grant());
}

#[test]
fn a_refused_access_token_is_the_last_useful_moment_too() {
    let mut desk = refreshed_with(Rotation::Strict, Fate::AnswerLost);
    desk.peer.refuse_access(); // as GitHub does: the old access token ends with the old refresh token
    assert_eq!(desk.peer.refreshes(), 1);
    let refused = desk.call(TokenRefused { generation: 1 });
    assert_eq!(code(refused), Code::Conflict);
    assert_eq!(desk.peer.refreshes(), 2, "once more, now");
    assert_eq!(desk.state().as_str(), "needs_reauth");
}

#[test]
fn an_intent_that_is_found_at_waking_is_a_lost_answer() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.slow = true;
    desk.pass(51 * 60_000);
    desk.step(); // the app
    let flight = desk.take();
    for errand in &flight {
        desk.deliver(errand); // carried out, and the object dies before the answer comes
    }
    desk.die();
    assert_eq!(desk.peer.refreshes(), 1);
    let asked = desk.ask(
        owner(),
        postern_domain::wire::connection::TokenLease::default(),
        None,
    );
    assert!(!asked.waits);
    assert_eq!(asked.answer.unwrap().generation, 1);
    assert_eq!(desk.waiting(), 0, "nothing leaves before the last useful moment");
}

#[test]
fn the_alarm_finds_an_intent_though_nobody_asks() {
    let mut desk = Desk::connected(Rotation::None);
    desk.slow = true;
    desk.pass(51 * 60_000);
    desk.step();
    desk.die();
    desk.slow = false;
    desk.pass(120_000);
    assert_eq!(desk.view().generation, Some(2));
}
