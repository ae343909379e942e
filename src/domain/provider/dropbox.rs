//! Dropbox: `X-Dropbox-Signature: <hex>` over the body, with the app's secret as key. The handshake is a GET whose
//! `challenge` is answered as text.

use super::descriptor::{Checked, Descriptor, Level, PLAIN};
use super::handshake::{echo, refused};
use super::mac::Algorithm;
use super::names::UNNAMED;
use super::public_url::query_value;
use super::table::{Encoding, Form, Piece, Scheme, Tell};
use super::verdict::Effect;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "dropbox",
    title: "Dropbox",
    methods: &["POST", "GET"],
    level: Level::App,
    secret: "the app's secret",
    deadline_ms: Some(10_000),
    retry_horizon_s: Some(600),
    checked: Checked::Page,
    sources: &["Webhooks (Dropbox developers)"],
    unsure: &["The ten minutes of retries, with growing pauses, stand in an older version of the page."],
    signature_headers: &["x-dropbox-signature"],
    ..PLAIN
};

pub(super) static SCHEME: Scheme = Scheme {
    descriptor: &DESCRIPTOR,
    headers: &["X-Dropbox-Signature"],
    form: Form::Bare,
    algorithm: Algorithm::Sha256,
    encoding: Encoding::Hex,
    signed: &[Piece::Body],
    time: None,
    check_secret: None,
    handshake: Some(|_, asked| {
        let is_get = asked.request.method == "GET";
        is_get.then(|| match query_value(asked.request, "challenge") {
            Some(challenge) => echo(&challenge, Effect::Nothing),
            None => Err(refused(
                "A GET without a single challenge is no handshake of Dropbox's",
            )),
        })
    }),
    tell: Tell::Names(UNNAMED),
    once: None,
    secret_comes_later: false,
};
