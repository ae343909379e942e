//! The operational tenant: the hidden ledger through which an organisation hears what happens in its tenants.
//!
//! Every organisation has one, derived from its id, so that no directory lists it and every object of the organisation
//! knows its name. It is set up on first use and cannot be named in a path.

use sha2::{Digest, Sha256};

use crate::id::{OrganisationId, TenantId};

/// The organisation's operational tenant.
#[must_use]
pub fn tenant_of(organisation: OrganisationId) -> TenantId {
    let mut sha = Sha256::new();
    sha.update(b"operational");
    sha.update(organisation.0);
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(sha.finalize()) {
        *to = from;
    }
    TenantId(id)
}

/// The event id under which the operational tenant keeps what a tenant told it as its `number`-th: told twice, it is one
/// message.
#[must_use]
pub fn event_id(tenant: TenantId, number: u64) -> String {
    format!("op_{tenant}_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_organisation_has_one_of_its_own_and_always_the_same() {
        let (one, other) = (OrganisationId([1; 20]), OrganisationId([2; 20]));
        assert_eq!(tenant_of(one), tenant_of(one));
        assert_ne!(tenant_of(one), tenant_of(other));
        assert_ne!(tenant_of(one).0, one.0);
    }
}
