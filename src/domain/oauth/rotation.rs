//! A refresh failed: what is done next. By what happens to the provider's refresh tokens when they are used, by what the
//! answer was, and by whether an earlier answer was lost.
//!
//! Guaranteed: where a refresh token dies at its use, one that may be spent is sent once more at the most, at the last
//! useful moment, and never again. Where nothing can have been spent, it is tried again as long as it takes: no count of
//! failures ends a grant.

use serde::{Deserialize, Serialize};

use super::outcome::{Arrived, Refusal};
use super::provider::{Class, Rotation};
use super::standing::Reason;
use crate::time::Millis;

/// Between tries; the last one repeats.
const BACKOFF_MS: [u64; 6] = [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000];

/// Until a dead grant is asked once more, where asking harms nothing.
const CONFIRM_MS: u64 = 30_000;

/// Between probes of an app or a configuration that is broken.
const PROBE_MS: u64 = 3_600_000;

/// How long before the end of a provider's grace we stop to count on it: clocks and ways differ.
const GRACE_RESERVE_MS: u64 = 60_000;

/// An access token with less than this left hurts who reads it.
const NEAR_END_MS: u64 = 60_000;

/// After an answer of 5xx the one more try waits at least so long: the server is to heal first.
const PROBE_AFTER_OUTAGE_MS: u64 = 600_000;

/// Failures in a row from which on a connection is degraded, though its token is good.
pub const FAILURES_THAT_DEGRADE: u32 = 3;

/// What is known of the refresh token and its access token when a refresh has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trail {
    /// When this refresh began: when the intent was written.
    pub started_at: Millis,
    /// When the first refresh with this refresh token began whose answer was lost; none: no answer was lost before.
    pub lost_at: Option<Millis>,
    /// The refresh that failed was the one more try ([`Next::Probe`]).
    pub probed: bool,
    /// The refresh that failed was the second opinion ([`Next::Confirm`]).
    pub confirming: bool,
    /// Refreshes that failed in a row before this one.
    pub failures: u32,
    /// When the access token ends; none: nobody knows.
    pub access_ends: Option<Millis>,
    /// The provider's API has refused the access token.
    pub access_refused: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The same refresh token again, then.
    Retry {
        /// When.
        at: Millis,
    },
    /// The same refresh token once more and never again; the access token is served until then. `at` none: when the API
    /// refuses the access token.
    Probe {
        /// When.
        at: Option<Millis>,
    },
    /// The provider said that the grant is over; asked once more, then, since asking harms nothing.
    Confirm {
        /// When.
        at: Millis,
    },
    /// Somebody must connect again.
    Over,
    /// The app or its configuration is broken: again when it is edited, and then.
    Blocked {
        /// When.
        at: Millis,
    },
}

/// What is done next, and what is remembered of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is done.
    pub next: Next,
    /// Why the connection is not well, should it be told.
    pub reason: Reason,
    /// A reader could be hurt, or it fails for the third time: it is degraded (where `next` does not say more).
    pub degraded: bool,
    /// [`Trail::lost_at`] of the next refresh.
    pub lost_at: Option<Millis>,
    /// What was decided, one sentence, for the history.
    pub sentence: &'static str,
}

/// What is done after a refresh that failed. `random`: any number, for the jitter.
#[must_use]
pub fn after(rotation: Rotation, refusal: &Refusal, trail: &Trail, now: Millis, random: u32) -> Decision {
    let maybe_spent = refusal.arrived == Arrived::Unknown;
    let lost_at = if maybe_spent {
        Some(trail.lost_at.unwrap_or(trail.started_at))
    } else {
        trail.lost_at
    };
    let retry_at = now.plus(wait_ms(refusal, trail.failures, random));
    let decided = |next, reason, sentence| Decision {
        next,
        reason,
        degraded: is_degraded(trail, now),
        lost_at,
        sentence,
    };
    match refusal.class {
        Class::DeadGrant => dead(rotation, trail, lost_at, now, decided),
        Class::PersonNeeded => decided(
            Next::Over,
            Reason::PolicyNeedsUser,
            "The provider wants a person; it is not tried again",
        ),
        Class::BrokenApp | Class::BrokenConfig if !maybe_spent => {
            let (reason, sentence) = if refusal.class == Class::BrokenApp {
                (
                    Reason::App,
                    "The app's id or secret is refused; tried again each hour and when the app is edited",
                )
            } else {
                (
                    Reason::Config,
                    "The provider does not take the request; tried again each hour and when the app is edited",
                )
            };
            let at = now.plus(jittered(PROBE_MS, random)).max(after_told(refusal, now));
            decided(Next::Blocked { at }, reason, sentence)
        }
        class => {
            let reason = match class {
                Class::Throttled => Reason::Throttled,
                Class::Outage => Reason::ProviderOutage,
                _ => Reason::RefreshUnknown,
            };
            let told_at = after_told(refusal, now);
            match (may_repeat(rotation, lost_at, told_at), maybe_spent, trail.lost_at) {
                (Repeat::Free, ..) => decided(
                    Next::Retry { at: retry_at },
                    reason,
                    "The same refresh token is tried again: sending it twice harms nothing",
                ),
                (Repeat::Until(end), _, earlier) => {
                    // At once the first time, and the backoff must not run past the end of the grace.
                    let at = if earlier.is_none() {
                        told_at
                    } else {
                        retry_at.min(end)
                    };
                    decided(
                        Next::Retry { at },
                        Reason::RefreshUnknown,
                        "The answer may be lost; the same refresh token is tried again while the provider still takes it",
                    )
                }
                // Nothing was lost, now or before.
                (Repeat::No, false, None) => decided(
                    Next::Retry { at: retry_at },
                    reason,
                    "The request was not carried out, so the refresh token is whole; it is tried again",
                ),
                // The one more try did not arrive: it is still to be made.
                (Repeat::No, false, Some(_)) => decided(
                    Next::Probe {
                        at: probe_at(trail, retry_at),
                    },
                    Reason::RefreshUnknown,
                    "The one more try was not carried out; it is still to be made",
                ),
                // Where a token dies at its use, whatever was sent after a lost answer was the one more try.
                (Repeat::No, true, earlier) if trail.probed || (is_strict(rotation) && earlier.is_some()) => {
                    decided(
                        Next::Over,
                        Reason::RefreshAnswerLost,
                        "The one more try's answer is lost too; the refresh token is never sent again",
                    )
                }
                (Repeat::No, true, _) => {
                    let heals = if class == Class::Outage {
                        PROBE_AFTER_OUTAGE_MS
                    } else {
                        0
                    };
                    decided(
                        Next::Probe {
                            at: probe_at(trail, retry_at.max(now.plus(heals))),
                        },
                        Reason::RefreshUnknown,
                        "The refresh token may be spent; it is sent once more when the access token is of no more use",
                    )
                }
            }
        }
    }
}

/// Whether a refresh token that was replaced may still be shown to the provider, so that it is kept until the new one was
/// used once.
#[must_use]
pub const fn old_one_works(rotation: Rotation) -> bool {
    matches!(
        rotation,
        Rotation::None | Rotation::ReissueOldOk | Rotation::Grace { .. }
    )
}

/// How long after a failure it is tried again: the steps 5 s, 30 s, 2 min, 10 min, 30 min and 1 h by the number of
/// failures before, 20 % more or less.
#[must_use]
pub fn backoff_ms(failures: u32, random: u32) -> u64 {
    let last = BACKOFF_MS.len() - 1;
    let step = usize::try_from(failures).unwrap_or(last).min(last);
    jittered(BACKOFF_MS[step], random)
}

/// 80 to 120 %.
fn jittered(ms: u64, random: u32) -> u64 {
    ms * (80 + u64::from(random % 41)) / 100
}

fn wait_ms(refusal: &Refusal, failures: u32, random: u32) -> u64 {
    backoff_ms(failures, random).max(told_ms(refusal))
}

fn after_told(refusal: &Refusal, now: Millis) -> Millis {
    now.plus(told_ms(refusal))
}

/// What the provider told, a day at the most: one wrong header must not end a grant.
fn told_ms(refusal: &Refusal) -> u64 {
    refusal.retry_after_ms.unwrap_or(0).min(Millis::DAY)
}

const fn is_strict(rotation: Rotation) -> bool {
    matches!(rotation, Rotation::Strict | Rotation::Unknown)
}

fn is_degraded(trail: &Trail, now: Millis) -> bool {
    let hurts = trail.access_refused || trail.access_ends.is_some_and(|end| end <= now.plus(NEAR_END_MS));
    hurts || trail.failures.saturating_add(1) >= FAILURES_THAT_DEGRADE
}

fn dead(
    rotation: Rotation,
    trail: &Trail,
    lost_at: Option<Millis>,
    now: Millis,
    decided: impl Fn(Next, Reason, &'static str) -> Decision,
) -> Decision {
    match (rotation, lost_at) {
        // What never changes cannot have died of a lost answer.
        (Rotation::None, Some(_)) => decided(
            Next::Over,
            Reason::GrantDead,
            "The provider says that the grant is over",
        ),
        (_, Some(_)) => decided(
            Next::Over,
            Reason::RefreshAnswerLost,
            "The provider says that the grant is over, after an answer of its own was lost",
        ),
        (Rotation::None | Rotation::ReissueOldOk, None) if !trail.confirming => decided(
            Next::Confirm {
                at: now.plus(CONFIRM_MS),
            },
            Reason::GrantDead,
            "The provider says that the grant is over; it is asked once more, which harms nothing",
        ),
        (_, None) => decided(
            Next::Over,
            Reason::GrantDead,
            "The provider says that the grant is over",
        ),
    }
}

/// Whether a refresh token that may be spent can be sent again.
enum Repeat {
    Free,
    /// Until then.
    Until(Millis),
    No,
}

/// `next`: the earliest moment at which it could be sent.
fn may_repeat(rotation: Rotation, lost_at: Option<Millis>, next: Millis) -> Repeat {
    match (rotation, lost_at) {
        (Rotation::None | Rotation::ReissueOldOk, _) | (Rotation::Grace { .. }, None) => Repeat::Free,
        (Rotation::Grace { seconds }, Some(first)) => {
            let end = first.plus(seconds.saturating_mul(1000)).minus(GRACE_RESERVE_MS);
            if next < end {
                Repeat::Until(end)
            } else {
                Repeat::No
            }
        }
        (Rotation::Strict | Rotation::Unknown, _) => Repeat::No,
    }
}

/// The last useful moment: when the access token is near its end, or refused already; not before `earliest`.
fn probe_at(trail: &Trail, earliest: Millis) -> Option<Millis> {
    if trail.access_refused {
        return Some(earliest);
    }
    trail.access_ends.map(|end| end.minus(NEAR_END_MS).max(earliest))
}

#[cfg(test)]
mod tests;
