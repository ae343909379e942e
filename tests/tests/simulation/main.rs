//! Many lives of a tenant, each from a seed: what can be lost, late or doubled is, and the guarantees hold all the same.
//!
//! `SEEDS=5000` looks at more lives than usual, `SEED=42` at one, with its story. `scripts/simulate` reports on as many as
//! one likes, as long as one likes.

mod chance;
mod consumer;
mod exhaustive;
mod judge;
mod known;
mod planted;
#[path = "../../../src/deliver/results.rs"]
mod results;
#[path = "../../../src/deliver/turns.rs"]
mod turns;
mod world;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use known::{Counts, Plant};
use world::{Length, World};

#[test]
fn the_guarantees_hold_in_every_life() {
    if let Some(seed) = number("SEED") {
        let (story, end) = World::live(seed, Plant::default(), length(), true);
        panic!("{}\n{end:?}", story.join("\n"));
    }
    let (sums, broken) = many(
        seeds(200),
        Plant::default(),
        length(),
        number("ALL").is_some(),
        |_, _| {},
    );
    assert!(broken.is_empty(), "{}", told(&broken));
    // What never happens is not tested.
    let missing = sums.missing();
    assert!(missing.is_empty(), "{missing:?} never happened: {sums:?}");
}

/// What `scripts/simulate` runs.
#[test]
#[ignore = "takes as long as it is asked to"]
fn a_report() {
    let all = seeds(1000);
    let count = all.end - all.start;
    let (sums, broken) = many(all, Plant::default(), length(), true, |sums, failed| {
        let done = sums.lives + failed;
        if done % (count / 100).max(1) == 0 {
            let messages = sums.messages;
            eprintln!("{done:>8} of {count} lives, {messages:>9} messages, {failed} broken");
        }
    });
    println!("{}", sums.table());
    assert!(broken.is_empty(), "{}", told(&broken));
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: {text} is no number")),
    )
}

/// From `FIRST` on, as many as `SEEDS` says.
fn seeds(usual: u64) -> Range<u64> {
    let first = number("FIRST").unwrap_or(0);
    first..first + number("SEEDS").unwrap_or(usual)
}

fn length() -> Length {
    number("MESSAGES").map_or(Length::Usual, Length::Messages)
}

fn told(broken: &[(u64, String)]) -> String {
    let lines: Vec<String> = broken
        .iter()
        .map(|(seed, what)| format!("seed {seed}: {what}"))
        .collect();
    format!("{}\n(SEED=… tells the story)", lines.join("\n"))
}

/// Lives of many seeds, side by side. Stops at the first that does not end well, unless `all` shall be told.
fn many(
    seeds: Range<u64>,
    plant: Plant,
    length: Length,
    all: bool,
    progress: impl Fn(&Counts, u64) + Sync,
) -> (Counts, Vec<(u64, String)>) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((Counts::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let end = World::live(seed, plant, length, false).1;
                    let mut found = found.lock().expect("no life panics");
                    match end {
                        Ok(counts) => found.0.add(counts),
                        Err(broken) => {
                            found.1.push((seed, broken));
                            if !all {
                                next.store(seeds.end, Ordering::Relaxed);
                            }
                        }
                    }
                    progress(&found.0, found.1.len() as u64);
                }
            });
        }
    });
    let (sums, mut broken) = found.into_inner().expect("no life panics");
    broken.sort();
    (sums, broken)
}
