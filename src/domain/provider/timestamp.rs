//! A time that a provider signed.

use super::names::Unit;
use super::verdict::{Reason, Rejection};
use crate::time::Millis;

/// Seconds that a clock may be off, or a request be under way, unless a source says otherwise.
pub(super) const DEFAULT_TOLERANCE: u64 = 300;

/// The most that a source may ask for: a week, because a captured request is recognised by its id for eight days.
pub(super) const MAX_TOLERANCE: u64 = 7 * 86_400;

/// Milliseconds of a time that has as few digits as seconds have: below that, a number of milliseconds is one of seconds
/// in the wrong field.
const LEAST_MILLIS: u64 = 100_000_000_000;

/// Seconds since 1970, with the text that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp<'a> {
    pub(super) text: &'a str,
    seconds: u64,
}

impl<'a> Timestamp<'a> {
    /// Plain decimal digits that fit, and nothing around them.
    pub(super) fn parse(text: &'a str) -> Result<Self, Rejection> {
        Self::parse_as(text, Unit::Seconds)
    }

    /// A time as this provider writes it.
    pub(super) fn parse_as(text: &'a str, unit: Unit) -> Result<Self, Rejection> {
        let bad = |wants: &str| {
            let detail = format!("The signed time is no {wants}");
            Rejection::new(Reason::BadTimestamp, detail)
        };
        let seconds = match unit {
            Unit::Seconds => digits(text).ok_or_else(|| bad("plain number of seconds since 1970"))?,
            Unit::Millis => {
                let ms = digits(text).filter(|ms| *ms >= LEAST_MILLIS);
                ms.ok_or_else(|| bad("plain number of milliseconds since 1970"))? / Millis::SECOND
            }
            Unit::Rfc3339 => {
                let time = Millis::from_rfc3339(text);
                time.ok_or_else(|| bad("time of the form 2021-03-25T05:09:27Z"))?
                    .seconds()
            }
        };
        Ok(Self { text, seconds })
    }

    /// A text that is signed and never compared with a clock.
    pub(super) fn unread(text: &'a str) -> Self {
        Self { text, seconds: 0 }
    }

    /// Bounded at both ends, edges included, in whole seconds as the providers' own libraries count. To be asked after
    /// the signature held, never before.
    pub(super) fn check_fresh(self, tolerance: u64, now: Millis) -> Result<(), Rejection> {
        let now = now.seconds();
        if now.abs_diff(self.seconds) <= tolerance {
            return Ok(());
        }
        let off = now.abs_diff(self.seconds);
        if self.seconds < now {
            let detail = format!("Genuine, but signed {off} s ago; this source takes {tolerance} s");
            return Err(Rejection::new(Reason::Stale, detail));
        }
        let detail =
            format!("Genuine, but signed {off} s ahead of our clock; this source takes {tolerance} s");
        Err(Rejection::new(Reason::Future, detail))
    }
}

/// `parse` alone would take a leading plus.
fn digits(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_that_fit_are_a_time() {
        for text in [
            "",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1e9",
            "1.0",
            "0x1",
            "١",
            "hello",
            "99999999999999999999999",
        ] {
            assert_eq!(
                Timestamp::parse(text).unwrap_err().reason,
                Reason::BadTimestamp,
                "{text}"
            );
        }
        assert_eq!(
            Timestamp::parse("18446744073709551615").unwrap().seconds,
            u64::MAX
        );
    }

    #[test]
    fn milliseconds_with_the_digits_of_seconds_are_no_time() {
        let seconds = |text| Timestamp::parse_as(text, Unit::Millis).map(|time| time.seconds);
        assert_eq!(seconds("1693657560000"), Ok(1_693_657_560));
        assert_eq!(seconds("1693657560").unwrap_err().reason, Reason::BadTimestamp);
    }

    #[test]
    fn a_time_with_a_zone_is_read_as_it_is_written() {
        let seconds = |text| Timestamp::parse_as(text, Unit::Rfc3339).map(|time| time.seconds);
        assert_eq!(seconds("2021-03-25T05:09:27Z"), Ok(1_616_648_967));
        for text in ["1616648967", "2021-03-25", "yesterday", ""] {
            assert_eq!(seconds(text).unwrap_err().reason, Reason::BadTimestamp, "{text}");
        }
    }

    #[test]
    fn both_edges_belong_to_what_is_fresh() {
        let judge = |now: u64| {
            let time = Timestamp::parse("10000").unwrap();
            time.check_fresh(300, Millis(now))
                .map_err(|rejection| rejection.reason)
        };
        assert_eq!(judge(9_699_999), Err(Reason::Future));
        assert_eq!(judge(9_700_000), Ok(()));
        assert_eq!(judge(10_300_999), Ok(()));
        assert_eq!(judge(10_301_000), Err(Reason::Stale));
    }

    #[test]
    fn the_largest_time_is_in_the_future_and_overflows_nothing() {
        let time = Timestamp::parse("18446744073709551615").unwrap();
        assert_eq!(
            time.check_fresh(300, Millis(0)).unwrap_err().reason,
            Reason::Future
        );
        assert_eq!(
            time.check_fresh(300, Millis(u64::MAX)).unwrap_err().reason,
            Reason::Future
        );
    }
}
