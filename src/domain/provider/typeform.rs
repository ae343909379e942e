//! Typeform: `Typeform-Signature: sha256=<base64>` over the body. A form's webhook that was made without a secret sends no
//! signature, and is not believed.

use super::descriptor::{Checked, Descriptor, PLAIN, SecretOrigin};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, Unit};
use super::table::{Encoding, Form, Piece, Scheme, Tell, refuse_prefixes};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "typeform",
    title: "Typeform",
    secret_origin: SecretOrigin::Ours,
    secret: "the secret that was typed into the form's webhook",
    deadline_ms: Some(30_000),
    retry_horizon_s: Some(36_000),
    disables_on: "one answer of 404 or 410",
    checked: Checked::Page,
    sources: &["Webhooks API", "Secure your webhooks"],
    signature_headers: &["typeform-signature"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["Typeform-Signature"],
    form: Form::Prefixed("sha256="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Base64,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 1] = [("tfp_", "is a personal access token: give the webhook's secret")];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Names(Names {
        id: &[Place::Body("/event_id")],
        event_type: &[Place::Body("/event_type")],
        time: &[(Place::Body("/form_response/submitted_at"), Unit::Rfc3339)],
        tenant_key: &[Place::Body("/form_response/form_id")],
        ..UNNAMED
    }),
    once: None,
    secret_comes_later: false,
};
