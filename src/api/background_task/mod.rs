//! `/api/v1/background-task`: long jobs, over all that an organisation has.

mod begin;
pub(crate) mod cancel;
pub(crate) mod get;
pub(crate) mod list;

pub(crate) mod live;
pub(crate) mod shape;

pub(crate) use begin::begin;
