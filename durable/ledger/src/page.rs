//! Pages of lists. An iterator is the id of the last item; with `-` before it, it goes backwards from the first.

use std::str::FromStr;

use postern_domain::id::MAX_48;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Page, PageOf};

/// Bytes of a page at the most; its last item may pass them.
pub(crate) const MOST_BYTES: usize = 4 << 20;

/// Rows that a page looks at, at the most.
pub(crate) const MOST_ROWS: usize = 5000;

/// Where a page begins and which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn<P = u64> {
    pub(crate) limit: usize,
    pub(crate) from: Option<P>,
    pub(crate) backwards: bool,
}

impl<P: Copy> Turn<P> {
    /// Reads an iterator that is an id.
    pub(crate) fn parse<I: FromStr>(page: &PageOf, position: impl Fn(&I) -> P) -> Result<Self, Problem> {
        Self::parse_with(page, |text| text.parse::<I>().ok().map(|id| position(&id)))
    }

    /// Reads an iterator of another form.
    pub(crate) fn parse_with(page: &PageOf, read: impl Fn(&str) -> Option<P>) -> Result<Self, Problem> {
        let limit = usize::from(page.limit.clamp(1, 250));
        let Some(text) = &page.iterator else {
            return Ok(Self {
                limit,
                from: None,
                backwards: false,
            });
        };
        let (text, backwards) = text
            .strip_prefix('-')
            .map_or((text.as_str(), false), |rest| (rest, true));
        let from = read(text).ok_or_else(invalid_iterator)?;
        Ok(Self {
            limit,
            from: Some(from),
            backwards,
        })
    }
}

impl Turn<u64> {
    /// What of a list of numbers, newest first, lies behind the place where this page begins.
    pub(crate) fn within(&self, low: u64, high: u64) -> (u64, u64) {
        match (self.from, self.backwards) {
            (Some(from), true) => (low.max(from + 1), high),
            (Some(from), false) => (low, high.min(from.saturating_sub(1))),
            (None, _) => (low, high),
        }
    }

    /// Cuts a page out of a list of numbers that is in memory.
    pub(crate) fn cut(&self, numbers: &[u64], ascending: bool) -> (Vec<u64>, bool) {
        let mut order: Vec<u64> = numbers.to_vec();
        order.sort_unstable();
        let upwards = ascending != self.backwards;
        if !upwards {
            order.reverse();
        }
        let behind = |number: &u64| match self.from {
            None => true,
            Some(from) if upwards => *number > from,
            Some(from) => *number < from,
        };
        let mut page: Vec<u64> = order.into_iter().filter(behind).collect();
        let done = page.len() <= self.limit;
        page.truncate(self.limit);
        if self.backwards {
            page.reverse();
        }
        (page, done)
    }
}

/// A page with its iterators. Going backwards, `done` says that nothing came before it.
pub(crate) fn of<T>(data: Vec<T>, done: bool, id: impl Fn(&T) -> String) -> Page<T> {
    let iterator = data.last().map(&id);
    let prev_iterator = data.first().map(|first| format!("-{}", id(first)));
    Page {
        data,
        iterator,
        prev_iterator,
        done,
    }
}

pub(crate) fn invalid_iterator() -> Problem {
    Problem::new(
        Code::InvalidIterator,
        "The iterator is not one that this list gave; begin without it",
    )
}

/// A place in a list that is not an item's id: numbers, and a check that binds them to what is listed, so that one that
/// another list gave is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<const N: usize>(pub(crate) [u64; N]);

impl<const N: usize> Place<N> {
    pub(crate) fn read(text: &str, prefix: &str, check: u32) -> Option<Self> {
        let mut parts = text
            .strip_prefix(prefix)?
            .split('_')
            .map(|part| u64::from_str_radix(part, 36).ok().filter(|n| *n <= MAX_48));
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = parts.next()??;
        }
        (parts.next()?? == u64::from(check) && parts.next().is_none()).then_some(Self(numbers))
    }

    pub(crate) fn text(&self, prefix: &str, check: u32) -> String {
        let numbers = self.0.iter().copied().chain([u64::from(check)]);
        let parts: Vec<String> = numbers.map(|number| Base36(number).to_string()).collect();
        format!("{prefix}{}", parts.join("_"))
    }
}

/// Four bytes of what cannot be guessed, as the check of a [`Place`].
pub(crate) fn check_of(random: &[u8]) -> u32 {
    random
        .iter()
        .take(4)
        .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// A number in the digits of base 36.
pub(crate) struct Base36(pub(crate) u64);

impl std::fmt::Display for Base36 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut rest, mut digits) = (self.0, Vec::new());
        loop {
            digits.push(char::from_digit(u32::try_from(rest % 36).unwrap_or(0), 36).unwrap_or('0'));
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        f.write_str(&digits.into_iter().rev().collect::<String>())
    }
}
