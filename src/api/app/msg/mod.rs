//! `/api/v1/app/{app_id}/msg`: events.

pub(crate) mod attempt;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod bulk_expunge;
mod content;
pub(crate) mod content_delete;
pub(crate) mod create;
pub(crate) mod endpoints;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod precheck;
pub(crate) mod raw;
pub(crate) mod request;
pub(crate) mod resend;
pub(crate) mod search;

mod payload;
pub(crate) mod published;
pub(crate) mod shape;
mod store;
