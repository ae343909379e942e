//! Which delivery of an invocation is sent next: lanes take turns, each within its own cap, all within the invocation's.

use std::collections::VecDeque;

/// Sends at the same time in one invocation: the platform lets six connections wait for their headers, and one is for
/// talking to objects.
pub(super) const PERMITS: usize = 5;

/// Turns of one invocation's lanes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: Vec<Waiting>,
    /// Whose turn it is.
    next: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct Waiting {
    deliveries: VecDeque<usize>,
    concurrency: usize,
    in_flight: usize,
}

impl Turns {
    /// Adds a lane with this many deliveries; answers its number.
    pub(super) fn add(&mut self, deliveries: usize, concurrency: u8) -> usize {
        let concurrency = usize::from(concurrency).max(1);
        self.lanes.push(Waiting {
            deliveries: (0..deliveries).collect(),
            concurrency,
            in_flight: 0,
        });
        self.lanes.len() - 1
    }

    /// The next delivery that may be sent, as lane and place in it. It counts as in flight from now on.
    pub(super) fn take(&mut self) -> Option<(usize, usize)> {
        if self.in_flight >= PERMITS {
            return None;
        }
        let count = self.lanes.len();
        for step in 0..count {
            let number = (self.next + step) % count;
            let lane = self.lanes.get_mut(number)?;
            if lane.in_flight >= lane.concurrency {
                continue;
            }
            if let Some(delivery) = lane.deliveries.pop_front() {
                lane.in_flight += 1;
                self.in_flight += 1;
                self.next = (number + 1) % count;
                return Some((number, delivery));
            }
        }
        None
    }

    /// A delivery of this lane is over.
    pub(super) fn done(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_sub(1);
        }
    }

    /// Takes a lane's deliveries out; answers how many had not been taken.
    pub(super) fn give_up(&mut self, lane: usize) -> usize {
        self.lanes
            .get_mut(lane)
            .map_or(0, |lane| std::mem::take(&mut lane.deliveries).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(turns: &mut Turns) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn lanes_take_turns() {
        let mut turns = Turns::default();
        turns.add(32, 16);
        turns.add(1, 16);
        turns.add(1, 16);
        assert_eq!(taken(&mut turns), [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)]);
    }

    #[test]
    fn no_lane_passes_its_own_cap_and_all_together_not_the_invocations() {
        let mut turns = Turns::default();
        turns.add(9, 2);
        assert_eq!(taken(&mut turns), [(0, 0), (0, 1)]);
        turns.add(9, 9);
        assert_eq!(taken(&mut turns).len(), PERMITS - 2);
        turns.done(0);
        assert_eq!(turns.take(), Some((0, 2)));
        assert_eq!(turns.take(), None);
    }

    #[test]
    fn a_lane_that_was_given_up_is_not_taken_from_any_more() {
        let mut turns = Turns::default();
        let lane = turns.add(3, 1);
        turns.take();
        assert_eq!(turns.give_up(lane), 2);
        turns.done(lane);
        assert_eq!(turns.take(), None);
    }
}
