//! `/api/v1/app/{app_id}/stream`: the tenant's messages as they come.

pub(crate) mod get;

mod events;
mod feed;
mod socket;
