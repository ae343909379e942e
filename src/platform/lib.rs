//! The runtime behind small doors: each thing that is not pure has one place here, for the edge and for the objects.

pub mod app_alert;
pub mod bodies;
pub mod clock;
pub mod config;
pub mod connection;
pub mod deadline;
pub mod fetch;
pub mod http;
pub mod key_set;
pub mod later;
pub mod log;
pub mod message;
pub mod provider;
pub mod random;
pub mod signature;
pub mod tenant;
pub mod token;
pub mod watch;
