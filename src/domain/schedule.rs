//! When a delivery is tried again.

use serde::{Deserialize, Serialize};

use crate::id::MAX_48;
use crate::time::Millis;

/// The most steps of a plan.
const MAX_STEPS: usize = 20;

/// The longest step: 7 days, in seconds.
const MAX_STEP: u32 = 7 * 86_400;

/// The longest plan: 14 days, in seconds.
const MAX_TOTAL: u64 = 14 * 86_400;

/// How far chance moves a step, in percent, to either side: deliveries that failed together do not come back together.
const JITTER_PERCENT: u64 = 15;

/// What an endpoint may ask for with `Retry-After`, at the most.
const MAX_RETRY_AFTER: u64 = Millis::DAY;

/// Waits between tries, in seconds. As JSON: a list of numbers.
///
/// A delivery is tried at once and then once after each step: one try more than there are steps. Without a step there is
/// one try and no second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Schedule(Vec<u32>);

/// Why a list of waits is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// Too many steps.
    #[error("a retry schedule has at most 20 steps")]
    TooManySteps,
    /// A step of nothing, or too long a one.
    #[error("each step of a retry schedule is 1 to 604800 seconds (7 days)")]
    Step,
    /// Too long in all.
    #[error("the steps of a retry schedule are together at most 1209600 seconds (14 days)")]
    TooLong,
}

impl Schedule {
    /// A plan of 0 to 20 steps, each of 1 s to 7 days, 14 days in all.
    pub fn new(steps: Vec<u32>) -> Result<Self, InvalidSchedule> {
        if steps.len() > MAX_STEPS {
            return Err(InvalidSchedule::TooManySteps);
        }
        if !steps.iter().all(|step| (1..=MAX_STEP).contains(step)) {
            return Err(InvalidSchedule::Step);
        }
        if steps.iter().copied().map(u64::from).sum::<u64>() > MAX_TOTAL {
            return Err(InvalidSchedule::TooLong);
        }
        Ok(Self(steps))
    }

    /// The waits, in seconds.
    #[must_use]
    pub fn steps(&self) -> &[u32] {
        &self.0
    }

    /// When the delivery is tried again, after `attempts` recorded attempts of the plan (at least 1); `None`: the plan is
    /// used up. The step is moved by chance, ±15 %, and is never earlier than `Retry-After`, which counts up to 24 h.
    ///
    /// A try that `Retry-After` puts off comes exactly then: spreading many of them is the lane's business.
    #[must_use]
    pub fn next(
        &self,
        attempts: u32,
        now: Millis,
        retry_after_ms: Option<u64>,
        random: u64,
    ) -> Option<Millis> {
        let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
        let step = u64::from(*self.0.get(index)?) * Millis::SECOND;
        let spread = step * JITTER_PERCENT / 100;
        let wait = step - spread + random % (2 * spread + 1);
        let asked = retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER);
        Some(now.plus(wait.max(asked)))
    }
}

/// The schedule of Standard Webhooks: about 75 hours in ten tries.
impl Default for Schedule {
    fn default() -> Self {
        const MINUTE: u32 = 60;
        const HOUR: u32 = 3600;
        Self(vec![
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            14 * HOUR,
            20 * HOUR,
            24 * HOUR,
        ])
    }
}

impl TryFrom<Vec<u32>> for Schedule {
    type Error = InvalidSchedule;

    fn try_from(steps: Vec<u32>) -> Result<Self, InvalidSchedule> {
        Self::new(steps)
    }
}

impl From<Schedule> for Vec<u32> {
    fn from(schedule: Schedule) -> Self {
        schedule.0
    }
}

/// `Retry-After` as milliseconds from `now`: seconds, whole or decimal, or an HTTP date. `None` for anything else; 0 for
/// a date in the past. Fractions of a millisecond are rounded up, so that nobody comes early; a wait past 48 bits counts
/// as one of 48 bits.
#[must_use]
pub fn retry_after_ms(value: &str, now: Millis) -> Option<u64> {
    let value = value.trim_matches([' ', '\t']);
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        return seconds_as_ms(value);
    }
    let date = httpdate::parse_http_date(value)
        .ok()?
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let date = u64::try_from(date.as_millis()).ok()?.min(MAX_48);
    Some(Millis(date).since(now))
}

/// Reads `12` and `12.5`, without a detour over binary fractions.
fn seconds_as_ms(value: &str) -> Option<u64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // Digits only, so that the one way to fail is to be too large.
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX);
    let thousandths = fraction
        .bytes()
        .chain([b'0'; 3])
        .take(3)
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let rest = u64::from(fraction.bytes().skip(3).any(|digit| digit != b'0'));
    let ms = whole
        .saturating_mul(Millis::SECOND)
        .saturating_add(thousandths + rest);
    Some(ms.min(MAX_48))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = Millis(1_614_265_330_000); // Thu, 25 Feb 2021 15:02:10 GMT

    fn plan() -> impl Strategy<Value = Schedule> {
        prop::collection::vec(1..=60_480_u32, 0..=20).prop_map(|steps| Schedule::new(steps).unwrap())
    }

    #[test]
    fn the_default_is_the_schedule_of_standard_webhooks_and_holds_its_own_rules() {
        let default = Schedule::default();
        assert_eq!(Schedule::new(default.steps().to_vec()), Ok(default.clone()));
        assert_eq!(
            default.steps(),
            [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
        );
        assert_eq!(default.steps().iter().sum::<u32>(), 272_105); // 75 h 35 min 5 s
    }

    #[test]
    fn a_schedule_without_steps_is_one_try() {
        assert_eq!(Schedule::new(vec![]).unwrap().next(1, NOW, None, 0), None);
    }

    #[test]
    fn chance_moves_a_step_from_85_to_115_percent() {
        let schedule = Schedule::new(vec![100]).unwrap();
        assert_eq!(schedule.next(1, NOW, None, 0), Some(NOW.plus(85_000)));
        assert_eq!(schedule.next(1, NOW, None, 15_000), Some(NOW.plus(100_000)));
        assert_eq!(schedule.next(1, NOW, None, 30_000), Some(NOW.plus(115_000)));
        assert_eq!(schedule.next(1, NOW, None, 30_001), Some(NOW.plus(85_000)));
    }

    #[test]
    fn a_retry_after_is_honoured_up_to_a_day() {
        let schedule = Schedule::new(vec![10]).unwrap();
        let next = |asked| schedule.next(1, NOW, Some(asked), 0);
        assert_eq!(next(60_000), Some(NOW.plus(60_000)));
        assert_eq!(next(1), Some(NOW.plus(8_500)));
        assert_eq!(next(Millis::DAY + 1), Some(NOW.plus(Millis::DAY)));
        assert_eq!(next(u64::MAX), Some(NOW.plus(Millis::DAY)));
    }

    #[test]
    fn a_retry_after_does_not_prolong_the_plan() {
        assert_eq!(
            Schedule::new(vec![10]).unwrap().next(2, NOW, Some(60_000), 0),
            None
        );
    }

    #[test]
    fn the_bounds_of_a_schedule_are_checked() {
        assert_eq!(Schedule::new(vec![1; 21]), Err(InvalidSchedule::TooManySteps));
        assert_eq!(Schedule::new(vec![5, 0]), Err(InvalidSchedule::Step));
        assert_eq!(Schedule::new(vec![604_801]), Err(InvalidSchedule::Step));
        assert_eq!(
            Schedule::new(vec![604_800, 604_800, 1]),
            Err(InvalidSchedule::TooLong)
        );
        assert!(Schedule::new(vec![1; 20]).is_ok());
        assert!(Schedule::new(vec![604_800, 604_800]).is_ok());
    }

    #[test]
    fn json_is_the_list_of_seconds_and_is_checked_when_read() {
        let schedule = Schedule::new(vec![5, 300]).unwrap();
        assert_eq!(serde_json::to_string(&schedule).unwrap(), "[5,300]");
        assert_eq!(serde_json::from_str::<Schedule>("[5,300]").unwrap(), schedule);
        for text in ["[0]", "[604801]", "[-1]", "[1.5]", "5", "[604800,604800,604800]"] {
            assert!(serde_json::from_str::<Schedule>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_whole_or_decimal() {
        for (text, ms) in [
            ("0", 0),
            ("120", 120_000),
            (" 120\t", 120_000),
            ("1.5", 1_500),
            ("0.25", 250),
            ("2.000", 2_000),
            ("0.0001", 1),
            ("0.0010", 1),
            ("99999999999999999999999", MAX_48),
        ] {
            assert_eq!(retry_after_ms(text, NOW), Some(ms), "{text}");
        }
    }

    #[test]
    fn retry_after_is_read_as_an_http_date() {
        for (text, ms) in [
            ("Thu, 25 Feb 2021 15:03:10 GMT", 60_000),
            ("Thursday, 25-Feb-21 15:03:10 GMT", 60_000),
            ("Thu Feb 25 15:03:10 2021", 60_000),
            ("Thu, 25 Feb 2021 15:02:10 GMT", 0),
            ("Wed, 24 Feb 2021 15:02:10 GMT", 0),
        ] {
            assert_eq!(retry_after_ms(text, NOW), Some(ms), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_no_retry_after() {
        for text in [
            "",
            "soon",
            "-5",
            "+5",
            "1e3",
            "5s",
            "5.",
            ".5",
            "1.2.3",
            "١",
            "2021-02-25T15:03:10Z",
            "Thu, 32 Feb 2021 15:03:10 GMT",
        ] {
            assert_eq!(retry_after_ms(text, NOW), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_is_one_try_more_than_steps(schedule in plan(), random: u64) {
            let mut tries = 1;
            while schedule.next(tries, NOW, None, random).is_some() {
                tries += 1;
            }
            prop_assert_eq!(usize::try_from(tries).unwrap(), schedule.steps().len() + 1);
        }

        #[test]
        fn a_wait_stays_within_15_percent_of_its_step(step in 1..=604_800_u32, random: u64) {
            let due = Schedule::new(vec![step]).unwrap().next(1, NOW, None, random).unwrap();
            let (wait, step) = (due.since(NOW), u64::from(step) * 1000);
            prop_assert!((step * 85 / 100..=step * 115 / 100).contains(&wait), "{wait} of {step}");
        }

        #[test]
        fn a_try_is_never_earlier_than_retry_after_nor_than_its_step(step in 1..=604_800_u32, asked: u64, random: u64) {
            let schedule = Schedule::new(vec![step]).unwrap();
            let due = schedule.next(1, NOW, Some(asked), random).unwrap();
            prop_assert!(due.since(NOW) >= asked.min(Millis::DAY));
            prop_assert!(due >= schedule.next(1, NOW, None, random).unwrap());
        }

        #[test]
        fn what_is_accepted_reads_back_as_it_was_written(steps in prop::collection::vec(0..=700_000_u32, 0..=22)) {
            let text = serde_json::to_string(&steps).unwrap();
            let read = serde_json::from_str::<Schedule>(&text);
            prop_assert_eq!(read.is_ok(), Schedule::new(steps.clone()).is_ok());
            if let Ok(schedule) = read {
                prop_assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
            }
        }

        #[test]
        fn decimal_seconds_are_never_rounded_down(ms in 0..=MAX_48 / 1000, more in "[0-9]{0,6}") {
            let text = format!("{}.{:03}{more}", ms / 1000, ms % 1000);
            let extra = u64::from(more.bytes().any(|digit| digit != b'0'));
            prop_assert_eq!(retry_after_ms(&text, NOW), Some(ms + extra));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*", now: u64) {
            let _ = retry_after_ms(&text, Millis(now));
        }
    }
}
