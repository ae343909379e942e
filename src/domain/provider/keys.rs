//! Key sets (RFC 7517): public keys by id.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;

use super::check::PublicKey;

/// Keys of a set at the most; providers have two to four.
const MAX_KEYS: usize = 16;

/// An exponent is 3 bytes; more than 8 is a way to make us work.
const MAX_EXPONENT: usize = 8;

/// Base64 for URLs; some write the padding.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The public keys of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySet(Vec<NamedKey>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedKey {
    id: Option<String>,
    key: PublicKey,
}

impl KeySet {
    /// Reads a JWKS document, as it came from the provider. Keys of kinds that are not used here are passed over, and so
    /// are those for encryption.
    ///
    /// # Errors
    /// A sentence if it is no key set, or has no key that can be used.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(document).map_err(|_| "is no JSON".to_owned())?;
        Self::from_value(&document)
    }

    /// Reads a JWKS document that was parsed.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_value(document: &Value) -> Result<Self, String> {
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or("is no key set: an object with a list `keys` (RFC 7517)")?;
        if keys.len() > MAX_KEYS {
            return Err(format!("has more than {MAX_KEYS} keys"));
        }
        let keys: Vec<NamedKey> = keys.iter().filter_map(NamedKey::parse).collect();
        if keys.is_empty() {
            return Err("has no RSA key of 2048 to 4096 bits and no P-256 key".to_owned());
        }
        Ok(Self(keys))
    }

    /// One key, as a JWK (RFC 7517).
    ///
    /// # Errors
    /// A sentence if it is none that can be used.
    pub fn of_one(jwk: &Value) -> Result<Self, String> {
        NamedKey::parse(jwk)
            .map(|key| Self(vec![key]))
            .ok_or_else(|| "is no RSA key of 2048 to 4096 bits and no P-256 key (a JWK, RFC 7517)".to_owned())
    }

    /// The set as a document again, for whoever cannot fetch it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let keys: Vec<Value> = self.0.iter().map(NamedKey::to_value).collect();
        serde_json::json!({ "keys": keys })
    }

    /// The keys that may have signed a token with this key id. Without an id every key may have; with one, only the key
    /// of that name, or one that has none.
    pub(crate) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        self.0
            .iter()
            .filter(move |key| match (id, key.id.as_deref()) {
                (Some(wanted), Some(own)) => wanted == own,
                _ => true,
            })
            .map(|key| &key.key)
    }
}

impl NamedKey {
    fn to_value(&self) -> Value {
        let mut jwk = self.key.to_jwk();
        if let (Some(map), Some(id)) = (jwk.as_object_mut(), &self.id) {
            map.insert("kid".to_owned(), id.clone().into());
        }
        jwk
    }

    fn parse(jwk: &Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Jwk {
            kty: String,
            kid: Option<String>,
            alg: Option<String>,
            #[serde(rename = "use")]
            usage: Option<String>,
            crv: Option<String>,
            n: Option<String>,
            e: Option<String>,
            x: Option<String>,
            y: Option<String>,
        }
        let jwk = Jwk::deserialize(jwk).ok()?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => rsa(&jwk.n?, &jwk.e?)?,
            ("EC", Some("P-256")) => PublicKey::P256 {
                x: coordinate(&jwk.x?)?,
                y: coordinate(&jwk.y?)?,
            },
            _ => return None,
        };
        let fits = jwk.alg.is_none_or(|alg| alg == key.algorithm());
        fits.then_some(Self { id: jwk.kid, key })
    }
}

fn rsa(n: &str, e: &str) -> Option<PublicKey> {
    let n = without_zeros(URL_SAFE.decode(n).ok()?);
    let e = without_zeros(URL_SAFE.decode(e).ok()?);
    let odd = e.last().is_some_and(|byte| byte % 2 == 1) && e != [1];
    let fits = (256..=512).contains(&n.len()) && (1..=MAX_EXPONENT).contains(&e.len()) && odd;
    fits.then_some(PublicKey::Rsa { n, e })
}

fn coordinate(text: &str) -> Option<[u8; 32]> {
    URL_SAFE.decode(text).ok()?.try_into().ok()
}

fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
