use proptest::prelude::*;

use super::*;
use crate::oauth::Secret;
use crate::oauth::test_provider;

const START: Millis = Millis(1_700_000_000_000);
const MINUTE: u64 = 60 * Millis::SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY_S: u64 = 86_400;

fn with(access: Option<u64>, idle: Option<u64>, absolute: Option<u64>) -> Provider {
    let mut provider = test_provider();
    let oauth = provider.oauth.as_mut().unwrap();
    oauth.lifetime.access = access;
    oauth.lifetime.idle = idle;
    oauth.lifetime.absolute = absolute;
    provider
}

/// A grant of this moment whose access token lives so long.
fn times(ttl_s: u64) -> Times {
    Times {
        granted_at: START,
        obtained_at: START,
        used_at: START,
        expires_at: Some(START.plus(ttl_s * 1000)),
        refresh_expires_at: None,
        refreshable: true,
    }
}

#[test]
fn the_margin_is_a_sixth_of_the_life_within_one_and_fifteen_minutes() {
    for (ttl, margin) in [
        (300, 60),
        (1_800, 300),
        (3_600, 600),
        (14_400, 900),
        (604_800, 900),
        // Never more than half, or such a token would never be good.
        (90, 45),
        (1, 0),
    ] {
        assert_eq!(margin_ms(ttl * 1000) / 1000, margin, "{ttl}");
    }
}

#[test]
fn a_token_is_handed_out_until_its_margin_begins() {
    let times = times(3_600);
    assert!(is_fresh(&times, START));
    assert!(is_fresh(&times, START.plus(50 * MINUTE - 1)));
    assert!(!is_fresh(&times, START.plus(50 * MINUTE)));
    assert!(!is_fresh(&times, START.plus(2 * HOUR)));
    // One that does not end, as far as anybody knows, is good until the API refuses it.
    let endless = Times {
        expires_at: None,
        ..times
    };
    assert!(is_fresh(&endless, START.plus(1_000 * Millis::DAY)));
}

#[test]
fn a_token_is_refreshed_ahead_of_its_margin_and_of_the_last_moment() {
    assert_eq!(refresh_at(&times(3_600), 0), Some(START.plus(50 * MINUTE)));
    let earliest = (0..1_000_000)
        .step_by(997)
        .filter_map(|random| refresh_at(&times(3_600), random))
        .min();
    assert!(earliest.unwrap() >= START.plus(45 * MINUTE));
}

#[test]
fn what_lives_two_minutes_or_cannot_be_refreshed_is_not_refreshed_ahead() {
    assert_eq!(refresh_at(&times(120), 0), None);
    assert!(refresh_at(&times(121), 0).is_some());
    let fixed = Times {
        refreshable: false,
        ..times(3_600)
    };
    assert_eq!(refresh_at(&fixed, 0), None);
    let endless = Times {
        expires_at: None,
        ..times(3_600)
    };
    assert_eq!(refresh_at(&endless, 0), None);
}

#[test]
fn what_nobody_used_for_a_day_is_left_until_it_is_asked_for() {
    let used = |before: u64| Times {
        used_at: START.minus(before),
        ..times(3_600)
    };
    assert!(refresh_at(&used(23 * HOUR), 0).is_some());
    assert_eq!(refresh_at(&used(24 * HOUR), 0), None);
    // A week's token is refreshed ahead only if it was used within its last day.
    assert_eq!(refresh_at(&times(7 * DAY_S), 0), None);
}

/// The limits of table B.
#[test]
fn an_idle_grant_is_kept_alive_at_a_quarter_of_its_limit() {
    for (provider, idle_days, quarter) in [
        ("Xero, Airtable", 60, 15),
        ("QuickBooks", 100, 25),
        ("Google, about six months", 180, 45),
    ] {
        let entry = with(None, Some(idle_days * DAY_S), None);
        let at = keep_alive_at(&entry, &times(3_600));
        assert_eq!(at, Some(START.plus(quarter * Millis::DAY)), "{provider}");
    }
    assert_eq!(keep_alive_at(&test_provider(), &times(3_600)), None);
    // What the provider told counts where it is shorter.
    let told = Times {
        refresh_expires_at: Some(START.plus(8 * Millis::DAY)),
        ..times(3_600)
    };
    let entry = with(None, Some(60 * DAY_S), None);
    assert_eq!(keep_alive_at(&entry, &told), Some(START.plus(2 * Millis::DAY)));
    assert_eq!(
        keep_alive_at(&test_provider(), &told),
        Some(START.plus(2 * Millis::DAY))
    );
}

#[test]
fn the_end_of_a_token_is_as_told_and_else_as_the_entry_says() {
    let tokens = |expires_in| TokenSet {
        access_token: Secret("a".to_owned()),
        refresh_token: None,
        expires_in,
        refresh_expires_in: None,
        scopes: None,
        id_token: None,
        learned: std::collections::BTreeMap::new(),
    };
    // Salesforce tells nothing.
    let salesforce = with(Some(7_200), None, None);
    assert_eq!(
        expires_at(&salesforce, &tokens(Some(60)), START),
        Some(START.plus(MINUTE))
    );
    assert_eq!(
        expires_at(&salesforce, &tokens(None), START),
        Some(START.plus(2 * HOUR))
    );
    assert_eq!(expires_at(&test_provider(), &tokens(None), START), None);
}

#[test]
fn a_grant_dies_of_what_comes_first_and_says_how_sure_that_is() {
    let of = |provider: &Provider, times: &Times| {
        let death = dies_at(provider, times);
        death.map(|death| (death.at.since(START) / Millis::DAY, death.of, death.confidence))
    };
    // Atlassian: 90 days idle, a year in all.
    let mut atlassian = with(None, Some(90 * DAY_S), Some(365 * DAY_S));
    assert_eq!(
        of(&atlassian, &times(3_600)),
        Some((90, DiesOf::Idle, Confidence::Guessed))
    );
    atlassian.verified = true;
    let late = Times {
        obtained_at: START.plus(300 * Millis::DAY),
        ..times(3_600)
    };
    assert_eq!(
        of(&atlassian, &late),
        Some((365, DiesOf::Age, Confidence::Documented))
    );
    // Told goes before documented: Google's time-limited access.
    let told = Times {
        refresh_expires_at: Some(START.plus(7 * Millis::DAY)),
        ..times(3_600)
    };
    let google = with(None, Some(180 * DAY_S), None);
    assert_eq!(
        of(&google, &told),
        Some((7, DiesOf::RefreshEnds, Confidence::Told))
    );
    // Without a refresh token the access token's end is the grant's.
    let fixed = Times {
        refreshable: false,
        ..times(2 * DAY_S)
    };
    assert_eq!(
        of(&google, &fixed),
        Some((2, DiesOf::AccessEnds, Confidence::Told))
    );
    // GitHub's OAuth app: no end, but a year without use.
    let github = with(None, Some(365 * DAY_S), None);
    let used = Times {
        refreshable: false,
        expires_at: None,
        used_at: START.plus(10 * Millis::DAY),
        ..times(1)
    };
    assert_eq!(of(&github, &used), Some((375, DiesOf::Idle, Confidence::Guessed)));
    assert_eq!(of(&test_provider(), &times(3_600)), None);
}

#[test]
fn keeping_alive_moves_an_idle_end_and_no_other() {
    let entry = with(None, Some(90 * DAY_S), Some(30 * DAY_S));
    let death = dies_at(&entry, &times(3_600)).unwrap();
    assert_eq!(death.of, DiesOf::Age);
    assert!(!is_moved_by_refreshing(&entry, &times(3_600), &death));
    let entry = with(None, Some(90 * DAY_S), None);
    let death = dies_at(&entry, &times(3_600)).unwrap();
    assert!(is_moved_by_refreshing(&entry, &times(3_600), &death));
    // Nothing refreshes what has no refresh token.
    let fixed = Times {
        refreshable: false,
        expires_at: None,
        ..times(1)
    };
    let death = dies_at(&entry, &fixed).unwrap();
    assert!(!is_moved_by_refreshing(&entry, &fixed, &death));
}

#[test]
fn an_end_is_told_fourteen_days_three_days_and_one_day_ahead() {
    let death = Death {
        at: START,
        of: DiesOf::Age,
        confidence: Confidence::Documented,
    };
    let due = |days_ahead: u64| notices_due(&death, START.minus(days_ahead * Millis::DAY));
    assert_eq!([15, 14, 4, 3, 2, 1, 0].map(due), [0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(next_notice_at(&death, 0), Some(START.minus(14 * Millis::DAY)));
    assert_eq!(next_notice_at(&death, 2), Some(START.minus(Millis::DAY)));
    assert_eq!(next_notice_at(&death, 3), None);
}

proptest! {
    #[test]
    fn a_token_of_any_life_is_handed_out_at_first_and_not_at_its_end(ttl_ms in 2_u64..1_000_000_000_000) {
        let times = Times { expires_at: Some(START.plus(ttl_ms)), ..times(1) };
        prop_assert!(is_fresh(&times, START));
        prop_assert!(!is_fresh(&times, START.plus(ttl_ms)));
    }

    #[test]
    fn a_refresh_ahead_comes_before_the_token_stops_to_be_handed_out(ttl_s in 1_u64..90_000, random: u32) {
        let times = times(ttl_s);
        if let Some(at) = refresh_at(&times, random) {
            prop_assert!(at > START && at <= times.expires_at.unwrap().minus(margin_of(&times)));
        }
    }

    /// The alarm may be late by a day, and the grant lives.
    #[test]
    fn an_idle_grant_that_is_kept_alive_never_reaches_its_end(idle_s in 4 * DAY_S..400 * DAY_S, random: u32) {
        let entry = with(None, Some(idle_s), None);
        let mut times = times(3_600);
        for _ in 0..20 {
            let at = next_refresh_at(&entry, &times, random).unwrap();
            let done = at.plus(Millis::DAY);
            prop_assert!(done < dies_at(&entry, &times).unwrap().at);
            times.obtained_at = done;
            times.expires_at = Some(done.plus(HOUR));
        }
    }
}
