//! Tokens of tenants that are not believed any more.
//!
//! A token is looked up by key when it comes, whatever else is revoked, and the verdict is remembered for 30 s in the
//! isolate: so long a revoked token may live on. What cannot be read is refused, not believed.

use std::cell::RefCell;
use std::collections::HashMap;

use postern_domain::access::Token;
use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_platform::log;
use serde::Deserialize;

use super::{Directory, number, text};

/// How long a verdict counts.
const AGE_MS: u64 = 30 * Millis::SECOND;

/// More than this and everything is forgotten: an isolate's memory is for requests.
const MOST: usize = 10_000;

/// A token that has no end outlives every row about it, so such a row stays.
const NEVER: u64 = 9_007_199_254_740_991;

/// When a token's revocation takes effect, if it is revoked, and until when that is known.
type Known = HashMap<(TenantId, String), (Option<Millis>, Millis)>;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

/// What is revoked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    /// Every token of the tenant.
    All,
    /// Those of these sessions.
    Sessions(&'a [String]),
    /// The one that is known by this name.
    Token(&'a str),
}

impl What<'_> {
    fn kind_and_names(&self) -> (&'static str, serde_json::Value) {
        match self {
            Self::All => ("all", serde_json::json!([""])),
            Self::Sessions(names) => ("session", serde_json::json!(names)),
            Self::Token(name) => ("token", serde_json::json!([name])),
        }
    }
}

/// From when on it counts, and until when it is remembered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    /// For tokens issued at or before this.
    pub(crate) issued_until: Millis,
    /// Takes effect then.
    pub(crate) effective_at: Millis,
    /// No such token is left then; none: one may live for ever.
    pub(crate) expires_at: Option<Millis>,
}

/// Whether a tenant's token is revoked.
///
/// # Errors
/// 503 when the directory cannot be read and nothing is known: a token that may be revoked is not believed.
pub(crate) async fn is_revoked(
    directory: &Directory,
    tenant: TenantId,
    token: &Token,
    now: Millis,
) -> Result<bool, Problem> {
    let key = (tenant, token.name.clone());
    let known = KNOWN.with_borrow(|known| known.get(&key).copied());
    if let Some((effective_at, until)) = known
        && now < until
    {
        return Ok(effective_at.is_some_and(|at| at <= now));
    }
    let effective_at = read(directory, tenant, token).await.map_err(|problem| {
        let fields = serde_json::json!({ "tenant": tenant, "cause": problem.to_string() });
        log::error("revocations_not_read", fields);
        Problem::new(
            Code::Overloaded,
            "It cannot be said now whether this token still holds; try again after a moment",
        )
    })?;
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (effective_at, now.plus(AGE_MS)));
    });
    Ok(effective_at.is_some_and(|at| at <= now))
}

/// The same without what is remembered: for what may happen once only.
pub(crate) async fn is_revoked_now(
    directory: &Directory,
    tenant: TenantId,
    token: &Token,
    now: Millis,
) -> Result<bool, Problem> {
    let effective_at = read(directory, tenant, token).await?;
    Ok(effective_at.is_some_and(|at| at <= now))
}

async fn read(directory: &Directory, tenant: TenantId, token: &Token) -> Result<Option<Millis>, Problem> {
    #[derive(Deserialize)]
    struct Row {
        effective_at: Option<u64>,
    }
    // Each of the three is a range of the primary key.
    let sql = "SELECT min(effective_at) AS effective_at FROM ( \
               SELECT effective_at FROM revocation WHERE application = ?1 AND kind = 'all' AND name = '' AND issued_until >= ?2 \
               UNION ALL SELECT effective_at FROM revocation WHERE application = ?1 AND kind = 'token' AND name = ?3 AND issued_until >= ?2 \
               UNION ALL SELECT effective_at FROM revocation WHERE application = ?1 AND kind = 'session' AND name = ?4 AND issued_until >= ?2)";
    let values = [
        text(Some(tenant.to_string())),
        number(token.issued_at.0),
        text(Some(&token.name)),
        text(token.session.as_ref()),
    ];
    let row: Option<Row> = directory.row(sql, &values).await?;
    Ok(row.and_then(|row| row.effective_at).map(Millis))
}

/// Revokes, all or none. What is revoked twice ends at the earlier time.
pub(crate) async fn revoke(
    directory: &Directory,
    tenant: TenantId,
    what: What<'_>,
    when: When,
    now: Millis,
) -> Result<(), Problem> {
    const INSERT: &str = "INSERT INTO revocation (application, kind, name, issued_until, effective_at, expires_at) \
                          SELECT ?1, ?2, value, ?4, ?5, ?6 FROM json_each(?3) WHERE true ON CONFLICT DO UPDATE SET \
                          effective_at = min(effective_at, excluded.effective_at), \
                          expires_at = max(expires_at, excluded.expires_at)";
    // A row that says no more than a later one does, now or ever.
    const SURPASSED: &str = "DELETE FROM revocation WHERE application = ?1 AND kind = ?2 \
                             AND name IN (SELECT value FROM json_each(?3)) \
                             AND EXISTS (SELECT 1 FROM revocation AS later WHERE later.application = ?1 \
                             AND later.kind = ?2 AND later.name = revocation.name \
                             AND later.issued_until > revocation.issued_until \
                             AND (later.effective_at <= revocation.effective_at OR later.effective_at <= ?4))";
    let (kind, names) = what.kind_and_names();
    let key = [
        text(Some(tenant.to_string())),
        text(Some(kind)),
        text(Some(names.to_string())),
    ];
    let (mut insert, mut surpassed) = (key.to_vec(), key.to_vec());
    insert.extend([
        number(when.issued_until.0),
        number(when.effective_at.0),
        number(when.expires_at.map_or(NEVER, |at| at.0)),
    ]);
    surpassed.push(number(now.0));
    directory.all(&[(INSERT, insert), (SURPASSED, surpassed)]).await?;
    KNOWN.with_borrow_mut(|known| known.retain(|(of, _), _| *of != tenant));
    Ok(())
}

/// Uses a token that may be used once. False: it was used before.
pub(crate) async fn use_once(
    directory: &Directory,
    tenant: TenantId,
    token: &Token,
) -> Result<bool, Problem> {
    let sql = "INSERT INTO revocation (application, kind, name, issued_until, effective_at, expires_at) \
               VALUES (?1, 'token', ?2, ?3, 0, ?4) ON CONFLICT DO NOTHING";
    let values = [
        text(Some(tenant.to_string())),
        text(Some(&token.name)),
        number(token.issued_at.0),
        number(token.expires_at.map_or(NEVER, |at| at.plus(Millis::DAY).0)),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

/// Drops what no token can be left of, in slices.
pub(crate) async fn prune(directory: &Directory, now: Millis) -> Result<(), Problem> {
    let sql = "DELETE FROM revocation WHERE (application, kind, name, issued_until) IN \
               (SELECT application, kind, name, issued_until FROM revocation WHERE expires_at <= ?1 LIMIT 5000)";
    directory.change(sql, &[number(now.0)]).await.map(drop)
}
