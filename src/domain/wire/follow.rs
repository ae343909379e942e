//! Reading the log forward, and being told that there is more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::MessageView;
use crate::event_type;
use crate::id::MessageId;
use crate::time::Millis;

/// The header in which a [`Watch`] travels: a request for a socket has no body.
pub const WATCH_HEADER: &str = "postern-watch";

/// The header in which the object says its newest sequence number as it takes a socket.
pub const SEQUENCE_HEADER: &str = "postern-sequence";

/// Which messages are wanted, by the rules that endpoints choose by.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Names and patterns; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// None: messages of every channel and of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<String>>,
}

impl Wanted {
    /// Whether a message of this type on these channels is among them.
    #[must_use]
    pub fn takes(&self, event_type: &str, channels: Option<&[String]>) -> bool {
        event_type::wants(self.event_types.as_deref(), event_type)
            && event_type::hears(self.channels.as_deref(), channels)
    }
}

/// See [`super::call::Call::Follow`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Behind which message.
    pub from: Place,
    /// Which.
    pub wanted: Wanted,
    /// 1 to 250.
    pub limit: u16,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Behind this message, which must be one of the tenant's.
    Message(MessageId),
    /// Behind this sequence number, as an answer said it.
    Sequence(u64),
}

/// A part of the log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The messages; their bodies stand beside the answer in the same order.
    pub messages: Vec<LogMessage>,
    /// All up to this sequence number was looked at: the next part begins behind it.
    pub through: u64,
    /// Nothing is there behind it now.
    pub done: bool,
    /// Retention took messages that were not read yet.
    #[serde(default)]
    pub gap: Option<Gap>,
}

impl LogPage {
    /// It has nothing to say.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.messages.is_empty() && self.done && self.gap.is_none()
    }
}

/// A message of the log, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMessage {
    /// As the API shows it.
    pub view: MessageView,
    /// Headers that were kept of it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// So many messages of the tenant; how many of them were wanted, nobody knows any more.
    pub missed: u64,
    /// The sequence number at which the log goes on.
    pub first: u64,
}

/// See [`super::call::Call::Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Only what this endpoint (id or `uid`) that is polled gets.
    #[serde(default)]
    pub sink: Option<String>,
    /// Which.
    pub wanted: Wanted,
}

/// The answer to [`Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The newest message's number: what comes later is told.
    pub sequence: u64,
    /// What the socket is told of; it is kept with the socket while the object sleeps.
    pub watcher: Watcher,
}

/// What a socket wants to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// Only what this endpoint gets.
    #[serde(default)]
    pub endpoint: Option<u32>,
    /// Which.
    pub wanted: Wanted,
}

/// What is told: the newest of what came. It has no body: whoever wants that reads on from where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its number.
    pub sequence: u64,
    /// Its address.
    pub id: MessageId,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it was accepted.
    pub time: Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_goes_by_the_rules_of_endpoints() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let wanted = Wanted {
            event_types: list(&["invoice.*"]),
            channels: list(&["eu"]),
        };
        let on = |channels: &[&str]| list(channels).unwrap_or_default();
        assert!(wanted.takes("invoice.paid", Some(&on(&["eu", "us"]))));
        assert!(!wanted.takes("invoice.paid", Some(&on(&["us"]))));
        assert!(!wanted.takes("invoice.paid", None));
        assert!(!wanted.takes("user.made", Some(&on(&["eu"]))));
        assert!(Wanted::default().takes("anything", None));
    }
}
