//! All presets, in the order of the catalogue.

use std::sync::Arc;

use serde_json::Value;

use super::config::Preset;
use super::descriptor::Descriptor;
use super::{api_key, basic, hmac, standard_webhooks, stripe};
use crate::problem::Fault;

/// How a preset's settings are read.
pub(super) type Read = fn(&Value) -> Result<Arc<dyn Preset>, Vec<Fault>>;

/// Every preset with the way to read its settings.
pub(super) static PRESETS: &[(&Descriptor, Read)] = &[
    (&stripe::DESCRIPTOR, |config| boxed(stripe::Stripe::parse(config))),
    (&standard_webhooks::DESCRIPTOR, |config| {
        boxed(standard_webhooks::StandardWebhooks::parse(config))
    }),
    (&hmac::DESCRIPTOR, |config| boxed(hmac::Hmac::parse(config))),
    (&basic::DESCRIPTOR, |config| boxed(basic::Basic::parse(config))),
    (&api_key::DESCRIPTOR, |config| {
        boxed(api_key::ApiKey::parse(config))
    }),
];

/// The facts of a preset by its name in the API.
#[must_use]
pub fn descriptor(provider: &str) -> Option<&'static Descriptor> {
    catalogue().find(|descriptor| descriptor.name == provider)
}

/// The facts of every preset, in the order in which people look for them.
pub fn catalogue() -> impl Iterator<Item = &'static Descriptor> {
    PRESETS.iter().map(|(descriptor, _)| *descriptor)
}

fn boxed(preset: Result<impl Preset + 'static, Vec<Fault>>) -> Result<Arc<dyn Preset>, Vec<Fault>> {
    Ok(Arc::new(preset?))
}
