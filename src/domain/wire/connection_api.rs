//! What an endpoint may be told of a connection before it names it.

use serde::{Deserialize, Serialize};

use crate::oauth::standing::State;

/// See [`super::connection::Call::ApiGet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApiGet {}

/// Where a connection's token may be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiView {
    /// How the connection stands.
    pub state: State,
    /// The bases of the provider's API, with all variables filled in; none: there is no API that we know, or somebody has
    /// to connect first, because its address is learned then.
    #[serde(default)]
    pub bases: Vec<String>,
}
