//! `/api/v1/stats`: what the organisation's tenants used.

pub(crate) mod usage_app;
