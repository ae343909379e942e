//! Thousands of days: a provider that loses answers, an object that dies anywhere, storage that fails, and what holds all
//! the same.

use postern_domain::oauth::provider::Rotation;
use postern_domain::wire::connection::{TokenLease, TokenRefused};
use postern_tests::connection::{Desk, owner};
use postern_tests::peer::Fate;
use postern_tests::tenant::Seeded;
use serde_json::json;

const PROFILES: [Rotation; 5] = [
    Rotation::None,
    Rotation::ReissueOldOk,
    Rotation::Grace { seconds: 1800 },
    Rotation::Strict,
    Rotation::Unknown,
];

/// What a step of a life may do to a request.
fn fate(chance: &mut Seeded) -> Fate {
    match chance.below(10) {
        0 => Fate::AnswerLost,
        1 => Fate::Unreached,
        2 => Fate::Refused(503, json!({})),
        3 => Fate::Refused(429, json!({})),
        _ => Fate::Answered,
    }
}

fn live(seed: u64, rotation: Rotation, deaths: bool, failures: bool) {
    let mut chance = Seeded::new(seed);
    let mut desk = Desk::connected(rotation);
    desk.seed(seed);
    let strict = matches!(rotation, Rotation::Strict | Rotation::Unknown);
    for step in 0..120 {
        let about = || format!("seed {seed}, {rotation:?}, step {step}");
        desk.peer.fates = (0..3).map(|_| fate(&mut chance)).collect();
        if failures && chance.percent(10) {
            desk.storage
                .fail_in_writes(Some(u32::try_from(chance.below(4)).unwrap()));
        }
        desk.slow = deaths && chance.percent(30);
        match chance.below(4) {
            0 => desk.pass(chance.below(2 * 3_600_000)),
            1 => desk.pass(chance.below(300_000)),
            2 => {
                let refresh = chance.percent(20);
                let lease = TokenLease {
                    refresh,
                    ..TokenLease::default()
                };
                let asked = desk.ask(owner(), lease, None);
                if let (Ok(token), false) = (asked.answer, asked.waits) {
                    assert!(
                        token.expires_at.is_none_or(|end| desk.now < end),
                        "an expired token is never served: {}",
                        about()
                    );
                }
            }
            _ => {
                if let Ok(token) = desk.ask(owner(), TokenLease::default(), None).answer
                    && !desk.peer.takes(token.token.reveal(), desk.now)
                {
                    let refused = TokenRefused {
                        generation: token.generation,
                    };
                    desk.ask(owner(), refused, None);
                }
            }
        }
        if desk.slow {
            // The object dies at any point of what is in the air: before it left, after it was carried out, or not at all.
            for _ in 0..chance.below(4) {
                for errand in desk.take() {
                    let done = desk.deliver(&errand);
                    if chance.percent(80) {
                        desk.finish(&errand, done);
                    }
                }
            }
            desk.die();
            desk.slow = false;
        }
        desk.storage.fail_in_writes(None);
        desk.work();
        for (token, shown) in &desk.peer.shown {
            assert!(
                !strict || *shown <= 2,
                "a strict provider was shown {token} {shown} times: {}",
                about()
            );
        }
        if !strict && step % 20 == 19 {
            desk.peer.fates.clear();
            desk.pass(3 * 3_600_000);
        }
        if desk.state().as_str() == "needs_reauth" {
            // Never without cause: the provider itself has ended it, or it may have lost an answer.
            assert!(
                !desk.peer.has_grant() || strict || matches!(rotation, Rotation::Grace { .. }),
                "a living grant was given up: {} {:?}",
                about(),
                desk.history()
            );
            desk.peer.fates.clear();
            desk.connect();
            desk.peer.shown.clear();
        }
    }
    // With nothing in the way it is well again, or says that somebody must connect.
    desk.peer.fates.clear();
    desk.pass(6 * 3_600_000);
    let state = desk.state();
    let lease = desk.lease();
    match state.as_str() {
        "active" => assert!(desk.peer.takes(lease.unwrap().token.reveal(), desk.now)),
        "needs_reauth" => assert!(lease.is_err()),
        other => panic!("seed {seed}, {rotation:?} ends {other}: {:?}", desk.history()),
    }
    each_transition_was_told_once(&desk, seed);
}

/// What was told alternates as the table of transitions says.
fn each_transition_was_told_once(desk: &Desk, seed: u64) {
    let mut hurt = false;
    for told in desk.told_types().into_iter().skip(1) {
        match told {
            "connection.degraded" => {
                assert!(!hurt, "seed {seed}: told twice that it is degraded");
                hurt = true;
            }
            "connection.needs_reauth" => hurt = true,
            "connection.recovered" => {
                assert!(hurt, "seed {seed}: recovered from nothing");
                hurt = false;
            }
            other => panic!("seed {seed}: {other}"),
        }
    }
}

#[test]
fn lost_answers_at_each_profile_end_no_grant_that_could_be_saved() {
    for seed in 0..60 {
        for rotation in PROFILES {
            live(seed, rotation, false, false);
        }
    }
}

#[test]
fn an_object_that_dies_anywhere_shows_no_spent_token_twice_without_a_decision() {
    for seed in 1000..1060 {
        for rotation in PROFILES {
            live(seed, rotation, true, false);
        }
    }
}

#[test]
fn storage_that_fails_loses_nothing_that_was_told() {
    for seed in 2000..2060 {
        for rotation in PROFILES {
            live(seed, rotation, true, true);
        }
    }
}
