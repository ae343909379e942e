//! What is decided in a life beside its rules: drawn from a seed, or read from a script that tries one way after the other.

use postern_tests::tenant::Seeded;

/// Who decides.
pub(crate) enum Chance {
    /// A seed.
    Drawn(Seeded),
    /// A script: the mishaps and the order of things are tried one after the other, and whatever else is drawn stands
    /// still.
    Scripted(Script),
}

/// Decisions to repeat, and those that were made.
#[derive(Default)]
pub(crate) struct Script {
    /// Decided before: how it goes where this one begins to differ.
    prefix: Vec<usize>,
    /// What was decided, of how many.
    pub(crate) trail: Vec<(usize, usize)>,
    /// Mishaps that may still come.
    pub(crate) mishaps: u32,
}

impl Chance {
    /// A number below `end`; in a script 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        match self {
            Self::Drawn(seeded) => seeded.below(end),
            Self::Scripted(_) => 0,
        }
    }

    /// True so many times of a hundred; in a script never.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        match self {
            Self::Drawn(seeded) => seeded.percent(percent),
            Self::Scripted(_) => false,
        }
    }

    /// The same of what a script tries both ways, though it goes wrong.
    pub(crate) fn mishap(&mut self, percent: u64) -> bool {
        match self {
            Self::Drawn(seeded) => seeded.percent(percent),
            Self::Scripted(script) => script.mishap(2) == 1,
        }
    }

    /// The same of what is no mishap.
    pub(crate) fn either(&mut self, percent: u64) -> bool {
        match self {
            Self::Drawn(seeded) => seeded.percent(percent),
            Self::Scripted(script) => script.choose(2) == 1,
        }
    }

    /// The script, if there is one.
    pub(crate) fn script(&mut self) -> Option<&mut Script> {
        match self {
            Self::Drawn(_) => None,
            Self::Scripted(script) => Some(script),
        }
    }

    /// Nothing is drawn.
    pub(crate) const fn is_scripted(&self) -> bool {
        matches!(self, Self::Scripted(_))
    }
}

impl Script {
    /// Repeats these decisions, then takes the first way everywhere.
    pub(crate) fn new(prefix: Vec<usize>, mishaps: u32) -> Self {
        Self {
            prefix,
            mishaps,
            ..Self::default()
        }
    }

    /// One of so many ways.
    pub(crate) fn choose(&mut self, ways: usize) -> usize {
        let chosen = self.prefix.get(self.trail.len()).copied().unwrap_or(0);
        self.trail.push((chosen, ways));
        chosen
    }

    /// The same where all but the first go wrong: while something may.
    pub(crate) fn mishap(&mut self, ways: usize) -> usize {
        if self.mishaps == 0 {
            return 0;
        }
        let chosen = self.choose(ways);
        self.mishaps -= u32::from(chosen > 0);
        chosen
    }

    /// What was decided last was the last of its ways that makes a difference.
    pub(crate) fn no_more_ways(&mut self) {
        if let Some((chosen, ways)) = self.trail.last_mut() {
            *ways = *chosen + 1;
        }
    }

    /// Whether what was to be repeated was.
    pub(crate) fn is_new(&self) -> bool {
        self.trail.len() >= self.prefix.len()
    }

    /// The decisions of the next way that was not gone yet. `None`: all were.
    pub(crate) fn next(mut self) -> Option<Vec<usize>> {
        while let Some((chosen, ways)) = self.trail.pop() {
            if chosen + 1 < ways {
                let mut next: Vec<usize> = self.trail.iter().map(|(chosen, _)| *chosen).collect();
                next.push(chosen + 1);
                return Some(next);
            }
        }
        None
    }
}
