//! `/api/v1/event-type`: an organisation's catalogue.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod export_openapi;
pub(crate) mod get;
pub(crate) mod import_openapi;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod retry_schedule;
pub(crate) mod update;

pub(crate) mod shape;
mod specification;
