//! Token buckets. In memory only: after an eviction a bucket starts empty, so that forgetting never breaks a limit.

use postern_domain::time::Millis;

/// A bucket of deliveries that may be handed out now.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// Per second.
    rate: u16,
    /// Thousandths of a token.
    level: u64,
    at: Millis,
}

impl Bucket {
    /// Empty: the first token comes after 1 / rate seconds.
    pub(crate) const fn empty(rate: u16, now: Millis) -> Self {
        Self {
            rate,
            level: 0,
            at: now,
        }
    }

    /// A fifth of a second's worth, at least one: a burst exceeds the rate by no more than that.
    fn capacity(&self) -> u64 {
        u64::from(self.rate / 5).max(1) * 1000
    }

    /// A clock that went back is believed: until it were where it was, nothing would come.
    fn refill(&mut self, now: Millis) {
        // rate tokens a second are `rate` thousandths a millisecond.
        let more = now.since(self.at).saturating_mul(self.rate.into());
        self.level = self.level.saturating_add(more).min(self.capacity());
        self.at = now;
    }

    /// How many may go now.
    pub(crate) fn available(&mut self, now: Millis) -> u64 {
        self.refill(now);
        self.level / 1000
    }

    /// Takes tokens that [`Bucket::available`] showed.
    pub(crate) const fn take(&mut self, tokens: u64) {
        self.level = self.level.saturating_sub(tokens * 1000);
    }

    /// When a full capacity's worth, or the first token of a slow bucket, is there.
    pub(crate) fn opens_at(&self, now: Millis) -> Millis {
        let missing = self.capacity().saturating_sub(self.level);
        now.plus(missing.div_ceil(u64::from(self.rate).max(1)).max(1))
    }

    /// The rate that it was made for.
    pub(crate) const fn rate(&self) -> u16 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_starts_empty_and_never_gives_more_than_its_rate_and_one_burst() {
        let mut bucket = Bucket::empty(10, Millis(0));
        assert_eq!(bucket.available(Millis(0)), 0);
        let mut given = 0;
        for ms in 0..5000 {
            let now = bucket.available(Millis(ms));
            bucket.take(now);
            given += now;
        }
        assert!((49..=52).contains(&given), "{given}");
    }

    #[test]
    fn a_burst_is_a_fifth_of_a_second_and_one_token_at_least() {
        for (rate, burst) in [(1, 1), (9, 1), (10, 2), (500, 100)] {
            let mut bucket = Bucket::empty(rate, Millis(0));
            assert_eq!(bucket.available(Millis(60_000)), burst, "{rate} a second");
            bucket.take(burst);
            assert_eq!(bucket.available(Millis(60_000)), 0);
        }
    }

    #[test]
    fn it_says_when_it_opens() {
        let mut bucket = Bucket::empty(1, Millis(0));
        let at = bucket.opens_at(Millis(0));
        assert_eq!(bucket.available(at), 1);
        assert_eq!(
            bucket.clone().available(at.minus(1)),
            1,
            "time does not run backwards"
        );
    }

    #[test]
    fn after_the_clock_went_back_it_gives_its_rate() {
        let mut bucket = Bucket::empty(1, Millis(500_000));
        assert_eq!(bucket.available(Millis(1000)), 0);
        let at = bucket.opens_at(Millis(1000));
        assert_eq!((at, bucket.available(at)), (Millis(2000), 1));
    }
}
