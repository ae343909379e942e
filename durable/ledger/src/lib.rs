//! The state machine of one tenant.
//!
//! Actors: the *edge* brings messages (`accept`) and asks for lists; the ledger hands out *lanes* of deliveries
//! (`handout`); a *consumer* sends them and reports (`report`); the *alarm* looks after whatever nobody reported
//! (`alarm`). Anything between them can be lost, come late or come twice.
//!
//! Guaranteed, after every step:
//! 1. A sender that saw 2xx has a stored message. A dedupe key yields one message.
//! 2. Every owed delivery ends in delivered, failed or cancelled (by disable, delete, or because its segment or its payload
//!    went). Recorded scheduled attempts never exceed the plan.
//! 3. The same attempt is sent twice only after a crash between send and record, when its report had not arrived by
//!    the end of its lease, or when the queue delivers one message twice inside it.
//! 4. What is read belongs to the tenant in the path, whole id compared.
//! 5. The cost of accepting, of a page and of a wake-up does not grow with what is stored.
//!
//! Nothing here knows the platform: SQL, time and randomness come in, lanes go out as values.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;

mod accept;
mod alarm;
mod attempts;
mod batch;
mod call;
mod consumer;
mod decided;
mod deliveries;
mod delivery;
mod diagnose;
mod due;
mod endpoint;
mod endpoint_headers;
mod entitlement;
mod erase;
mod export;
mod expunge;
mod failed;
mod flight;
mod follow;
mod gate;
mod handout;
mod idempotency;
mod import;
mod inspect;
mod key;
mod line;
mod manual;
mod matching;
mod memory;
mod messages;
mod missed;
mod operational;
mod ordered;
mod outbox;
mod page;
mod payload;
mod poller;
mod poller_token;
mod reason;
mod recall;
mod receive;
mod reentry;
mod refused;
mod report;
mod request;
mod reseal;
mod routed;
mod routing;
mod schema;
mod segment;
mod select;
mod sent;
mod setup;
mod signing;
mod size;
mod source;
mod source_seen;
mod stat;
mod sweep;
mod task;
mod tell;
mod throttle;
mod unrouted;
mod watch;
mod watch_wire;

#[cfg(feature = "native")]
pub use postern_sql::native;
pub use postern_sql::{self as sql, Random};

pub use call::{Later, Replied};
pub use entitlement::FetchOut;
pub use handout::{LaneOut, QueueKind};
pub use operational::{Course, DisableReason, LastAttempt, Operational, SilentSource, Which};
pub use outbox::OutboxOut;
pub use routing::{LookOut, PushOut, RoutingOut, SliceOut};
pub use schema::{SCHEMA_VERSION, STEPS, Step};
pub use watch::News;

use memory::Memory;
use sql::Sql;

/// What a deployment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a hand-out may stay without a result.
    pub lease_ms: u64,
    /// How long a message is kept.
    pub retention_ms: u64,
    /// A segment is closed when it is this large.
    pub segment_bytes: u64,
    /// The storage holds this much.
    pub capacity_bytes: u64,
    /// After an eviction so many hand-outs are looked at, whether they may still be out: of a line at each of its ends.
    pub recalled: usize,
    /// How much goes to one endpoint at a time.
    pub gates: Gates,
    /// Why a delivery may not be sent after all: tests switch rules of the protocol off to see the guarantees break.
    pub rules: Rules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_ms: 60_000,
            retention_ms: 30 * Millis::DAY,
            segment_bytes: 256 << 20,
            capacity_bytes: 10_000_000_000,
            recalled: 5000,
            gates: Gates::default(),
            rules: Rules::default(),
        }
    }
}

/// How much goes to one endpoint at a time. Tests widen them where they are about something else.
#[derive(Debug, Clone, Copy)]
pub struct Gates {
    /// Sends at a time to an endpoint that answers, to begin with: the window grows while answers come, and halves when
    /// they do not.
    pub window: usize,
    /// The same to an endpoint that has not shown yet that it answers.
    pub unproven: usize,
    /// Hand-outs of a tenant in the queue for slow endpoints.
    pub slow: usize,
    /// The breaker judges nothing by fewer attempts.
    pub breaker_samples: u32,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            window: 16,
            unproven: 4,
            slow: 64,
            breaker_samples: 10,
        }
    }
}

/// Rules that the guarantees need. All on, always; a simulation switches one off to show that it is needed.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Rules {
    /// A first try older than 30 s is refused, a repeat looks for its nonce.
    pub nonce: bool,
    /// The low-water mark passes only messages whose accept lease is over.
    pub mark_waits: bool,
    /// A `due` row that comes up is checked before it is handed out.
    pub due_checked: bool,
    /// A success always wins; any other late result changes nothing.
    pub late_changes_nothing: bool,
    /// Disable and delete cancel what is owed.
    pub cancel: bool,
    /// After an eviction, what may be out counts as out.
    pub recall: bool,
    /// A delivery has one hand-out at a time, manual tries included.
    pub manual_waits: bool,
    /// Disable and delete cancel the manual tries of before.
    pub generation: bool,
    /// A partial report ends no lane.
    pub partial_ends_nothing: bool,
    /// A success replaces the failure that was recorded for the same hand-out.
    pub success_replaces: bool,
    /// A segment is closed first, and dropped when its last lease is over.
    pub segments_close: bool,
    /// The rows of a sweep and the mark stand together.
    pub sweep_is_one: bool,
    /// A row of `due` moves to the end of its lease before anything leaves.
    pub due_moves_first: bool,
    /// An ordered line goes on only when its lane is over.
    pub one_lane_a_line: bool,
    /// A dedupe key yields one message.
    pub dedupe: bool,
    /// A hand-out's number is larger than every one of its endpoint before.
    pub numbers_rise: bool,
    /// A first hand-out without a result in time is found and is due again.
    pub lost_is_found: bool,
    /// Its row and its place in `due` stand together.
    pub lost_is_one: bool,
    /// A line's cursor moves only over what has a delivery row, is cancelled or gone.
    pub cursor_waits: bool,
    /// An ordered line never uses `due`.
    pub order_without_due: bool,
    /// An ordered line begins at its first unsettled delivery.
    pub order_from_head: bool,
    /// Disabling frees no slot and drops no line before its leases are over.
    pub disable_frees_nothing: bool,
    /// What a gate holds back is due when it opens.
    pub gates_open_later: bool,
    /// A result that was recorded is not recorded again.
    pub results_once: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            nonce: true,
            mark_waits: true,
            due_checked: true,
            late_changes_nothing: true,
            cancel: true,
            recall: true,
            manual_waits: true,
            generation: true,
            partial_ends_nothing: true,
            success_replaces: true,
            segments_close: true,
            sweep_is_one: true,
            due_moves_first: true,
            one_lane_a_line: true,
            dedupe: true,
            numbers_rise: true,
            lost_is_found: true,
            lost_is_one: true,
            cursor_waits: true,
            order_without_due: true,
            order_from_head: true,
            disable_frees_nothing: true,
            gates_open_later: true,
            results_once: true,
        }
    }
}

/// An alarm that is this late is not believed to ring any more.
const OVERDUE_MS: u64 = 5000;

/// One tenant's state machine.
///
/// What it keeps in memory is a copy of what is stored, or may be forgotten; it is dropped whenever a write fails, and
/// read again with the next call.
#[derive(Debug)]
pub struct Ledger<S> {
    sql: S,
    keys: Option<MasterKeys>,
    settings: Settings,
    memory: Option<Memory>,
    /// The time of the call or run that is under way.
    clock: Millis,
    /// Hand-outs that wait to leave together.
    outbox: Vec<handout::Outgoing>,
    /// When the alarm rings, as far as is known.
    armed: Armed,
    /// Consecutive failures of each task of the alarm.
    failures: BTreeMap<&'static str, u32>,
    /// What the next messages are stored with: all of it or nothing.
    beside: entitlement::Beside,
    /// Questions to providers that wait to leave.
    fetches: Vec<entitlement::FetchOut>,
    /// What those who watch have not been told yet.
    desk: watch::Desk,
    log: Vec<Notice>,
    /// What the shell has to know of the call that was just answered.
    later: call::Later,
    /// Bodies in the bucket that nobody needs any more.
    garbage: Vec<Garbage>,
}

/// Bodies in the bucket that nobody needs any more. The shell takes them away; what it cannot is taken by
/// [`Garbage::Before`] one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Garbage {
    /// This one.
    One(String),
    /// Those of this tenant that came before this time.
    Before(TenantId, Millis),
}

/// What is known about the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
    /// Not asked yet: the next need sets it.
    Unknown,
    /// None is set.
    No,
    /// It rings now, and none is set yet.
    Rings,
    /// It rings then.
    At(Millis),
}

/// Something for the log that is no error of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// A word.
    pub event: &'static str,
    /// What an operator wants to know. Never a secret.
    pub detail: String,
}

impl<S: Sql> Ledger<S> {
    /// The state machine over this storage. Without master keys it refuses whatever has to be sealed or opened.
    pub fn new(sql: S, keys: Option<MasterKeys>, settings: Settings) -> Self {
        Self {
            sql,
            keys,
            settings,
            memory: None,
            clock: Millis(0),
            outbox: Vec::new(),
            armed: Armed::Unknown,
            failures: BTreeMap::new(),
            beside: entitlement::Beside::default(),
            fetches: Vec::new(),
            desk: watch::Desk::default(),
            log: Vec::new(),
            later: call::Later::default(),
            garbage: Vec::new(),
        }
    }

    /// Tells what the platform said about the alarm.
    pub fn alarm_is(&mut self, at: Option<Millis>) {
        self.armed = at.map_or(Armed::No, Armed::At);
    }

    pub(crate) fn master_keys(&self) -> Result<&MasterKeys, Problem> {
        let missing = "This deployment has no valid MASTER_KEYS; its operator must set the secret";
        self.keys
            .as_ref()
            .ok_or_else(|| Problem::new(Code::SealingUnavailable, missing))
    }

    /// The storage, for tests.
    pub fn sql(&self) -> &S {
        &self.sql
    }

    /// Gives the storage back: for tests that take the memory away.
    pub fn into_sql(self) -> S {
        self.sql
    }

    /// What it keeps in memory, for tests that compare states and for a person who looks at one.
    #[cfg(feature = "native")]
    pub fn memory_text(&self) -> String {
        format!("{:?} {:?} {:?}", self.memory, self.outbox, self.armed)
    }

    /// Bodies in the bucket that may go, since the last time this was asked.
    pub fn take_garbage(&mut self) -> Vec<Garbage> {
        std::mem::take(&mut self.garbage)
    }

    /// What is to be logged since the last time this was asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.log)
    }

    /// Forgets all that is not stored, as an eviction does. For tests and after a failed write.
    pub fn forget(&mut self) {
        self.memory = None;
        self.armed = Armed::Unknown;
    }

    /// Makes sure that the alarm rings at `at` or before. Part of the caller's transaction. One that should have rung
    /// and did not is set again; where it is not known when it rings, it rings at once and finds out, because setting it
    /// takes away the one that stands.
    fn wake_by(&self, at: Millis, now: Millis) -> Result<Armed, Problem> {
        let at = if self.armed == Armed::Unknown {
            at.min(now.plus(1))
        } else {
            at
        };
        match self.armed {
            Armed::At(set) if set <= at && now.since(set) < OVERDUE_MS => Ok(self.armed),
            _ => {
                self.sql.set_alarm(Some(at))?;
                Ok(Armed::At(at))
            }
        }
    }

    /// An alarm that should have rung and did not is set again, by whatever call comes next: nobody else would notice.
    fn mind_the_alarm(&mut self, now: Millis) {
        let Armed::At(set) = self.armed else { return };
        if now.since(set) < OVERDUE_MS {
            return;
        }
        let at = now.plus(1);
        match self.sql.set_alarm(Some(at)) {
            Ok(()) => self.armed = Armed::At(at),
            Err(error) => self.notice("alarm_not_set", error.to_string()),
        }
        self.notice("alarm_overdue", "it is set again");
    }

    fn notice(&mut self, event: &'static str, detail: impl Into<String>) {
        self.log.push(Notice {
            event,
            detail: detail.into(),
        });
    }
}
