//! A vector: a request, its source, and whether it must be accepted. Compiled with the tests and with the example
//! `verify`, which reads a whole file of them; it sees nothing but what both have in scope.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use p256::ecdsa::signature::Verifier;
use rsa::pkcs1v15;
use rsa::sha2::Sha256;

use super::{
    Answer, Channel, Check, Event, Finding, Headers, Millis, Outside, PublicKey, Request, Secret,
    SourceConfig, Standing, State, Verdict, conclude, diagnose, verify,
};

/// The form of a vector. Fields that are not named here are notes.
#[derive(Deserialize, Clone)]
pub(super) struct Vector {
    pub(super) provider: String,
    config: Map<String, Value>,
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    body_base64: Option<String>,
    /// Seconds since 1970; vectors whose scheme signs no time have none.
    #[serde(default)]
    now: u64,
    pub(super) valid: bool,
    #[serde(default)]
    expect: BTreeMap<String, Value>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Whether the verifier says of a vector what the vector says; if not, in what they differ. A provider or settings that
/// the verifier refuses are a difference too, also where the vector must not pass: nothing was tried.
pub(super) fn judge(vector: &Value) -> Result<(), String> {
    let source = Source::read(vector)?;
    let expect = &source.vector.expect;
    match (source.verdict().0, source.vector.valid) {
        (Verdict::Accept(accepted), true) => check_events(&accepted.events, expect),
        (Verdict::Challenge(challenge), true) => check_answer(&challenge.answer, expect),
        (Verdict::Reject(rejection), false) => {
            let status = source.config.descriptor().refusal_status(rejection.reason);
            match expect.get("response_status") {
                Some(expected) if expected.as_u64() != Some(status.into()) => {
                    Err(format!("refused with {status}, must be with {expected}"))
                }
                _ => Ok(()),
            }
        }
        (Verdict::NeedsSignature(_), _) => Err("still needs a signature".to_owned()),
        (Verdict::Accept(_) | Verdict::Challenge(_), false) => Err("accepted, must be rejected".to_owned()),
        (Verdict::Reject(rejection), true) => Err(format!(
            "rejected, must be accepted: {} ({})",
            rejection.reason.as_str(),
            rejection.detail
        )),
    }
}

/// What the doctor says of a vector's request.
pub(super) fn examine(vector: &Value) -> Result<Vec<Finding>, String> {
    let source = Source::read(vector)?;
    let (config, secrets) = (&source.config, &source.given.secrets);
    let (standing, request) = (source.standing(), source.request());
    let mut outside = Outside::default();
    loop {
        let findings = diagnose(config, secrets, &[], &standing, &request, source.now, &outside);
        let wanted = outside.wanted();
        if wanted.is_empty() {
            return Ok(findings);
        }
        for check in wanted {
            outside.learn(&check, holds(&check));
        }
    }
}

/// A vector, read.
pub(super) struct Source {
    pub(super) vector: Vector,
    pub(super) given: Given,
    pub(super) config: SourceConfig,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
    pub(super) now: Millis,
}

impl Source {
    pub(super) fn read(vector: &Value) -> Result<Self, String> {
        let vector = Vector::deserialize(vector).map_err(|error| format!("is no vector: {error}"))?;
        let given = to_api(&vector.provider, &vector.config)?;
        let config = SourceConfig::parse(&vector.provider, &given.settings).map_err(|faults| {
            let sentences: Vec<String> = faults
                .iter()
                .map(|fault| format!("{} {}", fault.loc.join("."), fault.msg))
                .collect();
            format!("the source is refused: {}", sentences.join("; "))
        })?;
        let body = match (&vector.body, &vector.body_base64) {
            (None, Some(base64)) => BASE64_STANDARD
                .decode(base64)
                .map_err(|error| format!("body_base64: {error}"))?,
            (Some(body), None) => body.clone().into_bytes(),
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => return Err("has both body and body_base64".to_owned()),
        };
        let headers = Headers::new(vector.headers.iter().flat_map(|(name, values)| {
            let values = match values {
                OneOrMore::One(value) => std::slice::from_ref(value),
                OneOrMore::More(values) => values,
            };
            values.iter().map(|value| (name.clone(), value.clone()))
        }));
        let now = Millis(vector.now.saturating_mul(Millis::SECOND));
        Ok(Self {
            vector,
            given,
            config,
            headers,
            body,
            now,
        })
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request {
            method: &self.vector.method,
            url: self.vector.url.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    pub(super) fn standing(&self) -> Standing<'_> {
        Standing {
            state: self.given.state,
            key_set: None,
            channels: &self.given.channels,
        }
    }

    /// The verdict, and what came of the signatures that are checked outside.
    pub(super) fn verdict(&self) -> (Verdict, Option<Vec<bool>>) {
        let (secrets, standing, request) = (&self.given.secrets, self.standing(), self.request());
        match verify(&self.config, secrets, &standing, &request, self.now) {
            Verdict::NeedsSignature(checks) => {
                let held: Vec<bool> = checks.iter().map(holds).collect();
                let verdict = conclude(&self.config, secrets, &standing, &request, self.now, &held);
                (verdict, Some(held))
            }
            verdict => (verdict, None),
        }
    }
}

/// What the Worker asks `WebCrypto`. A key that is no point of the curve, or no modulus, holds nothing.
pub(super) fn holds(check: &Check) -> bool {
    match &check.key {
        PublicKey::Rsa { n, e } => {
            let number = rsa::BigUint::from_bytes_be;
            let Ok(key) = rsa::RsaPublicKey::new(number(n), number(e)) else {
                return false;
            };
            let signature = pkcs1v15::Signature::try_from(check.signature.as_slice());
            let key = pkcs1v15::VerifyingKey::<Sha256>::new(key);
            signature.is_ok_and(|signature| key.verify(&check.signed, &signature).is_ok())
        }
        PublicKey::P256 { x, y } => {
            let point = p256::EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
            let Ok(key) = p256::ecdsa::VerifyingKey::from_encoded_point(&point) else {
                return false;
            };
            let signature = p256::ecdsa::Signature::from_slice(&check.signature);
            signature.is_ok_and(|signature| key.verify(&check.signed, &signature).is_ok())
        }
    }
}

fn post() -> String {
    "POST".to_owned()
}

/// What a vector's one object holds, taken apart as the API and the edge have it.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) settings: Value,
    pub(super) secrets: Vec<Secret>,
    pub(super) channels: Vec<Channel>,
    state: State,
}

/// Vectors write settings, secrets and what a source has come to know in one object and in snake case.
fn to_api(provider: &str, config: &Map<String, Value>) -> Result<Given, String> {
    let mut settings = Map::new();
    let mut secrets = Vec::new();
    let mut channels = Vec::new();
    let mut state = State::Active;
    for (key, value) in config {
        match (provider, key.as_str()) {
            (_, "secrets") => secrets.extend(value.as_array().into_iter().flatten().cloned()),
            (_, "secret") | ("basic", "password") | ("api_key", "key") | ("revenuecat", "authorization") => {
                secrets.push(value.clone());
            }
            ("revenuecat", "signing_secret") => {
                secrets.push(format!("signing_secret:{}", value.as_str().unwrap_or_default()).into());
                settings.insert("signature".to_owned(), true.into());
                let both = config.contains_key("authorization");
                settings.insert("authorization".to_owned(), both.into());
            }
            ("google-calendar", "channels") => {
                channels.extend(
                    value
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(id, channel)| Channel {
                            id: id.clone(),
                            token: channel["token"].as_str().unwrap_or_default().to_owned(),
                            resource_id: channel["resource_id"].as_str().map(str::to_owned),
                            expires_at: None,
                        }),
                );
            }
            ("notion", "state") if value == "pending" => state = State::Pending,
            ("notion", "state") => {}
            _ => {
                settings.insert(to_camel(key), value.clone());
            }
        }
    }
    let secrets = secrets.into_iter().map(|value| {
        let value = value.as_str().ok_or("has a secret that is no text")?.to_owned();
        Ok(Secret {
            value,
            not_before: None,
            not_after: None,
        })
    });
    Ok(Given {
        settings: settings.into(),
        secrets: secrets.collect::<Result<_, String>>()?,
        channels,
        state,
    })
}

fn to_camel(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let initial = letters.next().map(|letter| letter.to_ascii_uppercase());
        text + &initial.into_iter().chain(letters).collect::<String>()
    })
}

fn check_events(events: &[Event], expect: &BTreeMap<String, Value>) -> Result<(), String> {
    let ids: Value = events.iter().map(|event| event.id.clone()).collect();
    let types: Value = events.iter().map(|event| event.event_type.clone()).collect();
    let tenants: Value = events.iter().map(|event| event.tenant_key.clone()).collect();
    for (key, expected) in expect {
        let one = || Value::from(vec![expected.clone()]);
        let (seen, expected) = match key.as_str() {
            "event_id" => (&ids, one()),
            "event_type" => (&types, one()),
            "tenant_key" => (&tenants, one()),
            "event_ids" => (&ids, expected.clone()),
            "event_types" => (&types, expected.clone()),
            "tenant_keys" => (&tenants, expected.clone()),
            _ => return Err(format!("expects {key}, which an event does not have")),
        };
        if *seen != expected {
            return Err(format!("{key} is {seen}, must be {expected}"));
        }
    }
    Ok(())
}

fn check_answer(answer: &Answer, expect: &BTreeMap<String, Value>) -> Result<(), String> {
    for (key, expected) in expect {
        let seen = match key.as_str() {
            "response_status" => Value::from(answer.status),
            "response_body" => Value::from(String::from_utf8_lossy(&answer.body)),
            "response_content_type" => Value::from(answer.content_type.clone()),
            _ => return Err(format!("expects {key}, which an answer does not have")),
        };
        if seen != *expected {
            return Err(format!("{key} is {seen}, must be {expected}"));
        }
    }
    Ok(())
}
