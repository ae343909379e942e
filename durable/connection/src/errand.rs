//! What the machine asks of its shell, and what comes back.
//!
//! The shell does an errand once. It may be lost with the object: what was in the air then is found again in storage (an
//! intent, an attempt that was claimed, a row of the outbox), never in memory.

use postern_domain::id::{OAuthAppId, TenantId};
use postern_domain::oauth::{Ended, Request, Secret};
use postern_domain::problem::Problem;
use postern_domain::wire::connection::{AppTerms, ConnectionView};
use postern_domain::wire::watch::WatchWire;

/// One thing to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Errand {
    /// What [`Done`] is brought back under. Of this life of the object only.
    pub id: u64,
    /// What.
    pub task: Task,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// One request to a provider: by the one way out, redirects not followed, once.
    Http {
        /// What.
        request: Request,
        /// For all of it, the body included.
        deadline_ms: u64,
        /// Bytes of the body that are kept.
        cap: usize,
    },
    /// Whether a signature holds, by `WebCrypto`.
    Verify(postern_domain::provider::Check),
    /// A signature RS256 over the bytes with a private key (PKCS #8, PEM).
    Sign {
        /// The key.
        key: Secret,
        /// What is signed.
        data: Vec<u8>,
    },
    /// The app as the directory has it now, its secret open.
    App(OAuthAppId),
    /// The connection's row in the directory. One of an older version than the row's changes nothing.
    Row(Box<RowOut>),
    /// A message in the tenant's ledger. The event id is its dedupe key.
    Tell {
        /// Whose ledger.
        tenant: TenantId,
        /// `connection.created` …
        event_type: String,
        /// The same at every repeat.
        event_id: String,
        /// JSON.
        payload: String,
    },
    /// Who is handed a source's events about an account: told to the ledger that has the source. Told again it changes
    /// nothing.
    Wire {
        /// Whose.
        ledger: TenantId,
        /// What.
        call: WatchWire,
    },
}

/// How an errand ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// Of [`Task::Http`].
    Http(Ended),
    /// Of [`Task::Verify`]; a problem: it could not be looked at.
    Verified(Result<bool, Problem>),
    /// Of [`Task::Sign`]; a problem: the key is none.
    Signed(Result<Vec<u8>, Problem>),
    /// Of [`Task::App`]; a problem: the directory could not be asked.
    App(Result<AppRow, Problem>),
    /// Of [`Task::Row`], [`Task::Tell`] and [`Task::Wire`].
    Written(Result<(), Problem>),
}

/// An app, as the directory has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppRow {
    /// It can be used.
    Active(Box<AppTerms>),
    /// Its owner switched it off.
    Disabled,
    /// It is not there any more.
    Gone,
}

/// The connection's row in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOut {
    /// Raised by every change.
    pub version: u64,
    /// What lists show.
    pub view: ConnectionView,
}
