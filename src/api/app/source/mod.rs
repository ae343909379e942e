//! `/api/v1/app/{app_id}/source`: places where providers post webhooks.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod secret_rotate;
pub(crate) mod token_rotate;
pub(crate) mod update;

mod rotate;
pub(crate) mod shape;
