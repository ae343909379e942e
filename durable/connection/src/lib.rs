//! The state machine of one connection.
//!
//! Actors: *browsers* begin attempts and come back from the provider; the *edge* leases tokens and asks how it stands; the
//! *alarm* refreshes ahead of time, renews watches, checks health and tells what is to be told. Whatever needs the network,
//! the directory or `WebCrypto` is an [`Errand`]: the machine hands it out, the shell does it and brings its end back.
//! Anything between them can be lost.
//!
//! Guaranteed, after every step:
//! 1. A state is claimed once; a code is sent at most once.
//! 2. At most one refresh is in the air. Its intent is stored before it leaves, its tokens before anybody sees them.
//! 3. A refresh token that may be spent is not shown again to a provider that would end the grant for it, but for the one
//!    time that is written down.
//! 4. Every change of state is told to the tenant once.
//! 5. No secret stands in storage unsealed, and none at all after a disconnect or a reset.
//!
//! Nothing here knows the platform: SQL, time and randomness come in, errands go out as values.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use postern_domain::problem::Problem;
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;

mod account;
mod air;
mod alarm;
mod api;
mod app_changed;
mod attempt;
mod brought;
mod bucket;
mod call;
mod change;
mod credential;
mod disconnect;
mod errand;
mod exchange;
mod history;
mod import;
mod key;
mod lease;
mod memory;
mod outbox;
mod patch;
mod probe;
mod record;
mod refresh;
mod refused;
mod reseal;
mod reset;
mod schema;
mod sealing;
mod service_account;
mod session;
mod token_read;
mod view;
mod watch;

#[cfg(feature = "native")]
pub use postern_sql::native;
pub use postern_sql::{self as sql, Random};

pub use call::Replied;
pub use errand::{AppFinding, AppRow, Done, Errand, RowOut, Task};
pub use schema::STEPS;

use sql::Sql;

/// What a deployment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For one request to a token endpoint, its body included.
    pub deadline_ms: u64,
    /// Between two checks of a connection's health.
    pub check_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline_ms: 20_000,
            check_ms: Millis::DAY,
        }
    }
}

/// Something that the log should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened, one word.
    pub name: &'static str,
    /// The inside of it. No secret.
    pub detail: String,
}

/// One connection's state machine.
#[derive(Debug)]
pub struct Connection<S> {
    sql: S,
    keys: Option<MasterKeys>,
    settings: Settings,
    memory: Option<memory::Memory>,
    /// When the alarm rings, as far as is known.
    armed: alarm::Armed,
    /// Errands that wait to leave.
    errands: Vec<Errand>,
    /// Errands that left, and what for.
    air: BTreeMap<u64, air::Purpose>,
    last_errand: u64,
    /// Raised by whatever a waiting call may wait for.
    turn: u64,
    moved: bool,
    /// Leases that are not written down yet.
    used: lease::Used,
    reads: token_read::Reads,
    /// How fast its API is asked.
    buckets: bucket::Buckets,
    /// There are messages that the ledger does not have yet.
    owes_messages: bool,
    /// Messages that are on their way.
    telling: BTreeSet<u64>,
    /// No message and no row leaves before this: the last ones failed.
    outbox_pause: Option<Millis>,
    outbox_failures: u32,
    /// The turn in which the last refresh ended.
    refreshed_in: Option<u64>,
    /// No refresh begins before this, for a reason of ours: the directory could not be asked, a master key is missing.
    refresh_pause: Option<Millis>,
    /// Tokens that came and could not be stored.
    unsaved: Option<refresh::Unsaved>,
    /// The last check that somebody asked for.
    tested: Option<probe::Tried>,
    /// The last key that was brought, and what the provider said of it.
    brought: Option<key::Ended>,
    /// What the end of everything was, for those who wait for it.
    erased: Option<postern_domain::wire::connection::Disconnected>,
    /// What the exchange keeps in memory.
    exchange: exchange::Memory,
    watches: watch::Watches,
    notices: Vec<Notice>,
}

impl<S: Sql> Connection<S> {
    /// On a storage that may hold a connection or nothing.
    pub fn new(sql: S, keys: Option<MasterKeys>, settings: Settings) -> Self {
        Self {
            sql,
            keys,
            settings,
            memory: None,
            armed: alarm::Armed::Unknown,
            errands: Vec::new(),
            air: BTreeMap::new(),
            last_errand: 0,
            turn: 0,
            moved: false,
            used: lease::Used::default(),
            reads: token_read::Reads::default(),
            buckets: bucket::Buckets::default(),
            owes_messages: false,
            telling: BTreeSet::new(),
            outbox_pause: None,
            outbox_failures: 0,
            refreshed_in: None,
            refresh_pause: None,
            unsaved: None,
            tested: None,
            brought: None,
            erased: None,
            exchange: exchange::Memory::default(),
            watches: watch::Watches::default(),
            notices: Vec::new(),
        }
    }

    /// The storage.
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Whether something ended since this was asked last: the shell repeats every call that waits.
    pub fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// What the log should know, since this was asked last.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(crate) fn notice(&mut self, name: &'static str, problem: &Problem) {
        let cause = problem.cause.as_deref().unwrap_or(&problem.detail);
        self.notices.push(Notice {
            name,
            detail: cause.to_owned(),
        });
    }

    /// Something ended that a call may wait for.
    pub(crate) const fn has_moved(&mut self) {
        self.turn += 1;
        self.moved = true;
    }
}
