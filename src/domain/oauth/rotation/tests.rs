use proptest::prelude::*;

use super::*;
use crate::oauth::outcome::Why;

const START: Millis = Millis(1_000_000_000);
const SECOND: u64 = Millis::SECOND;
const MINUTE: u64 = 60 * SECOND;
const GRACE: Rotation = Rotation::Grace { seconds: 600 };

/// No jitter: 100 %.
const MIDDLE: u32 = 20;

fn refusal(class: Class, arrived: Arrived) -> Refusal {
    Refusal {
        class,
        error: None,
        words: None,
        retry_after_ms: None,
        arrived,
        why: Why::Error,
    }
}

fn lost() -> Refusal {
    Refusal::interrupted()
}

fn outage() -> Refusal {
    refusal(Class::Outage, Arrived::Unknown)
}

fn dead_grant() -> Refusal {
    refusal(Class::DeadGrant, Arrived::Refused)
}

/// A refresh that began at the start, of a token that has ten minutes left.
fn trail() -> Trail {
    Trail {
        started_at: START,
        access_ends: Some(START.plus(10 * MINUTE)),
        ..Trail::default()
    }
}

/// What is done 20 s after the start.
fn now() -> Millis {
    START.plus(20 * SECOND)
}

fn decide(rotation: Rotation, refusal: &Refusal, trail: &Trail) -> Decision {
    after(rotation, refusal, trail, now(), MIDDLE)
}

#[test]
fn a_refresh_token_that_never_changes_is_tried_again_after_whatever_was_lost() {
    for rotation in [Rotation::None, Rotation::ReissueOldOk] {
        for refusal in [lost(), outage()] {
            let decision = decide(rotation, &refusal, &trail());
            assert_eq!(
                decision.next,
                Next::Retry {
                    at: now().plus(5 * SECOND)
                }
            );
        }
    }
}

#[test]
fn within_its_grace_a_token_is_tried_again_at_once_and_then_with_growing_waits() {
    let first = decide(GRACE, &lost(), &trail());
    assert_eq!(first.next, Next::Retry { at: now() });
    assert_eq!(first.lost_at, Some(START));
    assert_eq!(first.reason, Reason::RefreshUnknown);

    let again = Trail {
        lost_at: first.lost_at,
        failures: 1,
        started_at: now(),
        ..trail()
    };
    let second = decide(GRACE, &lost(), &again);
    assert_eq!(
        second.next,
        Next::Retry {
            at: now().plus(30 * SECOND)
        }
    );
    assert_eq!(second.lost_at, Some(START), "the grace runs from the first use");

    // The last try within it is made a minute before its end.
    let late = Trail { failures: 4, ..again };
    let end = START.plus(9 * MINUTE);
    assert_eq!(decide(GRACE, &lost(), &late).next, Next::Retry { at: end });

    // Behind it, it is as strict: once more, and never again.
    let behind = after(GRACE, &lost(), &late, end, MIDDLE);
    assert!(matches!(behind.next, Next::Probe { .. }));
    let probed = Trail { probed: true, ..late };
    let over = after(GRACE, &lost(), &probed, end.plus(MINUTE), MIDDLE);
    assert_eq!((over.next, over.reason), (Next::Over, Reason::RefreshAnswerLost));
}

#[test]
fn a_grace_that_is_over_before_the_provider_wants_us_back_is_none() {
    let told = Refusal {
        retry_after_ms: Some(20 * MINUTE),
        ..outage()
    };
    assert!(matches!(decide(GRACE, &told, &trail()).next, Next::Probe { .. }));
}

#[test]
fn a_strict_token_that_may_be_spent_is_sent_once_more_when_the_access_token_is_near_its_end() {
    for rotation in [Rotation::Strict, Rotation::Unknown] {
        let decision = decide(rotation, &lost(), &trail());
        let at = Some(START.plus(9 * MINUTE));
        assert_eq!(decision.next, Next::Probe { at });
        assert_eq!(decision.lost_at, Some(START));
        assert!(!decision.degraded, "the access token still serves");
        // The API refuses the token: now is the last useful moment.
        let refused = Trail {
            access_refused: true,
            ..trail()
        };
        let at = Some(now().plus(5 * SECOND));
        let decision = decide(rotation, &lost(), &refused);
        assert_eq!(decision.next, Next::Probe { at });
        assert!(decision.degraded);
        // Nobody knows when it ends: when the API refuses it.
        let endless = Trail {
            access_ends: None,
            ..trail()
        };
        assert_eq!(decide(rotation, &lost(), &endless).next, Next::Probe { at: None });
        // A server that is down is given time to heal, since there is no second try.
        let ended = Trail {
            access_ends: Some(START),
            ..trail()
        };
        let at = Some(now().plus(10 * MINUTE));
        assert_eq!(decide(rotation, &outage(), &ended).next, Next::Probe { at });
    }
}

#[test]
fn a_strict_token_is_never_sent_a_third_time_once_an_answer_was_lost() {
    let probe = Trail {
        lost_at: Some(START),
        failures: 1,
        ..trail()
    };
    for refusal in [lost(), outage()] {
        let decision = decide(Rotation::Strict, &refusal, &probe);
        assert_eq!(
            (decision.next, decision.reason),
            (Next::Over, Reason::RefreshAnswerLost)
        );
    }
}

#[test]
fn a_strict_token_is_tried_as_often_as_it_takes_while_nothing_arrives() {
    let throttled = refusal(Class::Throttled, Arrived::No);
    let unreachable = refusal(Class::Outage, Arrived::No);
    for refusal in [throttled, unreachable] {
        for failures in 0..100 {
            let trail = Trail { failures, ..trail() };
            let decision = decide(Rotation::Strict, &refusal, &trail);
            assert!(matches!(decision.next, Next::Retry { .. }));
            assert_eq!(decision.lost_at, None);
        }
        // The one more try that does not arrive is still to be made.
        let probe = Trail {
            lost_at: Some(START),
            probed: true,
            access_ends: Some(START),
            ..trail()
        };
        let decision = decide(Rotation::Strict, &refusal, &probe);
        assert_eq!(
            decision.next,
            Next::Probe {
                at: Some(now().plus(5 * SECOND))
            }
        );
    }
}

#[test]
fn a_dead_grant_is_asked_once_more_only_where_that_harms_nothing() {
    for rotation in [Rotation::None, Rotation::ReissueOldOk] {
        let first = decide(rotation, &dead_grant(), &trail());
        assert_eq!(
            first.next,
            Next::Confirm {
                at: now().plus(30 * SECOND)
            }
        );
        let confirming = Trail {
            confirming: true,
            ..trail()
        };
        let second = decide(rotation, &dead_grant(), &confirming);
        assert_eq!((second.next, second.reason), (Next::Over, Reason::GrantDead));
    }
    for rotation in [GRACE, Rotation::Strict, Rotation::Unknown] {
        let decision = decide(rotation, &dead_grant(), &trail());
        assert_eq!((decision.next, decision.reason), (Next::Over, Reason::GrantDead));
    }
}

#[test]
fn a_grant_that_died_of_a_lost_answer_says_so() {
    let trail = Trail {
        lost_at: Some(START),
        ..trail()
    };
    for rotation in [Rotation::ReissueOldOk, GRACE, Rotation::Strict, Rotation::Unknown] {
        let decision = decide(rotation, &dead_grant(), &trail);
        assert_eq!(
            (decision.next, decision.reason),
            (Next::Over, Reason::RefreshAnswerLost)
        );
    }
    // One that never changes cannot have.
    let decision = decide(Rotation::None, &dead_grant(), &trail);
    assert_eq!((decision.next, decision.reason), (Next::Over, Reason::GrantDead));
}

#[test]
fn a_broken_app_ends_no_grant_and_is_looked_at_each_hour() {
    for (class, reason) in [
        (Class::BrokenApp, Reason::App),
        (Class::BrokenConfig, Reason::Config),
    ] {
        for failures in [0, 1, 1000] {
            let trail = Trail { failures, ..trail() };
            let decision = decide(Rotation::Strict, &refusal(class, Arrived::Refused), &trail);
            let at = now().plus(60 * MINUTE);
            assert_eq!((decision.next, decision.reason), (Next::Blocked { at }, reason));
        }
    }
}

#[test]
fn where_a_person_is_needed_nothing_is_tried_again() {
    let decision = decide(
        Rotation::None,
        &refusal(Class::PersonNeeded, Arrived::Refused),
        &trail(),
    );
    assert_eq!(
        (decision.next, decision.reason),
        (Next::Over, Reason::PolicyNeedsUser)
    );
}

#[test]
fn it_is_degraded_when_a_reader_could_be_hurt_or_the_third_time() {
    let throttled = refusal(Class::Throttled, Arrived::No);
    let degraded = |trail: &Trail| decide(Rotation::None, &throttled, trail).degraded;
    assert!(!degraded(&trail()));
    assert!(!degraded(&Trail {
        failures: 1,
        ..trail()
    }));
    assert!(degraded(&Trail {
        failures: 2,
        ..trail()
    }));
    let left = |ms| Trail {
        access_ends: Some(now().plus(ms)),
        ..trail()
    };
    assert!(degraded(&left(59 * SECOND)));
    assert!(!degraded(&left(61 * SECOND)));
    assert!(degraded(&Trail {
        access_refused: true,
        ..trail()
    }));
}

#[test]
fn the_waits_are_those_of_the_table() {
    let waits: Vec<u64> = (0..8)
        .map(|failures| backoff_ms(failures, MIDDLE) / SECOND)
        .collect();
    assert_eq!(waits, [5, 30, 120, 600, 1800, 3600, 3600, 3600]);
}

fn any_rotation() -> impl Strategy<Value = Rotation> {
    prop_oneof![
        Just(Rotation::None),
        Just(Rotation::ReissueOldOk),
        (0_u64..4_000).prop_map(|seconds| Rotation::Grace { seconds }),
        Just(Rotation::Strict),
        Just(Rotation::Unknown),
    ]
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    let class = prop::sample::select(vec![
        Class::DeadGrant,
        Class::PersonNeeded,
        Class::BrokenApp,
        Class::BrokenConfig,
        Class::Throttled,
        Class::Outage,
        Class::Lost,
    ]);
    let arrived = prop::sample::select(vec![Arrived::No, Arrived::Unknown, Arrived::Refused]);
    (class, arrived, prop::option::of(0..100 * MINUTE)).prop_map(|(class, arrived, retry_after_ms)| Refusal {
        retry_after_ms,
        ..refusal(class, arrived)
    })
}

fn any_trail() -> impl Strategy<Value = Trail> {
    (
        0..100 * MINUTE,
        prop::option::of(0..100 * MINUTE),
        any::<[bool; 3]>(),
        0_u32..20,
        prop::option::of(0..200 * MINUTE),
    )
        .prop_map(
            |(started, lost, [probed, confirming, access_refused], failures, access)| Trail {
                started_at: START.plus(started),
                lost_at: lost.map(|ms| START.plus(ms.min(started))),
                probed: probed && lost.is_some(),
                confirming,
                failures,
                access_ends: access.map(|ms| START.plus(ms)),
                access_refused,
            },
        )
}

proptest! {
    #[test]
    fn nothing_is_ever_tried_before_the_provider_wants_us_back(
        rotation in any_rotation(), refusal in any_refusal(), trail in any_trail(), random: u32,
    ) {
        let now = trail.started_at.plus(20 * SECOND);
        let decision = after(rotation, &refusal, &trail, now, random);
        let told = now.plus(refusal.retry_after_ms.unwrap_or(0));
        match decision.next {
            Next::Retry { at } | Next::Probe { at: Some(at) } | Next::Blocked { at } => prop_assert!(at >= told),
            Next::Confirm { at } => prop_assert!(at >= now),
            Next::Probe { at: None } | Next::Over => {}
        }
    }

    /// Only a provider's word, or a second lost answer where tokens die at use, ends a grant.
    #[test]
    fn no_count_of_failures_ends_a_grant(
        rotation in any_rotation(), refusal in any_refusal(), trail in any_trail(), random: u32,
    ) {
        let now = trail.started_at.plus(20 * SECOND);
        let decision = after(rotation, &refusal, &trail, now, random);
        if decision.next == Next::Over {
            let said = matches!(refusal.class, Class::DeadGrant | Class::PersonNeeded);
            let spent = refusal.arrived == Arrived::Unknown && trail.lost_at.is_some()
                && !matches!(rotation, Rotation::None | Rotation::ReissueOldOk);
            prop_assert!(said || spent);
        }
    }

    /// A life of a strict grant: however its refreshes end, the token is sent at most once after an answer was lost.
    #[test]
    fn at_a_strict_provider_at_most_two_requests_that_may_have_arrived_carry_one_token(
        refusals in prop::collection::vec(any_refusal(), 1..40), random: u32, ends in prop::option::of(0..60 * MINUTE),
    ) {
        let mut trail = Trail { started_at: START, access_ends: ends.map(|ms| START.plus(ms)), ..Trail::default() };
        let mut maybe_arrived = 0;
        let mut now = START;
        for refusal in refusals {
            trail.started_at = now;
            maybe_arrived += u32::from(refusal.arrived == Arrived::Unknown);
            let decision = after(Rotation::Strict, &refusal, &trail, now, random);
            trail.lost_at = decision.lost_at;
            trail.failures += 1;
            now = match decision.next {
                Next::Over => break,
                Next::Retry { at } | Next::Confirm { at } | Next::Blocked { at } => at,
                Next::Probe { at } => at.unwrap_or(now),
            };
            trail.probed = matches!(decision.next, Next::Probe { .. });
        }
        prop_assert!(maybe_arrived <= 2);
    }

    #[test]
    fn the_jitter_is_a_fifth(failures in 0_u32..10, random: u32) {
        let middle = backoff_ms(failures, MIDDLE);
        let wait = backoff_ms(failures, random);
        prop_assert!(wait * 5 >= middle * 4 && wait * 5 <= middle * 6);
    }
}
