//! All presets, in the order of the catalogue.

use std::sync::Arc;

use serde_json::Value;

use super::config::Preset;
use super::descriptor::Descriptor;
use super::standard_webhooks::StandardWebhooks;
use super::table::Table;
use super::{
    api_key, basic, discord, dropbox, ed25519, github, google_calendar, hmac, hubspot, ip_allow, jwt, linear,
    mailgun, meta, microsoft_graph, notion, openai, paddle, pubsub, resend, revenuecat, sendgrid, shopify,
    slack, square, standard_webhooks, stripe, supabase, telegram, twilio, typeform, unverified, x, zendesk,
    zoom,
};
use crate::problem::Fault;

/// How a preset's settings are read.
pub(super) type Read = fn(&Value) -> Result<Arc<dyn Preset>, Vec<Fault>>;

/// Every preset with the way to read its settings: providers by name, then what serves the others.
pub(super) static PRESETS: &[(&Descriptor, Read)] = &[
    (&discord::DESCRIPTOR, |config| {
        boxed(discord::Discord::parse(config))
    }),
    (&dropbox::DESCRIPTOR, |config| {
        boxed(Table::parse(&dropbox::SCHEME, config))
    }),
    (&github::DESCRIPTOR, |config| {
        boxed(Table::parse(&github::SCHEME, config))
    }),
    (&google_calendar::DESCRIPTOR, |config| {
        boxed(google_calendar::GoogleCalendar::parse(config))
    }),
    (&pubsub::DESCRIPTOR, |config| boxed(pubsub::PubSub::parse(config))),
    (&hubspot::DESCRIPTOR, |config| {
        boxed(hubspot::HubSpot::parse(config))
    }),
    (&linear::DESCRIPTOR, |config| boxed(linear::Linear::parse(config))),
    (&mailgun::DESCRIPTOR, |config| {
        boxed(mailgun::Mailgun::parse(config))
    }),
    (&meta::DESCRIPTOR, |config| boxed(meta::Meta::parse(config))),
    (&microsoft_graph::DESCRIPTOR, |config| {
        boxed(microsoft_graph::MicrosoftGraph::parse(config))
    }),
    (&notion::DESCRIPTOR, |config| {
        boxed(Table::parse(&notion::SCHEME, config))
    }),
    (&openai::DESCRIPTOR, |config| {
        boxed(StandardWebhooks::parse(&openai::FLAVOUR, config))
    }),
    (&paddle::DESCRIPTOR, |config| {
        boxed(Table::parse(&paddle::SCHEME, config))
    }),
    (&resend::DESCRIPTOR, |config| {
        boxed(StandardWebhooks::parse(&resend::FLAVOUR, config))
    }),
    (&revenuecat::DESCRIPTOR, |config| {
        boxed(revenuecat::RevenueCat::parse(config))
    }),
    (&sendgrid::DESCRIPTOR, |config| {
        boxed(sendgrid::SendGrid::parse(config))
    }),
    (&shopify::DESCRIPTOR, |config| {
        boxed(Table::parse(&shopify::SCHEME, config))
    }),
    (&slack::DESCRIPTOR, |config| {
        boxed(Table::parse(&slack::SCHEME, config))
    }),
    (&square::DESCRIPTOR, |config| {
        boxed(Table::parse(&square::SCHEME, config))
    }),
    (&stripe::DESCRIPTOR, |config| boxed(stripe::Stripe::parse(config))),
    (&supabase::DESCRIPTOR, |config| {
        boxed(supabase::Supabase::parse(config))
    }),
    (&telegram::DESCRIPTOR, |config| {
        boxed(telegram::Telegram::parse(config))
    }),
    (&twilio::DESCRIPTOR, |config| boxed(twilio::Twilio::parse(config))),
    (&typeform::DESCRIPTOR, |config| {
        boxed(Table::parse(&typeform::SCHEME, config))
    }),
    (&x::DESCRIPTOR, |config| boxed(Table::parse(&x::SCHEME, config))),
    (&zendesk::DESCRIPTOR, |config| {
        boxed(zendesk::Zendesk::parse(config))
    }),
    (&zoom::DESCRIPTOR, |config| {
        boxed(Table::parse(&zoom::SCHEME, config))
    }),
    (&standard_webhooks::DESCRIPTOR_BASE, |config| {
        boxed(StandardWebhooks::parse(&standard_webhooks::FLAVOUR, config))
    }),
    (&standard_webhooks::DESCRIPTOR_SVIX, |config| {
        boxed(StandardWebhooks::parse(&standard_webhooks::FLAVOUR_SVIX, config))
    }),
    (&hmac::DESCRIPTOR, |config| boxed(hmac::Hmac::parse(config))),
    (&ed25519::DESCRIPTOR, |config| {
        boxed(ed25519::Ed25519::parse(config))
    }),
    (&jwt::DESCRIPTOR, |config| boxed(jwt::Jwt::parse(config))),
    (&jwt::DESCRIPTOR_RS256, |config| boxed(jwt::Rs256::parse(config))),
    (&basic::DESCRIPTOR, |config| boxed(basic::Basic::parse(config))),
    (&api_key::DESCRIPTOR, |config| {
        boxed(api_key::ApiKey::parse(config))
    }),
    (&ip_allow::DESCRIPTOR, |config| {
        boxed(ip_allow::IpAllow::parse(config))
    }),
    (&unverified::DESCRIPTOR, |config| {
        boxed(unverified::Unverified::parse(config))
    }),
];

/// The facts of a preset by its name in the API.
#[must_use]
pub fn descriptor(provider: &str) -> Option<&'static Descriptor> {
    catalogue().find(|descriptor| descriptor.name == provider)
}

/// The facts of every preset: providers by name, then what serves the others.
pub fn catalogue() -> impl Iterator<Item = &'static Descriptor> {
    PRESETS.iter().map(|(descriptor, _)| *descriptor)
}

fn boxed(preset: Result<impl Preset + 'static, Vec<Fault>>) -> Result<Arc<dyn Preset>, Vec<Fault>> {
    Ok(Arc::new(preset?))
}
