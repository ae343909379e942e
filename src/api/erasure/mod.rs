//! `/api/v1/erasure`: what was erased, and the proof of it.

pub(crate) mod list;

pub(crate) mod shape;
