//! What a watch is asked to look at.

use serde::{Deserialize, Serialize};

use crate::id::{SourceId, TenantId};
use crate::oauth::provider::Provider;

/// What is watched, and how its notifications come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Terms {
    /// A mailbox: `users.watch`, pushed by Pub/Sub to a source.
    Gmail {
        /// `projects/{project}/topics/{topic}`, in the project of the OAuth client. None: nobody pushes, it is only polled.
        #[serde(default)]
        topic: Option<String>,
        /// Labels that count; empty: all.
        #[serde(default)]
        labels: Vec<String>,
        /// The source that the topic's subscription pushes to. None: pushes are not known here.
        #[serde(default)]
        source: Option<WatchSource>,
    },
    /// A calendar: `events.watch`, channels that post to this deployment.
    Calendar {
        /// `primary`, or a calendar's id.
        calendar: String,
        /// Where this deployment is; channels post to `{address}/in/channel/{connection}`.
        address: String,
    },
}

/// A source that gets pushes, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSource {
    /// The ledger that has it: the tenant's own, or that of its organisation's app-level sources.
    pub ledger: TenantId,
    /// Which.
    pub id: SourceId,
}

impl Terms {
    /// As it stands in answers and messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Gmail { .. } => "gmail",
            Self::Calendar { .. } => "calendar",
        }
    }

    /// The named base of the provider's API that it needs, and what it is by default.
    #[must_use]
    pub const fn base(&self) -> &'static str {
        self.kind()
    }

    /// Whether the provider's entry names the API that it needs.
    #[must_use]
    pub fn is_offered_by(&self, provider: &Provider) -> bool {
        let api = provider.api.as_ref();
        api.is_some_and(|api| api.bases.contains_key(self.base()))
    }

    /// Whether both look at the same thing: a connection watches nothing twice.
    #[must_use]
    pub fn looks_at_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gmail { .. }, Self::Gmail { .. }) => true,
            (Self::Calendar { calendar: one, .. }, Self::Calendar { calendar: other, .. }) => one == other,
            _ => false,
        }
    }
}
