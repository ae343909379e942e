//! How an attempt ended, and what that means.

use serde::{Deserialize, Serialize};

/// Why an attempt failed. A closed set: lists filter on it, people read its sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The URL's host or port is one that Postern does not call.
    AddressRefused,
    /// No answer within the deadline.
    Timeout,
    /// An answer began and did not end within the deadline.
    BodyTimeout,
    /// Refused, reset, or cut off: the runtime does not tell them apart.
    ConnectionLost,
    /// The name was not found, or TLS failed: the runtime does not tell them apart.
    NameOrTls,
    /// The network in front of the endpoint answered in its place (520 to 530).
    NoAnswer,
    /// A redirect. Never followed.
    Redirect,
    /// A status of 400 to 499.
    ClientError,
    /// A status of 500 or above, or below 200.
    ServerError,
    /// The signing key could not be opened.
    SealBroken,
    /// Anything else that kept the request from being made or answered.
    Unknown,
}
