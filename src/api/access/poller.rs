//! Who may poll: whoever may touch the tenant, and whoever holds the poller's own token.

use postern_domain::access::Need;
use postern_domain::digest;
use postern_domain::id::{OrganisationId, PollerToken, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call;
use postern_domain::wire::poll::PollerKey;
use postern_platform::tenant::TenantObject;
use worker::Env;

use super::{Caller, Key, uid};
use crate::store::Directory;

/// May read one poller. A poller's own token is judged by the object: what it may not touch is 401 or 404 there.
pub(crate) struct PollerAccess {
    env: Env,
    pub(crate) organisation: OrganisationId,
    pub(crate) tenant: TenantId,
    caller: call::Caller,
}

impl PollerAccess {
    /// Reads `Authorization: Bearer …` for the tenant that a path names.
    ///
    /// # Errors
    /// [`Code::AuthenticationFailed`] for a token that is none, 404 for a tenant that is not the token's.
    pub(crate) async fn authenticate(
        env: Env,
        header: Option<&str>,
        segment: &str,
        need: Need,
        now: Millis,
    ) -> Result<Self, Problem> {
        let token = header
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| token.starts_with(PollerToken::PREFIX));
        let Some(token) = token else {
            let caller = Caller::authenticate(env, header, now).await?;
            caller.may(need)?;
            let access = caller.tenant(segment, now).await?;
            return Ok(Self {
                caller: call::Caller::Organisation(access.organisation),
                organisation: access.organisation,
                tenant: access.tenant,
                env: access.env,
            });
        };
        let refused = || {
            Problem::new(
                Code::AuthenticationFailed,
                "This poller's token is not valid any more",
            )
        };
        let token: PollerToken = token.parse().map_err(|_| refused())?;
        let named = match Key::read(segment).ok_or_else(Problem::not_found)? {
            Key::Id(tenant) => Some(tenant),
            Key::Uid(uid) => uid::resolve(&Directory::new(&env)?, token.organisation, &uid, now).await?,
        };
        if named != Some(token.tenant) {
            return Err(Problem::not_found());
        }
        let hash = digest::half_of(&token.random)
            .try_into()
            .map_err(|_| Problem::internal("half of a digest"))?;
        Ok(Self {
            caller: call::Caller::Poller(PollerKey {
                organisation: token.organisation,
                endpoint: token.endpoint,
                hash,
            }),
            organisation: token.organisation,
            tenant: token.tenant,
            env,
        })
    }

    /// The tenant's object.
    pub(crate) fn object(&self) -> TenantObject {
        TenantObject::new(&self.env, self.tenant, self.caller)
    }

    /// The directory, for the account of `Idempotency-Key`.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
    }
}
