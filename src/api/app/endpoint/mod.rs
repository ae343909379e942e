//! `/api/v1/app/{app_id}/endpoint`: URLs that want messages.

pub(crate) mod bulk_replay;
pub(crate) mod cancel_msgs;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod failed_redrive;
pub(crate) mod get;
pub(crate) mod headers_get;
pub(crate) mod headers_patch;
pub(crate) mod headers_update;
pub(crate) mod list;
pub(crate) mod messages;
pub(crate) mod missed;
pub(crate) mod patch;
pub(crate) mod rate_limit_status;
pub(crate) mod recover;
pub(crate) mod replay_missing;
pub(crate) mod secret;
pub(crate) mod secret_rotate;
pub(crate) mod send_example;
pub(crate) mod stats;
pub(crate) mod test_attempt;
pub(crate) mod update;

pub(crate) mod shape;

mod connection;
