//! `/api/v1/app/{app_id}/entitlement`, `…/entitlement-config` and `…/entitlement-backfill`: what the tenant's own customers
//! may use.

pub(crate) mod backfill;
pub(crate) mod config_get;
pub(crate) mod config_update;
pub(crate) mod differences;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod objects;

pub(crate) mod shape;
