//! What a tenant's object tells the operational tenant of its organisation.

use serde::{Deserialize, Serialize};

/// See [`super::call::Call::Tell`]. The bodies stand beside it, one an event, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// What happened, oldest first.
    pub events: Vec<Happened>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The same at every repeat: see [`crate::operational::event_id`].
    pub event_id: String,
    /// `endpoint.disabled` …
    pub event_type: String,
}

/// The answer to [`Tell`]: every event is stored, or no endpoint wants it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Told {
    /// No operational endpoint is there, or none that is on: nothing was stored, and nothing more need be told for a
    /// while.
    #[serde(default)]
    pub nobody: bool,
}
