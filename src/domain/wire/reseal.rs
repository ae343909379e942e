//! Sealing anew what a tenant's object keeps, under a new master key.

use serde::{Deserialize, Serialize};

/// See [`super::call::Call::Reseal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reseal {}

/// The answer to [`Reseal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resealed {
    /// The version of the master key that the object seals with: during a deployment it may be another than the asking
    /// side's.
    pub active: u8,
    /// The turn was full: asked again, it goes on.
    #[serde(default)]
    pub more: bool,
    /// The oldest other version of which something does not open and stays as it is; none: there is no such thing.
    #[serde(default)]
    pub other: Option<u8>,
}
