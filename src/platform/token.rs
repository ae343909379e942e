//! Tokens of connections, for whoever spends them: the proxy and deliveries. What an isolate has leased it keeps in memory
//! until the object's word for that ends, 30 s at the most and never into the token's last minutes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use postern_domain::id::{ConnectionId, OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{
    Caller, Spent, Token, TokenLease, TokenRefused, TokenSpend, TokenThrottled,
};
use worker::Env;

use crate::clock;
use crate::connection::ConnectionObject;

/// Tokens that this isolate keeps in memory.
const KEPT: usize = 500;

/// A token in this isolate's memory.
struct Warm {
    organisation: OrganisationId,
    tenant: TenantId,
    token: Token,
    used: u32,
}

thread_local! {
    static WARM: RefCell<BTreeMap<ConnectionId, Warm>> = const { RefCell::new(BTreeMap::new()) };
}

/// Whoever spends a connection's tokens, on behalf of its tenant: the object answers 404 to another's.
pub struct Spender {
    object: ConnectionObject,
    organisation: OrganisationId,
    tenant: TenantId,
    connection: ConnectionId,
}

impl Spender {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(env: &Env, organisation: OrganisationId, tenant: TenantId, connection: ConnectionId) -> Self {
        let caller = Caller::Tenant { organisation, tenant };
        Self {
            object: ConnectionObject::new(env, connection, caller),
            organisation,
            tenant,
            connection,
        }
    }

    /// A token that is good now: from memory, else from the object, which may refresh it first and is given `ms` for that.
    ///
    /// # Errors
    /// What the object says where nothing can be spent: 404, 409 with the reason, 503 where it passes.
    pub async fn token(&self, now: Millis, ms: u64) -> Result<Token, Problem> {
        let warm = WARM.with_borrow_mut(|warm| {
            let kept = warm.get_mut(&self.connection)?;
            let own = kept.organisation == self.organisation && kept.tenant == self.tenant;
            (own && now < kept.token.keep_until).then(|| {
                kept.used += 1;
                kept.token.clone()
            })
        });
        if let Some(token) = warm {
            return Ok(token);
        }
        let used = WARM.with_borrow_mut(|warm| warm.remove(&self.connection).map_or(0, |kept| kept.used));
        let lease = TokenLease {
            used: used + 1,
            ..TokenLease::default()
        };
        let token = self.object.call_within(ms, lease).await?;
        self.keep(&token);
        Ok(token)
    }

    /// No more of the token of this generation from memory: it was refused. How often it was used is told with the next
    /// lease.
    pub fn forget(&self, generation: u64) {
        WARM.with_borrow_mut(|warm| {
            if let Some(kept) = warm.get_mut(&self.connection)
                && kept.token.generation <= generation
            {
                kept.token.keep_until = Millis(0);
            }
        });
    }

    /// The provider refused the token of this generation: a newer one, after a refresh if need be.
    ///
    /// # Errors
    /// Where there is no newer one.
    pub async fn refused(&self, generation: u64) -> Result<Token, Problem> {
        self.forget(generation);
        let newer = self.object.call(TokenRefused { generation }).await?;
        self.keep(&newer);
        Ok(newer)
    }

    /// Takes one request out of the connection's limits.
    ///
    /// # Errors
    /// When the object does not answer.
    pub async fn spend(&self, token: &Token) -> Result<Spent, Problem> {
        if token.limited {
            self.object.call(TokenSpend {}).await
        } else {
            Ok(Spent::default())
        }
    }

    /// The provider wants to be left alone for so long: everybody who spends this connection's token waits.
    ///
    /// # Errors
    /// When the object does not answer.
    pub async fn throttled(&self, ms: u64) -> Result<(), Problem> {
        // The next one asks, and hears that there is a limit now.
        self.forget(u64::MAX);
        self.object.call(TokenThrottled { ms }).await
    }

    fn keep(&self, token: &Token) {
        WARM.with_borrow_mut(|warm| {
            let own = |kept: &Warm| kept.organisation == self.organisation && kept.tenant == self.tenant;
            // Uses that no lease has told of yet.
            let used = warm
                .remove(&self.connection)
                .filter(own)
                .map_or(0, |kept| kept.used);
            if warm.len() >= KEPT {
                let now = clock::now();
                warm.retain(|_, kept| now < kept.token.keep_until);
            }
            if warm.len() < KEPT {
                let kept = Warm {
                    organisation: self.organisation,
                    tenant: self.tenant,
                    token: token.clone(),
                    used,
                };
                warm.insert(self.connection, kept);
            }
        });
    }
}
