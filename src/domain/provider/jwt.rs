//! A JSON Web Token in a header, for senders without a preset: RS256 or ES256, with keys out of the settings or out of a
//! key set that is fetched.
//!
//! A token vouches for its claims. Only one that has a digest of the body in a claim (`bodyHashClaim`) vouches for the
//! body: without it, whoever captures a token can send another body with it until it ends.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::Asked;
use super::config::Preset;
use super::descriptor::{Checked, Descriptor, PLAIN, Proof, SecretOrigin};
use super::event::Naming;
use super::keys::KeySet;
use super::mac::{from_hex, is_same};
use super::secret::Key;
use super::settings::Settings;
use super::timestamp::DEFAULT_TOLERANCE;
use super::token::Token;
use super::verdict::{Accepted, Reason, Rejection, Trust, Verdict};
use crate::problem::Fault;

const ALGORITHMS: [&str; 2] = ["RS256", "ES256"];
const HEADER: &str = "Authorization";
const MAX_TEXT: usize = 512;

pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    name: "jwt",
    title: "JSON Web Token",
    methods: &["POST", "PUT", "PATCH"],
    secret_origin: SecretOrigin::None,
    proof: Proof::Token,
    signed: "the token; the body only with config.bodyHashClaim",
    checked: Checked::Page,
    sources: &["RFC 7519", "RFC 7515", "RFC 7517", "RFC 8725"],
    credential_headers: &["authorization"],
    ..PLAIN
};

pub(super) static DESCRIPTOR_RS256: Descriptor = Descriptor {
    name: "rs256",
    checked: Checked::Vectors,
    title: "RS256 token with one key",
    sources: &["RFC 7515 appendix A.2"],
    signed: "the token; the body is not covered",
    ..DESCRIPTOR
};

/// The preset's settings.
pub(super) struct Jwt {
    header: String,
    keys: Keys,
    algorithms: Vec<&'static str>,
    issuer: String,
    audience: String,
    body_hash_claim: Option<String>,
    tolerance: u64,
    naming: Naming,
}

/// Where the keys come from.
pub(super) enum Keys {
    /// Written in the settings, as they were posted.
    Here(Value, KeySet),
    /// Fetched from there.
    At(String),
}

impl Jwt {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        let mut settings = Settings::new(DESCRIPTOR.name, config)?;
        let header = settings.header("header").unwrap_or_else(|| HEADER.to_owned());
        let keys = Keys::read(&mut settings, None);
        let issuer = required(
            &mut settings,
            "issuer",
            "give the text that the token's iss must be",
        );
        let audience = required(
            &mut settings,
            "audience",
            "give the text that the token's aud must be or hold",
        );
        let algorithms = read_algorithms(&mut settings);
        let body_hash_claim = settings.text("bodyHashClaim").map(str::to_owned);
        if body_hash_claim
            .as_ref()
            .is_some_and(|name| name.is_empty() || name.len() > MAX_TEXT)
        {
            settings.fault("bodyHashClaim", "must be the name of a claim");
        }
        let tolerance = settings.tolerance();
        let naming = Naming::read(&mut settings, Some(&header));
        let preset = keys.map(|keys| Self {
            header,
            keys,
            algorithms,
            issuer,
            audience,
            body_hash_claim,
            tolerance,
            naming,
        });
        settings.finish_some(preset)
    }
}

impl Preset for Jwt {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
        set("header", self.header.clone().into());
        set("issuer", self.issuer.clone().into());
        set("audience", self.audience.clone().into());
        set("algorithms", self.algorithms.clone().into());
        set("tolerance", self.tolerance.into());
        if let Some(claim) = &self.body_hash_claim {
            set("bodyHashClaim", claim.clone().into());
        }
        self.keys.write(&mut settings);
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: the keys are public"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not needed: the keys are public, and stand in config.jwks or at config.jwksUrl".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn credential_header(&self) -> Option<&str> {
        Some(&self.header)
    }

    fn key_set_url(&self) -> Option<&str> {
        self.keys.url()
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        let trust = match &self.body_hash_claim {
            Some(_) => Trust::Signed,
            None => Trust::Unsigned,
        };
        Some((&self.naming, trust))
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let request = asked.request;
        let token = Token::read(request.headers, &self.header)?;
        let claims = match token.claims(self.keys.set(asked), &self.algorithms, asked) {
            Ok(claims) => claims,
            Err(not_proven) => return not_proven.into_verdict(),
        };
        claims.check_issuer(&[&self.issuer])?;
        claims.check_audience(&self.audience)?;
        claims.check_times(true, self.tolerance, asked.now)?;
        let trust = match &self.body_hash_claim {
            Some(claim) => {
                check_body(claims.text(claim), request.body)?;
                Trust::Signed
            }
            None => Trust::Unsigned,
        };
        let event = self.naming.event(request, None, trust);
        Ok(Accepted::new(vec![event], None).into())
    }
}

/// A token by one RSA key: for senders that have no issuer and no audience. `exp`, `nbf` and `iat` hold where they are.
pub(super) struct Rs256 {
    jwk: Value,
    keys: KeySet,
    header: String,
    naming: Naming,
}

impl Rs256 {
    pub(super) fn parse(config: &Value) -> Result<Self, Vec<Fault>> {
        const JWK: &str = "jwk";
        let mut settings = Settings::new(DESCRIPTOR_RS256.name, config)?;
        let header = settings.header("header").unwrap_or_else(|| HEADER.to_owned());
        let naming = Naming::read(&mut settings, Some(&header));
        let keys = match settings.any(JWK).map(|jwk| (jwk, KeySet::of_one(jwk))) {
            Some((jwk, Ok(keys))) if keys.candidates(None).all(|key| key.algorithm() == "RS256") => {
                Some((jwk.clone(), keys))
            }
            _ => {
                settings.fault(
                    JWK,
                    "must be an RSA public key of 2048 to 4096 bits as a JWK (RFC 7517)",
                );
                None
            }
        };
        let preset = keys.map(|(jwk, keys)| Self {
            jwk,
            keys,
            header,
            naming,
        });
        settings.finish_some(preset)
    }
}

impl Preset for Rs256 {
    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("jwk".to_owned(), self.jwk.clone());
        settings.insert("header".to_owned(), self.header.clone().into());
        self.naming.write(&mut settings);
        settings.into()
    }

    fn wants_secret(&self) -> &'static str {
        "none: the key is public"
    }

    fn check_secret(&self, _: &str) -> Result<(), String> {
        Err("is not needed: the key is public, and stands in config.jwk".to_owned())
    }

    fn works_without_secret(&self) -> bool {
        true
    }

    fn credential_header(&self) -> Option<&str> {
        Some(&self.header)
    }

    fn naming(&self) -> Option<(&Naming, Trust)> {
        Some((&self.naming, Trust::Unsigned))
    }

    fn verify(&self, _: &[Key], asked: &Asked<'_>) -> Result<Verdict, Rejection> {
        let token = Token::read(asked.request.headers, &self.header)?;
        let claims = match token.claims(Some(&self.keys), &["RS256"], asked) {
            Ok(claims) => claims,
            Err(not_proven) => return not_proven.into_verdict(),
        };
        claims.check_times(false, DEFAULT_TOLERANCE, asked.now)?;
        let event = self.naming.event(asked.request, None, Trust::Unsigned);
        Ok(Accepted::new(vec![event], None).into())
    }
}

impl Keys {
    /// Reads `jwks` or `jwksUrl`; where neither is set, the keys are fetched from `default`.
    pub(super) fn read(settings: &mut Settings<'_>, default: Option<&str>) -> Option<Self> {
        const HERE: &str = "jwks";
        const AT: &str = "jwksUrl";
        let here = settings.any(HERE);
        let at = if default.is_none() {
            settings.text(AT)
        } else {
            None
        };
        match (here, at) {
            (Some(_), Some(_)) => {
                settings.fault(AT, "stands beside jwks: give one of them");
                None
            }
            (Some(value), None) => match KeySet::from_value(value) {
                Ok(keys) => Some(Self::Here(value.clone(), keys)),
                Err(msg) => {
                    settings.fault(HERE, msg);
                    None
                }
            },
            (None, Some(url)) => {
                let is_web = Url::parse(url).is_ok_and(|url| is_secure(&url) && url.username().is_empty());
                if !is_web || url.len() > 2048 {
                    settings.fault(AT, "must be an https address without a user's name");
                    return None;
                }
                Some(Self::At(url.to_owned()))
            }
            (None, None) => {
                if default.is_none() {
                    settings.fault(
                        AT,
                        "is missing: give the address of the key set, or the key set itself at jwks",
                    );
                }
                default.map(|url| Self::At(url.to_owned()))
            }
        }
    }

    pub(super) fn write(&self, settings: &mut Map<String, Value>) {
        match self {
            Self::Here(value, _) => settings.insert("jwks".to_owned(), value.clone()),
            Self::At(url) => settings.insert("jwksUrl".to_owned(), url.clone().into()),
        };
    }

    pub(super) fn url(&self) -> Option<&str> {
        match self {
            Self::Here(..) => None,
            Self::At(url) => Some(url),
        }
    }

    pub(super) fn set<'a>(&'a self, asked: &Asked<'a>) -> Option<&'a KeySet> {
        match self {
            Self::Here(_, keys) => Some(keys),
            Self::At(_) => asked.standing.key_set,
        }
    }
}

/// Keys must not be changed on their way. What never leaves the machine needs no TLS for that; whether such an address may
/// be asked at all, the deployment's rule for outgoing addresses says.
fn is_secure(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", _) => true,
        ("http", Some(Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(Host::Ipv6(ip))) => ip.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

pub(super) fn required(settings: &mut Settings<'_>, key: &'static str, wants: &str) -> String {
    let text = settings.required_text(key, wants);
    if text.is_some_and(|text| text.is_empty() || text.len() > MAX_TEXT) {
        settings.fault(key, format!("must have 1 to {MAX_TEXT} bytes"));
    }
    text.unwrap_or_default().to_owned()
}

fn read_algorithms(settings: &mut Settings<'_>) -> Vec<&'static str> {
    const KEY: &str = "algorithms";
    if !settings.has(KEY) {
        return ALGORITHMS.to_vec();
    }
    let mut algorithms = Vec::new();
    for text in settings.texts(KEY) {
        match ALGORITHMS.iter().find(|name| **name == text) {
            Some(name) if !algorithms.contains(name) => algorithms.push(*name),
            Some(_) => {}
            None => settings.fault(KEY, "must hold RS256 and ES256 only"),
        }
    }
    if algorithms.is_empty() {
        settings.fault(KEY, "holds no algorithm: then no token would be believed");
    }
    algorithms
}

/// The digest in a claim, in any of the ways in which people write it, against the body's own.
fn check_body(claimed: Option<&str>, body: &[u8]) -> Result<(), Rejection> {
    let own = Sha256::digest(body);
    let readings = [
        claimed.and_then(from_hex),
        claimed.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok()),
        claimed.and_then(|text| BASE64_STANDARD.decode(text).ok()),
    ];
    if readings.iter().flatten().any(|claimed| is_same(&own, claimed)) {
        return Ok(());
    }
    let detail = "Genuine, but the digest in the token is that of another body";
    Err(Rejection::new(Reason::BodyHash, detail))
}
