//! Supabase Auth hooks: Standard Webhooks with a secret that is shown as `v1,whsec_…`, several signatures joined by `, `,
//! and a `webhook-id` that is new on every try and so names nothing.
//!
//! The answer is part of signing in: without JSON in it, or after five seconds for all tries together, the user's login
//! fails. Hooks whose answer decides something cannot be served by a gateway, which has no answer of its own.
//!
//! Database webhooks carry no signature: for them there are `api_key` and `basic`.

use serde_json::Value;

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, Reply};
use super::names::{Names, Place, UNNAMED, Unit};
use super::secret::Key;
use super::settings::Settings;
use super::standard_webhooks::{DESCRIPTOR_BASE, FLAVOUR_BASE, Flavour, StandardWebhooks};
use super::verdict::{Rejection, Verdict};
use crate::problem::Fault;

const HOOK: &str = "hook";

const PASSED_ON: [&str; 3] = ["send-email", "send-sms", "after-user-created"];

const DECIDING: [&str; 4] = [
    "custom-access-token",
    "mfa-verification-attempt",
    "password-verification-attempt",
    "before-user-created",
];

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "supabase",
    title: "Supabase Auth hooks",
    secret: "the hook's secret as it is shown: v1,whsec_ and base64",
    ack: Reply::with(200, "application/json", "{}"),
    retry_please: Reply::later(1),
    deadline_ms: Some(5_000),
    retry_horizon_s: Some(5),
    retry_count: Some(2),
    disables_on: "",
    checked: Checked::Page,
    sources: &["Auth Hooks", "Database Webhooks", "supabase/auth"],
    unsure: &["Whether every hook has metadata.uuid: without it nothing is deduplicated."],
    kept_headers: &[],
    ..DESCRIPTOR_BASE
};

static FLAVOUR: Flavour = Flavour {
    descriptor: &DESCRIPTOR,
    prefix: "v1,whsec_",
    names: Names {
        id: &[Place::Body("/metadata/uuid")],
        event_type: &[Place::Body("/metadata/name")],
        time: &[(Place::Body("/metadata/time"), Unit::Rfc3339)],
        ..UNNAMED
    },
    header_names_event: false,
    ..FLAVOUR_BASE
};

/// The preset's settings.
pub(super) struct Supabase {
    standard: StandardWebhooks,
    hook: Option<&'static str>,
}

impl Supabase {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let standard = StandardWebhooks::read(&FLAVOUR, &mut settings);
        let text = settings.text(HOOK);
        let hook = text.and_then(|text| PASSED_ON.into_iter().find(|name| *name == text));
        match text {
            Some(text) if DECIDING.contains(&text) => settings.fault(
                HOOK,
                "is a hook whose answer decides: a gateway has none, and nobody could sign in",
            ),
            Some(_) if hook.is_none() => {
                settings.fault(HOOK, format!("must be one of {}", PASSED_ON.join(", ")));
            }
            _ => {}
        }
        settings.finish(Self { standard, hook })
    }
}

impl Preset for Supabase {
    fn to_value(&self) -> Value {
        let mut settings = self.standard.to_value();
        if let (Some(hook), Some(map)) = (self.hook, settings.as_object_mut()) {
            map.insert(HOOK.to_owned(), hook.into());
        }
        settings
    }

    fn wants_secret(&self) -> &'static str {
        DESCRIPTOR.secret
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        self.standard.check_secret(secret)
    }

    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        self.standard.key(secret)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        self.standard.verify(keys, asked)
    }
}
