//! `/api/v1/app/{app_id}/attempt`: HTTP requests that were made for deliveries.

pub(crate) mod by_endpoint;
pub(crate) mod by_msg;
pub(crate) mod count;
pub(crate) mod headers;

pub(crate) mod shape;
