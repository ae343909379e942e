//! `/api/v1/app/{app_id}/connection…`

pub(crate) mod proxy;
