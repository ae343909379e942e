//! Signatures with RSA and P-256, which are checked outside: in the Worker by `WebCrypto`, which answers later and in the
//! engine's own constant time, and natively by a library.
//!
//! A preset that meets one answers [`super::Verdict::NeedsSignature`] with everything that is to be checked, and is asked
//! again with the results. It never reads claims or a body before.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::KeySet;
use super::verdict::{Reason, Rejection, Verdict};
use crate::digest;

/// One signature to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Check {
    /// Whose it is to be. The key fixes the algorithm: nothing in a request chooses one.
    pub key: PublicKey,
    /// The bytes that were signed, unhashed.
    pub signed: Vec<u8>,
    /// RSA: as long as the modulus. P-256: `r` and `s`, 32 bytes each, as `WebCrypto` wants it.
    pub signature: Vec<u8>,
}

impl Check {
    /// What it is known by where its result comes later: no two checks have the same.
    #[must_use]
    pub fn name(&self) -> String {
        let key = self.key.to_jwk().to_string();
        digest::of_parts(&[key.as_bytes(), &self.signed, &self.signature])
    }
}

/// Bytes of requests do not belong into logs.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A public key that can check one kind of signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3). Big-endian numbers.
    Rsa {
        /// The modulus, 2048 to 4096 bits, without leading zeros.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
    /// ES256: ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4). That the point lies on the curve is for whoever imports
    /// the key to check; both `WebCrypto` and the `p256` crate do.
    P256 {
        /// The point's first coordinate.
        x: [u8; 32],
        /// The point's second coordinate.
        y: [u8; 32],
    },
}

impl PublicKey {
    /// The algorithm's name in a token's header.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RS256",
            Self::P256 { .. } => "ES256",
        }
    }

    /// Reads what [`Self::to_jwk`] wrote.
    #[must_use]
    pub fn of_jwk(jwk: &Value) -> Option<Self> {
        KeySet::of_one(jwk).ok()?.candidates(None).next().cloned()
    }

    /// The key as `importKey("jwk", …)` takes it (RFC 7517).
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa { n, e } => json!({"kty": "RSA", "alg": "RS256", "n": text(n), "e": text(e)}),
            Self::P256 { x, y } => json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)}),
        }
    }
}

/// What is known of the signatures: nothing yet, or for each check whether it held.
pub(super) type Held<'a> = Option<&'a [bool]>;

/// Whether one of the checks held. Another number of results than of checks is no result.
pub(super) fn any_held(checks: Vec<Check>, held: Held<'_>) -> Result<(), NotProven> {
    let Some(held) = held else {
        return Err(NotProven::Ask(checks));
    };
    if held.len() != checks.len() {
        let detail = "The signature was checked with other keys than those that are known now";
        return Err(Rejection::new(Reason::StaleKeys, detail).into());
    }
    if held.contains(&true) {
        Ok(())
    } else {
        Err(Rejection::mismatch().into())
    }
}

/// Why nothing can be said yet, or never.
pub(super) enum NotProven {
    Ask(Vec<Check>),
    Reject(Rejection),
}

impl NotProven {
    pub(super) fn into_verdict(self) -> Result<Verdict, Rejection> {
        match self {
            Self::Ask(checks) => Ok(Verdict::NeedsSignature(checks)),
            Self::Reject(rejection) => Err(rejection),
        }
    }
}

impl From<Rejection> for NotProven {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}
