//! Notion: `X-Notion-Signature: sha256=<hex>` over the body, with the verification token as key.
//!
//! The token arrives in the first request, which proves nothing: it is kept only while the source is pending and has no
//! secret. On a source in use it is refused whoever signed it; to skip verification for such a body would let everybody
//! in.

use super::descriptor::{Checked, Descriptor, Level, PLAIN, SecretOrigin};
use super::handshake::refused;
use super::mac::{Algorithm, is_same};
use super::names::{Names, Place, UNNAMED, Unit};
use super::pick::pick;
use super::secret::{Key, check_text};
use super::standing::State;
use super::table::{Encoding, Form, Piece, Scheme, Tell, Told, refuse_prefixes};
use super::verdict::{Answer, Captured, Challenge, Effect, Rejection};
use super::{Asked, Request};

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "notion",
    title: "Notion",
    level: Level::Both,
    secret_origin: SecretOrigin::Handshake,
    secret: "the verification token, which Notion sends first: nothing is pasted here",
    retry_horizon_s: Some(86_400),
    retry_count: Some(8),
    checked: Checked::Page,
    sources: &["Webhooks", "Event types & delivery", "makenotion/notion-sdk-js"],
    unsure: &["The deadline for an answer is not published."],
    signature_headers: &["x-notion-signature"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Notion-Signature"],
    form: Form::Prefixed("sha256="),
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Body],
    time: None,
    check_secret: Some(|secret| {
        const TOKENS: [(&str, &str); 1] = [(
            "ntn_",
            "is an API token: the verification token comes with the first request",
        )];
        refuse_prefixes(secret, &TOKENS)
    }),
    handshake: Some(handshake),
    tell: Tell::Code(|asked, _| {
        if verification_token(asked.request).is_some() {
            return Err(refused(
                "A verification token came to a source that has its secret",
            ));
        }
        Ok(Told::Events(vec![NAMES.event(asked.request)]))
    }),
    once: None,
    secret_comes_later: true,
};

const NAMES: Names = Names {
    id: &[Place::Body("/id")],
    event_type: &[Place::Body("/type")],
    time: &[(Place::Body("/timestamp"), Unit::Rfc3339)],
    tenant_key: &[Place::Body("/workspace_id"), Place::Body("/integration_id")],
    ..UNNAMED
};

/// While the source is pending: the token is kept if there is none yet, and acknowledged if it is the one that was kept.
fn handshake(keys: &[Key], asked: &Asked<'_>) -> Option<Result<Challenge, Rejection>> {
    if asked.standing.state != State::Pending {
        return None;
    }
    let token = verification_token(asked.request)?;
    let effect = if keys.is_empty() {
        if check_text(&token).is_err() {
            return Some(Err(refused("The verification token can be no secret")));
        }
        Effect::Capture(Captured(token))
    } else if keys.iter().any(|key| is_same(&key.bytes, token.as_bytes())) {
        Effect::Nothing
    } else {
        return Some(Err(refused(
            "Another verification token came than the one that was kept: begin with a new source",
        )));
    };
    Some(Ok(Challenge {
        answer: Answer::empty(),
        effect,
    }))
}

fn verification_token(request: &Request<'_>) -> Option<String> {
    let [token] = pick(request.body, ["/verification_token"]);
    token?.as_str().map(str::to_owned)
}
