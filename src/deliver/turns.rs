//! Who sends next.
//!
//! An invocation may hold six connections that wait for an answer on the platform; five of them are given out here as
//! permits. Lanes take turns: first the tenant that has waited longest, in it the endpoint that has waited longest, so
//! that no one's backlog is in another's way. Nobody knows beforehand which endpoint hangs, and a send that has begun is
//! never broken off for a neighbour's sake. So:
//!
//! - An endpoint that has not answered yet in this invocation sends one; more only while nobody else could use the
//!   permit. One endpoint that hangs then costs its neighbours one permit.
//! - An endpoint that was slow comes after all others, and leaves one permit to others.
//!
//! With five or more endpoints that hang, the others wait, but not for long: at the hand-over the lanes that had no turn
//! go back to the queue and into an invocation of their own.
//!
//! Pure: the time comes in as a value, and what is sent is only named.

use std::collections::{BTreeMap, VecDeque};

use postern_domain::id::TenantId;
use postern_domain::time::Millis;

/// Sends at the same time in one invocation.
pub(super) const PERMITS: usize = 5;

/// Of these, what an endpoint that was slow may hold.
const PERMITS_OF_A_SLOW_ONE: usize = PERMITS - 1;

/// Time that is left of a lease after a send that takes its whole deadline, for the report.
const RESERVE_MS: u64 = 5_000;

/// How long work surely lives after its handler has ended.
const LIFE_AFTER_HANDOVER_MS: u64 = 30_000;

/// Large bodies that one call fetches.
const BODIES_A_CALL: usize = 8;

/// Large bodies that an invocation holds at the most: 1 MiB each, in an isolate of 128 MB.
const BODIES_HELD: usize = 40;

/// Whether a send that begins now can end, and be reported, inside its lease.
pub(super) fn lease_holds(now: Millis, deadline_ms: u64, until: Millis) -> bool {
    now.plus(deadline_ms).plus(RESERVE_MS) <= until
}

/// An endpoint: its tenant and its number.
pub(super) type EndpointKey = (TenantId, u32);

/// One delivery of a lane, as it waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its place in the lane.
    pub(super) index: usize,
    /// Its lease.
    pub(super) until: Millis,
    /// Whether its body is here; else it must be fetched first.
    pub(super) here: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// This delivery holds a permit: send it.
    Send {
        /// Of this lane.
        lane: usize,
        /// Its place in the lane.
        index: usize,
    },
    /// The lease, or what is left of this invocation, is too short: the ledger hands it out again.
    Drop {
        /// Of this lane.
        lane: usize,
        /// Its place in the lane.
        index: usize,
    },
}

/// How a send ended, as far as turns go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It gave its permit back soon, whatever was answered.
    Quick,
    /// It held its permit for long.
    Slow,
}

/// The lanes of one invocation.
#[derive(Debug)]
pub(super) struct Turns {
    deadline_ms: u64,
    lanes: Vec<Queued>,
    endpoints: BTreeMap<EndpointKey, Standing>,
    tenants: BTreeMap<TenantId, u64>,
    in_flight: usize,
    held: usize,
    given: u64,
    handed_over_at: Option<Millis>,
}

#[derive(Debug)]
struct Queued {
    endpoint: EndpointKey,
    concurrency: usize,
    ordered: bool,
    waiting: VecDeque<Waiting>,
    /// Places whose body was fetched, until their send has ended.
    fetched: Vec<usize>,
    fetching: usize,
    in_flight: usize,
}

#[derive(Debug, Default)]
struct Standing {
    pace: Option<Pace>,
    in_flight: usize,
    last_turn: u64,
}

impl Turns {
    /// No lanes; a send takes `deadline_ms` at the most.
    pub(super) fn new(deadline_ms: u64) -> Self {
        Self {
            deadline_ms,
            lanes: Vec::new(),
            endpoints: BTreeMap::new(),
            tenants: BTreeMap::new(),
            in_flight: 0,
            held: 0,
            given: 0,
            handed_over_at: None,
        }
    }

    /// A lane more; its number is its place among those that were added.
    /// `ordered`: nothing of it is sent after one that was not.
    pub(super) fn add(
        &mut self,
        endpoint: EndpointKey,
        concurrency: u8,
        ordered: bool,
        waiting: Vec<Waiting>,
    ) -> usize {
        self.endpoints.entry(endpoint).or_default();
        self.tenants.entry(endpoint.0).or_default();
        self.lanes.push(Queued {
            endpoint,
            concurrency: if ordered {
                1
            } else {
                usize::from(concurrency.max(1))
            },
            ordered,
            waiting: waiting.into(),
            fetched: Vec::new(),
            fetching: 0,
            in_flight: 0,
        });
        self.lanes.len() - 1
    }

    /// What is to be done now; none: nothing until something ends. Asked again after each turn, so that every lease is
    /// looked at with the permit in hand.
    pub(super) fn next(&mut self, now: Millis) -> Option<Turn> {
        self.too_late(now).or_else(|| self.send())
    }

    /// A send that [`Turn::Send`] began has ended.
    pub(super) fn ended(&mut self, lane: usize, index: usize, pace: Pace) {
        let Some(queued) = self.lanes.get_mut(lane) else {
            return;
        };
        queued.in_flight = queued.in_flight.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(at) = queued.fetched.iter().position(|fetched| *fetched == index) {
            queued.fetched.swap_remove(at);
            self.held = self.held.saturating_sub(1);
        }
        let standing = self.endpoints.entry(queued.endpoint).or_default();
        standing.in_flight = standing.in_flight.saturating_sub(1);
        standing.pace = Some(pace);
    }

    /// Bodies to fetch now: of which lane, and the places in it. Answered by [`Turns::came`].
    pub(super) fn wanted(&mut self) -> Option<(usize, Vec<usize>)> {
        let room = BODIES_HELD.saturating_sub(self.held).min(BODIES_A_CALL);
        if room == 0 {
            return None;
        }
        let needs =
            |queued: &Queued| queued.fetching == 0 && queued.waiting.front().is_some_and(|first| !first.here);
        let lane = self.lanes.iter().position(needs)?;
        let queued = self.lanes.get_mut(lane)?;
        let missing = queued.waiting.iter().filter(|waiting| !waiting.here);
        let wanted: Vec<usize> = missing.map(|waiting| waiting.index).take(room).collect();
        queued.fetching = wanted.len();
        self.held += wanted.len();
        Some((lane, wanted))
    }

    /// Of the bodies that were `wanted`, these came. The other deliveries are dropped: their message is gone, or the
    /// ledger hands them out again.
    pub(super) fn came(&mut self, lane: usize, wanted: &[usize], found: &[usize]) {
        let Some(queued) = self.lanes.get_mut(lane) else {
            return;
        };
        queued.fetching = 0;
        let mut waiting = std::mem::take(&mut queued.waiting);
        let missing = |index: &usize| wanted.contains(index) && !found.contains(index);
        if queued.ordered
            && let Some(end) = waiting.iter().position(|waiting| missing(&waiting.index))
        {
            // What stands behind one that cannot be sent may not go before it.
            let behind = waiting.split_off(end);
            let kept = |fetched: &usize| behind.iter().all(|waiting| waiting.index != *fetched);
            let before = queued.fetched.len();
            queued.fetched.retain(kept);
            self.held = self.held.saturating_sub(before - queued.fetched.len());
        }
        waiting.retain(|waiting| !wanted.contains(&waiting.index) || found.contains(&waiting.index));
        for waiting in &mut waiting {
            if found.contains(&waiting.index) {
                waiting.here = true;
                queued.fetched.push(waiting.index);
            }
        }
        queued.waiting = waiting;
        // What is not waiting any more by now was dropped for its lease: its body is not kept.
        let kept = queued
            .fetched
            .iter()
            .filter(|index| wanted.contains(index))
            .count();
        self.held = self.held.saturating_sub(wanted.len() - kept);
    }

    /// The handler ends now, and what has begun goes on without it: only what surely ends in the time that is left is
    /// begun from here on.
    pub(super) fn hand_over(&mut self, now: Millis) {
        self.handed_over_at = Some(now);
    }

    /// A send did not arrive. In a lane in order nothing behind it is sent.
    pub(super) fn not_arrived(&mut self, lane: usize) {
        if self.lanes.get(lane).is_some_and(|queued| queued.ordered) {
            self.release(lane);
        }
    }

    /// Whether a delivery still waits for its turn.
    pub(super) fn waits(&self, lane: usize, index: usize) -> bool {
        let queued = self.lanes.get(lane);
        queued.is_some_and(|queued| queued.waiting.iter().any(|waiting| waiting.index == index))
    }

    /// Nothing more of this lane is sent here.
    pub(super) fn release(&mut self, lane: usize) {
        let Some(queued) = self.lanes.get_mut(lane) else {
            return;
        };
        for waiting in std::mem::take(&mut queued.waiting) {
            if let Some(at) = queued
                .fetched
                .iter()
                .position(|fetched| *fetched == waiting.index)
            {
                queued.fetched.swap_remove(at);
                self.held = self.held.saturating_sub(1);
            }
        }
    }

    /// Nothing of the lane is left to do.
    pub(super) fn lane_done(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_none_or(Queued::done)
    }

    /// Sends are under way.
    pub(super) fn is_sending(&self) -> bool {
        self.in_flight > 0
    }

    /// Nothing of the tenant is left to do.
    pub(super) fn tenant_done(&self, tenant: TenantId) -> bool {
        let mut own = self.lanes.iter().filter(|queued| queued.endpoint.0 == tenant);
        own.all(Queued::done)
    }

    /// A delivery at the head of its lane that can no longer end in time; it needs no permit to be dropped.
    fn too_late(&mut self, now: Millis) -> Option<Turn> {
        for (lane, queued) in self.lanes.iter_mut().enumerate() {
            let pace = self
                .endpoints
                .get(&queued.endpoint)
                .and_then(|standing| standing.pace);
            let closed = self.handed_over_at.is_some_and(|at| {
                let takes = if pace == Some(Pace::Quick) {
                    0
                } else {
                    self.deadline_ms
                };
                now.plus(takes).plus(RESERVE_MS) > at.plus(LIFE_AFTER_HANDOVER_MS)
            });
            let late = |first: &mut Waiting| closed || !lease_holds(now, self.deadline_ms, first.until);
            if let Some(dropped) = queued.waiting.pop_front_if(late) {
                let index = dropped.index;
                if let Some(at) = queued.fetched.iter().position(|fetched| *fetched == index) {
                    queued.fetched.swap_remove(at);
                    self.held = self.held.saturating_sub(1);
                }
                if queued.ordered {
                    // All behind it go the same way, one by one: each is as late as the ledger finds them to be.
                    for waiting in &mut queued.waiting {
                        waiting.until = Millis(0);
                    }
                }
                return Some(Turn::Drop { lane, index });
            }
        }
        None
    }

    fn send(&mut self) -> Option<Turn> {
        if self.in_flight >= PERMITS {
            return None;
        }
        let (_, lane) = self
            .lanes
            .iter()
            .enumerate()
            .filter_map(|(lane, queued)| Some((self.rank(queued)?, lane)))
            .min()?;
        let queued = self.lanes.get_mut(lane)?;
        let first = queued.waiting.pop_front()?;
        queued.in_flight += 1;
        self.in_flight += 1;
        self.given += 1;
        self.tenants.insert(queued.endpoint.0, self.given);
        let standing = self.endpoints.entry(queued.endpoint).or_default();
        standing.in_flight += 1;
        standing.last_turn = self.given;
        Some(Turn::Send {
            lane,
            index: first.index,
        })
    }

    /// The lower, the sooner; none: nothing of it can be sent now. First whether it may hang, then who has waited
    /// longest, tenants before endpoints.
    fn rank(&self, queued: &Queued) -> Option<(u8, u64, u64)> {
        let ready = queued.waiting.front().is_some_and(|first| first.here);
        if !ready || queued.in_flight >= queued.concurrency {
            return None;
        }
        let standing = self.endpoints.get(&queued.endpoint)?;
        let risk = match standing.pace {
            Some(Pace::Quick) => 0,
            None if standing.in_flight == 0 => 0,
            None => 1,
            Some(Pace::Slow) if standing.in_flight < PERMITS_OF_A_SLOW_ONE => 2,
            Some(Pace::Slow) => return None,
        };
        let tenants_turn = self.tenants.get(&queued.endpoint.0).copied().unwrap_or_default();
        Some((risk, tenants_turn, standing.last_turn))
    }
}

impl Queued {
    fn done(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && self.fetching == 0
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);
    const DEADLINE_MS: u64 = 15_000;
    const LEASE_MS: u64 = 60_000;

    fn endpoint(tenant: u8, number: u32) -> EndpointKey {
        (TenantId([tenant; 20]), number)
    }

    fn waiting(count: usize) -> Vec<Waiting> {
        let one = |index| Waiting {
            index,
            until: NOW.plus(LEASE_MS),
            here: true,
        };
        (0..count).map(one).collect()
    }

    /// Runs all lanes to their end on a clock of its own; each lane's sends take as long as `takes_ms` says. Gives back
    /// when each lane's sends ended.
    fn run(mut turns: Turns, takes_ms: &[u64]) -> Vec<Vec<u64>> {
        let mut now = NOW;
        let mut ended = vec![Vec::new(); takes_ms.len()];
        let mut flying = BinaryHeap::new();
        loop {
            while let Some(turn) = turns.next(now) {
                if let Turn::Send { lane, index } = turn {
                    flying.push(Reverse((now.plus(takes_ms[lane]), lane, index)));
                    assert!(flying.len() <= PERMITS);
                }
            }
            let Some(Reverse((at, lane, index))) = flying.pop() else {
                return ended;
            };
            now = at;
            let pace = if takes_ms[lane] < 2000 {
                Pace::Quick
            } else {
                Pace::Slow
            };
            turns.ended(lane, index, pace);
            ended[lane].push(now.since(NOW));
        }
    }

    #[test]
    fn a_send_begins_only_if_it_can_end_and_be_reported_inside_its_lease() {
        assert!(lease_holds(NOW, 15_000, NOW.plus(20_000)));
        assert!(!lease_holds(NOW, 15_000, NOW.plus(19_999)));
    }

    #[test]
    fn a_delivery_whose_lease_is_too_short_is_dropped_even_when_no_permit_is_free() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 16, false, waiting(PERMITS));
        while turns.next(NOW).is_some() {}
        let mut overdue = waiting(1);
        overdue[0].until = NOW.plus(19_999);
        let lane = turns.add(endpoint(2, 1), 16, false, overdue);
        assert_eq!(turns.next(NOW), Some(Turn::Drop { lane, index: 0 }));
        assert!(turns.lane_done(lane));
    }

    #[test]
    fn the_lease_is_looked_at_again_when_the_permit_comes() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 1, false, waiting(2));
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index: 0 }));
        assert_eq!(turns.next(NOW), None);
        turns.ended(0, 0, Pace::Slow);
        let later = NOW.plus(LEASE_MS - DEADLINE_MS);
        assert_eq!(turns.next(later), Some(Turn::Drop { lane: 0, index: 1 }));
    }

    #[test]
    fn a_lanes_concurrency_holds_even_if_permits_are_free() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 2, false, waiting(5));
        assert!(turns.next(NOW).is_some());
        assert!(turns.next(NOW).is_some());
        assert_eq!(turns.next(NOW), None);
    }

    #[test]
    fn an_endpoint_alone_uses_every_permit() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 16, false, waiting(32));
        assert_eq!(std::iter::from_fn(|| turns.next(NOW)).count(), PERMITS);
    }

    #[test]
    fn six_hanging_and_six_healthy_endpoints_the_healthy_wait_for_one_deadline_at_the_most() {
        for deliveries in [1, 32] {
            let mut turns = Turns::new(DEADLINE_MS);
            let mut takes = Vec::new();
            for number in 0..12 {
                turns.add(endpoint(1, number), 16, false, waiting(deliveries));
                takes.push(if number < 6 { DEADLINE_MS } else { 20 });
            }
            let ended = run(turns, &takes);
            for healthy in &ended[6..] {
                assert_eq!(healthy.len(), deliveries);
                assert!(
                    healthy.iter().all(|at| *at < 2 * DEADLINE_MS),
                    "{deliveries}: {healthy:?}"
                );
                assert!(healthy[0] <= DEADLINE_MS + 200, "{deliveries}: {healthy:?}");
            }
        }
    }

    #[test]
    fn healthy_endpoints_that_come_first_never_wait_for_hanging_ones() {
        let mut turns = Turns::new(DEADLINE_MS);
        let mut takes = Vec::new();
        for number in 0..12 {
            turns.add(endpoint(1, number), 16, false, waiting(1));
            takes.push(if number < 6 { 20 } else { DEADLINE_MS });
        }
        let ended = run(turns, &takes);
        assert!(ended[..6].iter().flatten().all(|at| *at < 1000));
    }

    #[test]
    fn one_hanging_endpoint_with_a_full_lane_keeps_no_neighbour_waiting() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 16, false, waiting(32));
        turns.add(endpoint(1, 2), 16, false, waiting(32));
        turns.add(endpoint(2, 1), 16, false, waiting(32));
        let ended = run(turns, &[DEADLINE_MS, 20, 20]);
        assert_eq!(ended[1].len() + ended[2].len(), 64);
        assert!(ended[1].iter().chain(&ended[2]).all(|at| *at < 2000));
    }

    #[test]
    fn a_tenant_with_many_lanes_has_no_more_turns_than_one_with_one() {
        let mut turns = Turns::new(DEADLINE_MS);
        for number in 0..10 {
            turns.add(endpoint(1, number), 16, false, waiting(8));
        }
        turns.add(endpoint(2, 1), 16, false, waiting(8));
        let ended = run(turns, &[20; 11]);
        // 16 sends of both, five at a time, and the last wave.
        assert!(ended[10].iter().all(|at| *at <= 20 * 5), "{:?}", ended[10]);
    }

    #[test]
    fn a_lane_that_is_released_is_done_and_sends_nothing() {
        let mut turns = Turns::new(DEADLINE_MS);
        let lane = turns.add(endpoint(1, 1), 16, false, waiting(3));
        turns.release(lane);
        assert_eq!(turns.next(NOW), None);
        assert!(turns.lane_done(lane));
    }

    #[test]
    fn a_lane_that_is_released_while_its_bodies_come_keeps_none_of_them() {
        let mut turns = Turns::new(DEADLINE_MS);
        let mut large = waiting(2);
        for waiting in &mut large {
            waiting.here = false;
        }
        let lane = turns.add(endpoint(1, 1), 1, false, large);
        assert_eq!(turns.wanted(), Some((lane, vec![0, 1])));
        turns.release(lane);
        turns.came(lane, &[0, 1], &[0, 1]);
        assert!(turns.lane_done(lane));
        assert_eq!(turns.held, 0);
    }

    #[test]
    fn after_the_hand_over_only_what_surely_ends_in_the_time_left_is_begun() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 1, false, waiting(3)); // has not answered
        turns.add(endpoint(1, 2), 1, false, waiting(3)); // answers quickly
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index: 0 }));
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 1, index: 0 }));
        turns.ended(1, 0, Pace::Quick);
        turns.hand_over(NOW);
        turns.ended(0, 0, Pace::Slow);
        let later = NOW.plus(11_000);
        assert_eq!(turns.next(later), Some(Turn::Drop { lane: 0, index: 1 }));
        assert_eq!(turns.next(later), Some(Turn::Drop { lane: 0, index: 2 }));
        assert_eq!(turns.next(later), Some(Turn::Send { lane: 1, index: 1 }));
    }

    #[test]
    fn large_bodies_are_fetched_a_few_at_a_time_and_sent_in_order() {
        let mut turns = Turns::new(DEADLINE_MS);
        let mut large = waiting(10);
        for waiting in &mut large {
            waiting.here = false;
        }
        turns.add(endpoint(1, 1), 1, false, large);
        assert_eq!(turns.next(NOW), None);
        let (lane, wanted) = turns.wanted().unwrap_or_default();
        assert_eq!((lane, wanted.len()), (0, BODIES_A_CALL));
        assert_eq!(turns.wanted(), None, "one call of a lane at a time");
        turns.came(lane, &wanted, &wanted);
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index: 0 }));
        turns.ended(0, 0, Pace::Quick);
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index: 1 }));
    }

    #[test]
    fn a_lane_in_order_sends_one_after_another_however_many_permits_are_free() {
        let mut turns = Turns::new(DEADLINE_MS);
        turns.add(endpoint(1, 1), 16, true, waiting(3));
        for index in 0..3 {
            assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index }));
            assert_eq!(turns.next(NOW), None);
            turns.ended(0, index, Pace::Quick);
        }
        assert!(turns.lane_done(0));
    }

    #[test]
    fn behind_one_that_did_not_arrive_nothing_of_a_lane_in_order_is_sent() {
        for ordered in [true, false] {
            let mut turns = Turns::new(DEADLINE_MS);
            turns.add(endpoint(1, 1), 1, ordered, waiting(3));
            assert_eq!(turns.next(NOW), Some(Turn::Send { lane: 0, index: 0 }));
            turns.ended(0, 0, Pace::Quick);
            turns.not_arrived(0);
            assert_eq!(turns.lane_done(0), ordered);
            assert_eq!(turns.next(NOW).is_none(), ordered);
        }
    }

    #[test]
    fn behind_one_that_is_too_late_everything_of_a_lane_in_order_is_dropped() {
        for ordered in [true, false] {
            let mut turns = Turns::new(DEADLINE_MS);
            let mut lane = waiting(3);
            lane[0].until = NOW; // the others have time
            turns.add(endpoint(1, 1), 1, ordered, lane);
            let turns: Vec<Turn> = std::iter::from_fn(|| turns.next(NOW)).collect();
            let dropped = |index| Turn::Drop { lane: 0, index };
            let wanted = if ordered {
                vec![dropped(0), dropped(1), dropped(2)]
            } else {
                vec![dropped(0), Turn::Send { lane: 0, index: 1 }]
            };
            assert_eq!(turns, wanted);
        }
    }

    #[test]
    fn behind_one_whose_body_is_missing_nothing_of_a_lane_in_order_is_sent() {
        let mut turns = Turns::new(DEADLINE_MS);
        let mut lane = waiting(5);
        for index in [1, 2, 3] {
            lane[index].here = false;
        }
        let lane = turns.add(endpoint(1, 1), 1, true, lane);
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane, index: 0 }));
        turns.ended(lane, 0, Pace::Quick);
        assert_eq!(turns.next(NOW), None, "its body is not here yet");
        assert_eq!(turns.wanted(), Some((lane, vec![1, 2, 3])));
        turns.came(lane, &[1, 2, 3], &[1, 3]);
        let waits: Vec<bool> = (0..5).map(|index| turns.waits(lane, index)).collect();
        assert_eq!(waits, [false, true, false, false, false]);
        assert_eq!(turns.held, 1, "bodies of what is not sent are not kept");
        assert_eq!(turns.next(NOW), Some(Turn::Send { lane, index: 1 }));
        turns.ended(lane, 1, Pace::Quick);
        assert_eq!(turns.next(NOW), None);
        assert!(turns.lane_done(lane));
        assert_eq!(turns.held, 0);
    }

    #[test]
    fn a_message_that_is_gone_is_dropped_and_ends_its_lane() {
        let mut turns = Turns::new(DEADLINE_MS);
        let mut large = waiting(1);
        large[0].here = false;
        turns.add(endpoint(1, 1), 1, false, large);
        assert_eq!(turns.wanted(), Some((0, vec![0])));
        assert!(!turns.lane_done(0));
        turns.came(0, &[0], &[]);
        assert!(turns.tenant_done(TenantId([1; 20])));
        assert_eq!(turns.held, 0);
    }

    #[test]
    fn bodies_that_are_held_are_bounded_and_come_free_when_their_send_ends() {
        let mut turns = Turns::new(DEADLINE_MS);
        for number in 0..10 {
            let mut large = waiting(8);
            for waiting in &mut large {
                waiting.here = false;
            }
            turns.add(endpoint(1, number), 1, false, large);
        }
        let mut calls = Vec::new();
        while let Some(call) = turns.wanted() {
            calls.push(call);
        }
        assert_eq!(calls.len() * BODIES_A_CALL, BODIES_HELD);
        for (lane, wanted) in &calls {
            turns.came(*lane, wanted, wanted);
        }
        assert_eq!(turns.wanted(), None);
        let Some(Turn::Send { lane, index }) = turns.next(NOW) else {
            panic!("nothing is sent");
        };
        turns.ended(lane, index, Pace::Quick);
        assert_eq!(turns.wanted().map(|(_, wanted)| wanted.len()), Some(1));
    }
}
