//! `/api/v1/event-type`: an organisation's catalogue.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod update;

pub(crate) mod shape;
