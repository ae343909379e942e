//! Ids that are addresses.
//!
//! An id is a prefix and 27 base62 characters: 160 bits, in the form that Svix's clients know. Of a thing in a tenant's
//! ledger they say when it was made (48 bits, milliseconds), in which shard (8), under which sequence number (48), and
//! 56 bits that nobody can guess. So no index finds a thing: the id says where its row is, and the row keeps the random
//! part, because what is looked up must be compared whole.
//!
//! Tenants and organisations have 160 random bits: they name an object.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod poller;

pub use poller::PollerToken;

/// Base62 in ASCII order, so that ids sort as their bits do.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of an id behind its prefix.
const ID_CHARS: usize = 27;

/// Characters of an ingest token: 304 bits.
const TOKEN_CHARS: usize = 52;

/// The largest number that 48 bits hold: times and sequence numbers stay at or below it.
pub const MAX_48: u64 = (1 << 48) - 1;

/// A text that is no id of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id")]
pub struct InvalidId;

/// Where a thing of a tenant's ledger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Milliseconds since 1970, 48 bits. Of an attempt: its hand-out number, which is such a time.
    pub time: u64,
    /// Which shard of the tenant; 0 until a tenant outgrows one object.
    pub shard: u8,
    /// The thing's number among its kind in the tenant, 48 bits, never reused.
    pub sequence: u64,
    /// What cannot be guessed.
    pub random: [u8; 7],
}

impl Address {
    fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..6].copy_from_slice(&self.time.to_be_bytes()[2..]);
        bytes[6] = self.shard;
        bytes[7..13].copy_from_slice(&self.sequence.to_be_bytes()[2..]);
        bytes[13..].copy_from_slice(&self.random);
        bytes
    }

    fn from_bytes(bytes: [u8; 20]) -> Self {
        let number = |part: &[u8]| part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let mut random = [0; 7];
        random.copy_from_slice(&bytes[13..]);
        Self {
            time: number(&bytes[..6]),
            shard: bytes[6],
            sequence: number(&bytes[7..13]),
            random,
        }
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $inner:ty, $to:expr, $from:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $inner);

        impl $name {
            /// What the id's text begins with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let to: fn($inner) -> [u8; 20] = $to;
                write!(f, "{}{}", $prefix, encode(&to(self.0), ID_CHARS))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).ok_or(InvalidId)?;
                let from: fn([u8; 20]) -> $inner = $from;
                decode::<20>(digits, ID_CHARS).map(from).map(Self).ok_or(InvalidId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// Who operates the tenants: one product.
    OrganisationId, "org_", [u8; 20], |id| id, |bytes| bytes
);
id!(
    /// A customer of the product; the API calls it an application. Names the tenant's object.
    TenantId, "app_", [u8; 20], |id| id, |bytes| bytes
);
id!(
    /// A place where a provider posts webhooks for a tenant. The sequence is the source's number.
    SourceId, "src_", Address, Address::to_bytes, Address::from_bytes
);
id!(
    /// One event in a tenant's ledger.
    MessageId, "msg_", Address, Address::to_bytes, Address::from_bytes
);
id!(
    /// A URL of the tenant's that wants messages. The sequence is the endpoint's number.
    EndpointId, "ep_", Address, Address::to_bytes, Address::from_bytes
);
id!(
    /// One HTTP request made for a delivery: see [`AttemptId::new`].
    AttemptId, "atmpt_", Address, Address::to_bytes, Address::from_bytes
);
id!(
    /// A long job. Chosen at the edge: when it was asked for, then 112 random bits, so that ids sort by time.
    TaskId, "qtask_", [u8; 20], |id| id, |bytes| bytes
);

id!(
    /// A tenant's authorised account at a provider. Names the connection's object.
    ConnectionId, "conn_", [u8; 20], |id| id, |bytes| bytes
);
id!(
    /// A client at a provider's authorization server: the operator's or a tenant's own. Stands in its redirect URI.
    OAuthAppId, "oapp_", [u8; 20], |id| id, |bytes| bytes
);

impl TaskId {
    /// The id of a job that was asked for now.
    #[must_use]
    pub fn new(now: crate::time::Millis, random: [u8; 14]) -> Self {
        let mut bytes = [0; 20];
        bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        Self(bytes)
    }
}

impl AttemptId {
    /// The address of an attempt: hand-out number, message, and in the last part the endpoint's number (24 bits) and
    /// 32 bits of the message's random part. Derived, so that no row has to keep it.
    #[must_use]
    pub fn new(message: MessageId, endpoint: u32, number: u64) -> Self {
        let mut random = [0; 7];
        random[..3].copy_from_slice(&endpoint.to_be_bytes()[1..]);
        random[3..].copy_from_slice(&message.0.random[..4]);
        Self(Address {
            time: number,
            shard: message.0.shard,
            sequence: message.0.sequence,
            random,
        })
    }

    /// The endpoint's number.
    #[must_use]
    pub fn endpoint(&self) -> u32 {
        let [a, b, c, ..] = self.0.random;
        u32::from_be_bytes([0, a, b, c])
    }
}

/// The address of a source, as the provider posts to it: `/in/{token}`. Whoever holds it may knock; what is believed is
/// the provider's signature.
///
/// 304 bits in base62: the tenant, the source's number, 128 random bits. The tenant's object keeps a hash of the random
/// part only, so that a token cannot be read back from storage.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IngestToken {
    /// The tenant, whose object is asked for the source.
    pub tenant: TenantId,
    /// The source's number in the tenant.
    pub source: u16,
    /// What cannot be guessed.
    pub random: [u8; 16],
}

/// The random part is a secret: it stays out of logs.
impl fmt::Debug for IngestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IngestToken({}, source {}, …)", self.tenant, self.source)
    }
}

impl fmt::Display for IngestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 38];
        bytes[..20].copy_from_slice(&self.tenant.0);
        bytes[20..22].copy_from_slice(&self.source.to_be_bytes());
        bytes[22..].copy_from_slice(&self.random);
        f.write_str(&encode(&bytes, TOKEN_CHARS))
    }
}

impl FromStr for IngestToken {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; 38] = decode(text, TOKEN_CHARS).ok_or(InvalidId)?;
        let mut token = Self {
            tenant: TenantId([0; 20]),
            source: u16::from_be_bytes([bytes[20], bytes[21]]),
            random: [0; 16],
        };
        token.tenant.0.copy_from_slice(&bytes[..20]);
        token.random.copy_from_slice(&bytes[22..]);
        Ok(token)
    }
}

/// A name that the caller chose for a thing (`uid`): 1 to 256 of `A–Z a–z 0–9 - _ .`, and not in the form of one of our
/// ids, so that a path segment is never two things.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(String);

/// Why a text is no `uid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUid {
    /// Empty, too long, or with another character.
    #[error("must be 1 to 256 of A-Z a-z 0-9 - _ .")]
    Form,
    /// In the form of one of our ids.
    #[error("must not look like an id of ours (app_, ep_, src_, msg_ … and 27 characters)")]
    LooksLikeId,
}

impl Uid {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Uid {
    type Error = InvalidUid;

    fn try_from(text: String) -> Result<Self, InvalidUid> {
        let form = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > 256 || !text.bytes().all(form) {
            return Err(InvalidUid::Form);
        }
        let prefixes = [
            OrganisationId::PREFIX,
            TenantId::PREFIX,
            SourceId::PREFIX,
            MessageId::PREFIX,
            EndpointId::PREFIX,
            AttemptId::PREFIX,
            TaskId::PREFIX,
            ConnectionId::PREFIX,
            OAuthAppId::PREFIX,
        ];
        let looks_like_id = |prefix: &&str| {
            text.strip_prefix(*prefix)
                .is_some_and(|rest| rest.len() == ID_CHARS && rest.bytes().all(|c| c.is_ascii_alphanumeric()))
        };
        if prefixes.iter().any(looks_like_id) {
            return Err(InvalidUid::LooksLikeId);
        }
        Ok(Self(text))
    }
}

impl FromStr for Uid {
    type Err = InvalidUid;

    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        text.to_owned().try_into()
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0
    }
}

/// The big-endian number in `bytes`, in base62, padded to `chars`.
fn encode(bytes: &[u8], chars: usize) -> String {
    let mut number = bytes.to_vec();
    let mut text = vec![b'0'; chars];
    for place in text.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let sum = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(sum / 62).unwrap_or(u8::MAX); // sum < 62 * 256: always fits
            rest = sum % 62;
        }
        *place = DIGITS[rest as usize];
    }
    text.into_iter().map(char::from).collect()
}

/// The reverse of [`encode`]; `None` for another length, another character, or a number that does not fit.
fn decode<const N: usize>(text: &str, chars: usize) -> Option<[u8; N]> {
    if text.len() != chars {
        return None;
    }
    let mut number = [0_u8; N];
    for c in text.bytes() {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'A'..=b'Z' => c - b'A' + 10,
            b'a'..=b'z' => c - b'a' + 36,
            _ => return None,
        };
        let mut carry = u32::from(digit);
        for byte in number.iter_mut().rev() {
            let sum = u32::from(*byte) * 62 + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_it_was_written(time in 0..=MAX_48, shard: u8, sequence in 0..=MAX_48, random: [u8; 7]) {
            let id = MessageId(Address { time, shard, sequence, random });
            prop_assert_eq!(id.to_string().parse::<MessageId>().unwrap(), id);
            prop_assert_eq!(id.to_string().len(), 4 + 27);
        }

        #[test]
        fn ids_sort_by_time(a in 0..MAX_48, b in 0..MAX_48, random: [u8; 7]) {
            let id = |time| MessageId(Address { time, shard: 0, sequence: 7, random }).to_string();
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
        }

        #[test]
        fn a_token_reads_back_as_it_was_written(tenant: [u8; 20], source: u16, random: [u8; 16]) {
            let token = IngestToken { tenant: TenantId(tenant), source, random };
            prop_assert_eq!(token.to_string().parse::<IngestToken>().unwrap(), token);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<TenantId>();
            let _ = text.parse::<IngestToken>();
            let _ = text.parse::<Uid>();
        }
    }

    #[test]
    fn an_attempt_names_its_endpoint_and_its_message() {
        let message = MessageId(Address {
            time: 1,
            shard: 0,
            sequence: 99,
            random: [9, 8, 7, 6, 5, 4, 3],
        });
        let attempt = AttemptId::new(message, 77, 123_456);
        assert_eq!(
            (attempt.endpoint(), attempt.0.sequence, attempt.0.time),
            (77, 99, 123_456)
        );
    }

    #[test]
    fn another_prefix_another_length_and_numbers_past_160_bits_are_refused() {
        for text in [
            "",
            "msg_",
            "ep_000000000000000000000000000",
            "msg_zzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "msg_00000000000000000000000000é",
        ] {
            assert_eq!(text.parse::<MessageId>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn the_organisation_of_a_stock_svix_server_is_an_organisation_here() {
        assert!(
            "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
                .parse::<OrganisationId>()
                .is_ok()
        );
    }

    #[test]
    fn a_uid_may_not_look_like_an_id() {
        assert_eq!(
            "app_23rb8YdGqMT0qIzpgGwdXfHirMu".parse::<Uid>(),
            Err(InvalidUid::LooksLikeId)
        );
        assert_eq!("".parse::<Uid>(), Err(InvalidUid::Form));
        assert_eq!("a b".parse::<Uid>(), Err(InvalidUid::Form));
        assert!("acme-1.eu_west".parse::<Uid>().is_ok());
    }
}
