//! `/api/v1/app`: tenants, as Svix calls them.

pub(crate) mod attempt;
pub(crate) mod endpoint;
pub(crate) mod msg;
pub(crate) mod source;

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod job;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod replay;
pub(crate) mod update;

pub(crate) mod shape;
