//! When a delivery is tried again.

use serde::{Deserialize, Serialize};

/// Waits between tries, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Vec<u32>);
