//! GitHub: `X-Hub-Signature-256: sha256=<hex>` over the body. The SHA-1 header beside it is never believed.
//!
//! The delivery id is a header that no signature covers, and there is no time: a captured request can be sent again under
//! a new id. It is marked, and not refused, because two hooks may send the same bytes.

use super::descriptor::{Checked, Descriptor, Level, PLAIN, SecretOrigin};
use super::mac::Algorithm;
use super::names::{Names, Place, UNNAMED, header};
use super::table::{Encoding, Form, Piece, Scheme, Tell, Told, refuse_prefixes};
use super::verdict::{Answer, Challenge, Effect, Otherwise};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "github",
    title: "GitHub",
    level: Level::Both,
    secret_origin: SecretOrigin::Ours,
    secret: "the secret that was typed into the webhook, or that of the GitHub App",
    deadline_ms: Some(10_000),
    retry_horizon_s: Some(0),
    retry_count: Some(0),
    checked: Checked::Vectors,
    sources: &[
        "Validating webhook deliveries",
        "Handling failed webhook deliveries",
        "octokit/webhooks-methods.js",
    ],
    signature_headers: &["x-hub-signature-256", "x-hub-signature"],
    kept_headers: &[
        "x-github-event",
        "x-github-delivery",
        "x-github-hook-id",
        "x-github-hook-installation-target-type",
        "x-github-hook-installation-target-id",
    ],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Hub-Signature-256"],
    form: Form::Prefixed("sha256="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 3] = [
            ("ghp_", "is a personal access token: give the webhook's secret"),
            (
                "github_pat_",
                "is a personal access token: give the webhook's secret",
            ),
            ("-----BEGIN", "is a private key: give the webhook's secret"),
        ];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: None,
    tell: Tell::Code(|asked, _| {
        if header(asked.request.headers, "X-GitHub-Event") == Some("ping") {
            return Ok(Told::Challenge(Challenge {
                answer: Answer::empty(),
                effect: Effect::Activate,
            }));
        }
        Ok(Told::Events(vec![NAMES.event(asked.request)]))
    }),
    once: Some(Otherwise::Mark),
    secret_comes_later: false,
};

const NAMES: Names = Names {
    id: &[Place::Header("X-GitHub-Delivery")],
    event_type: &[Place::Header("X-GitHub-Event"), Place::Body("/action")],
    tenant_key: &[
        Place::Body("/installation/id"),
        Place::Body("/repository/id"),
        Place::Body("/organization/id"),
    ],
    ..UNNAMED
};
