//! Bugs that are planted on purpose: each rule of the protocol is switched off alone, and some life must break. What
//! would not be found if it were broken by accident is not tested.

use postern_ledger::Rules;

use crate::known::Plant;
use crate::world::{Length, World};
use crate::{many, number};

macro_rules! planted {
    ($($(#[$meta:meta])* $name:ident, near $seed:literal: $plant:expr;)*) => {
        $(
            #[test]
            $(#[$meta])*
            fn $name() {
                is_found(stringify!($name), $plant, $seed);
            }
        )*
    };
}

fn without(switch: impl FnOnce(&mut Rules)) -> Plant {
    let mut rules = Rules::default();
    switch(&mut rules);
    Plant {
        rules,
        ..Plant::default()
    }
}

planted! {
    a_first_try_that_is_too_old_is_taken, near 0: without(|rules| rules.nonce = false);
    the_mark_passes_live_leases, near 0: without(|rules| rules.mark_waits = false);
    a_due_row_is_not_checked, near 0: without(|rules| rules.due_checked = false);
    a_late_failure_moves_the_plan, near 83: without(|rules| rules.late_changes_nothing = false);
    a_disabled_endpoint_is_still_owed, near 0: without(|rules| rules.cancel = false);
    what_is_out_is_forgotten_at_eviction, near 0: without(|rules| rules.recall = false);
    a_try_by_hand_goes_beside_the_plan, near 0: without(|rules| rules.manual_waits = false);
    a_try_by_hand_outlives_its_endpoint, near 504: without(|rules| rules.generation = false);
    a_partial_report_ends_the_lane, near 0: without(|rules| rules.partial_ends_nothing = false);
    a_doubled_success_is_dropped, near 0: without(|rules| rules.success_replaces = false);
    a_segment_is_dropped_while_leases_live, near 103: without(|rules| rules.segments_close = false);
    a_sweep_is_torn, near 346: without(|rules| rules.sweep_is_one = false);
    a_retry_leaves_before_its_row_moved, near 225: without(|rules| rules.due_moves_first = false);
    a_line_goes_on_beside_its_lane, near 89: without(|rules| rules.one_lane_a_line = false);
    a_dedupe_key_is_forgotten, near 0: without(|rules| rules.dedupe = false);
    a_number_is_given_twice, near 18: without(|rules| rules.numbers_rise = false);
    a_lost_lease_is_not_found, near 0: without(|rules| rules.lost_is_found = false);
    // `lost_is_one` is found by the search of small worlds: no seed meets both of the mishaps that it needs.
    a_cursor_passes_what_is_out, near 0: without(|rules| rules.cursor_waits = false);
    a_line_in_order_uses_due, near 0: without(|rules| rules.order_without_due = false);
    a_line_in_order_begins_behind_its_head, near 0: without(|rules| rules.order_from_head = false);
    disabling_frees_slots, near 18: without(|rules| rules.disable_frees_nothing = false);
    a_gate_opens_in_the_past, near 0: without(|rules| rules.gates_open_later = false);
    a_result_is_recorded_twice, near 0: without(|rules| rules.results_once = false);
    a_consumer_sends_after_its_lease, near 0: Plant { consumer_looks: false, ..Plant::default() };
    a_consumer_goes_on_behind_a_failure, near 0: Plant { consumer_stops: false, ..Plant::default() };
    a_consumer_ends_a_lane_that_goes_on, near 0: Plant { consumer_ends: false, ..Plant::default() };
}

/// Looked for from the first seed that found it when it was written; where that finds it no more, from 0 on.
fn is_found(name: &str, plant: Plant, near: u64) {
    let seeds = number("SEEDS").unwrap_or(1000);
    let look = |from, to| many(from..to, plant, Length::Usual, false, |_, _| {}).1;
    let mut broken = look(near, near + 5);
    if broken.is_empty() {
        broken = look(0, seeds);
    }
    let Some((seed, what)) = broken.first() else {
        panic!("{seeds} lives, and nothing broke where {name}");
    };
    let (_, end) = World::live(*seed, Plant::default(), Length::Usual, false);
    assert_eq!(end.err(), None, "seed {seed} breaks with every rule in place");
    println!("{name}: seed {seed}: {what}");
}
