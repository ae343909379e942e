//! `/api/v1/app/{app_id}/entitlement` and `…/entitlement-config`: what the tenant's own customers may use.

pub(crate) mod config_get;
pub(crate) mod config_update;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod objects;

pub(crate) mod shape;
