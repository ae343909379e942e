//! What is told when a provider refuses an app's id or secret, and when it takes them again: once, whatever the number of its
//! connections. To the tenant whose app it is, or to the organisation where it is the operator's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::app::Row;
use crate::time::Millis;

/// One of them, as the app's row keeps it until it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What happened.
    pub event: Event,
    /// When.
    pub at: Millis,
    /// Since when it is, or was, broken.
    pub since: Millis,
    /// The provider's words, at most 200 characters.
    #[serde(default)]
    pub words: Option<String>,
}

/// What happens to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The provider refuses it.
    Broken,
    /// The provider takes it again.
    Recovered,
}

impl Alert {
    /// The message's event type.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self.event {
            Event::Broken => "oauth-app.broken",
            Event::Recovered => "oauth-app.recovered",
        }
    }

    /// The same at every repeat: told twice, it is one message.
    #[must_use]
    pub fn event_id(&self, app: &Row) -> String {
        format!("{}_{}_{}", app.id, self.event_type(), self.at.0)
    }

    /// The message's body. No secret.
    #[must_use]
    pub fn payload(&self, app: &Row) -> Value {
        let mut data = json!({
            "appId": app.application,
            "oauthAppId": app.id,
            "oauthAppUid": app.uid,
            "name": app.name,
            "provider": app.provider,
            "brokenSince": self.since.to_rfc3339(),
            "words": self.words,
        });
        if app.application.is_none() {
            data["appUid"] = Value::Null; // every operational message has it
        }
        json!({ "type": self.event_type(), "timestamp": self.at.to_rfc3339(), "data": data })
    }
}
