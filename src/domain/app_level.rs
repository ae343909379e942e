//! App-level sources: one address for all tenants, where one app at the provider serves every customer's account.
//!
//! They belong to the organisation and stand in a hidden ledger of its own, derived from its id as the operational tenant
//! is ([`crate::operational`]): no directory lists it and no path names it. There a request is stored once; each of its
//! events is then pushed to the tenants that claim its routing key.

use sha2::{Digest, Sha256};

use crate::id::{OrganisationId, TenantId};

/// Among kept headers: the routing key of an event that came through an app-level source. No request can forge it, as no
/// header's name begins with a colon.
pub const ROUTE: &str = ":route";

/// Among kept headers: the key of one that the provider did not sign.
pub const UNSIGNED_ROUTE: &str = ":route-unsigned";

/// Among the kept headers of a routed message: the id of the app-level source that it came through.
pub const SOURCE: &str = ":source";

/// And its name.
pub const SOURCE_NAME: &str = ":source-name";

/// And its preset.
pub const PROVIDER: &str = ":provider";

/// And that its source asks for an envelope.
pub const FORWARD: &str = ":forward";

/// Bytes of a routing key at the most. A longer one is kept as none: nobody could claim it.
pub const MAX_KEY: usize = 256;

/// Tenants that claim one key at the most: each of its events is pushed to all of them.
pub const MAX_CLAIMS: usize = 32;

/// `OAuth` apps that feed one source at the most.
pub const MAX_FEEDS: usize = 8;

/// Whether a kept header is one of those that say how an event was routed.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    [ROUTE, UNSIGNED_ROUTE, SOURCE, SOURCE_NAME, PROVIDER, FORWARD].contains(&name)
}

/// The organisation's ledger for what comes through its app-level sources.
#[must_use]
pub fn ledger_of(organisation: OrganisationId) -> TenantId {
    let mut sha = Sha256::new();
    sha.update(b"app-level");
    sha.update(organisation.0);
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(sha.finalize()) {
        *to = from;
    }
    TenantId(id)
}

/// A key that can be claimed: 1 to 256 bytes without control characters.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operational;

    #[test]
    fn each_organisation_has_one_of_its_own_beside_its_operational_tenant() {
        let (one, other) = (OrganisationId([1; 20]), OrganisationId([2; 20]));
        assert_eq!(ledger_of(one), ledger_of(one));
        assert_ne!(ledger_of(one), ledger_of(other));
        assert_ne!(ledger_of(one), operational::tenant_of(one));
    }

    #[test]
    fn a_key_is_short_and_has_no_control_characters() {
        assert!(is_key("T012 é/"));
        assert!(is_key(&"k".repeat(256)));
        assert!(!is_key(""));
        assert!(!is_key(&"k".repeat(257)));
        assert!(!is_key("a\nb"));
    }
}
