//! OpenAI: Standard Webhooks with the standard's headers. The prefix of the secret must be there: without it, OpenAI's
//! own library takes the text as it is where the standard decodes it, and the same secret would be two keys.

use super::descriptor::{Checked, Descriptor};
use super::standard_webhooks::{DESCRIPTOR_BASE, FLAVOUR_BASE, Flavour};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "openai",
    title: "OpenAI",
    secret: "the webhook's signing secret: whsec_ and base64",
    deadline_ms: None,
    retry_horizon_s: Some(259_200),
    disables_on: "",
    checked: Checked::Vectors,
    sources: &["Webhooks (OpenAI guide)", "openai/openai-node"],
    unsure: &["The deadline is \"a few seconds\"."],
    ..DESCRIPTOR_BASE
};

pub(super) static FLAVOUR: Flavour = Flavour {
    descriptor: &DESCRIPTOR,
    needs_prefix: true,
    ..FLAVOUR_BASE
};
