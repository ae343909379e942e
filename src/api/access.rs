//! Authority, as values that handlers take: one that has no [`TenantAccess`] cannot touch a tenant.

use postern_domain::access::{Authority, Grant, Need, Token};
use postern_domain::app_level;
use postern_domain::id::{ConnectionId, OrganisationId, TenantId};
use postern_domain::operational;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::{call, connection};
use postern_platform::config::Config;
use postern_platform::connection::ConnectionObject;
use postern_platform::tenant::TenantObject;
use worker::Env;

use crate::store::application::Key;
use crate::store::{Directory, revocation, uid};

mod poller;

pub(crate) use poller::PollerAccess;

/// Whoever holds a good token.
pub(crate) struct Caller {
    env: Env,
    token: Token,
}

/// Who reads an organisation's catalogue.
pub(crate) struct Reader {
    env: Env,
    pub(crate) organisation: OrganisationId,
    /// Only what somebody with these flags sees; none: everything.
    pub(crate) flags: Option<Vec<String>>,
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
    /// With all of it: no portal's and no scoped token.
    pub(crate) is_whole: bool,
}

impl Caller {
    /// Reads `Authorization: Bearer …`. A tenant's token may have been revoked: that costs the directory a read in 30 s.
    ///
    /// # Errors
    /// [`Code::AuthenticationFailed`] for no token and for one that does not hold: which of its parts does not is not said.
    pub(crate) async fn authenticate(env: Env, header: Option<&str>, now: Millis) -> Result<Self, Problem> {
        let (scheme, token) = header
            .and_then(|header| header.split_once(' '))
            .ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let token = Config::from_env(&env)?
            .jwt
            .verify(token.trim(), now)
            .map_err(|_| refused())?;
        if let Authority::Tenant { tenant, .. } = token.authority
            && revocation::is_revoked(&Directory::new(&env)?, tenant, &token, now).await?
        {
            return Err(refused());
        }
        match token.grant {
            Grant::OneTime(_) => Err(refused()),
            _ => Ok(Self { env, token }),
        }
    }

    /// Whether the token may be used for this at all, whoever it is for.
    ///
    /// # Errors
    /// [`Code::Forbidden`] with a token that may use only part of its authority, and not this one.
    pub(crate) fn may(&self, need: Need) -> Result<(), Problem> {
        if self.token.grant.covers(need) {
            Ok(())
        } else {
            Err(Problem::new(
                Code::Forbidden,
                "This token was not given what this operation needs",
            ))
        }
    }

    /// The token that was sent.
    pub(crate) const fn token(&self) -> &Token {
        &self.token
    }

    /// The directory.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
    }

    /// Reads the organisation's catalogue: all of it, or with a portal's token what its flags let through.
    ///
    /// # Errors
    /// [`Code::Forbidden`] with any other token of a tenant.
    pub(crate) fn reader(self) -> Result<Reader, Problem> {
        let (organisation, flags) = match (self.token.authority, self.token.grant) {
            (Authority::Organisation(organisation), _) => (organisation, None),
            (Authority::Tenant { organisation, .. }, Grant::Portal(portal)) => {
                (organisation, Some(portal.feature_flags))
            }
            (Authority::Tenant { .. }, _) => return Err(not_a_tenants()),
        };
        Ok(Reader {
            env: self.env,
            organisation,
            flags,
        })
    }

    /// The whole organisation.
    ///
    /// # Errors
    /// [`Code::Forbidden`] with a tenant's token.
    pub(crate) fn organisation(self) -> Result<OrganisationAccess, Problem> {
        match self.token.authority {
            Authority::Organisation(organisation) => Ok(OrganisationAccess {
                env: self.env,
                organisation,
            }),
            Authority::Tenant { .. } => Err(not_a_tenants()),
        }
    }

    /// The tenant that a path names, by id or `uid`.
    ///
    /// An id goes to its object without a look into the directory: the object knows its organisation.
    ///
    /// # Errors
    /// 404 for what is not there, and for another tenant's with a tenant's token.
    pub(crate) async fn tenant(self, segment: &str, now: Millis) -> Result<TenantAccess, Problem> {
        let (organisation, own) = match self.token.authority {
            Authority::Organisation(organisation) => (organisation, None),
            Authority::Tenant { organisation, tenant } => (organisation, Some(tenant)),
        };
        let tenant = match Key::read(segment).ok_or_else(Problem::not_found)? {
            Key::Id(tenant) => tenant,
            Key::Uid(uid) => uid::resolve(&Directory::new(&self.env)?, organisation, &uid, now)
                .await?
                .ok_or_else(Problem::not_found)?,
        };
        // The hidden ones have paths of their own.
        let hidden = [
            operational::tenant_of(organisation),
            app_level::ledger_of(organisation),
        ];
        if own.is_some_and(|own| own != tenant) || hidden.contains(&tenant) {
            return Err(Problem::not_found());
        }
        Ok(TenantAccess {
            is_whole: self.token.grant.covers(Need::Whole),
            env: self.env,
            organisation,
            tenant,
        })
    }

    /// A copy, for an operation that tries one kind of access before the other.
    pub(crate) fn again(&self) -> Self {
        Self {
            env: self.env.clone(),
            token: self.token.clone(),
        }
    }
}

/// 401, the same for every reason.
pub(crate) fn refused() -> Problem {
    Problem::new(
        Code::AuthenticationFailed,
        "Send a valid token: Authorization: Bearer <token>",
    )
}

fn not_a_tenants() -> Problem {
    Problem::new(
        Code::Forbidden,
        "A tenant's token may not do this; it needs a token of the organisation",
    )
}

impl Reader {
    /// The directory.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
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
            is_whole: true,
        }
    }
}

impl TenantAccess {
    /// The deployment's bindings.
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    /// The same for another tenant of the organisation, which the caller has looked up as such.
    pub(crate) fn of(self, tenant: TenantId) -> Self {
        Self { tenant, ..self }
    }

    /// The tenant's object.
    pub(crate) fn object(&self) -> TenantObject {
        TenantObject::new(
            &self.env,
            self.tenant,
            call::Caller::Organisation(self.organisation),
        )
    }

    /// The object of one of the tenant's connections. Whether it is one of the tenant's, that object knows.
    pub(crate) fn connection(&self, connection: ConnectionId) -> ConnectionObject {
        let caller = connection::Caller::Tenant {
            organisation: self.organisation,
            tenant: self.tenant,
        };
        ConnectionObject::new(&self.env, connection, caller)
    }

    /// The directory, for what it says of this tenant.
    pub(crate) fn directory(&self) -> Result<Directory, Problem> {
        Directory::new(&self.env)
    }
}
