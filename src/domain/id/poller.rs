//! The token of one poller.

use std::fmt;
use std::str::FromStr;

use super::{InvalidId, OrganisationId, TenantId, decode, encode};

/// Characters behind the prefix: 480 bits.
const CHARS: usize = 81;

/// What whoever polls one endpoint holds: `sk_poll_` and an address in base62, the organisation, the tenant, the
/// endpoint's number and 128 random bits. So nothing has to be looked up to find who is to judge it: the tenant's object
/// keeps a hash of the random part, and compares the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PollerToken {
    /// Whose tenant it is: a tenant's `uid` in a path is read with it.
    pub organisation: OrganisationId,
    /// The tenant, whose object is asked.
    pub tenant: TenantId,
    /// The number of the one endpoint that it polls.
    pub endpoint: u32,
    /// What cannot be guessed.
    pub random: [u8; 16],
}

impl PollerToken {
    /// What the token's text begins with. No JWT does.
    pub const PREFIX: &'static str = "sk_poll_";
}

/// The random part is a secret: it stays out of logs.
impl fmt::Debug for PollerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PollerToken({}, endpoint {}, …)", self.tenant, self.endpoint)
    }
}

impl fmt::Display for PollerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 60];
        bytes[..20].copy_from_slice(&self.organisation.0);
        bytes[20..40].copy_from_slice(&self.tenant.0);
        bytes[40..44].copy_from_slice(&self.endpoint.to_be_bytes());
        bytes[44..].copy_from_slice(&self.random);
        write!(f, "{}{}", Self::PREFIX, encode(&bytes, CHARS))
    }
}

impl FromStr for PollerToken {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(InvalidId)?;
        let bytes: [u8; 60] = decode(digits, CHARS).ok_or(InvalidId)?;
        let mut token = Self {
            organisation: OrganisationId([0; 20]),
            tenant: TenantId([0; 20]),
            endpoint: u32::from_be_bytes([bytes[40], bytes[41], bytes[42], bytes[43]]),
            random: [0; 16],
        };
        token.organisation.0.copy_from_slice(&bytes[..20]);
        token.tenant.0.copy_from_slice(&bytes[20..40]);
        token.random.copy_from_slice(&bytes[44..]);
        Ok(token)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_reads_back_as_it_was_written(organisation: [u8; 20], tenant: [u8; 20], endpoint: u32, random: [u8; 16]) {
            let (organisation, tenant) = (OrganisationId(organisation), TenantId(tenant));
            let token = PollerToken { organisation, tenant, endpoint, random };
            prop_assert_eq!(token.to_string().parse::<PollerToken>().unwrap(), token);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<PollerToken>();
            let _ = format!("sk_poll_{text}").parse::<PollerToken>();
        }
    }

    #[test]
    fn its_secret_does_not_reach_a_log() {
        let token = PollerToken {
            organisation: OrganisationId([1; 20]),
            tenant: TenantId([2; 20]),
            endpoint: 3,
            random: [0xab; 16],
        };
        let shown = format!("{token:?}");
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("abab"));
        assert!(!shown.contains(&token.to_string()));
    }
}
