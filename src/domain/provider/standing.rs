//! What a source knows beside its settings and secrets, and what changes without its owner.

use std::fmt;

use super::keys::KeySet;
use crate::time::Millis;

/// A source's standing at the moment of a request. The default is the cautious one: active, and nothing known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Standing<'a> {
    /// Whether the source has ever been used.
    pub state: State,
    /// The keys that the settings' `jwksUrl`, or the preset's own address, last gave. None: not fetched.
    pub key_set: Option<&'a KeySet>,
    /// Channels or subscriptions that a connection opened for this source.
    pub channels: &'a [Channel],
}

/// Whether a handshake may leave something behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Saved, and nothing verified yet.
    Pending,
    /// In use; also what is paused or disabled.
    #[default]
    Active,
}

/// A channel (Google) or subscription (Microsoft) that somebody opened at the provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id, which comes with each request.
    pub id: String,
    /// The token (Google) or `clientState` (Microsoft) that it was opened with. Empty matches nothing.
    pub token: String,
    /// What is watched, if that is known.
    pub resource_id: Option<String>,
    /// When it ends. A channel that has ended is still believed: the provider's clock may be another one.
    pub expires_at: Option<Millis>,
}

/// The token is a secret.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("resource_id", &self.resource_id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
