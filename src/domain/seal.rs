//! Secrets at rest: AES-256-GCM under a key per tenant, bound to the place where the sealed value stands.
//!
//! A sealed value opens with the same master key, for the same tenant, table, column, row and generation, and nowhere
//! else: moved to another row, or put back beside a newer one, it does not open.
//!
//! - The blob: `0x01 | master key's version, 1 byte | nonce, 12 bytes | ciphertext | tag, 16 bytes`.
//! - The field key: HKDF-SHA-256 of the master key, salt `postern/kek/v1`, info `field` and the tenant's id.
//! - The associated data: `postern/field/v1`, tenant's id, table, column, row, generation.
//! - The plaintext: its length (u32), the value, zeros up to a multiple of 32, so that a length tells little.
//!
//! Each part of info and associated data follows its own length (u32), so that no two lists of parts are one row of bytes;
//! ids are text, row and generation 8 bytes; all numbers are big-endian. `WebCrypto` opens what is sealed here, and the
//! reverse.
//!
//! Nonces are random, never counted: a counter would repeat itself after a restore from backup. Nothing here is
//! asynchronous, so that an object reads, opens, seals and writes without letting another request in between.

use std::fmt;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::id::TenantId;

/// The form of the blob.
const FORM: u8 = 1;

/// Plaintexts are padded to a multiple of this.
const PADDING: usize = 32;

/// Bytes of the length in front of the value.
const LENGTH: usize = 4;

/// 32 random bytes have about 30 different values; fewer than this many is not chance but a placeholder.
const DISTINCT_BYTES: usize = 16;

/// The master keys of a deployment, the active one first.
///
/// Whatever is sealed names its key's version, so that a key is replaced by putting a new one in front, sealing anew
/// what is old, and only then taking the old one away.
#[derive(Clone)]
pub struct MasterKeys {
    active: MasterKey,
    older: Vec<MasterKey>,
}

#[derive(Clone)]
struct MasterKey {
    version: u8,
    bytes: [u8; 32],
}

/// Why a text is no list of master keys. Never says what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMasterKeys {
    /// An entry that is not `version:key`, or none at all.
    #[error(
        "master keys are a list `version:key,…`, the active one first; make one with `echo 1:$(openssl rand -base64 32)`"
    )]
    Form,
    /// A version that is no number from 1 to 255.
    #[error("a master key's version is a number from 1 to 255")]
    Version,
    /// Two entries with one version.
    #[error("two master keys have the version {0}: a new key takes a new version")]
    DuplicateVersion(u8),
    /// Not base64 of 32 bytes.
    #[error(
        "the master key of version {0} is not 32 bytes in base64; make one with `openssl rand -base64 32`"
    )]
    Length(u8),
    /// A key that nobody drew at random.
    #[error("the master key of version {0} is not random; make one with `openssl rand -base64 32`")]
    NotRandom(u8),
}

/// Where a sealed value stands. It opens there and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Whose it is.
    pub tenant: TenantId,
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's number.
    pub row: u64,
    /// How often the row's secret has been written: stored beside the blob.
    pub generation: u64,
}

/// A value that is too long to be sealed: 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value is too long to be sealed")]
pub struct SealError;

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed with a master key that this deployment does not have. Heals when the key is put back: nothing may be
    /// overwritten.
    #[error("sealed with a master key that is not configured")]
    UnknownKey,
    /// Altered, cut off, or sealed for another place. Keep the blob: it is evidence.
    #[error("the sealed value does not open")]
    Broken,
}

impl MasterKeys {
    /// Reads `2:<base64 of 32 bytes>,1:<base64>`: the first one seals, every one opens.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKeys> {
        let mut keys = text.split(',').map(|entry| MasterKey::parse(entry.trim()));
        let active = keys.next().ok_or(InvalidMasterKeys::Form)??;
        let mut list = Self {
            active,
            older: Vec::new(),
        };
        for key in keys {
            let key = key?;
            if list.find(key.version).is_some() {
                return Err(InvalidMasterKeys::DuplicateVersion(key.version));
            }
            list.older.push(key);
        }
        Ok(list)
    }

    /// The version that new values are sealed with. What [`version_of`] tells otherwise of is to be sealed anew.
    #[must_use]
    pub const fn active_version(&self) -> u8 {
        self.active.version
    }

    /// All versions, the active one first.
    pub fn versions(&self) -> impl Iterator<Item = u8> {
        std::iter::once(&self.active)
            .chain(&self.older)
            .map(|key| key.version)
    }

    /// Seals `plain` for `place` with the active key. The nonce is random and used this once.
    pub fn seal(&self, place: &Place<'_>, nonce: [u8; 12], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let payload = Payload {
            msg: &padded(plain).ok_or(SealError)?,
            aad: &associated_data(place),
        };
        let sealed = self
            .active
            .cipher(place.tenant)
            .and_then(|cipher| cipher.encrypt(&nonce.into(), payload).ok())
            .ok_or(SealError)?;
        Ok([&[FORM, self.active.version], &nonce[..], &sealed].concat())
    }

    /// Opens what was sealed for `place`, with whichever key it was sealed.
    pub fn open(&self, place: &Place<'_>, blob: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (version, rest) = split(blob).ok_or(OpenError::Broken)?;
        let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or(OpenError::Broken)?;
        let key = self.find(version).ok_or(OpenError::UnknownKey)?;
        let payload = Payload {
            msg: sealed,
            aad: &associated_data(place),
        };
        key.cipher(place.tenant)
            .and_then(|cipher| cipher.decrypt(&(*nonce).into(), payload).ok())
            .and_then(|plain| unpadded(&plain).map(<[u8]>::to_vec))
            .ok_or(OpenError::Broken)
    }

    fn find(&self, version: u8) -> Option<&MasterKey> {
        std::iter::once(&self.active)
            .chain(&self.older)
            .find(|key| key.version == version)
    }
}

/// Versions only: the keys stay out of logs.
impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|key| key.version).collect();
        write!(f, "MasterKeys(active {}, older {older:?})", self.active.version)
    }
}

/// The version of the master key that a blob was sealed with; `None`: not a blob of ours.
#[must_use]
pub fn version_of(blob: &[u8]) -> Option<u8> {
    split(blob).map(|(version, _)| version)
}

/// A blob as text, for messages that carry text: base64.
#[must_use]
pub fn to_text(blob: &[u8]) -> String {
    STANDARD.encode(blob)
}

/// The reverse of [`to_text`].
#[must_use]
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

impl MasterKey {
    fn parse(entry: &str) -> Result<Self, InvalidMasterKeys> {
        let (version, key) = entry.split_once(':').ok_or(InvalidMasterKeys::Form)?;
        let version = version
            .parse()
            .ok()
            .filter(|number: &u8| *number > 0 && number.to_string() == version)
            .ok_or(InvalidMasterKeys::Version)?;
        let bytes: [u8; 32] = STANDARD
            .decode(key)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(InvalidMasterKeys::Length(version))?;
        let mut distinct = bytes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < DISTINCT_BYTES {
            return Err(InvalidMasterKeys::NotRandom(version));
        }
        Ok(Self { version, bytes })
    }

    /// The cipher under the tenant's own key. `None` never comes: HKDF gives 32 bytes.
    fn cipher(&self, tenant: TenantId) -> Option<Aes256Gcm> {
        let mut info = Vec::new();
        push_part(&mut info, b"field");
        push_part(&mut info, tenant.to_string().as_bytes());
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(b"postern/kek/v1"), &self.bytes)
            .expand(&info, &mut key)
            .ok()?;
        Some(Aes256Gcm::new(&key.into()))
    }
}

fn associated_data(place: &Place<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    push_part(&mut data, b"postern/field/v1");
    push_part(&mut data, place.tenant.to_string().as_bytes());
    push_part(&mut data, place.table.as_bytes());
    push_part(&mut data, place.column.as_bytes());
    push_part(&mut data, &place.row.to_be_bytes());
    push_part(&mut data, &place.generation.to_be_bytes());
    data
}

/// Appends a part behind its length. Parts are names of ours: no length comes near the limit.
fn push_part(data: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    data.extend(length.to_be_bytes());
    data.extend(part);
}

fn padded(plain: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(plain.len()).ok()?;
    let total = plain
        .len()
        .checked_add(LENGTH)?
        .checked_next_multiple_of(PADDING)?;
    let mut bytes = Vec::with_capacity(total);
    bytes.extend(length.to_be_bytes());
    bytes.extend(plain);
    bytes.resize(total, 0);
    Some(bytes)
}

fn unpadded(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The key's version and what follows it.
fn split(blob: &[u8]) -> Option<(u8, &[u8])> {
    match blob {
        [FORM, version, rest @ ..] => Some((*version, rest)),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY_1: &str = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; // bytes 0, 1, 2 … 31
    const KEY_2: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="; // bytes 32, 33 … 63
    const NONCE: [u8; 12] = [
        0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB,
    ];

    fn keys(text: &str) -> MasterKeys {
        MasterKeys::parse(text).unwrap()
    }

    fn place() -> Place<'static> {
        Place {
            tenant: "app_23rb8YdGqMT0qIzpgGwdXfHirMu".parse().unwrap(),
            table: "endpoint",
            column: "secret",
            row: 7,
            generation: 3,
        }
    }

    /// Key, place and nonce as above; the plaintext is the text `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`. To check it
    /// elsewhere: derive with HKDF (salt and info as this module's head has them), then AES-GCM with a 12-byte IV, the
    /// bytes from the 15th on as ciphertext and tag, and the associated data.
    #[test]
    fn a_fixed_vector_for_webcrypto_to_check() {
        let plain = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let blob = keys(KEY_1).seal(&place(), NONCE, plain).unwrap();
        assert_eq!(
            to_text(&blob),
            "AQGgoaKjpKWmp6ipqqstkyN+JGybWiLj56VNNxHpFkbUh6KR/WmzP4lTzP8Ojxc7K4gm04duofaXlBKRIR4Yqo+Xs82HM8L5TlxQ44nGWCRxH7gqsqr4bKDHazwFsg=="
        );
        assert_eq!(keys(KEY_1).open(&place(), &blob).unwrap(), plain);
    }

    #[test]
    fn a_value_that_was_moved_does_not_open() {
        let keys = keys(KEY_1);
        let blob = keys.seal(&place(), NONCE, b"secret").unwrap();
        let places = [
            Place {
                tenant: TenantId([1; 20]),
                ..place()
            },
            Place {
                table: "source",
                ..place()
            },
            Place {
                column: "headers",
                ..place()
            },
            Place { row: 8, ..place() },
            Place {
                generation: 2,
                ..place()
            },
            // The same letters, divided otherwise.
            Place {
                table: "endpoints",
                column: "ecret",
                ..place()
            },
            Place {
                row: 3,
                generation: 7,
                ..place()
            },
        ];
        for other in places {
            assert_eq!(keys.open(&other, &blob), Err(OpenError::Broken), "{other:?}");
        }
        assert_eq!(keys.open(&place(), &blob).unwrap(), b"secret");
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let old = keys(KEY_1).seal(&place(), NONCE, b"secret").unwrap();
        let both = keys(&format!("{KEY_2},{KEY_1}"));
        let new = both.seal(&place(), NONCE, b"secret").unwrap();
        assert_eq!(
            (both.active_version(), version_of(&old), version_of(&new)),
            (2, Some(1), Some(2))
        );
        assert_eq!(both.versions().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(both.open(&place(), &old).unwrap(), b"secret");
        assert_eq!(both.open(&place(), &new).unwrap(), b"secret");
        assert_eq!(keys(KEY_2).open(&place(), &new).unwrap(), b"secret");
    }

    #[test]
    fn a_key_that_is_not_configured_is_told_apart_from_a_broken_value() {
        let blob = keys(KEY_2).seal(&place(), NONCE, b"secret").unwrap();
        assert_eq!(keys(KEY_1).open(&place(), &blob), Err(OpenError::UnknownKey));
        let impostor = KEY_1.replace("1:", "2:");
        assert_eq!(keys(&impostor).open(&place(), &blob), Err(OpenError::Broken));
    }

    #[test]
    fn what_is_no_blob_is_broken() {
        for blob in [&[][..], &[1], &[1, 1], &[1, 1, 0], &[1; 30], &[2, 1, 0, 0]] {
            assert_eq!(
                keys(KEY_1).open(&place(), blob),
                Err(OpenError::Broken),
                "{blob:?}"
            );
        }
        assert_eq!(version_of(&[]), None);
        assert_eq!(version_of(&[2, 1, 0]), None);
    }

    #[test]
    fn lengths_up_to_28_look_alike() {
        let length = |plain: &[u8]| keys(KEY_1).seal(&place(), NONCE, plain).unwrap().len();
        assert_eq!(length(&[]), 2 + 12 + 32 + 16);
        assert_eq!(length(&[9; 28]), length(&[]));
        assert_eq!(length(&[9; 29]), length(&[]) + 32);
    }

    #[test]
    fn a_wrong_list_of_master_keys_says_what_is_wrong() {
        let twice = format!("{KEY_1},{KEY_1}");
        for (text, error) in [
            ("", InvalidMasterKeys::Form),
            (KEY_1.trim_start_matches("1:"), InvalidMasterKeys::Form),
            (&format!("{KEY_1},"), InvalidMasterKeys::Form),
            (&KEY_1.replace("1:", "0:"), InvalidMasterKeys::Version),
            (&KEY_1.replace("1:", "256:"), InvalidMasterKeys::Version),
            (&KEY_1.replace("1:", "+1:"), InvalidMasterKeys::Version),
            (&KEY_1.replace("1:", "01:"), InvalidMasterKeys::Version),
            (&twice, InvalidMasterKeys::DuplicateVersion(1)),
            ("9:", InvalidMasterKeys::Length(9)),
            ("9:AAECAwQFBgcICQoLDA0ODw==", InvalidMasterKeys::Length(9)),
            ("9:not base64", InvalidMasterKeys::Length(9)),
            (
                "9:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                InvalidMasterKeys::NotRandom(9),
            ),
        ] {
            assert_eq!(MasterKeys::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn blanks_and_line_ends_around_the_entries_do_no_harm() {
        assert_eq!(keys(&format!(" {KEY_2} ,\n{KEY_1}\n")).active_version(), 2);
    }

    #[test]
    fn keys_stay_out_of_debug_output() {
        assert_eq!(
            format!("{:?}", keys(&format!("{KEY_2},{KEY_1}"))),
            "MasterKeys(active 2, older [1])"
        );
    }

    #[test]
    fn text_that_is_no_base64_is_no_blob() {
        assert_eq!(from_text("AQ"), None);
        assert_eq!(from_text("-_-_"), None);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_in_its_place(
            tenant: [u8; 20],
            table in "[a-z]{0,12}",
            column in "[a-z]{0,12}",
            row: u64,
            generation: u64,
            nonce: [u8; 12],
            plain: Vec<u8>,
        ) {
            let place = Place { tenant: TenantId(tenant), table: &table, column: &column, row, generation };
            let blob = keys(KEY_1).seal(&place, nonce, &plain).unwrap();
            prop_assert_eq!(keys(KEY_1).open(&place, &from_text(&to_text(&blob)).unwrap()).unwrap(), plain);
        }

        #[test]
        fn two_places_share_no_sealed_value(
            a in ("[ab]{0,3}", "[ab]{0,3}", 0..3_u64, 0..3_u64),
            b in ("[ab]{0,3}", "[ab]{0,3}", 0..3_u64, 0..3_u64),
        ) {
            let at = |(table, column, row, generation): &(String, String, u64, u64)| {
                associated_data(&Place { tenant: TenantId([0; 20]), table, column, row: *row, generation: *generation })
            };
            prop_assert_eq!(at(&a) == at(&b), a == b);
        }

        #[test]
        fn a_changed_bit_or_a_cut_breaks_a_sealed_value(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let blob = keys(KEY_1).seal(&place(), NONCE, &plain).unwrap();
            let at = at.index(blob.len());
            let mut changed = blob.clone();
            changed[at] ^= 1 << bit;
            let expected = if at == 1 { OpenError::UnknownKey } else { OpenError::Broken };
            prop_assert_eq!(keys(KEY_1).open(&place(), &changed), Err(expected));
            prop_assert_eq!(keys(KEY_1).open(&place(), &blob[..at]), Err(OpenError::Broken));
        }

        #[test]
        fn no_text_and_no_bytes_make_a_parser_panic(text in ".*", bytes: Vec<u8>) {
            let _ = MasterKeys::parse(&text);
            let _ = keys(KEY_1).open(&place(), &bytes);
            let _ = from_text(&text);
            let _ = unpadded(&bytes);
        }
    }
}
