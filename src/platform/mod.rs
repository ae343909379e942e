//! The runtime behind small doors: each thing that is not pure has one place here.

pub(crate) mod bodies;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod deadline;
pub(crate) mod fetch;
pub(crate) mod http;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod random;
pub(crate) mod signature;
pub(crate) mod tenant;
pub(crate) mod watch;
