//! Standard Webhooks signatures over `{id}.{timestamp}.{body}`: `v1` by HMAC-SHA256, `v1a` by Ed25519.
//!
//! What is signed are the bytes that are sent, never a second rendering of them. An endpoint may have keys of both kinds,
//! and while one is being replaced several of a kind: each signs.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer as _;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::wire::HeaderNames;

/// What a symmetric key's text may begin with.
const SYMMETRIC: &str = "whsec_";

/// What an asymmetric key's text begins with.
const ASYMMETRIC: &str = "whsk_";

/// What the text of its public half begins with.
const PUBLIC: &str = "whpk_";

/// How many bytes a symmetric key may have. The upper bound is what 100 characters of base64 hold, the most that Svix's
/// clients send; Standard Webhooks asks for 24 to 64.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=75;

/// A text or a row of bytes that cannot be a signing key. Says nothing about what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing key is 24 to 75 bytes in standard base64 with padding, with or without `whsec_` in front, or `whsk_` and \
     the base64 of an Ed25519 key: a seed of 32 bytes, or seed and public key"
)]
pub struct InvalidKey;

/// How a signature is made, as it stands in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// HMAC-SHA256: the receiver has the same key.
    V1,
    /// Ed25519: the receiver has the public key.
    V1a,
}

/// An endpoint's signing key, of either kind.
#[derive(Clone)]
pub struct SigningKey(Kind);

#[derive(Clone)]
enum Kind {
    Symmetric {
        bytes: Vec<u8>,
        /// Keyed once, copied for each signature.
        mac: Hmac<Sha256>,
    },
    /// Boxed: it is large, and rare.
    Asymmetric(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// Reads a key as its owner writes it: `whsec_` and base64, base64 alone, or `whsk_` and base64.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let decoded = |digits: &str| STANDARD.decode(digits).map_err(|_| InvalidKey);
        match text.strip_prefix(ASYMMETRIC) {
            Some(digits) => Self::asymmetric_from_bytes(&decoded(digits)?),
            None => Self::from_bytes(&decoded(text.strip_prefix(SYMMETRIC).unwrap_or(text))?),
        }
    }

    /// A new symmetric key of 192 bits.
    #[must_use]
    pub fn from_random(bytes: [u8; 24]) -> Self {
        // HMAC fills a key up to one block with zeros: done here, where no length can be wrong.
        let mut block = [0; 64];
        block[..24].copy_from_slice(&bytes);
        Self(Kind::Symmetric {
            bytes: bytes.to_vec(),
            mac: hmac::digest::KeyInit::new(&block.into()),
        })
    }

    /// A new asymmetric key.
    #[must_use]
    pub fn asymmetric_from_random(seed: [u8; 32]) -> Self {
        Self(Kind::Asymmetric(Box::new(ed25519_dalek::SigningKey::from_bytes(
            &seed,
        ))))
    }

    /// The symmetric key that [`SigningKey::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(InvalidKey);
        }
        Ok(Self(Kind::Symmetric {
            bytes: bytes.to_vec(),
            mac: Hmac::new_from_slice(bytes).map_err(|_| InvalidKey)?,
        }))
    }

    /// The asymmetric key that [`SigningKey::as_bytes`] gave: the seed. With the public key behind it, that must be the
    /// seed's own.
    pub fn asymmetric_from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let key = if let Ok(pair) = <&[u8; 64]>::try_from(bytes) {
            ed25519_dalek::SigningKey::from_keypair_bytes(pair).map_err(|_| InvalidKey)?
        } else {
            let seed = <&[u8; 32]>::try_from(bytes).map_err(|_| InvalidKey)?;
            ed25519_dalek::SigningKey::from_bytes(seed)
        };
        Ok(Self(Kind::Asymmetric(Box::new(key))))
    }

    /// What is sealed and stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Symmetric { bytes, .. } => bytes,
            Kind::Asymmetric(key) => key.as_bytes(),
        }
    }

    /// The key as its owner writes it: `whsec_` or `whsk_` and base64. A secret in both cases.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.0 {
            Kind::Symmetric { bytes, .. } => format!("{SYMMETRIC}{}", STANDARD.encode(bytes)),
            Kind::Asymmetric(key) => format!("{ASYMMETRIC}{}", STANDARD.encode(key.to_keypair_bytes())),
        }
    }

    /// The public half of an asymmetric key; a symmetric one has none.
    #[must_use]
    pub fn public(&self) -> Option<PublicKey> {
        match &self.0 {
            Kind::Symmetric { .. } => None,
            Kind::Asymmetric(key) => Some(PublicKey(key.verifying_key().to_bytes())),
        }
    }

    /// What its signatures begin with.
    #[must_use]
    pub const fn version(&self) -> Version {
        match &self.0 {
            Kind::Symmetric { .. } => Version::V1,
            Kind::Asymmetric(_) => Version::V1a,
        }
    }
}

/// A key stays out of logs.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Takes the same time for every two keys of one kind and length.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.version() == other.version() && bool::from(self.as_bytes().ct_eq(other.as_bytes()))
    }
}

impl Eq for SigningKey {}

/// What everybody may know of an asymmetric key. Stored in base64 beside the sealed seed, so that it is shown without
/// opening anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads what [`PublicKey::to_base64`] wrote.
    pub fn from_base64(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD.decode(text).map_err(|_| InvalidKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidKey)
    }

    /// Standard base64.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// As a receiver takes it: `whpk_` and base64.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("{PUBLIC}{}", self.to_base64())
    }

    /// As a key of RFC 8037 with this name: the `x` of a JSON Web Key.
    #[must_use]
    pub fn to_jwk(self, kid: String) -> Jwk {
        Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            alg: "EdDSA".to_owned(),
            usage: "sig".to_owned(),
            kid,
            x: URL_SAFE_NO_PAD.encode(self.0),
        }
    }
}

/// A public key as a JSON Web Key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Which key of which endpoint.
    pub kid: String,
    /// The key's bytes, in base64 for URLs.
    pub x: String,
}

/// One signature: `v1,` or `v1a,` and base64. The timestamp is that of this attempt; `id` holds no `.`, as no id of ours
/// does.
#[must_use]
pub fn sign(key: &SigningKey, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let time = timestamp_seconds.to_string();
    match &key.0 {
        Kind::Symmetric { mac, .. } => {
            let mac = mac
                .clone()
                .chain_update(id)
                .chain_update(".")
                .chain_update(time)
                .chain_update(".")
                .chain_update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        }
        Kind::Asymmetric(key) => {
            // Ed25519 reads what it signs twice, so it wants it in one piece.
            let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
            format!("v1a,{}", STANDARD.encode(key.sign(&signed).to_bytes()))
        }
    }
}

/// The signature of every key, separated by spaces: while a key is being replaced, a receiver that knows either of them
/// finds its own.
#[must_use]
pub fn header_value(keys: &[SigningKey], id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys
        .iter()
        .map(|key| sign(key, id, timestamp_seconds, body))
        .collect();
    signatures.join(" ")
}

/// The three headers of a signed request, under the names that its endpoint wants. With both families the values are the
/// same.
#[must_use]
pub fn headers(
    names: HeaderNames,
    keys: &[SigningKey],
    id: &str,
    timestamp_seconds: u64,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    const STANDARD_NAMES: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    const SVIX_NAMES: [&str; 3] = ["svix-id", "svix-timestamp", "svix-signature"];
    let families: &[[&'static str; 3]] = match names {
        HeaderNames::Standard => &[STANDARD_NAMES],
        HeaderNames::Svix => &[SVIX_NAMES],
        HeaderNames::Both => &[STANDARD_NAMES, SVIX_NAMES],
    };
    let values = [
        id.to_owned(),
        timestamp_seconds.to_string(),
        header_value(keys, id, timestamp_seconds, body),
    ];
    families
        .iter()
        .flat_map(|family| family.iter().copied().zip(values.clone()))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key() -> SigningKey {
        SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    #[test]
    fn the_published_vector_of_standard_webhooks_is_reproduced() {
        assert_eq!(sign(&key(), ID, TIMESTAMP, BODY), SIGNATURE);
    }

    const PAIR: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const ASYMMETRIC_SIGNATURE: &str =
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

    fn pair() -> SigningKey {
        SigningKey::parse(PAIR).unwrap()
    }

    #[test]
    fn the_published_vector_of_v1a_is_reproduced_and_its_public_key_is_known() {
        assert_eq!(sign(&pair(), ID, TIMESTAMP, BODY), ASYMMETRIC_SIGNATURE);
        assert_eq!(pair().to_text(), PAIR);
        let public = pair().public().unwrap();
        assert_eq!(
            public.to_text(),
            "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
        );
        assert_eq!(PublicKey::from_base64(&public.to_base64()), Ok(public));
        assert_eq!(key().public(), None);
    }

    #[test]
    fn a_key_without_its_public_half_is_the_same_key() {
        let seed = pair().as_bytes().to_vec();
        assert_eq!(seed.len(), 32);
        let text = format!("whsk_{}", STANDARD.encode(&seed));
        assert_eq!(SigningKey::parse(&text), Ok(pair()));
        assert_eq!(SigningKey::asymmetric_from_bytes(&seed), Ok(pair()));
    }

    #[test]
    fn a_public_half_that_is_not_the_seeds_is_refused() {
        let mut bytes = STANDARD.decode(PAIR.trim_start_matches("whsk_")).unwrap();
        bytes[63] ^= 1;
        assert_eq!(SigningKey::asymmetric_from_bytes(&bytes), Err(InvalidKey));
        let text = format!("whsk_{}", STANDARD.encode([7; 33]));
        assert_eq!(SigningKey::parse(&text), Err(InvalidKey));
    }

    #[test]
    fn keys_of_both_kinds_sign_side_by_side() {
        let value = header_value(&[key(), pair()], ID, TIMESTAMP, BODY);
        assert_eq!(value, format!("{SIGNATURE} {ASYMMETRIC_SIGNATURE}"));
    }

    #[test]
    fn a_json_web_key_holds_what_rfc_8037_wants() {
        // RFC 8037, appendix A.2.
        let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
        let seed = URL_SAFE_NO_PAD.decode(seed).unwrap();
        let public = SigningKey::asymmetric_from_bytes(&seed)
            .unwrap()
            .public()
            .unwrap();
        let jwk = serde_json::to_value(public.to_jwk("ep_1.1".to_owned())).unwrap();
        let wanted = serde_json::json!({
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "ep_1.1",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        assert_eq!(jwk, wanted);
    }

    #[test]
    fn the_prefix_may_be_left_out() {
        assert_eq!(SigningKey::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Ok(key()));
    }

    #[test]
    fn each_key_adds_its_signature_in_order_separated_by_spaces() {
        let other = SigningKey::from_random([7; 24]);
        let value = header_value(&[other.clone(), key()], ID, TIMESTAMP, BODY);
        assert_eq!(
            value,
            format!("{} {SIGNATURE}", sign(&other, ID, TIMESTAMP, BODY))
        );
    }

    #[test]
    fn the_headers_bear_the_names_that_the_endpoint_wants() {
        let standard = [
            ("webhook-id", ID.to_owned()),
            ("webhook-timestamp", "1614265330".to_owned()),
            ("webhook-signature", SIGNATURE.to_owned()),
        ];
        let svix = [
            ("svix-id", ID.to_owned()),
            ("svix-timestamp", "1614265330".to_owned()),
            ("svix-signature", SIGNATURE.to_owned()),
        ];
        let sent = |names| headers(names, &[key()], ID, TIMESTAMP, BODY);
        assert_eq!(sent(HeaderNames::Standard), standard);
        assert_eq!(sent(HeaderNames::Svix), svix);
        assert_eq!(sent(HeaderNames::Both), [standard, svix].concat());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let urlsafe = "whsec_".to_owned() + &"-_".repeat(16);
        let short = "whsec_".to_owned() + &STANDARD.encode([1; 23]);
        let long = STANDARD.encode([1; 76]);
        for text in [
            "",
            "whsec_",
            "whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA", // padding is missing
            &urlsafe,
            &short,
            &long,
        ] {
            assert_eq!(SigningKey::parse(text), Err(InvalidKey), "{text}");
        }
    }

    #[test]
    fn a_key_stays_out_of_debug_output() {
        assert_eq!(format!("{:?}", key()), "SigningKey(…)");
    }

    #[test]
    fn a_random_key_signs_as_the_key_that_is_read_back_from_its_bytes() {
        let new = SigningKey::from_random([0xA5; 24]);
        let read = SigningKey::from_bytes(new.as_bytes()).unwrap();
        assert_eq!(sign(&new, ID, TIMESTAMP, BODY), sign(&read, ID, TIMESTAMP, BODY));
    }

    proptest! {
        #[test]
        fn a_key_reads_back_as_it_was_written(bytes in prop::collection::vec(any::<u8>(), 24..=75)) {
            let key = SigningKey::from_bytes(&bytes).unwrap();
            prop_assert_eq!(key.as_bytes(), &bytes[..]);
            prop_assert_eq!(SigningKey::parse(&key.to_text()).unwrap(), key);
        }

        #[test]
        fn a_key_of_another_length_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(SigningKey::from_bytes(&bytes).is_ok(), (24..=75).contains(&bytes.len()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = SigningKey::parse(&text);
        }

        #[test]
        fn a_signature_is_hmac_sha256_of_id_time_and_body(
            bytes in prop::collection::vec(any::<u8>(), 24..=75),
            id in "[a-zA-Z0-9_]{1,40}",
            time: u64,
            body: Vec<u8>,
        ) {
            let mut mac = Hmac::<Sha256>::new_from_slice(&bytes).unwrap();
            mac.update(&[format!("{id}.{time}.").into_bytes(), body.clone()].concat());
            let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
            prop_assert_eq!(sign(&SigningKey::from_bytes(&bytes).unwrap(), &id, time, &body), expected);
        }

        #[test]
        fn an_asymmetric_signature_holds_under_the_public_key_and_no_other_body(
            seed: [u8; 32],
            id in "[a-zA-Z0-9_]{1,40}",
            time: u64,
            body: Vec<u8>,
        ) {
            use ed25519_dalek::{Signature, VerifyingKey};

            let key = SigningKey::asymmetric_from_random(seed);
            prop_assert_eq!(SigningKey::parse(&key.to_text()).unwrap(), key.clone());
            let signature = sign(&key, &id, time, &body);
            let digits = STANDARD.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
            let signature = Signature::from_slice(&digits).unwrap();
            let public = VerifyingKey::from_bytes(&key.public().unwrap().0).unwrap();
            let signed = [format!("{id}.{time}.").into_bytes(), body].concat();
            prop_assert!(public.verify_strict(&signed, &signature).is_ok());
            prop_assert!(public.verify_strict(&[&signed[..], b"x"].concat(), &signature).is_err());
        }

        #[test]
        fn another_body_time_id_or_key_gives_another_signature(
            body in prop::collection::vec(any::<u8>(), 1..64),
            at: prop::sample::Index,
        ) {
            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1;
            let signature = sign(&key(), ID, TIMESTAMP, &body);
            prop_assert_ne!(&sign(&key(), ID, TIMESTAMP, &changed), &signature);
            prop_assert_ne!(&sign(&key(), ID, TIMESTAMP + 1, &body), &signature);
            prop_assert_ne!(&sign(&key(), "msg_other", TIMESTAMP, &body), &signature);
            prop_assert_ne!(&sign(&SigningKey::from_random([1; 24]), ID, TIMESTAMP, &body), &signature);
        }
    }
}
