//! The request that a message came in, as its provider made it.

use serde::{Deserialize, Serialize};

use super::inbound::BodyAt;

/// See [`super::call::Call::MessageRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRequest {
    /// Id or event id of one of its messages, as it stood in the path.
    pub message: String,
}

/// The answer to [`MessageRequest`]; the body stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestView {
    /// Of the body.
    pub content_type: String,
    /// Messages that it made when it came.
    pub messages: u64,
    /// The body stands there, and not beside this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_at: Option<BodyAt>,
}
