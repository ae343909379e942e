//! A time that a provider signed.

use super::verdict::{Reason, Rejection};
use crate::time::Millis;

/// Seconds that a clock may be off, or a request be under way, unless a source says otherwise.
pub(super) const DEFAULT_TOLERANCE: u64 = 300;

/// The most that a source may ask for: a week, because a captured request is recognised by its id for eight days.
pub(super) const MAX_TOLERANCE: u64 = 7 * 86_400;

/// Seconds since 1970, with the text that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timestamp<'a> {
    pub(super) text: &'a str,
    seconds: u64,
}

impl<'a> Timestamp<'a> {
    /// Plain decimal digits that fit, and nothing around them.
    pub(super) fn parse(text: &'a str) -> Result<Self, Rejection> {
        let bad = || {
            let detail = "The signed time is no plain number of seconds since 1970";
            Rejection::new(Reason::BadTimestamp, detail)
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad()); // `parse` alone would take a leading plus
        }
        let seconds = text.parse().map_err(|_| bad())?;
        Ok(Self { text, seconds })
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
