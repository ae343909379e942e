//! `/api/v1/app/{app_id}/msg`: events.

pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;

mod payload;
pub(crate) mod published;
pub(crate) mod shape;
mod store;
