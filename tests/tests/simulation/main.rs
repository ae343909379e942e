//! Many lives of a tenant, each from a seed: what can be lost, late or doubled is, and the guarantees hold all the same.
//!
//! `SEEDS=5000` looks at more lives than usual, `SEED=42` at one, with its story.

mod world;

use postern_ledger::{Rules, Settings};
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_guarantees_hold_in_every_life() {
    if let Some(seed) = number("SEED") {
        let (story, end) = World::live(seed, Rules::default(), true);
        panic!("{}\n{end:?}", story.join("\n"));
    }
    let seeds = number("SEEDS").unwrap_or(300);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let lives = |first: u64| {
        let mut sums = world::Counts::default();
        for seed in (first..seeds).step_by(usize::try_from(threads).unwrap_or(1)) {
            match World::live(seed, Rules::default(), false).1 {
                Ok(counts) => sums.add(counts),
                Err(broken) => panic!("seed {seed}: {broken} (SEED={seed} tells the story)"),
            }
        }
        sums
    };
    let mut sums = world::Counts::default();
    std::thread::scope(|scope| {
        let lives = &lives;
        let running: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || lives(first)))
            .collect();
        for thread in running {
            sums.add(thread.join().expect("every life ends well"));
        }
    });
    // What never happens is not tested.
    assert!(sums.happened(), "{sums:?}");
}

/// How many lives it takes, at the most, to see that a rule is needed.
const LIVES: u64 = 200;

fn breaks_without(rules: Rules) -> String {
    let lives = (0..LIVES).map(|seed| World::live(seed, rules, false).1);
    lives
        .into_iter()
        .find_map(Result::err)
        .expect("a guarantee breaks without the rule")
}

#[test]
fn without_the_nonce_one_publish_makes_two_messages() {
    let broken = breaks_without(Rules {
        nonce: false,
        ..Rules::default()
    });
    assert!(broken.contains("two messages"), "{broken}");
}

#[test]
fn a_mark_that_does_not_wait_for_leases_sends_twice() {
    let broken = breaks_without(Rules {
        mark_waits: false,
        ..Rules::default()
    });
    assert!(broken.contains("while it is out"), "{broken}");
}

#[test]
fn without_a_second_look_what_is_settled_is_sent_again() {
    let broken = breaks_without(Rules {
        due_checked: false,
        ..Rules::default()
    });
    assert!(broken.contains("handed out"), "{broken}");
}

#[test]
fn late_results_that_change_something_break_the_plan() {
    let broken = breaks_without(Rules {
        late_changes_nothing: false,
        ..Rules::default()
    });
    assert!(
        broken.contains("plan") || broken.contains("success") || broken.contains("while it is out"),
        "{broken}"
    );
}

#[test]
fn without_cancelling_a_disabled_endpoint_is_sent_what_was_owed() {
    let broken = breaks_without(Rules {
        cancel: false,
        ..Rules::default()
    });
    assert!(
        broken.contains("Cancelled") || broken.contains("open for ever"),
        "{broken}"
    );
}

#[test]
fn all_rules_are_on_unless_a_test_says_otherwise() {
    let Rules {
        nonce,
        mark_waits,
        due_checked,
        late_changes_nothing,
        cancel,
        recall,
        manual_waits,
        generation,
        partial_ends_nothing,
        success_replaces,
        segments_close,
        sweep_is_one,
        due_moves_first,
        one_lane_a_line,
    } = Settings::default().rules;
    assert!(nonce && mark_waits && due_checked && late_changes_nothing && cancel);
    assert!(recall && manual_waits && generation && partial_ends_nothing && success_replaces);
    assert!(segments_close && sweep_is_one && due_moves_first && one_lane_a_line);
}
