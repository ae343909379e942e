//! What the machine asks of its shell, and what comes back.
//!
//! The shell does an errand once. It may be lost with the object: what was in the air then is found again in storage (an
//! intent, an attempt that was claimed, a row of the outbox), never in memory.

use postern_domain::id::{OAuthAppId, TenantId};
use postern_domain::oauth::{Ended, Request, Secret};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
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
    App {
        /// Which.
        app: OAuthAppId,
        /// For a refresh. Of an app that is broken one connection an hour is let through, as the probe for all.
        probes: bool,
    },
    /// What a refresh learned of the app. What is known already changes nothing.
    AppJudged {
        /// Which.
        app: OAuthAppId,
        /// Of its credentials; of others than those that stand now it changes nothing.
        generation: u64,
        /// What.
        finding: AppFinding,
    },
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
    /// Of [`Task::Row`], [`Task::Tell`], [`Task::Wire`] and [`Task::AppJudged`].
    Written(Result<(), Problem>),
}

/// An app, as the directory has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppRow {
    /// It can be used.
    Active(Box<AppTerms>),
    /// The provider refuses its id or secret, and another connection has found out, or is finding out now whether that has
    /// changed. Only where a refresh asked.
    Broken {
        /// The provider's words.
        words: Option<String>,
        /// When the provider may be asked again.
        again_at: Millis,
    },
    /// Its owner switched it off.
    Disabled,
    /// It is not there any more.
    Gone,
}

/// What a refresh learned of an app's id and secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppFinding {
    /// The provider refuses them.
    Broken {
        /// In these words, at most 200 characters.
        words: String,
    },
    /// The provider takes them, after it was known to refuse some of the app's.
    Works,
}

/// The connection's row in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOut {
    /// Raised by every change.
    pub version: u64,
    /// What lists show.
    pub view: ConnectionView,
}
