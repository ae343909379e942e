//! How a watch stands: all that is stored of it. No secret; of a channel's token its digest.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Terms;
use crate::digest;
use crate::time::Millis;

/// A watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Its number in the connection, from 1.
    pub number: u64,
    /// What it looks at.
    pub terms: Terms,
    /// When it was asked for.
    pub made_at: Millis,
    /// It was taken away: what stands at the provider is ended first.
    #[serde(default)]
    pub stopping: bool,
    /// How often the provider was asked to end it, in vain.
    #[serde(default)]
    pub stops_failed: u32,
    /// Of Gmail: the mailbox, as its notifications name it.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// Its source hands notifications of the mailbox to the connection.
    #[serde(default)]
    pub wired: bool,
    /// Of Gmail: until then the provider notifies.
    #[serde(default)]
    pub expires_at: Option<Millis>,
    /// Of a calendar: its channels, oldest first.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// When it is renewed.
    #[serde(default)]
    pub renew_at: Option<Millis>,
    /// Behind which everything is to be told; none: it begins now.
    #[serde(default)]
    pub cursor: Option<Cursor>,
    /// Of a calendar: the newest change that was told, so that a full sync tells nothing twice.
    #[serde(default)]
    pub told_until: Option<Millis>,
    /// The provider forgot what was behind the last cursor: the next one is a new begin.
    #[serde(default)]
    pub lost: bool,
    /// Notifications that count.
    #[serde(default)]
    pub pushes: u64,
    /// As many of them as had come when the last look began that ended.
    #[serde(default)]
    pub served: u64,
    /// The last one.
    #[serde(default)]
    pub last_push_at: Option<Millis>,
    /// The last change that was found.
    #[serde(default)]
    pub last_event_at: Option<Millis>,
    /// When it was last known that nothing is behind the cursor.
    #[serde(default)]
    pub last_sync_at: Option<Millis>,
    /// What keeps it from being renewed.
    #[serde(default)]
    pub renewal: Trouble,
    /// What keeps changes from being read.
    #[serde(default)]
    pub sync: Trouble,
    /// Members that a newer release wrote.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A channel of a calendar. Stored before it is asked for: what it posts counts even if the answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// As we named it.
    pub id: String,
    /// SHA-256 of its token, hex.
    pub token: String,
    /// As the provider named it; none: it is not known whether the channel was opened.
    #[serde(default)]
    pub resource: Option<String>,
    /// When it was asked for.
    pub made_at: Millis,
    /// It ends by itself then.
    pub expires_at: Millis,
    /// A newer one took its place: it is stopped then.
    #[serde(default)]
    pub stop_at: Option<Millis>,
    /// How often stopping it failed.
    #[serde(default)]
    pub stops_failed: u32,
    /// The highest message number that came.
    #[serde(default)]
    pub number: u64,
}

/// Where in the provider's changes the tenant is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Gmail's history id, or a calendar's sync token; none: a full sync, that makes one.
    #[serde(default)]
    pub at: Option<String>,
    /// The next page of what is behind it.
    #[serde(default)]
    pub page: Option<String>,
    /// The newest change of the pages before.
    #[serde(default)]
    pub newest: Option<Millis>,
    /// Notifications that had come when its first page was asked for.
    #[serde(default)]
    pub pushes: u64,
}

impl Cursor {
    /// Behind this.
    #[must_use]
    pub const fn behind(at: String) -> Self {
        Self {
            at: Some(at),
            page: None,
            newest: None,
            pushes: 0,
        }
    }
}

/// Something that fails, one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trouble {
    /// How often; 0: it does not fail.
    #[serde(default)]
    pub failures: u32,
    /// Not tried before.
    #[serde(default)]
    pub retry_at: Option<Millis>,
    /// One sentence.
    #[serde(default)]
    pub why: Option<String>,
}

impl Watch {
    /// One that was asked for now.
    #[must_use]
    pub fn new(number: u64, terms: Terms, now: Millis) -> Self {
        Self {
            number,
            terms,
            made_at: now,
            stopping: false,
            stops_failed: 0,
            mailbox: None,
            wired: false,
            expires_at: None,
            channels: Vec::new(),
            renew_at: None,
            cursor: None,
            told_until: None,
            lost: false,
            pushes: 0,
            served: 0,
            last_push_at: None,
            last_event_at: None,
            last_sync_at: None,
            renewal: Trouble::default(),
            sync: Trouble::default(),
            rest: Map::new(),
        }
    }

    /// Whether a notification came since the last look began.
    #[must_use]
    pub const fn is_pushed(&self) -> bool {
        self.pushes > self.served
    }

    /// The channel of this id whose token this is, if its resource is not another one. Compared in constant time.
    #[must_use]
    pub fn proves(&self, id: &str, token: &str, resource: Option<&str>) -> Option<usize> {
        let digest = digest::of(token.as_bytes());
        self.channels.iter().position(|channel| {
            let known = channel.resource.as_deref();
            channel.id == id
                && digest::same(channel.token.as_bytes(), digest.as_bytes())
                && (known.is_none() || known == resource)
        })
    }

    /// The channel that is not to be stopped, if the provider is known to have opened it.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        let live = |channel: &&Channel| channel.stop_at.is_none() && channel.resource.is_some();
        self.channels.iter().rev().find(live)
    }

    /// Until when the provider notifies, as far as is known.
    #[must_use]
    pub fn notifies_until(&self) -> Option<Millis> {
        match &self.terms {
            Terms::Gmail { .. } => self.expires_at,
            Terms::Calendar { .. } => self.channel().map(|channel| channel.expires_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let terms = Terms::Calendar {
            calendar: "primary".to_owned(),
            address: "https://postern.example/in/channel/x".to_owned(),
        };
        let mut watch = Watch::new(1, terms, Millis(5));
        watch.channels.push(Channel {
            id: "one".to_owned(),
            token: digest::of(b"token-one"),
            resource: Some("res-1".to_owned()),
            made_at: Millis(5),
            expires_at: Millis(100),
            stop_at: None,
            stops_failed: 0,
            number: 0,
        });
        watch
    }

    #[test]
    fn a_channel_is_proven_by_its_own_id_token_and_resource() {
        let mut watch = watch();
        assert_eq!(watch.proves("one", "token-one", Some("res-1")), Some(0));
        assert_eq!(watch.proves("one", "token-two", Some("res-1")), None);
        assert_eq!(watch.proves("two", "token-one", Some("res-1")), None);
        assert_eq!(watch.proves("one", "token-one", Some("res-2")), None);
        assert_eq!(watch.proves("one", "token-one", None), None);
        watch.channels[0].resource = None;
        assert_eq!(watch.proves("one", "token-one", Some("res-2")), Some(0));
    }

    #[test]
    fn what_a_newer_release_wrote_is_kept() {
        let mut text = serde_json::to_value(watch()).unwrap_or_default();
        text["later"] = Value::from(7);
        let read: Watch = serde_json::from_value(text.clone()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(serde_json::to_value(read).ok(), Some(text));
    }

    #[test]
    fn the_channel_is_the_newest_that_the_provider_opened_and_that_goes_on() {
        let mut watch = watch();
        let first = watch.channels[0].clone();
        watch.channels.push(Channel {
            expires_at: Millis(200),
            ..first.clone()
        });
        assert_eq!(watch.notifies_until(), Some(Millis(200)));
        watch.channels.push(Channel {
            resource: None,
            expires_at: Millis(300),
            ..first.clone()
        });
        assert_eq!(
            watch.notifies_until(),
            Some(Millis(200)),
            "one that was only asked for"
        );
        watch.channels[1].stop_at = Some(Millis(150));
        assert_eq!(watch.notifies_until(), Some(Millis(100)));
        watch.channels[0].stop_at = Some(Millis(150));
        assert_eq!((watch.channel(), watch.notifies_until()), (None, None));
    }
}
