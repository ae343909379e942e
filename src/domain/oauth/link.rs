//! The secrets that browsers carry: a session's link, an attempt's `state`. Each is an address (the connection, whose
//! object is asked) and 256 random bits; objects keep a SHA-256 of the random part only.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::ConnectionId;

/// The form that this release writes.
const FORM: u8 = 1;

/// A text that is no link of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a link of ours")]
pub struct InvalidLink;

/// An address and a secret: base64url of `1 | connection, 20 bytes | random, 32 bytes`, 71 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whose object is asked.
    pub connection: ConnectionId,
    /// What cannot be guessed.
    pub random: [u8; 32],
}

/// The random part is a secret: it stays out of logs.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({}, …)", self.connection)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[FORM], &self.connection.0[..], &self.random[..]].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Link {
    type Err = InvalidLink;

    fn from_str(text: &str) -> Result<Self, InvalidLink> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidLink)?;
        let rest = bytes.strip_prefix(&[FORM]).ok_or(InvalidLink)?;
        let (connection, random) = rest.split_first_chunk::<20>().ok_or(InvalidLink)?;
        Ok(Self {
            connection: ConnectionId(*connection),
            random: random.try_into().map_err(|_| InvalidLink)?,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_link_reads_back_as_it_was_written(connection: [u8; 20], random: [u8; 32]) {
            let link = Link { connection: ConnectionId(connection), random };
            prop_assert_eq!(link.to_string().parse::<Link>().unwrap(), link);
            prop_assert_eq!(link.to_string().len(), 71);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = text.parse::<Link>();
        }
    }

    #[test]
    fn a_link_of_another_form_is_none() {
        let link = Link {
            connection: ConnectionId([7; 20]),
            random: [9; 32],
        };
        let mut bytes = URL_SAFE_NO_PAD.decode(link.to_string()).unwrap();
        bytes[0] = 2;
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes).parse::<Link>(), Err(InvalidLink));
        bytes[0] = 1;
        bytes.pop();
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes).parse::<Link>(), Err(InvalidLink));
    }
}
