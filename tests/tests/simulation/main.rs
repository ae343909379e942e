//! Many lives of a tenant, each from a seed: what can be lost, late or doubled is, and the guarantees hold all the same.
//!
//! `SEEDS=5000` looks at more lives than usual, `SEED=42` at one, with its story.

mod consumer;
mod judge;
mod known;
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

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_guarantees_hold_in_every_life() {
    if let Some(seed) = number("SEED") {
        let (story, end) = World::live(seed, Plant::default(), Length::Usual, true);
        panic!("{}\n{end:?}", story.join("\n"));
    }
    let (first, seeds) = (number("FIRST").unwrap_or(0), number("SEEDS").unwrap_or(200));
    let (sums, broken) = many(first..first + seeds, Plant::default(), number("ALL").is_some());
    let told: Vec<String> = broken
        .iter()
        .map(|(seed, broken)| format!("seed {seed}: {broken}"))
        .collect();
    assert!(broken.is_empty(), "{} (SEED=… tells the story)", told.join("\n"));
    // What never happens is not tested.
    assert!(
        sums.missing().is_empty(),
        "{:?} never happened: {sums:?}",
        sums.missing()
    );
}

/// Lives of many seeds, side by side. Stops at the first that does not end well, unless `all` shall be told.
fn many(seeds: Range<u64>, plant: Plant, all: bool) -> (Counts, Vec<(u64, String)>) {
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
                    let end = World::live(seed, plant, Length::Usual, false).1;
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
                }
            });
        }
    });
    let (sums, mut broken) = found.into_inner().expect("no life panics");
    broken.sort();
    (sums, broken)
}
