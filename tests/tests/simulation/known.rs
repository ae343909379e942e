//! What a world knows of its own, beside the ledger: what it published, what left, what was sent and what arrived. The
//! guarantees are judged by this and not by what the ledger believes.

use std::collections::BTreeMap;

use postern_domain::id::MessageId;
use postern_domain::time::Millis;
use postern_domain::wire::call::Accept;
use postern_domain::wire::lane::Lane;
use postern_domain::wire::publish::AcceptBatch;
use postern_ledger::{QueueKind, Rules};

/// A delivery.
pub(crate) type Delivery = (MessageId, u32);

/// What is switched off, to see the guarantees break.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plant {
    pub(crate) rules: Rules,
    /// The consumer looks at the lease before every send.
    pub(crate) consumer_looks: bool,
    /// In an ordered lane it stops at the first that does not arrive.
    pub(crate) consumer_stops: bool,
    /// It says that a lane is over only when it is.
    pub(crate) consumer_ends: bool,
}

impl Default for Plant {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            consumer_looks: true,
            consumer_stops: true,
            consumer_ends: true,
        }
    }
}

/// How an endpoint behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    Healthy,
    /// Fails so many times of a hundred.
    Flaky(u64),
    /// Never answers.
    Down,
    /// Answers, but takes its time.
    Slow,
    /// Answers 503 and asks for time.
    Busy(u64),
    /// Answers 429 and does not say how long.
    TooMany,
    /// Up and down in turns, so long each.
    Flapping(u64),
    /// Answers 410.
    Gone,
}

/// The order that an endpoint keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// By the value at `/k`; else one for all.
    pub(crate) keyed: bool,
    /// What failed for good keeps those behind it waiting.
    pub(crate) waits: bool,
}

#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) number: u32,
    pub(crate) id: String,
    pub(crate) plan: u32,
    pub(crate) manner: Manner,
    /// Off or deleted since then.
    pub(crate) off_since: Option<Millis>,
    pub(crate) deleted: bool,
    /// Whether it wants every type, or one.
    pub(crate) picky: bool,
    pub(crate) rate: Option<u16>,
    pub(crate) rate_since: Millis,
    /// Hand-outs under this rate.
    pub(crate) handed: Vec<Millis>,
    pub(crate) order: Option<Order>,
    /// Which order this is: another begins behind it.
    pub(crate) span: u32,
    /// How often it went off.
    pub(crate) generation: u32,
    /// It asked for time: when, and until when.
    pub(crate) paused: Option<(Millis, Millis)>,
    /// Successes that were recorded: the window grows by no more.
    pub(crate) successes: usize,
}

impl Endpoint {
    /// What failed for good keeps those behind it waiting. An order that was given up waits for nobody.
    pub(crate) fn waits(&self) -> bool {
        self.order.is_some_and(|order| order.waits)
    }
}

/// What somebody publishes.
#[derive(Clone)]
pub(crate) enum Wanted {
    One(Accept),
    Batch(AcceptBatch),
}

/// One message of a publish.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) event_type: String,
    pub(crate) key: Option<&'static str>,
    pub(crate) body: Vec<u8>,
    pub(crate) deliver_at: Option<Millis>,
}

/// A publish as its sender sees it, over all its tries.
pub(crate) struct Publish {
    pub(crate) wanted: Wanted,
    pub(crate) pieces: Vec<Piece>,
    /// The messages that the object answered with, whether or not anybody heard.
    pub(crate) messages: Vec<MessageId>,
    pub(crate) tries: u32,
}

impl Publish {
    /// Whether its sender may ask again with a key that says that it is the same. What it wants at a later time may not be
    /// later any more.
    pub(crate) fn may_be_asked_again(&self) -> bool {
        let keyed = match &self.wanted {
            Wanted::One(call) => call.idempotency.is_some(),
            Wanted::Batch(call) => call.idempotency.is_some(),
        };
        keyed && self.pieces.iter().all(|piece| piece.deliver_at.is_none())
    }
}

/// A hand-out that left.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) number: u64,
    pub(crate) until: Millis,
    pub(crate) lane: usize,
    /// The ledger took a result of it.
    pub(crate) returned: bool,
    /// The same, or it failed inside while it did.
    pub(crate) told: bool,
}

/// One delivery as the world knows it.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) outs: Vec<Handed>,
    /// The ledger took a success, then.
    pub(crate) success: Option<Millis>,
    /// A send was answered with 2xx.
    pub(crate) received: bool,
    pub(crate) cancelled_at: Option<Millis>,
    /// Seen to have failed for good where nobody waits for that.
    pub(crate) skipped: bool,
    pub(crate) deliver_at: Option<Millis>,
    /// It was never owed: somebody had it sent by hand.
    pub(crate) extra: bool,
    /// The line that it keeps its place in.
    pub(crate) line: Option<LineId>,
    /// Sends under way, of queue messages that came once.
    pub(crate) sending: u32,
    /// The same of those that its plan asked for.
    pub(crate) planned: u32,
    /// Somebody asked for a try by hand: how often its endpoint had gone off until then, the last time.
    pub(crate) asked: Option<u32>,
    /// A try by hand was sent, last then.
    pub(crate) tried: Option<Millis>,
}

/// Endpoint, which of its orders, and the value at its key.
pub(crate) type LineId = (u32, u32, Option<&'static str>);

/// Deliveries that keep an order.
#[derive(Default)]
pub(crate) struct LineKnown {
    pub(crate) messages: Vec<MessageId>,
    /// So many from the first one on have come to their end.
    pub(crate) settled: usize,
}

/// A lane that left.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be so of itself, whatever the others are"
)]
pub(crate) struct LaneKnown {
    pub(crate) head: Lane,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) endpoint: u32,
    pub(crate) line: Option<LineId>,
    pub(crate) queue: QueueKind,
    /// When its last lease ends.
    pub(crate) until: Millis,
    /// When it left, by the true clock.
    pub(crate) left_at: Millis,
    /// Hand-outs without a result, with their leases.
    pub(crate) left: BTreeMap<u64, Millis>,
    /// The object's clock went back behind its hand-out: an eviction does not remember it.
    pub(crate) odd: bool,
    /// The consumer said that nothing more comes.
    pub(crate) over: bool,
    /// The queue delivered it twice.
    pub(crate) doubled: bool,
    /// It holds tries by hand.
    pub(crate) manual: bool,
}

impl LaneKnown {
    /// Sends at a time that it may make still.
    pub(crate) fn slots(&self, now: Millis) -> usize {
        if self.over || self.doubled || self.until <= now {
            return 0;
        }
        // What of it has no lease any more is not begun.
        let live = self.left.values().filter(|until| **until > now).count();
        usize::from(self.head.concurrency).min(live)
    }
}

macro_rules! counts {
    ($($name:ident),* $(,)?) => {
        /// What happened, so that a test can see that it did, and a person how much.
        #[derive(Debug, Clone, Copy, Default)]
        pub(crate) struct Counts { $(pub(crate) $name: u64),* }

        impl Counts {
            /// Adds another life.
            pub(crate) fn add(&mut self, other: Self) { $(self.$name += other.$name;)* }

            /// A line each, in words.
            pub(crate) fn table(&self) -> String {
                let all = [$((stringify!($name), self.$name)),*];
                let lines = all.map(|(name, count)| format!("{count:>12} {}", name.replace('_', " ")));
                lines.join("\n")
            }

            /// What never happened: it is not tested.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name)),*];
                all.into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
            }
        }
    };
}

counts!(
    lives,
    messages,
    delivered,
    failed,
    cancelled,
    gone,
    duplicates,
    repeats,
    batches,
    later,
    lost_lanes,
    doubled_lanes,
    answered_lanes,
    late_reports,
    lost_reports,
    doubled_reports,
    partial_reports,
    dead_consumers,
    planted,
    evictions,
    torn_alarms,
    lost_alarms,
    late_alarms,
    doubled_alarms,
    clock_jumps,
    disabled,
    manual,
    in_order,
    blocked,
    opened,
    paused,
);

/// Everything that left, with an index by endpoint and number.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) all: Vec<LaneKnown>,
    pub(crate) by_number: BTreeMap<(u32, MessageId, u64), usize>,
    /// Lanes that may be live, by endpoint.
    pub(crate) live: BTreeMap<u32, Vec<usize>>,
}

impl Lanes {
    /// The live lanes of an endpoint.
    pub(crate) fn live_of(&mut self, endpoint: u32, now: Millis) -> Vec<usize> {
        let all = &self.all;
        let live = self.live.entry(endpoint).or_default();
        live.retain(|at| {
            let lane = &all[*at];
            !lane.over && !lane.left.is_empty() && lane.until > now
        });
        live.clone()
    }

    /// Sends at a time that the lanes out to an endpoint may make.
    pub(crate) fn slots(&mut self, endpoint: u32, now: Millis) -> usize {
        let live = self.live_of(endpoint, now);
        live.iter().map(|at| self.all[*at].slots(now)).sum()
    }
}
