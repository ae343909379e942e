//! Standard Webhooks signatures, version `v1`: HMAC-SHA256 over `{id}.{timestamp}.{body}`.
//!
//! What is signed are the bytes that are sent, never a second rendering of them. `v1a` (ed25519) is deliberately absent:
//! no reference library checks it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::wire::HeaderNames;

/// What a key's text may begin with.
const PREFIX: &str = "whsec_";

/// How many bytes a key may have. The upper bound is what 100 characters of base64 hold, the most that Svix's clients
/// send; Standard Webhooks asks for 24 to 64.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=75;

/// A text or a row of bytes that cannot be a signing key. Says nothing about what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is 24 to 75 bytes in standard base64 with padding, with or without `whsec_` in front")]
pub struct InvalidKey;

/// An endpoint's signing key.
#[derive(Clone)]
pub struct SigningKey {
    bytes: Vec<u8>,
    /// Keyed once, copied for each signature.
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// Reads a key as its owner writes it: `whsec_` and base64, or base64 alone.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let digits = text.strip_prefix(PREFIX).unwrap_or(text);
        Self::from_bytes(&STANDARD.decode(digits).map_err(|_| InvalidKey)?)
    }

    /// A new key of 192 bits.
    #[must_use]
    pub fn from_random(bytes: [u8; 24]) -> Self {
        // HMAC fills a key up to one block with zeros: done here, where no length can be wrong.
        let mut block = [0; 64];
        block[..24].copy_from_slice(&bytes);
        Self {
            bytes: bytes.to_vec(),
            mac: hmac::digest::KeyInit::new(&block.into()),
        }
    }

    /// The key that [`SigningKey::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(InvalidKey);
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            mac: Hmac::new_from_slice(bytes).map_err(|_| InvalidKey)?,
        })
    }

    /// What is sealed and stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key as its owner reads it: `whsec_` and base64.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.bytes))
    }
}

/// A key stays out of logs.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Takes the same time for every two keys of one length.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }
}

impl Eq for SigningKey {}

/// One signature: `v1,` and base64. The timestamp is that of this attempt; `id` holds no `.`, as no id of ours does.
#[must_use]
pub fn sign(key: &SigningKey, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
    let mac = key
        .mac
        .clone()
        .chain_update(id)
        .chain_update(".")
        .chain_update(timestamp_seconds.to_string())
        .chain_update(".")
        .chain_update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
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
