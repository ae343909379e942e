//! Watches: what changes in an account at its provider comes to the tenant as messages that say what changed.
//!
//! A notification of a provider says no more than "look now". What counts is the cursor: everything behind it is told once,
//! in the provider's order, however many notifications came, came twice or never came.

pub mod answer;
pub mod calendar;
pub mod gmail;
pub mod plan;
pub mod standing;
pub mod terms;

pub use answer::Found;
pub use plan::Step;
pub use standing::{Channel, Cursor, Trouble, Watch};
pub use terms::{Terms, WatchSource};

use serde_json::Value;

/// Watches of one connection at the most.
pub const MOST: usize = 32;

/// Something that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The message's event type: `gmail.message_added` …
    pub event_type: &'static str,
    /// Names the change among all of its watch: the same whenever it is read again.
    pub key: String,
    /// What is said of it.
    pub data: Value,
}
