//! A signature of an older kind beside the standard one: what an endpoint's receiver checks today, so that its owner can
//! move to Postern first and to Standard Webhooks later.
//!
//! One header with an HMAC over a template, such as `X-Webhook-Signature: sha256=<hex of the body's HMAC>` or
//! `X-Signature: t=<time>,v1=<hex>`. The body is signed as its bytes are sent.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::header;
use crate::provider::mac;

/// Characters of a template at the most.
const MAX_TEMPLATE: usize = 256;

/// Characters of what stands in front of a signature at the most.
const MAX_PREFIX: usize = 64;

/// What is signed if nothing is said.
const BODY: &str = "{body}";

/// What the header says if nothing is said.
const SIGNATURE: &str = "{signature}";

/// The code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// HMAC with SHA-1.
    #[serde(rename = "hmac-sha1")]
    Sha1,
    /// HMAC with SHA-512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

/// How the code is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Lower-case hex.
    Hex,
    /// Standard base64, padded.
    Base64,
    /// Base64 for URLs, without padding.
    Base64url,
}

/// How the signature is made and where it is sent. Read from untrusted input by [`Scheme::checked`] only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheme {
    /// The header's name, with its case.
    pub header: String,
    /// The code.
    pub algorithm: Algorithm,
    /// How it is written.
    pub encoding: Encoding,
    /// What stands in front of the code, such as `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What is signed, with `{body}` and perhaps `{id}` and `{timestamp}` (seconds); none: the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What the header says, with `{signature}` and perhaps `{id}` and `{timestamp}`; none: the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// What is wrong with a scheme: the field, and a sentence.
pub type Fault = (&'static str, &'static str);

impl Scheme {
    /// The scheme, if all of it holds.
    pub fn checked(self) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if let Err(sentence) = header::check_name(&self.header) {
            faults.push(("header", sentence));
        }
        if self.prefix.len() > MAX_PREFIX || header::check_value(&self.prefix).is_err() {
            faults.push(("prefix", "must be up to 64 visible ASCII characters"));
        }
        let template = self.template();
        if template.len() > MAX_TEMPLATE || !holds(template, "body", &["id", "timestamp"]) {
            faults.push((
                "template",
                "must have {body} once, perhaps {id} and {timestamp}, and up to 256 characters",
            ));
        }
        let value = self.value();
        let visible = value.len() <= MAX_TEMPLATE && header::check_value(value).is_ok();
        if !visible || !holds(value, "signature", &["id", "timestamp"]) {
            faults.push((
                "value",
                "must have {signature} once, perhaps {id} and {timestamp}, and up to 256 visible ASCII characters",
            ));
        }
        if faults.is_empty() { Ok(self) } else { Err(faults) }
    }

    /// What is signed.
    #[must_use]
    pub fn template(&self) -> &str {
        self.template.as_deref().unwrap_or(BODY)
    }

    /// What the header says.
    #[must_use]
    pub fn value(&self) -> &str {
        self.value.as_deref().unwrap_or(SIGNATURE)
    }

    /// The header's value for one attempt.
    #[must_use]
    pub fn sign(&self, secret: &Secret, id: &str, timestamp_seconds: u64, body: &[u8]) -> String {
        let time = timestamp_seconds.to_string();
        let parts: Vec<&[u8]> = Piece::all(self.template())
            .map(|piece| match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Field("id") => id.as_bytes(),
                Piece::Field("timestamp") => time.as_bytes(),
                Piece::Field(_) => body,
            })
            .collect();
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => mac::Algorithm::Sha256,
            Algorithm::Sha1 => mac::Algorithm::Sha1,
            Algorithm::Sha512 => mac::Algorithm::Sha512,
        };
        // There is no key that HMAC cannot take.
        let code = algorithm.mac(secret.0.as_bytes(), &parts).unwrap_or_default();
        let code = match self.encoding {
            Encoding::Hex => hex::encode(code),
            Encoding::Base64 => STANDARD.encode(code),
            Encoding::Base64url => URL_SAFE_NO_PAD.encode(code),
        };
        let signature = format!("{}{code}", self.prefix);
        Piece::all(self.value())
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Field("id") => id,
                Piece::Field("timestamp") => &time,
                Piece::Field(_) => &signature,
            })
            .collect()
    }
}

/// The secret of a scheme, as the receiver has it: its text's bytes are the key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Reads it: 8 to 256 characters, no control characters.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if (8..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 8 to 256 characters")
        }
    }

    /// What is sealed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Reads what was sealed.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        String::from_utf8(bytes).ok().map(Self)
    }

    /// What its owner knows it by: a quarter of it, and four characters at the most.
    #[must_use]
    pub fn hint(&self) -> String {
        let count = self.0.chars().count();
        self.0.chars().skip(count - (count / 4).min(4)).collect()
    }
}

/// A secret stays out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Field(&'a str),
}

impl<'a> Piece<'a> {
    /// The parts in order. A brace that nothing closes is text; so is one around a name that is none of ours, which
    /// [`Scheme::checked`] refuses.
    fn all(mut rest: &'a str) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            if let Some((name, behind)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'))
                && matches!(name, "body" | "id" | "timestamp" | "signature")
            {
                rest = behind;
                return Some(Self::Field(name));
            }
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let end = rest
                .get(first..)
                .and_then(|behind| behind.find('{'))
                .map_or(rest.len(), |at| at + first);
            let (text, behind) = rest.split_at(end);
            rest = behind;
            Some(Self::Text(text))
        })
    }
}

/// Whether a template names `must` once, and beside it only what it may, with no other braces.
fn holds(template: &str, must: &str, may: &[&str]) -> bool {
    let mut found = 0;
    let known = Piece::all(template).all(|piece| match piece {
        Piece::Text(text) => !text.contains(['{', '}']),
        Piece::Field(name) if name == must => {
            found += 1;
            true
        }
        Piece::Field(name) => may.contains(&name),
    });
    known && found == 1
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scheme() -> Scheme {
        Scheme {
            header: "X-Webhook-Signature".to_owned(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: "sha256=".to_owned(),
            template: None,
            value: None,
        }
    }

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn faulty(change: impl FnOnce(&mut Scheme)) -> Vec<&'static str> {
        let mut scheme = scheme();
        change(&mut scheme);
        let faults = scheme.checked().unwrap_err();
        faults.into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn the_body_is_signed_as_github_signs_it() {
        // The example in GitHub's documentation of X-Hub-Signature-256.
        let value = scheme().sign(
            &secret("It's a Secret to Everybody"),
            "msg_1",
            1,
            b"Hello, World!",
        );
        assert_eq!(
            value,
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_template_puts_id_and_time_beside_the_body_and_the_value_carries_the_time() {
        let stripe = Scheme {
            prefix: String::new(),
            template: Some("{timestamp}.{body}".to_owned()),
            value: Some("t={timestamp},v1={signature}".to_owned()),
            ..scheme()
        };
        let key = secret("whsec_test_secret");
        let inner = Scheme {
            prefix: String::new(),
            ..scheme()
        };
        let expected = inner.sign(&key, "", 0, b"1614265330.{}");
        assert_eq!(
            stripe
                .clone()
                .checked()
                .unwrap()
                .sign(&key, "msg_1", 1_614_265_330, b"{}"),
            format!("t=1614265330,v1={expected}")
        );
        let with_id = Scheme {
            template: Some("{id}|{body}".to_owned()),
            ..stripe
        };
        let expected = inner.sign(&key, "", 0, b"msg_1|{}");
        assert!(with_id.sign(&key, "msg_1", 5, b"{}").ends_with(&expected));
    }

    #[test]
    fn each_algorithm_and_encoding_has_its_length() {
        for (algorithm, bytes) in [
            (Algorithm::Sha1, 20),
            (Algorithm::Sha256, 32),
            (Algorithm::Sha512, 64),
        ] {
            for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64url] {
                let scheme = Scheme {
                    algorithm,
                    encoding,
                    prefix: String::new(),
                    ..scheme()
                };
                let value = scheme.sign(&secret("12345678"), "", 0, b"");
                let length = match encoding {
                    Encoding::Hex => hex::decode(value).unwrap().len(),
                    Encoding::Base64 => STANDARD.decode(value).unwrap().len(),
                    Encoding::Base64url => URL_SAFE_NO_PAD.decode(value).unwrap().len(),
                };
                assert_eq!(length, bytes);
            }
        }
    }

    #[test]
    fn a_placeholder_inside_of_the_body_stays_as_it_is() {
        let key = secret("12345678");
        let with = |body: &[u8]| scheme().sign(&key, "msg_1", 7, body);
        assert_ne!(with(b"{id}"), with(b"msg_1"));
    }

    #[test]
    fn what_does_not_hold_is_named() {
        assert_eq!(faulty(|s| s.header = "Webhook-Signature".to_owned()), ["header"]);
        assert_eq!(faulty(|s| s.header = "Host".to_owned()), ["header"]);
        assert_eq!(faulty(|s| s.prefix = "a\r\nb".to_owned()), ["prefix"]);
        for template in [
            "",
            "{id}",
            "{body}{body}",
            "{body}{secret}",
            "{body}{signature}",
            "{body}}",
            "{{body}",
        ] {
            assert_eq!(
                faulty(|s| s.template = Some(template.to_owned())),
                ["template"],
                "{template}"
            );
        }
        for value in [
            "",
            "t={timestamp}",
            "{signature},{signature}",
            "{signature}{body}",
            "{signature}\n",
        ] {
            assert_eq!(faulty(|s| s.value = Some(value.to_owned())), ["value"], "{value}");
        }
    }

    #[test]
    fn a_secret_is_known_by_its_end_and_a_short_one_by_less_of_it() {
        assert_eq!(secret("0123456789abcdef").hint(), "cdef");
        assert_eq!(secret("12345678").hint(), "78");
        assert!(Secret::parse("1234567").is_err());
        assert!(Secret::parse("12345678\n").is_err());
        assert_eq!(format!("{:?}", secret("12345678")), "Secret(…)");
    }

    proptest! {
        #[test]
        fn a_template_falls_into_pieces_that_make_it_up(text in ".{0,40}") {
            let again: String = Piece::all(&text)
                .map(|piece| match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Field(name) => format!("{{{name}}}"),
                })
                .collect();
            prop_assert_eq!(again, text);
        }

        #[test]
        fn what_was_checked_makes_a_value_that_can_be_sent(
            template in "[a-z.{}]{0,6}\\{body\\}[a-z.]{0,6}",
            value in "[a-z=,{}]{0,6}\\{signature\\}[a-z]{0,6}",
            body: Vec<u8>,
        ) {
            let made = Scheme { template: Some(template), value: Some(value), ..scheme() };
            if let Ok(made) = made.checked() {
                let value = made.sign(&secret("12345678"), "msg_1", 1, &body);
                prop_assert!(header::check_value(&value).is_ok());
                let left = value.contains(['{', '}']);
                prop_assert!(!left);
            }
        }
    }
}
