//! `/api/v1/auth`: tokens for single tenants, and their end.

pub(crate) mod app_portal_access;
pub(crate) mod create_message_token;
pub(crate) mod expire_all;
pub(crate) mod logout;
pub(crate) mod one_time_token;
pub(crate) mod whoami;

use postern_domain::access::{Grant, JwtKeys, Restricted};
use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_platform::random;

/// A token for part of what a tenant's authority allows, with the id that it was given.
fn issue(
    keys: &JwtKeys,
    of: (OrganisationId, TenantId),
    grant: &Grant,
    session: Option<&str>,
    now: Millis,
    ttl_seconds: u64,
) -> Result<(String, String), Problem> {
    let id = format!("key_{}", hex::encode(random::bytes::<14>()));
    let token = Restricted {
        organisation: of.0,
        tenant: of.1,
        grant,
        id: &id,
        session,
    };
    let text = keys
        .issue_restricted(&token, now, ttl_seconds)
        .map_err(Problem::internal)?;
    Ok((id, text))
}
