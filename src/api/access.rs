//! Authority, as values that handlers take: one that has no [`TenantAccess`] cannot touch a tenant.

use postern_domain::access::Authority;
use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call;
use worker::Env;

use crate::platform::config::Config;
use crate::platform::tenant::TenantObject;
use crate::store::application::Key;
use crate::store::{Directory, uid};

mod poller;

pub(crate) use poller::PollerAccess;

/// Whoever holds a good token.
pub(crate) struct Caller {
    env: Env,
    authority: Authority,
}

/// May do what the organisation may: its directory, all of its tenants.
pub(crate) struct OrganisationAccess {
    env: Env,
    pub(crate) organisation: OrganisationId,
}

/// May touch one tenant.
pub(crate) struct TenantAccess {
    env: Env,
    pub(crate) organisation: OrganisationId,
    pub(crate) tenant: TenantId,
}

impl Caller {
    /// Reads `Authorization: Bearer …`.
    ///
    /// # Errors
    /// [`Code::AuthenticationFailed`] for no token and for one that does not hold: which of its parts does not is not said.
    pub(crate) fn authenticate(env: Env, header: Option<&str>, now: Millis) -> Result<Self, Problem> {
        let refused = || {
            Problem::new(
                Code::AuthenticationFailed,
                "Send a valid token: Authorization: Bearer <token>",
            )
        };
        let (scheme, token) = header
            .and_then(|header| header.split_once(' '))
            .ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let authority = Config::from_env(&env)?
            .jwt
            .verify(token.trim(), now)
            .map_err(|_| refused())?;
        Ok(Self { env, authority })
    }

    /// The whole organisation.
    ///
    /// # Errors
    /// [`Code::Forbidden`] with a tenant's token.
    pub(crate) fn organisation(self) -> Result<OrganisationAccess, Problem> {
        match self.authority {
            Authority::Organisation(organisation) => Ok(OrganisationAccess {
                env: self.env,
                organisation,
            }),
            Authority::Tenant { .. } => Err(Problem::new(
                Code::Forbidden,
                "A tenant's token may not do this; it needs a token of the organisation",
            )),
        }
    }

    /// The tenant that a path names, by id or `uid`.
    ///
    /// An id goes to its object without a look into the directory: the object knows its organisation.
    ///
    /// # Errors
    /// 404 for what is not there, and for another tenant's with a tenant's token.
    pub(crate) async fn tenant(self, segment: &str, now: Millis) -> Result<TenantAccess, Problem> {
        let (organisation, own) = match self.authority {
            Authority::Organisation(organisation) => (organisation, None),
            Authority::Tenant { organisation, tenant } => (organisation, Some(tenant)),
        };
        let tenant = match Key::read(segment).ok_or_else(Problem::not_found)? {
            Key::Id(tenant) => tenant,
            Key::Uid(uid) => uid::resolve(&Directory::new(&self.env)?, organisation, &uid, now)
                .await?
                .ok_or_else(Problem::not_found)?,
        };
        if own.is_some_and(|own| own != tenant) {
            return Err(Problem::not_found());
        }
        Ok(TenantAccess {
            env: self.env,
            organisation,
            tenant,
        })
    }

    /// A copy, for an operation that tries one kind of access before the other.
    pub(crate) fn again(&self) -> Self {
        Self {
            env: self.env.clone(),
            authority: self.authority,
        }
    }
}

impl OrganisationAccess {
    /// The directory.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
    }

    /// One of its tenants. Whether it is one, its object knows.
    pub(crate) fn tenant(&self, tenant: TenantId) -> TenantAccess {
        TenantAccess {
            env: self.env.clone(),
            organisation: self.organisation,
            tenant,
        }
    }
}

impl TenantAccess {
    /// The tenant's object.
    pub(crate) fn object(&self) -> TenantObject {
        TenantObject::new(
            &self.env,
            self.tenant,
            call::Caller::Organisation(self.organisation),
        )
    }

    /// The directory, for what it says of this tenant.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
    }
}
