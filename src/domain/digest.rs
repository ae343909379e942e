//! SHA-256 where it names things: dedupe keys, token hashes, fingerprints.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of the parts, each with its length before it, so that no two lists of parts are alike. Hex.
#[must_use]
pub fn of_parts(parts: &[&[u8]]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    hex::encode(sha.finalize())
}

/// SHA-256 of the bytes, hex.
#[must_use]
pub fn of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 of the bytes, as bytes.
#[must_use]
pub fn bytes_of(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The first 128 bits of a SHA-256: enough to tell the keys of one tenant apart, at half the storage.
#[must_use]
pub fn half_of(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).iter().take(16).copied().collect()
}

/// Whether two digests are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The first 128 bits of a digest that came as hex; `None`: it is no such text.
#[must_use]
pub fn half_of_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = hex::decode(text).ok()?;
    (bytes.len() == 32).then(|| bytes.into_iter().take(16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of_parts(&[b"ab", b"c"]), of_parts(&[b"a", b"bc"]));
    }

    #[test]
    fn half_of_a_digest_is_its_first_16_bytes() {
        assert_eq!(half_of_hex(&of(b"x")), Some(half_of(b"x")));
        assert_eq!(half_of_hex("zz"), None);
        assert_eq!(half_of_hex("00"), None);
    }
}
