//! How fast a connection's API may be asked: by the second, the minute and the day, and not at all for a while when the
//! provider says so.
//!
//! Each limit counts over a sliding window: what was asked in the window before counts as far as it still overlaps. All of
//! it stands in memory: an object that forgets has been idle for longer than its short windows. What a limit by the day
//! let through is written down too, once a minute at the most or with each hundredth of the limit, so that no more than
//! that is forgotten.

use postern_domain::oauth::provider::Limits;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{Spent, TokenThrottled};

use crate::Connection;
use crate::credential::Credential;
use crate::sql::Sql;

/// The longest that a provider's `Retry-After` closes a connection's API.
const MOST_CLOSED_MS: u64 = Millis::DAY;

/// What a limit by the day let through is written down when the last time is so long ago.
const SPENT_WRITTEN_MS: u64 = 60_000;

/// Or when it is so large a part of the limit.
const SPENT_WRITTEN_PART: u64 = 100;

/// Where the counts stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets {
    second: Window,
    minute: Window,
    day: Window,
    day_known: bool,
    /// Let through by the day's limit, and not written down yet.
    unwritten: u64,
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
        let limits = self.standing()?.record.limits();
        if limits.per_day.is_some() && !self.buckets.day_known {
            let credential = self.standing()?.credential.as_ref();
            let spent = credential.map_or(0, |credential| spent_24h(credential, now));
            self.buckets.day.count(now, Millis::DAY);
            self.buckets.day.now += spent;
            self.buckets.day_known = true;
        }
        if let Err((limit, wait_ms)) = self.buckets.take(&limits, 1, now) {
            return Ok(Spent {
                limit: Some(limit.to_owned()),
                wait_ms,
            });
        }
        if let Some(limit) = limits.per_day {
            self.buckets.unwritten += 1;
            self.write_spent(limit, now)?;
        }
        Ok(Spent::default())
    }

    /// Writes down what the day's limit let through, if it is time to.
    fn write_spent(&mut self, limit: u32, now: Millis) -> Result<(), Problem> {
        let unwritten = self.buckets.unwritten;
        let written = self
            .standing()?
            .credential
            .as_ref()
            .map(|credential| credential.spent_at);
        let due = written.is_some_and(|at| now.since(at) >= SPENT_WRITTEN_MS);
        if written.is_none() || !(due || unwritten * SPENT_WRITTEN_PART >= u64::from(limit)) {
            return Ok(());
        }
        let mut change = self.change()?;
        let credential = change.credential()?;
        let hour = now.0 / 3_600_000;
        match credential.spent.last_mut() {
            Some((last, sum)) if *last == hour => *sum += unwritten,
            _ => credential.spent.push((hour, unwritten)),
        }
        credential.spent.retain(|(old, _)| old + 24 > hour);
        credential.spent_at = now;
        self.commit(change, now, |_| Ok(()))?;
        self.buckets.unwritten = 0;
        Ok(())
    }

    /// The provider said that it is asked too fast: everybody who spends this connection's token waits.
    pub(crate) fn token_throttled(&mut self, call: TokenThrottled, now: Millis) -> Result<(), Problem> {
        self.standing()?;
        let until = now.plus(call.ms.min(MOST_CLOSED_MS));
        self.buckets.closed_until = self.buckets.closed_until.max(until);
        Ok(())
    }

    /// Whether every request has to ask: there is a limit, or the provider has closed its API.
    pub(crate) fn is_limited(&self, limits: &Limits, now: Millis) -> bool {
        let any = limits.per_second.is_some() || limits.per_minute.is_some() || limits.per_day.is_some();
        any || now < self.buckets.closed_until
    }
}

/// Requests that the day's limit let through in the last 24 hours, to the hour, as far as written down.
fn spent_24h(credential: &Credential, now: Millis) -> u64 {
    let hour = now.0 / 3_600_000;
    let spent = credential.spent.iter().filter(|(old, _)| old + 24 > hour);
    spent.map(|(_, sum)| sum).sum()
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
