//! `/api/v1/app/{app_id}/msg`: events.

pub(crate) mod body;
pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod resend;

mod payload;
pub(crate) mod shape;
