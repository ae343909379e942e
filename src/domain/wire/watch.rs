//! Watches: what is asked of a connection's object about them, and of the ledger whose source gets their notifications.

use serde::{Deserialize, Serialize};

use crate::id::ConnectionId;
use crate::time::Millis;
use crate::watch::Terms;

/// See [`super::connection::Call::WatchPut`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchPut {
    /// What is to be watched.
    pub terms: Terms,
}

/// See [`super::connection::Call::WatchList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WatchList {}

/// See [`super::connection::Call::WatchDelete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchDelete {
    /// Its number.
    pub number: u64,
}

/// See [`super::connection::Call::WatchPushed`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchPushed {
    /// A source that is wired to the connection believed a notification of this mailbox.
    Mailbox {
        /// As the notification names it.
        mailbox: String,
        /// Where its history is, as the notification says.
        #[serde(default)]
        history: Option<u64>,
    },
    /// Something posted to the connection's channels. Nothing of it is believed yet.
    Channel {
        /// The channel's id.
        id: String,
        /// Its token. A secret.
        token: crate::oauth::Secret,
        /// The provider's name of what is watched.
        #[serde(default)]
        resource: Option<String>,
        /// `sync`, `exists` or `not_exists`.
        state: String,
        /// Grows with each message of a channel.
        #[serde(default)]
        number: Option<u64>,
    },
}

/// How a watch stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchView {
    /// Its number in the connection.
    pub number: u64,
    /// What it looks at.
    pub terms: Terms,
    /// Where it is.
    pub state: WatchState,
    /// Why it is there, one sentence; none: all is well.
    #[serde(default)]
    pub detail: Option<String>,
    /// Of Gmail: the mailbox.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// When it was asked for.
    pub made_at: Millis,
    /// The last notification that was believed.
    #[serde(default)]
    pub last_push_at: Option<Millis>,
    /// The last change that was found.
    #[serde(default)]
    pub last_event_at: Option<Millis>,
    /// When it was last known that nothing is left to tell.
    #[serde(default)]
    pub last_sync_at: Option<Millis>,
    /// Until then the provider notifies.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// When it is renewed.
    #[serde(default)]
    pub next_renewal_at: Option<Millis>,
    /// When something is done for it next, whatever it is: a renewal, another try, a look because nobody notified.
    #[serde(default)]
    pub next_at: Option<Millis>,
    /// Changes of the connection's watches that the tenant's ledger does not have yet.
    #[serde(default)]
    pub untold: u64,
}

/// Where a watch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// The connection cannot be spent now: it goes on when it can.
    Waiting,
    /// It was asked for, and is not there yet.
    Starting,
    /// Changes are told.
    Active,
    /// It cannot be renewed, or changes cannot be read.
    Failing,
    /// It was taken away, and is being ended at the provider.
    Stopping,
}

impl WatchState {
    /// As it stands in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Stopping => "stopping",
        }
    }
}

/// See [`super::call::Call::WatchWire`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchWire {
    /// The source, by its id.
    pub source: String,
    /// What its events are about: of Gmail the mailbox, lower case.
    pub key: String,
    /// Whom they are handed to.
    pub connection: ConnectionId,
    /// Handed from now on, or not any more.
    pub on: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_a_row_and_in_a_call() {
        for word in [
            WatchState::Waiting,
            WatchState::Starting,
            WatchState::Active,
            WatchState::Failing,
            WatchState::Stopping,
        ] {
            assert_eq!(serde_json::to_value(word).ok(), Some(word.as_str().into()));
        }
    }
}
