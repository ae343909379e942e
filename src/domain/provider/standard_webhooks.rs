//! Standard Webhooks, as Svix, Resend and many others send it: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, or the same three with `svix-`. `v1` is HMAC-SHA256 and `v1a` Ed25519, over
//! `{id}.{timestamp}.{body}`.
//!
//! A secret is base64 behind an optional `whsec_`; the key is what it decodes to. Stripe writes its secrets with the
//! same prefix and does not decode them: only the preset tells the two apart.

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN};
use super::event::usable_id;
use super::mac::{Algorithm, from_base64, from_pasted_base64, is_among};
use super::names::{Names, Place, UNNAMED, Unit};
use super::secret::{Key, MAX_SECRETS};
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Reason, Rejection, Trust, Verdict};
use super::{Asked, Headers, MAX_SIGNATURES, Request};
use crate::problem::Fault;

pub(super) const NAME: &str = "standard-webhooks";

const STANDARD: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const SVIX: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];

/// In what senders of the standard differ.
pub(super) struct Flavour {
    pub(super) descriptor: &'static Descriptor,
    /// A request has one family whole. Three headers out of two families were never sent together.
    pub(super) families: &'static [[&'static str; 3]],
    /// How a secret begins, and whether it must.
    pub(super) prefix: &'static str,
    pub(super) needs_prefix: bool,
    /// Whether the sender may sign with a key whose public half stands in the settings.
    pub(super) public_keys: bool,
    /// Where the body names the event; the id is the header's unless this says otherwise.
    pub(super) names: Names,
    /// Whether the header's id is the event's, the same for each try.
    pub(super) header_names_event: bool,
}

pub(super) static FLAVOUR: Flavour = Flavour {
    descriptor: &DESCRIPTOR_BASE,
    families: &[STANDARD, SVIX],
    prefix: "whsec_",
    needs_prefix: false,
    public_keys: true,
    names: NAMES,
    header_names_event: true,
};

pub(super) static FLAVOUR_SVIX: Flavour = Flavour {
    descriptor: &DESCRIPTOR_SVIX,
    families: &[SVIX, STANDARD],
    ..FLAVOUR_BASE
};

/// What flavours have in common.
pub(super) const FLAVOUR_BASE: Flavour = Flavour {
    descriptor: &DESCRIPTOR_BASE,
    families: &[STANDARD],
    prefix: "whsec_",
    needs_prefix: false,
    public_keys: false,
    names: NAMES,
    header_names_event: true,
};

/// Headers as Svix sends them, or as the standard has them.
pub(super) const BOTH_FAMILIES: &[[&str; 3]] = &[SVIX, STANDARD];

const NAMES: Names = Names {
    event_type: &[Place::Body("/type")],
    time: &[
        (Place::Body("/timestamp"), Unit::Rfc3339),
        (Place::Body("/timestamp"), Unit::Seconds),
        (Place::Body("/created_at"), Unit::Rfc3339),
        (Place::Body("/created_at"), Unit::Seconds),
    ],
    ..UNNAMED
};

const MIN_SECRET_BYTES: usize = 16;

pub(super) const DESCRIPTOR_BASE: Descriptor = Descriptor {
    name: NAME,
    title: "Standard Webhooks",
    secret: "whsec_ and base64, or base64 alone; or the sender's public keys (whpk_…) in the settings",
    signed: "{id}.{timestamp}.{body}",
    deadline_ms: Some(15_000),
    retry_horizon_s: Some(270_000),
    disables_on: "an answer of 410",
    checked: Checked::Vectors,
    sources: &["standard-webhooks/standard-webhooks"],
    unsure: &["Deadline and retries are those of the standard's example; each sender has its own."],
    signature_headers: &["webhook-signature", "webhook-timestamp"],
    kept_headers: &["webhook-id"],
    ..PLAIN
};

pub(super) static DESCRIPTOR_SVIX: Descriptor = Descriptor {
    name: "svix",
    title: "Svix",
    secret: "the endpoint's signing secret: whsec_ and base64",
    retry_horizon_s: Some(100_000),
    retry_count: Some(7),
    disables_on: "five days without one success; an answer of 410",
    sources: &["svix/svix-webhooks"],
    unsure: &["The open server waits 30 seconds for an answer, the hosted one 15."],
    signature_headers: &[
        "svix-signature",
        "svix-timestamp",
        "webhook-signature",
        "webhook-timestamp",
    ],
    kept_headers: &["svix-id", "webhook-id"],
    ..DESCRIPTOR_BASE
};

/// The preset's settings.
pub(super) struct StandardWebhooks {
    flavour: &'static Flavour,
    tolerance: u64,
    public_keys: Vec<PublicKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PublicKey {
    /// As it was posted.
    text: String,
    key: VerifyingKey,
}

impl StandardWebhooks {
    /// The preset of a sender that has no settings of its own.
    pub(super) fn parse(flavour: &'static Flavour, config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(flavour.descriptor.name, config)?;
        let preset = Self::read(flavour, &mut settings);
        settings.finish(preset)
    }

    /// The standard's settings among others.
    pub(super) fn read(flavour: &'static Flavour, settings: &mut Settings<'_>) -> Self {
        const KEYS: &str = "publicKeys";
        let tolerance = settings.tolerance();
        let texts = if flavour.public_keys {
            settings.texts(KEYS)
        } else {
            Vec::new()
        };
        if texts.len() > MAX_SECRETS {
            settings.fault(KEYS, format!("holds more than {MAX_SECRETS} keys"));
        }
        let mut public_keys: Vec<PublicKey> = Vec::new();
        for text in texts.into_iter().take(MAX_SECRETS) {
            match PublicKey::parse(text) {
                Ok(key) if public_keys.iter().any(|other| other.key == key.key) => {
                    settings.fault(KEYS, "holds the same key twice: give each once");
                }
                Ok(key) => public_keys.push(key),
                Err(msg) => settings.fault(KEYS, msg),
            }
        }
        Self {
            flavour,
            tolerance,
            public_keys,
        }
    }

    fn verify_family(
        &self,
        family: [&str; 3],
        keys: &[Key],
        asked: &Asked<'_>,
    ) -> Result<Accepted, Rejection> {
        let request = asked.request;
        let [id, time, signature] = family;
        let id = request.headers.single(id)?;
        let time = Timestamp::parse(request.headers.single(time)?)?;
        let signatures = Signatures::parse(request.headers, signature)?;
        if keys.is_empty() && self.public_keys.is_empty() {
            return Err(Rejection::no_active_secret());
        }
        let parts = [id.as_bytes(), b".", time.text.as_bytes(), b".", request.body];
        let by_secret = || {
            let mac_holds = |key: &&Key| {
                let mac = Algorithm::Sha256.mac(&key.bytes, &parts);
                mac.is_some_and(|mac| is_among(&mac, &signatures.v1))
            };
            keys.iter().find(mac_holds).map(|key| Some(key.index))
        };
        let by_public_key = || {
            let holds = !self.public_keys.is_empty()
                && !signatures.v1a.is_empty()
                && self.any_public_key(&parts.concat(), &signatures.v1a);
            holds.then_some(None)
        };
        let matched_secret = by_secret()
            .or_else(by_public_key)
            .ok_or_else(Rejection::mismatch)?;
        time.check_fresh(self.tolerance, asked.now)?;
        Ok(Accepted::new(vec![self.name(id, request)], matched_secret))
    }

    fn name(&self, id: &str, request: &Request<'_>) -> Event {
        let event = self.flavour.names.event(request);
        if !self.flavour.header_names_event {
            return event;
        }
        Event {
            id: usable_id(Some(id.to_owned())),
            id_trust: Trust::Signed,
            ..event
        }
    }

    fn any_public_key(&self, signed: &[u8], signatures: &[Signature]) -> bool {
        let holds = |signature| {
            let verifies = |public: &PublicKey| public.key.verify_strict(signed, signature).is_ok();
            self.public_keys.iter().any(verifies)
        };
        signatures.iter().any(holds)
    }
}

impl Preset for StandardWebhooks {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("tolerance".to_owned(), self.tolerance.into());
        if !self.public_keys.is_empty() {
            let texts: Vec<&str> = self.public_keys.iter().map(|key| key.text.as_str()).collect();
            settings.insert("publicKeys".to_owned(), texts.into());
        }
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        if self.flavour.public_keys {
            "give the signing secret (whsec_…), or the sender's public key (whpk_…) at config.publicKeys"
        } else {
            self.flavour.descriptor.secret
        }
    }

    fn works_without_secret(&self) -> bool {
        !self.public_keys.is_empty()
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if secret.starts_with("whpk_") {
            return Err("is a public key: give it at config.publicKeys".to_owned());
        }
        if secret.starts_with("whsk_") {
            return Err(
                "is the sender's private key, which nobody else should have: give the public one, which begins with \
                 whpk_, at config.publicKeys"
                    .to_owned(),
            );
        }
        if self.flavour.needs_prefix && !secret.starts_with(self.flavour.prefix) {
            return Err(format!(
                "must begin with {}: copy the whole secret",
                self.flavour.prefix
            ));
        }
        match self.key(secret) {
            Some(key) if key.len() >= MIN_SECRET_BYTES => Ok(()),
            Some(_) => Err(format!(
                "decodes to fewer than {MIN_SECRET_BYTES} bytes: give the whole secret"
            )),
            None => Err("is no base64 behind an optional whsec_: copy the whole secret".to_owned()),
        }
    }

    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        let secret = match secret.strip_prefix(self.flavour.prefix) {
            Some(rest) => rest,
            None if self.flavour.needs_prefix => return None,
            None => secret.strip_prefix("whsec_").unwrap_or(secret),
        };
        from_pasted_base64(secret)
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let is_whole = |family: &[&str; 3]| family.iter().all(|name| request.headers.get(name).is_some());
        let mut first = None;
        for family in self.flavour.families.iter().copied().filter(is_whole) {
            match self.verify_family(family, keys, asked) {
                Ok(accepted) => return Ok(accepted.into()),
                Err(rejection) => first = first.or(Some(rejection)),
            }
        }
        Err(first.unwrap_or_else(|| {
            let detail = "The request does not have all of webhook-id, webhook-timestamp and webhook-signature, nor all \
                          of svix-id, svix-timestamp and svix-signature";
            Rejection::new(Reason::MissingSignature, detail)
        }))
    }
}

impl PublicKey {
    /// A point of the curve that is not of small order: under such a one, signatures hold for any message.
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("whsk_") {
            return Err(
                "holds a private key, which nobody but the sender should have: the public one begins with whpk_",
            );
        }
        let key = text
            .strip_prefix("whpk_")
            .and_then(from_pasted_base64)
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
            .filter(|key| !key.is_weak())
            .ok_or("must hold Ed25519 keys: whpk_ and the base64 of 32 bytes")?;
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }
}

/// What can be read of the signature header. An entry that cannot is passed over: the next one may be ours.
struct Signatures {
    v1: Vec<Vec<u8>>,
    v1a: Vec<Signature>,
}

impl Signatures {
    fn parse(headers: &Headers, header: &str) -> Result<Self, Rejection> {
        let mut signatures = Self {
            v1: Vec::new(),
            v1a: Vec::new(),
        };
        let mut known_scheme = false;
        let entries = headers
            .several(header)?
            .into_iter()
            .flat_map(str::split_ascii_whitespace)
            .take(MAX_SIGNATURES);
        for entry in entries {
            // A header that was sent twice arrives joined by `, `, and the comma sticks to the entry before it.
            let Some((scheme, text)) = entry.trim_end_matches(',').split_once(',') else {
                continue;
            };
            known_scheme |= matches!(scheme, "v1" | "v1a");
            match (scheme, from_base64(text)) {
                ("v1", Some(bytes)) => signatures.v1.push(bytes),
                ("v1a", Some(bytes)) => signatures.v1a.extend(Signature::from_slice(&bytes)),
                _ => {}
            }
        }
        if !signatures.v1.is_empty() || !signatures.v1a.is_empty() {
            return Ok(signatures);
        }
        Err(if known_scheme {
            let detail = "The signature is no base64 behind v1, or v1a,";
            Rejection::new(Reason::MalformedSignature, detail)
        } else {
            let detail = "The request has no v1 or v1a signature, the only schemes that are believed";
            Rejection::new(Reason::UnknownScheme, detail)
        })
    }
}
