//! The way through a forwarder: a small server with a fixed address that the operator runs, for receivers that let only
//! known addresses in. `docs/egress.md` is its contract.
//!
//! A request to it carries where it is to go and what it is to carry, signed with the time, so that nobody else can use the
//! forwarder. It answers with the endpoint's answer, or says in one word why there is none.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::digest;
use crate::outcome::Cause;

/// What all of the forwarder's headers begin with. Neither an endpoint's owner nor an endpoint can set one.
pub const FAMILY: &str = "postern-egress";

/// The header in which the forwarder says what became of it.
pub const WORD: &str = "postern-egress";

/// Fewer characters can be guessed.
const LEAST_SECRET: usize = 24;

/// What the forwarder and we know, and nobody else.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads it; none: it is too short to be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() >= LEAST_SECRET).then(|| Self(text.as_bytes().to_vec()))
    }
}

/// A secret stays out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A request that is to be forwarded.
#[derive(Debug)]
pub struct Forwarded<'a> {
    /// Where to.
    pub target: &'a str,
    /// How.
    pub method: &'a str,
    /// What it carries, in order, with the names' case.
    pub headers: &'a [(String, String)],
    /// What.
    pub body: &'a [u8],
    /// The forwarder gives up waiting for the answer's headers then, and says so.
    pub deadline_ms: u64,
}

impl Forwarded<'_> {
    /// What the request to the forwarder carries: the headers that go on, and those that are for the forwarder.
    #[must_use]
    pub fn signed(&self, secret: &Secret, timestamp_seconds: u64) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = self
            .headers
            .iter()
            // What stands around a value is lost on the way, and would break the signature.
            .map(|(name, value)| (name.clone(), value.trim_matches([' ', '\t']).to_owned()))
            .collect();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(",");
        let time = timestamp_seconds.to_string();
        let deadline = self.deadline_ms.to_string();
        let mut lines = vec!["v1", &time, &deadline, self.method, self.target, &names];
        lines.extend(headers.iter().map(|(_, value)| value.as_str()));
        let body = digest::of(self.body);
        lines.push(&body);
        let signature = mac(&secret.0, lines.join("\n").as_bytes());
        let ours = [
            ("target", self.target.to_owned()),
            ("headers", names.clone()),
            ("deadline-ms", deadline.clone()),
            ("timestamp", time.clone()),
            ("signature", format!("v1={signature}")),
        ];
        headers.extend(ours.map(|(name, value)| (format!("{FAMILY}-{name}"), value)));
        headers
    }
}

/// What the forwarder says became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// This is the endpoint's answer.
    Answered,
    /// There is none, for this reason.
    Failed(Cause),
}

impl Word {
    /// Reads [`WORD`]. An answer without it, or with a word that is not of the contract, is not the forwarder's.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        match text {
            Some("answered") => Self::Answered,
            Some("address") => Self::Failed(Cause::AddressRefused),
            Some("name") => Self::Failed(Cause::NameNotFound),
            Some("refused" | "reset") => Self::Failed(Cause::ConnectionLost),
            Some("timeout") => Self::Failed(Cause::Timeout),
            Some("tls") => Self::Failed(Cause::Tls),
            _ => Self::Failed(Cause::Egress),
        }
    }
}

fn mac(key: &[u8], text: &[u8]) -> String {
    // There is no key that HMAC cannot take; an empty signature would be refused.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| String::new(),
        |mac| hex::encode(mac.chain_update(text).finalize().into_bytes()),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn secret() -> Secret {
        Secret::parse("a secret of some length for tests").unwrap()
    }

    fn signature(forwarded: &Forwarded<'_>, time: u64) -> String {
        let headers = forwarded.signed(&secret(), time);
        let found = headers
            .iter()
            .find(|(name, _)| name == "postern-egress-signature");
        found.unwrap().1.clone()
    }

    #[test]
    fn the_example_of_the_contract_holds() {
        let headers = pairs(&[("content-type", "application/json"), ("X-Tenant", " 7 ")]);
        let forwarded = Forwarded {
            target: "https://shop.example/hook",
            method: "POST",
            headers: &headers,
            body: b"{}",
            deadline_ms: 14000,
        };
        let signed = "v1\n1614265330\n14000\nPOST\nhttps://shop.example/hook\ncontent-type,X-Tenant\napplication/json\n7\n\
                      44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(
            forwarded.signed(&secret(), 1_614_265_330),
            pairs(&[
                ("content-type", "application/json"),
                ("X-Tenant", "7"),
                ("postern-egress-target", "https://shop.example/hook"),
                ("postern-egress-headers", "content-type,X-Tenant"),
                ("postern-egress-deadline-ms", "14000"),
                ("postern-egress-timestamp", "1614265330"),
                (
                    "postern-egress-signature",
                    &format!("v1={}", mac(&secret().0, signed.as_bytes()))
                ),
            ])
        );
    }

    #[test]
    fn another_target_time_header_or_body_has_another_signature() {
        let headers = pairs(&[("a", "1"), ("b", "2")]);
        let one = || Forwarded {
            target: "https://shop.example/hook",
            method: "POST",
            headers: &headers,
            body: b"{}",
            deadline_ms: 1,
        };
        let base = signature(&one(), 1);
        let moved = pairs(&[("a", "12"), ("b", "")]);
        for other in [
            Forwarded {
                target: "https://shop.example/hook2",
                ..one()
            },
            Forwarded {
                method: "PUT",
                ..one()
            },
            Forwarded {
                headers: &headers[..1],
                ..one()
            },
            Forwarded {
                headers: &moved,
                ..one()
            },
            Forwarded { body: b"[]", ..one() },
            Forwarded {
                deadline_ms: 2,
                ..one()
            },
        ] {
            assert_ne!(signature(&other, 1), base);
        }
        assert_ne!(signature(&one(), 2), base);
    }

    #[test]
    fn every_word_of_the_contract_has_its_cause_and_any_other_is_the_forwarders_own_failure() {
        assert_eq!(Word::read(Some("answered")), Word::Answered);
        assert_eq!(Word::read(Some("refused")), Word::Failed(Cause::ConnectionLost));
        assert_eq!(Word::read(Some("name")), Word::Failed(Cause::NameNotFound));
        assert_eq!(Word::read(Some("unauthorised")), Word::Failed(Cause::Egress));
        assert_eq!(Word::read(None), Word::Failed(Cause::Egress));
    }

    #[test]
    fn a_short_secret_is_none() {
        assert!(Secret::parse("").is_none());
        assert!(Secret::parse("short").is_none());
        assert_eq!(format!("{:?}", secret()), "Secret(…)");
    }

    proptest! {
        #[test]
        fn only_the_word_itself_says_that_the_endpoint_answered(text: String) {
            prop_assert!(text == "answered" || Word::read(Some(&text)) != Word::Answered);
        }
    }
}
