//! Message authentication codes and their comparison.

use ::hmac::digest::KeyInit;
use ::hmac::{Hmac, Mac};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

/// Base64 as people paste it: the padding may be lost.
const PASTED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The HMAC over the parts as if they stood in one piece, so that a body is never copied to be signed. None would be
    /// a key that HMAC cannot take; there is no such key, and it would match nothing.
    pub(crate) fn mac(self, key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
        match self {
            Self::Sha1 => keyed::<Hmac<Sha1>>(key, parts),
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, parts),
        }
    }
}

/// Whether the code is one of the candidates. Looks at all of them, each in constant time; another length is no match.
pub(crate) fn is_among(mac: &[u8], candidates: &[Vec<u8>]) -> bool {
    let found = candidates
        .iter()
        .fold(Choice::from(0), |found, candidate| found | mac.ct_eq(candidate));
    !mac.is_empty() && bool::from(found)
}

/// Whether two texts are the same, in constant time for texts of one length. Empty is not the same as empty.
pub(crate) fn is_same(expected: &[u8], given: &[u8]) -> bool {
    !expected.is_empty() && bool::from(expected.ct_eq(given))
}

/// Hex in either case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok()
}

/// Base64 as a signature must be written: standard alphabet, padded, no stray bits, no white space.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Base64 of a key that a person pasted.
pub(crate) fn from_pasted_base64(text: &str) -> Option<Vec<u8>> {
    PASTED.decode(text).ok()
}

fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = <M as Mac>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_among_nothing_and_empty_never_equals_empty() {
        assert!(!is_among(b"", &[]));
        assert!(!is_among(b"", &[Vec::new()]));
        assert!(!is_among(b"abc", &[]));
        assert!(!is_same(b"", b""));
    }

    #[test]
    fn a_part_of_the_code_is_not_the_code() {
        let whole = b"abcd".to_vec();
        assert!(is_among(&whole, &[b"abc".to_vec(), whole.clone()]));
        assert!(!is_among(
            &whole,
            &[b"abc".to_vec(), b"abcde".to_vec(), Vec::new()]
        ));
    }

    #[test]
    fn parts_are_signed_as_one_piece() {
        let whole = Algorithm::Sha256.mac(b"key", &[b"12.body"]);
        assert_eq!(Algorithm::Sha256.mac(b"key", &[b"12", b".", b"body"]), whole);
    }

    #[test]
    fn hex_does_not_mind_case_and_base64_does() {
        assert_eq!(from_hex("AbCd"), from_hex("aBcD"));
        assert_ne!(from_base64("AbCd"), from_base64("aBcD"));
        for text in ["QQ", "QR==", "QQ==\n", "Q Q=", "-_8="] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }
}
