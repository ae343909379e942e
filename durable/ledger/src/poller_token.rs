//! Tokens of pollers. One is made with its endpoint; a new one may stand beside it for a while.

use postern_domain::digest;
use postern_domain::id::{PollerToken, TenantId};
use postern_domain::problem::Problem;
use postern_domain::seal::{self, Place};
use postern_domain::time::Millis;
use postern_domain::wire::poll::{PollerKey, PollerTokenGet, PollerTokenRotate, PollerTokenView};

use crate::endpoint::{bytes, unsealable};
use crate::memory::Memory;
use crate::reseal::Slot;
use crate::sql::{Row, Sql, Value};
use crate::{Ledger, Random};

/// Where they stand sealed: see [`Place`].
pub(crate) const TABLE: &str = "poller_token";
const COLUMN: &str = "sealed";

/// A token as it is kept.
pub(crate) struct Token {
    endpoint: u32,
    generation: u64,
    hash: Vec<u8>,
    sealed: String,
    created_at: Millis,
    not_after: Option<Millis>,
}

impl Token {
    /// Part of the caller's transaction.
    pub(crate) fn insert<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let statement = "INSERT INTO poller_token (endpoint, generation, hash, sealed, created_at, not_after) \
                         VALUES (?, ?, ?, ?, ?, ?)";
        let values = [
            self.endpoint.into(),
            self.generation.into(),
            Value::Blob(self.hash.clone()),
            self.sealed.as_str().into(),
            self.created_at.into(),
            self.not_after.into(),
        ];
        sql.run(statement, &values)?;
        Ok(())
    }
}

/// A sealed token, where it stands.
pub(crate) struct SealedToken {
    pub(crate) endpoint: u32,
    pub(crate) generation: u64,
    sealed: String,
}

impl SealedToken {
    /// What is sealed of it.
    pub(crate) fn slot(&mut self) -> Slot<'_> {
        Slot::new(COLUMN, self.generation, &mut self.sealed)
    }

    /// Stores it anew. Part of the caller's transaction.
    pub(crate) fn write<S: Sql>(&self, sql: &S) -> Result<(), Problem> {
        let statement = "UPDATE poller_token SET sealed = ? WHERE endpoint = ? AND generation = ?";
        let values = [
            self.sealed.as_str().into(),
            self.endpoint.into(),
            self.generation.into(),
        ];
        sql.run(statement, &values)?;
        Ok(())
    }

    /// Those behind one, whosever they are, a few at a time and in the order of the key.
    pub(crate) fn behind<S: Sql>(
        sql: &S,
        (endpoint, generation): (u32, u64),
        most: u64,
    ) -> Result<Vec<Self>, Problem> {
        let statement = "SELECT endpoint, generation, sealed FROM poller_token \
                         WHERE (endpoint, generation) > (?, ?) ORDER BY endpoint, generation LIMIT ?";
        let rows = sql.rows(statement, &[endpoint.into(), generation.into(), most.into()])?;
        let read = |row: &Row| {
            Ok(Self {
                endpoint: row.small(0)?,
                generation: row.number(1)?,
                sealed: row.text(2)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

impl<S: Sql> Ledger<S> {
    /// The newest token, in clear.
    pub(crate) fn poller_token_get(&mut self, call: &PollerTokenGet) -> Result<PollerTokenView, Problem> {
        let sink = self.sink(&call.endpoint)?;
        let tokens = self.tokens_of(sink)?;
        let newest = tokens
            .first()
            .ok_or_else(|| Problem::internal("a poller without a token"))?;
        self.token_view(newest)
    }

    /// A new token beside the one that stands, which ends later. One older than that ends now.
    pub(crate) fn poller_token_rotate(
        &mut self,
        call: &PollerTokenRotate,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<PollerTokenView, Problem> {
        let sink = self.sink(&call.endpoint)?;
        let standing = self.tokens_of(sink)?;
        let seconds = |seconds: u32| now.plus(u64::from(seconds) * Millis::SECOND);
        let generation = standing.first().map_or(0, |token| token.generation) + 1;
        let mut token = self.new_poller_token(sink, generation, now, random)?;
        token.not_after = call.expiry_seconds.map(seconds);
        let old = standing
            .first()
            .filter(|_| call.old_expiry_seconds > 0)
            .map(|old| {
                let ends = seconds(call.old_expiry_seconds);
                (old.generation, old.not_after.map_or(ends, |end| end.min(ends)))
            });
        self.sql.atomic(|sql| {
            let kept = old.map_or(generation, |(generation, _)| generation);
            let statement = "DELETE FROM poller_token WHERE endpoint = ? AND generation < ?";
            sql.run(statement, &[sink.into(), kept.into()])?;
            if let Some((generation, ends)) = old {
                let statement = "UPDATE poller_token SET not_after = ? WHERE endpoint = ? AND generation = ?";
                sql.run(statement, &[ends.into(), sink.into(), generation.into()])?;
            }
            token.insert(sql)
        })?;
        self.token_view(&token)
    }

    /// A token of an endpoint, sealed and not stored yet.
    pub(crate) fn new_poller_token(
        &mut self,
        endpoint: u32,
        generation: u64,
        now: Millis,
        random: &mut dyn Random,
    ) -> Result<Token, Problem> {
        let secret: [u8; 16] = bytes(random);
        let place = place(self.memory()?.tenant, endpoint, generation);
        let blob = self
            .master_keys()?
            .seal(&place, bytes(random), &secret)
            .map_err(Problem::internal)?;
        Ok(Token {
            endpoint,
            generation,
            hash: digest::half_of(&secret),
            sealed: seal::to_text(&blob),
            created_at: now,
            not_after: None,
        })
    }

    /// Whether a token's hash is one of those that are valid now.
    pub(crate) fn holds_token(&self, key: PollerKey, now: Millis) -> Result<bool, Problem> {
        let tokens = self.tokens_of(key.endpoint)?;
        let lives = |token: &Token| token.not_after.is_none_or(|end| end > now);
        Ok(tokens.iter().fold(false, |held, token| {
            held | (digest::same(&token.hash, &key.hash) & lives(token))
        }))
    }

    /// Forgets tokens and consumers of an endpoint that was deleted.
    pub(crate) fn end_poller(&self, endpoint: u32) -> Result<(), Problem> {
        for table in ["poller_token", "consumer"] {
            let statement = format!("DELETE FROM {table} WHERE endpoint = ?");
            self.sql.run(&statement, &[endpoint.into()])?;
        }
        Ok(())
    }

    /// The newest first.
    fn tokens_of(&self, endpoint: u32) -> Result<Vec<Token>, Problem> {
        let statement = "SELECT generation, hash, sealed, created_at, not_after FROM poller_token WHERE endpoint = ? \
                         ORDER BY generation DESC";
        let rows = self.sql.rows(statement, &[endpoint.into()])?;
        rows.iter()
            .map(|row| {
                Ok(Token {
                    endpoint,
                    generation: row.number(0)?,
                    hash: row.blob(1)?,
                    sealed: row.text(2)?,
                    created_at: row.time(3)?,
                    not_after: row.maybe(4, Row::time)?,
                })
            })
            .collect()
    }

    fn token_view(&mut self, token: &Token) -> Result<PollerTokenView, Problem> {
        let memory = self.memory()?;
        let endpoint = memory
            .endpoints
            .get(&token.endpoint)
            .ok_or_else(Problem::not_found)?;
        let (id, organisation, tenant) = (Memory::endpoint_id(endpoint), memory.organisation, memory.tenant);
        let place = place(tenant, token.endpoint, token.generation);
        let blob = seal::from_text(&token.sealed).ok_or_else(|| Problem::internal("a sealed token"))?;
        let secret = self.master_keys()?.open(&place, &blob).map_err(unsealable)?;
        let random = secret
            .try_into()
            .map_err(|_| Problem::internal("a token of another length"))?;
        let clear = PollerToken {
            organisation,
            tenant,
            endpoint: token.endpoint,
            random,
        };
        Ok(PollerTokenView {
            token: clear.to_string(),
            endpoint: id,
            generation: token.generation,
            created_at: token.created_at,
            not_after: token.not_after,
        })
    }
}

fn place(tenant: TenantId, endpoint: u32, generation: u64) -> Place<'static> {
    Place {
        tenant,
        table: TABLE,
        column: COLUMN,
        row: endpoint.into(),
        generation,
    }
}
