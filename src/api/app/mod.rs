//! `/api/v1/app`: tenants, as Svix calls them.

pub(crate) mod attempt;
pub(crate) mod connection;
pub(crate) mod endpoint;
pub(crate) mod entitlement;
pub(crate) mod msg;
pub(crate) mod poller;
pub(crate) mod source;
pub(crate) mod stream;

pub(crate) mod alert_email;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delivery;
pub(crate) mod erase;
pub(crate) mod export;
pub(crate) mod failed;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod job;
pub(crate) mod jwks;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod replay;
pub(crate) mod stats;
pub(crate) mod update;

pub(crate) mod shape;
