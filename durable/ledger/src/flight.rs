//! What of an endpoint is out: lanes with a lease each, and how many sends at a time they may make.
//!
//! A slot is a send, not a place in a queue: a lane of 32 deliveries that sends five at a time takes five slots. In memory
//! only; after an eviction it is read back from the leases that are stored ([`crate::recall`]).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use postern_domain::time::Millis;
use postern_domain::wire::lane::{MAX_BYTES, MAX_DELIVERIES};

/// Sends at a time that one lane may make: an invocation of the consumer has no more permits.
const LANE_SENDS: usize = 5;

/// What the window grows to while answers come.
const WINDOW_MOST: usize = 256;

/// How an endpoint's deliveries leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Lanes that send side by side.
    Proven,
    /// One delivery a lane, and few of them.
    Unproven,
    /// One lane a line, one send after another.
    Ordered,
}

/// One hand-out: its message, and its lease.
pub(crate) type Given = (u64, Millis);

/// An endpoint's hand-outs.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Sends at a time, as the endpoint's answers allow.
    window: usize,
    /// The same while it has not shown yet that it answers.
    unproven: usize,
    lanes: BTreeMap<u64, LaneOut>,
    /// The lane that a hand-out is out in.
    of: BTreeMap<Given, u64>,
    next: u64,
    forming: Forming,
    /// What waits to leave together with its neighbours.
    gathered: BTreeSet<Given>,
}

#[derive(Debug)]
struct LaneOut {
    /// Of a line that keeps its order.
    line: Option<Rc<str>>,
    sends: usize,
    /// What has no result yet.
    left: BTreeSet<Given>,
    until: Millis,
    /// Read back after an eviction: the leases of its hand-outs are not known each, and none is later than `until`.
    recalled: bool,
}

/// Lanes that have not left yet.
#[derive(Debug, Default)]
struct Forming {
    /// Deliveries of all of them.
    admitted: usize,
    /// Slots of those that are full.
    slots: usize,
    /// Deliveries of the last one.
    count: usize,
    bytes: usize,
}

impl Flight {
    /// Nothing is out.
    pub(crate) const fn new(window: usize, unproven: usize) -> Self {
        Self {
            window,
            unproven,
            lanes: BTreeMap::new(),
            of: BTreeMap::new(),
            next: 0,
            forming: Forming {
                slots: 0,
                count: 0,
                bytes: 0,
                admitted: 0,
            },
            gathered: BTreeSet::new(),
        }
    }

    /// Whether one more delivery may be handed out; then it counts. `fixed` and `own` are bytes of its lane's head and of
    /// itself.
    pub(crate) fn admit(&mut self, manner: Manner, fixed: usize, own: usize) -> bool {
        let used: usize = self.lanes.values().map(LaneOut::slots).sum();
        let (window, most) = match manner {
            Manner::Proven => (self.window, MAX_DELIVERIES),
            Manner::Unproven => (self.window.min(self.unproven), 1),
            // A lane of its own, counted as it is handed out: see `goes_on`. Beside it what was owed before the order, and
            // after it.
            Manner::Ordered => {
                let forming = &self.forming;
                let alone = self.gathered.len().saturating_sub(forming.admitted);
                let about = forming.slots + forming.count.min(LANE_SENDS) + alone;
                return used + about < self.window;
            }
        };
        let free = window.saturating_sub(used);
        let forming = &self.forming;
        let fits = forming.count > 0 && forming.count < most && forming.bytes + own <= MAX_BYTES;
        let (slots, count) = if fits {
            (forming.slots, forming.count + 1)
        } else {
            (forming.slots + forming.count.min(LANE_SENDS), 1)
        };
        // A lane that is there may grow: it sends no more at a time than there are slots for.
        let begins = !fits && slots >= free;
        if begins || free == 0 {
            return false;
        }
        let bytes = if fits { forming.bytes + own } else { fixed + own };
        let admitted = forming.admitted + 1;
        self.forming = Forming {
            admitted,
            slots,
            count,
            bytes,
        };
        true
    }

    /// Whether a lane more could leave.
    pub(crate) fn has_room(&self, manner: Manner) -> bool {
        let used: usize = self.lanes.values().map(LaneOut::slots).sum();
        let window = match manner {
            Manner::Unproven => self.window.min(self.unproven),
            Manner::Proven | Manner::Ordered => self.window,
        };
        used < window
    }

    /// A lane leaves, with so many sends at a time as are free. Answers how many: one at least.
    pub(crate) fn leaves(&mut self, manner: Manner, given: &[Given]) -> u8 {
        let used: usize = self.lanes.values().map(LaneOut::slots).sum();
        let free = self.window.saturating_sub(used).max(1);
        let most = match manner {
            Manner::Proven => LANE_SENDS,
            Manner::Unproven | Manner::Ordered => 1,
        };
        let sends = most.min(free).min(given.len().max(1));
        self.goes_on(None, sends, given);
        u8::try_from(sends).unwrap_or(1)
    }

    /// A lane is out, with so many sends at a time.
    pub(crate) fn goes_on(&mut self, line: Option<Rc<str>>, sends: usize, given: &[Given]) {
        self.is_out(line, sends, given, false);
    }

    /// The same of one that was read back: results of these messages are its own whatever their lease.
    pub(crate) fn recalled(&mut self, line: Option<Rc<str>>, sends: usize, given: &[Given]) {
        self.is_out(line, sends, given, true);
    }

    fn is_out(&mut self, line: Option<Rc<str>>, sends: usize, given: &[Given], recalled: bool) {
        let number = self.next;
        self.next += 1;
        for one in given {
            self.gathered.remove(one);
            self.of.insert(*one, number);
        }
        let until = given.iter().map(|(_, until)| *until).max().unwrap_or_default();
        let out = LaneOut {
            line,
            sends,
            left: given.iter().copied().collect(),
            until,
            recalled,
        };
        self.lanes.insert(number, out);
    }

    /// Nothing of what was gathered is on its way any more: it has left as lanes, or was dropped.
    pub(crate) fn formed(&mut self) {
        self.forming = Forming::default();
        self.gathered.clear();
    }

    /// A delivery waits to leave. Said as soon as it was admitted, so that whoever is admitted next finds it there.
    pub(crate) fn gathers(&mut self, message: u64, until: Millis) {
        if !self.of.contains_key(&(message, until)) {
            self.gathered.insert((message, until));
        }
    }

    /// One result came, of the hand-out with this lease: its own place is free, and no other. Answers its lane. A result
    /// of an earlier hand-out frees nothing.
    pub(crate) fn came(&mut self, message: u64, until: Millis) -> Option<u64> {
        let given = self.find(message, until)?;
        let number = self.of.remove(&given)?;
        if let Some(lane) = self.lanes.get_mut(&number) {
            lane.left.remove(&given);
            if lane.left.is_empty() {
                self.lanes.remove(&number);
            }
        }
        Some(number)
    }

    fn find(&self, message: u64, until: Millis) -> Option<Given> {
        if self.of.contains_key(&(message, until)) {
            return Some((message, until));
        }
        self.of_message(message)
            .find(|(_, lane)| self.lanes.get(lane).is_some_and(|lane| lane.recalled))
            .map(|(given, _)| given)
    }

    fn of_message(&self, message: u64) -> impl Iterator<Item = (Given, u64)> {
        self.of
            .range((message, Millis(0))..=(message, Millis(u64::MAX)))
            .map(|(given, lane)| (*given, *lane))
    }

    /// The lane that one of these was in sends nothing more: what of it has no result was not sent. Where order counts
    /// that is so only of what stands behind them; a result that got lost before them may still come.
    pub(crate) fn ended(&mut self, lane: Option<u64>, reported: &[u64]) {
        let Some(number) = lane else { return };
        let last = reported.iter().max().copied().unwrap_or_default();
        let over = self.lanes.get(&number).is_some_and(|lane| {
            lane.line.is_none() || lane.left.first().is_none_or(|(left, _)| *left > last)
        });
        if over && let Some(lane) = self.lanes.remove(&number) {
            for given in &lane.left {
                self.of.remove(given);
            }
        }
    }

    /// Whether a hand-out of this message with this lease is out or about to leave.
    pub(crate) fn knows(&self, given: &Given) -> bool {
        self.of.contains_key(given) || self.gathered.contains(given)
    }

    /// Whether a lane that holds this message is counted already, as those are that go in order.
    pub(crate) fn counts(&self, given: &Given) -> bool {
        self.of.contains_key(given)
    }

    /// Slots that an endpoint which has not shown that it answers has left.
    pub(crate) fn free_unproven(&self) -> usize {
        let used: usize = self.lanes.values().map(LaneOut::slots).sum();
        self.window.min(self.unproven).saturating_sub(used)
    }

    /// The line of a message that is out, if it keeps an order.
    pub(crate) fn line_of(&self, message: u64) -> Option<Rc<str>> {
        self.of_message(message)
            .find_map(|(_, lane)| self.lanes.get(&lane)?.line.clone())
    }

    /// Whether a lane of this line is out.
    pub(crate) fn holds(&self, line: &str) -> bool {
        self.lanes.values().any(|lane| lane.line.as_deref() == Some(line))
    }

    /// Leases that are over free their places.
    pub(crate) fn expire(&mut self, now: Millis) {
        // What was to leave and did not, because forming its lane failed.
        self.gathered.retain(|(_, until)| *until > now);
        if self.lanes.values().all(|lane| lane.until > now) {
            return;
        }
        let of = &mut self.of;
        self.lanes.retain(|_, lane| {
            let live = lane.until > now;
            if !live {
                for given in &lane.left {
                    of.remove(given);
                }
            }
            live
        });
    }

    /// When the last of a message's hand-outs ends, if one is out.
    pub(crate) fn lease_of(&self, message: u64, now: Millis) -> Option<Millis> {
        let gathered = self
            .gathered
            .range((message, Millis(0))..=(message, Millis(u64::MAX)));
        self.of_message(message)
            .map(|((_, until), _)| until)
            .chain(gathered.map(|(_, until)| *until))
            .filter(|until| *until > now)
            .max()
    }

    /// When the first lease ends.
    pub(crate) fn first_end(&self) -> Option<Millis> {
        self.lanes.values().map(|lane| lane.until).min()
    }

    /// Nothing is out, and nothing about to leave.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.about_to_leave() == 0
    }

    /// Deliveries that are out or about to leave.
    pub(crate) fn deliveries(&self) -> usize {
        self.of.len() + self.about_to_leave()
    }

    /// What one call admits is gathered at its end: until then it counts as admitted.
    fn about_to_leave(&self) -> usize {
        self.gathered.len().max(self.forming.admitted)
    }

    /// An answer came in time.
    pub(crate) fn answered(&mut self) {
        self.window = (self.window + 1).min(WINDOW_MOST);
    }

    /// It did not answer in time, or asked for less.
    pub(crate) fn overwhelmed(&mut self) {
        self.window = (self.window / 2).max(1);
    }
}

impl LaneOut {
    fn slots(&self) -> usize {
        self.sends.min(self.left.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Millis = Millis(60_000);

    fn flight() -> Flight {
        Flight::new(16, 4)
    }

    fn given(messages: &[u64]) -> Vec<Given> {
        messages.iter().map(|message| (*message, UNTIL)).collect()
    }

    fn admitted(flight: &mut Flight, manner: Manner) -> usize {
        (0..10_000).take_while(|_| flight.admit(manner, 500, 300)).count()
    }

    #[test]
    fn sixteen_slots_hold_four_lanes_of_which_the_last_sends_one_at_a_time() {
        let mut flight = flight();
        assert_eq!(admitted(&mut flight, Manner::Proven), 4 * 32);
        let sends: Vec<u8> = (0..4)
            .map(|lane| {
                let messages: Vec<u64> = (lane * 32..(lane + 1) * 32).collect();
                flight.leaves(Manner::Proven, &given(&messages))
            })
            .collect();
        flight.formed();
        assert_eq!(sends, [5, 5, 5, 1]);
        assert!(!flight.admit(Manner::Proven, 500, 300));
    }

    #[test]
    fn large_deliveries_fill_their_lanes_sooner() {
        let mut flight = flight();
        let count = (0..1000)
            .take_while(|_| flight.admit(Manner::Proven, 500, 40_000))
            .count();
        assert_eq!(count, 16, "each is a lane of one send");
    }

    #[test]
    fn an_endpoint_that_has_shown_nothing_gets_four_and_an_ordered_one_a_lane_a_line() {
        assert_eq!(admitted(&mut flight(), Manner::Unproven), 4);
        let mut ordered = flight();
        for line in 0..16 {
            assert!(ordered.admit(Manner::Ordered, 500, 300));
            ordered.goes_on(Some("k".into()), 1, &given(&[line]));
        }
        assert!(!ordered.admit(Manner::Ordered, 500, 300));
    }

    #[test]
    fn what_was_admitted_and_has_not_left_yet_counts_as_about_to_leave() {
        let mut flight = flight();
        assert!(flight.is_empty());
        assert!(flight.admit(Manner::Unproven, 500, 300));
        assert_eq!((flight.is_empty(), flight.deliveries()), (false, 1));
        flight.gathers(1, UNTIL);
        assert_eq!(flight.deliveries(), 1);
        flight.leaves(Manner::Unproven, &given(&[1]));
        flight.formed();
        assert_eq!(flight.deliveries(), 1);
        flight.came(1, UNTIL);
        assert!(flight.is_empty());
    }

    #[test]
    fn a_result_frees_its_own_place_and_an_end_those_of_its_lane() {
        let mut flight = flight();
        flight.leaves(Manner::Proven, &given(&[1, 2, 3]));
        flight.leaves(Manner::Proven, &given(&[4]));
        let lane = flight.came(1, UNTIL);
        assert_eq!(flight.deliveries(), 3);
        assert_eq!(flight.lease_of(1, Millis(0)), None);
        flight.ended(lane, &[1]);
        let leases = (flight.lease_of(3, Millis(0)), flight.lease_of(4, Millis(0)));
        assert_eq!(leases, (None, Some(UNTIL)));
        flight.expire(UNTIL);
        assert!(flight.is_empty());
    }

    #[test]
    fn a_late_result_of_an_earlier_hand_out_frees_nothing() {
        let mut flight = flight();
        flight.gathers(1, UNTIL);
        flight.leaves(Manner::Proven, &given(&[1]));
        assert_eq!(flight.came(1, Millis(1)), None);
        assert_eq!(flight.lease_of(1, Millis(0)), Some(UNTIL));
        assert!(flight.came(1, UNTIL).is_some());
        assert_eq!(flight.lease_of(1, Millis(0)), None);
    }

    #[test]
    fn a_lane_in_order_is_not_over_while_a_result_before_the_last_one_is_missing() {
        let mut flight = flight();
        flight.goes_on(Some("o".into()), 1, &given(&[1, 2, 3]));
        let lane = flight.came(2, UNTIL);
        flight.ended(lane, &[2]);
        assert!(flight.holds("o"), "the result of 1 may still come");
        let lane = flight.came(1, UNTIL);
        flight.ended(lane, &[1]);
        assert!(!flight.holds("o"), "3 stands behind: it was not sent");
    }

    #[test]
    fn the_window_grows_with_answers_and_halves_without_down_to_one() {
        let mut flight = flight();
        for _ in 0..1000 {
            flight.answered();
        }
        assert_eq!(flight.window, 256);
        for _ in 0..20 {
            flight.overwhelmed();
        }
        assert_eq!(flight.window, 1);
        assert_eq!(admitted(&mut flight, Manner::Proven), 32);
    }
}
