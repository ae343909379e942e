//! The nouns of Postern and the rules about them, in reading order.
//!
//! Nothing here knows a clock, randomness, a network or an async runtime: each of those comes in as a value. Untrusted
//! input is parsed here, once, into types that cannot be wrong afterwards.
#![forbid(unsafe_code)]

pub mod id;
pub mod json;
pub mod time;

pub mod problem;

pub mod access;
pub mod address;
pub mod app_level;
pub mod csv;
pub mod digest;
pub mod egress;
pub mod entitlement;
pub mod event_type;
pub mod filter;
pub mod gmail_push;
pub mod header;
pub mod import;
pub mod legacy_signature;
pub mod oauth;
pub mod operational;
pub mod outcome;
pub mod provider;
pub mod schedule;
pub mod seal;
pub mod signature;

pub mod wire;
