//! Standard Webhooks, as Svix, Resend and many others send it: `webhook-id`, `webhook-timestamp` and
//! `webhook-signature`, or the same three with `svix-`. `v1` is HMAC-SHA256 and `v1a` Ed25519, over
//! `{id}.{timestamp}.{body}`.
//!
//! A secret is base64 behind an optional `whsec_`; the key is what it decodes to. Stripe writes its secrets with the
//! same prefix and does not decode them: only the preset tells the two apart.

use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN};
use super::event::{usable_id, usable_time, usable_type};
use super::mac::{Algorithm, from_base64, from_pasted_base64, is_among};
use super::secret::{Key, MAX_SECRETS};
use super::settings::Settings;
use super::timestamp::Timestamp;
use super::verdict::{Accepted, Event, Reason, Rejection, Verdict};
use super::{Asked, Headers, MAX_SIGNATURES};
use crate::problem::Fault;

pub(super) const NAME: &str = "standard-webhooks";

/// A request has one family whole. Three headers out of two families were never sent together.
const FAMILIES: [[&str; 3]; 2] = [
    ["webhook-id", "webhook-timestamp", "webhook-signature"],
    ["svix-id", "svix-timestamp", "svix-signature"],
];

const MIN_SECRET_BYTES: usize = 16;

pub(super) static DESCRIPTOR: Descriptor = Descriptor {
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

/// The preset's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StandardWebhooks {
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
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const KEYS: &str = "publicKeys";
        let mut settings = Settings::new(NAME, config)?;
        let tolerance = settings.tolerance();
        let texts = settings.texts(KEYS);
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
        settings.finish(Self {
            tolerance,
            public_keys,
        })
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
        Ok(Accepted::new(vec![name(id, request.body)], matched_secret))
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
        "give the signing secret (whsec_…), or the sender's public key (whpk_…) at config.publicKeys"
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
        match self.key(secret) {
            Some(key) if key.len() >= MIN_SECRET_BYTES => Ok(()),
            Some(_) => Err(format!(
                "decodes to fewer than {MIN_SECRET_BYTES} bytes: give the whole secret"
            )),
            None => Err("is no base64 behind an optional whsec_: copy the whole secret".to_owned()),
        }
    }

    fn key(&self, secret: &str) -> Option<Vec<u8>> {
        from_pasted_base64(secret.strip_prefix("whsec_").unwrap_or(secret))
    }

    fn verify(&self, keys: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let is_whole = |family: &[&str; 3]| family.iter().all(|name| request.headers.get(name).is_some());
        let mut first = None;
        for family in FAMILIES.into_iter().filter(is_whole) {
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

/// The id of the header, which is signed with the rest; type and time of the body.
fn name(id: &str, body: &[u8]) -> Event {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        r#type: Option<Value>,
        timestamp: Option<Value>,
        created_at: Option<Value>,
    }
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    Event {
        id: usable_id(Some(id.to_owned())),
        time: usable_time(body.timestamp.as_ref()).or_else(|| usable_time(body.created_at.as_ref())),
        ..Event::of_type(usable_type(body.r#type.as_ref().and_then(Value::as_str)))
    }
}
