//! Resend: Standard Webhooks with Svix's headers.

use super::descriptor::Descriptor;
use super::standard_webhooks::{BOTH_FAMILIES, DESCRIPTOR_SVIX, FLAVOUR_BASE, Flavour};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "resend",
    title: "Resend",
    secret: "the webhook's signing secret: whsec_ and base64",
    sources: &["Managing webhooks (Resend)", "resend/resend-node"],
    unsure: &[],
    ..DESCRIPTOR_SVIX
};

pub(super) static FLAVOUR: Flavour = Flavour {
    descriptor: &DESCRIPTOR,
    families: BOTH_FAMILIES,
    ..FLAVOUR_BASE
};
