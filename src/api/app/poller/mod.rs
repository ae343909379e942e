//! `/api/v1/app/{app_id}/poller`: endpoints whose messages are fetched.

pub(crate) mod consumer_poll;
pub(crate) mod consumer_seek;
pub(crate) mod poll;
pub(crate) mod token;
pub(crate) mod token_rotate;

pub(crate) mod shape;
mod wait;
