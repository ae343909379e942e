//! `/api/v1/app/{app_id}/source`: places where providers post webhooks.

pub(crate) mod captured_secret;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod diagnose;
pub(crate) mod get;
pub(crate) mod gmail_push;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod rejected;
pub(crate) mod replay;
pub(crate) mod secret_delete;
pub(crate) mod secret_rotate;
pub(crate) mod stats;
pub(crate) mod token_rotate;
pub(crate) mod update;

mod options;
mod rotate;
pub(crate) mod shape;
