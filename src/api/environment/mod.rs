//! `/api/v1/environment`: what an organisation has decided, to take elsewhere and to bring along.

pub(crate) mod export;
pub(crate) mod import;
