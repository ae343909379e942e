//! Ed25519 signatures in hex over the time's text and the body: Discord's scheme with other headers, for senders without
//! a preset.
//!
//! Where `tolerance` is not set the time is a text like any other: it may be empty, and says nothing about freshness.

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, SecretOrigin};
use super::event::Naming;
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use super::{Headers, MAX_SIGNATURES};
use crate::problem::Fault;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "ed25519",
    title: "Ed25519",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::None,
    signed: "{timestamp}{body}",
    checked: Checked::Vectors,
    sources: &["RFC 8032 section 7.1"],
    signature_headers: &["x-signature-ed25519", "x-signature-timestamp"],
    ..PLAIN
};

/// The preset's settings.
pub(super) struct Ed25519 {
    key: HexKey,
    header: String,
    time_header: String,
    tolerance: Option<u64>,
    naming: Naming,
}

impl Ed25519 {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let key = HexKey::read(&mut settings);
        let header = settings.header("header");
        let time_header = settings.header("timestampHeader");
        let tolerance = settings.has("tolerance").then(|| settings.tolerance());
        let naming = Naming::read(&mut settings, None);
        let preset = key.map(|key| Self {
            key,
            header: header.unwrap_or_else(|| "X-Signature-Ed25519".to_owned()),
            time_header: time_header.unwrap_or_else(|| "X-Signature-Timestamp".to_owned()),
            tolerance,
            naming,
        });
        settings.finish_some(preset)
    }
}

impl Preset for Ed25519 {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        self.key.write(&mut settings);
        settings.insert("header".to_owned(), self.header.clone().into());
        settings.insert("timestampHeader".to_owned(), self.time_header.clone().into());
        if let Some(tolerance) = self.tolerance {
            settings.insert("tolerance".to_owned(), tolerance.into());
        }
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: the public key stands in config.publicKey"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not needed: the public key stands in config.publicKey".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Signed))
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let signatures = signatures(request.headers, &self.header)?;
        let time = match self.tolerance {
            Some(_) => Timestamp::parse(request.headers.single(&self.time_header)?)?,
            None => Timestamp::unread(only(request.headers, &self.time_header)?),
        };
        self.key
            .check(&[time.text.as_bytes(), request.body], &signatures)?;
        if let Some(tolerance) = self.tolerance {
            time.check_fresh(tolerance, asked.now)?;
        }
        let event = self.naming.event(request, None, Trust::Signed);
        Ok(Accepted::new(vec![event], None).into())
    }
}

/// A public key, as it is shown in hex.
pub(super) struct HexKey {
    text: String,
    key: VerifyingKey,
}

impl HexKey {
    /// Reads `publicKey`: a point of the curve that is not of small order. Under such a one, signatures hold for any
    /// message.
    pub(super) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        const KEY: &str = "publicKey";
        let text = settings.required_text(KEY, "give the sender's public key: 64 hexadecimal characters")?;
        let key = hex::decode(text)
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .filter(|key| !key.is_weak());
        if key.is_none() {
            settings.fault(KEY, "must be an Ed25519 public key: 64 hexadecimal characters");
        }
        Some(Self {
            text: text.to_owned(),
            key: key?,
        })
    }

    pub(super) fn write(&self, settings: &mut Map<String, Value>) {
        settings.insert("publicKey".to_owned(), self.text.clone().into());
    }

    pub(super) fn check(&self, parts: &[&[u8]], signatures: &[Signature]) -> Result<(), Rejection> {
        let signed = parts.concat();
        let holds = |signature| self.key.verify_strict(&signed, signature).is_ok();
        if signatures.iter().any(holds) {
            return Ok(());
        }
        let detail = "No signature in the request was made over these bytes with the key of this source: another key, \
                      or a body that was changed on its way";
        Err(Rejection::new(Reason::Mismatch, detail))
    }
}

/// The signatures of a header, in hex.
pub(super) fn signatures(headers: &Headers, name: &str) -> Result<Vec<Signature>, Rejection> {
    let read = |text: &str| Signature::from_slice(&hex::decode(text).ok()?).ok();
    let values = headers
        .several(name)?
        .into_iter()
        .flat_map(|value| value.split(", "));
    let signatures: Vec<Signature> = values.take(MAX_SIGNATURES).filter_map(read).collect();
    if signatures.is_empty() {
        let detail = format!("The header {name} holds no Ed25519 signature in hex");
        return Err(Rejection::malformed(detail));
    }
    Ok(signatures)
}

/// A header's only value, which may be empty and may be missing.
fn only<'a>(headers: &'a Headers, name: &'a str) -> Result<&'a str, Rejection> {
    match headers.get(name) {
        None | Some("") if headers.all(name).nth(1).is_none() => Ok(""),
        _ => headers.single(name),
    }
}
