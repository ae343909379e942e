//! How fast a connection's API may be asked: by the second, the minute and the day, and not at all for a while when the
//! provider says so.
//!
//! Each limit counts over a sliding window: what was asked in the window before counts as far as it still overlaps. All of
//! it stands in memory; an object that forgets has been idle for longer than its short windows, and the day's count begins
//! with what is written down of uses.

use postern_domain::oauth::provider::Limits;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{Spent, TokenThrottled};

use crate::Connection;
use crate::sql::Sql;

/// The longest that a provider's `Retry-After` closes a connection's API.
const MOST_CLOSED_MS: u64 = Millis::DAY;

/// Where the counts stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets {
    second: Window,
    minute: Window,
    day: Window,
    day_known: bool,
    closed_until: Millis,
}

/// One sliding window.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    /// Which window of its length since 1970.
    number: u64,
    now: u64,
    before: u64,
}

impl Window {
    /// How many count at this moment.
    fn count(&mut self, now: Millis, length_ms: u64) -> u64 {
        let number = now.0 / length_ms;
        if number > self.number {
            self.before = if number == self.number + 1 { self.now } else { 0 };
            self.now = 0;
            self.number = number;
        }
        let over = now.0 % length_ms;
        self.now + self.before * (length_ms - over) / length_ms
    }
}

impl Buckets {
    /// Takes so many requests out of every limit, or says which one is used up and for how long.
    fn take(&mut self, limits: &Limits, wanted: u64, now: Millis) -> Result<(), (&'static str, u64)> {
        if now < self.closed_until {
            return Err(("the provider's own limit", self.closed_until.since(now)));
        }
        let limits = [
            ("requests per second", limits.per_second, 1000),
            ("requests per minute", limits.per_minute, 60_000),
            ("requests per day", limits.per_day, Millis::DAY),
        ];
        let windows = [&mut self.second, &mut self.minute, &mut self.day];
        for (window, (name, limit, length)) in windows.into_iter().zip(limits) {
            let count = window.count(now, length);
            if let Some(limit) = limit.filter(|limit| count + wanted > u64::from(*limit)) {
                // A part of the window has to pass, as large as what is too much.
                let much = (count + wanted).saturating_sub(u64::from(limit)).max(1);
                let wait = length * much / u64::from(limit.max(1));
                return Err((name, wait.clamp(1, length)));
            }
        }
        for window in [&mut self.second, &mut self.minute, &mut self.day] {
            window.now += wanted;
        }
        Ok(())
    }
}

impl<S: Sql> Connection<S> {
    /// Takes one request out of the connection's limits, or says which one is used up.
    pub(crate) fn token_spend(&mut self, now: Millis) -> Result<Spent, Problem> {
        let limits = self.limits()?;
        if limits.per_day.is_some() && !self.buckets.day_known {
            let day = now.minus(Millis::DAY).0 / 3_600_000;
            let used = "SELECT COALESCE(SUM(used), 0) FROM usage WHERE hour > ?";
            let row = self.sql.row(used, &[day.into()])?;
            self.buckets.day.count(now, Millis::DAY);
            self.buckets.day.now += row.map_or(Ok(0), |row| row.number(0))?;
            self.buckets.day_known = true;
        }
        Ok(match self.buckets.take(&limits, 1, now) {
            Ok(()) => Spent::default(),
            Err((limit, wait_ms)) => Spent {
                limit: Some(limit.to_owned()),
                wait_ms,
            },
        })
    }

    /// The provider said that it is asked too fast: everybody who spends this connection's token waits.
    pub(crate) fn token_throttled(&mut self, call: TokenThrottled, now: Millis) -> Result<(), Problem> {
        self.standing()?;
        let until = now.plus(call.ms.min(MOST_CLOSED_MS));
        self.buckets.closed_until = self.buckets.closed_until.max(until);
        Ok(())
    }

    fn limits(&mut self) -> Result<Limits, Problem> {
        let api = self.standing()?.record.provider.api.as_ref();
        Ok(api.map(|api| api.limits).unwrap_or_default())
    }

    /// Whether every request has to ask: there is a limit, or the provider has closed its API.
    pub(crate) fn is_limited(&self, limits: &Limits, now: Millis) -> bool {
        let any = limits.per_second.is_some() || limits.per_minute.is_some() || limits.per_day.is_some();
        any || now < self.buckets.closed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(limit: u32) -> Limits {
        Limits {
            per_second: Some(limit),
            ..Limits::default()
        }
    }

    #[test]
    fn a_second_lets_its_number_through_and_the_next_one_as_the_window_slides() {
        let (mut buckets, limits, at) = (Buckets::default(), per_second(4), Millis(1_000_000));
        for _ in 0..4 {
            assert_eq!(buckets.take(&limits, 1, at), Ok(()));
        }
        assert_eq!(
            buckets.take(&limits, 1, at).map_err(|(name, _)| name),
            Err("requests per second")
        );
        assert!(
            buckets.take(&limits, 1, at.plus(1000)).is_err(),
            "all four still count at the window's edge"
        );
        assert_eq!(buckets.take(&limits, 1, at.plus(1250)), Ok(()));
        assert!(buckets.take(&limits, 1, at.plus(1250)).is_err());
        assert_eq!(buckets.take(&limits, 4, at.plus(3000)), Ok(()));
    }

    #[test]
    fn what_is_refused_by_one_limit_is_taken_from_none() {
        let limits = Limits {
            per_second: Some(10),
            per_minute: None,
            per_day: Some(2),
        };
        let (mut buckets, at) = (Buckets::default(), Millis(86_400_000 * 20_000));
        assert_eq!(buckets.take(&limits, 2, at), Ok(()));
        for _ in 0..20 {
            assert_eq!(
                buckets.take(&limits, 1, at).map_err(|(name, _)| name),
                Err("requests per day")
            );
        }
        assert_eq!(buckets.second.now, 2);
    }

    #[test]
    fn a_provider_that_closes_its_api_closes_it_for_everybody_and_no_longer_than_it_says() {
        let (mut buckets, limits, at) = (Buckets::default(), per_second(4), Millis(1_000_000));
        buckets.closed_until = at.plus(30_000);
        assert_eq!(
            buckets.take(&limits, 1, at),
            Err(("the provider's own limit", 30_000))
        );
        assert_eq!(buckets.take(&limits, 1, at.plus(30_000)), Ok(()));
    }
}
