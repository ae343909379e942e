//! Points in time, as milliseconds since 1970: what workerd's clock gives and SQL keeps exactly.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, never negative, below 2^48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// One second, for sums.
    pub const SECOND: u64 = 1000;
    /// One day, for sums.
    pub const DAY: u64 = 86_400_000;

    /// `ms` later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// `ms` earlier, not before 1970.
    #[must_use]
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// How long after `earlier`; 0 if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// RFC 3339 with microseconds and `Z`, as Svix writes its times.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        DateTime::<Utc>::from_timestamp_millis(ms)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
            .to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Reads RFC 3339; `None` for anything else and for times before 1970.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        u64::try_from(time.timestamp_millis())
            .ok()
            .filter(|ms| *ms <= crate::id::MAX_48)
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339_and_read_back() {
        let time = Millis(1_614_265_330_123);
        assert_eq!(time.to_rfc3339(), "2021-02-25T15:02:10.123000Z");
        assert_eq!(Millis::from_rfc3339(&time.to_rfc3339()), Some(time));
        assert_eq!(Millis::from_rfc3339("2021-02-25T16:02:10.123+01:00"), Some(time));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2021-02-25",
            "1969-12-31T23:59:59Z",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(Millis::from_rfc3339(text), None, "{text}");
        }
    }
}
