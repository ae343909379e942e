//! Which master keys the directory's rows still need. An object of a connection tells its own to its row. A tenant's object
//! tells nobody, so that nothing on its way is paid for: it is asked, and only who holds something still has a row.

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use serde::Deserialize;

use super::{Directory, number, text};

/// A deployment is everywhere after this: the clock of a release before would else have looked again meanwhile.
const ROLLOUT_MS: u64 = 600_000;

/// Rows are written within this of the time that they name.
const SETTLE_MS: u64 = 10_000;

#[derive(Deserialize)]
struct Version {
    version: Option<u8>,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

/// A version with which something of a table is sealed, and which is not this one.
pub(super) async fn other(directory: &Directory, table: &str, active: u8) -> Result<Option<u8>, Problem> {
    // Two looks into the index, whatever stands in it.
    let sql = format!(
        "SELECT ifnull((SELECT min(key_version) FROM {table} WHERE key_version IS NOT NULL AND key_version < ?1), \
         (SELECT min(key_version) FROM {table} WHERE key_version IS NOT NULL AND key_version > ?1)) AS version"
    );
    let row: Option<Version> = directory.row(&sql, &[number(active.into())]).await?;
    Ok(row.and_then(|row| row.version))
}

/// The versions with which anything of a table is sealed, whoever's it is.
pub(crate) async fn versions(directory: &Directory, table: &str) -> Result<Vec<u8>, Problem> {
    // From one version to the next by the index, not row by row.
    let sql = format!(
        "WITH RECURSIVE found (key) AS (\
           SELECT min(key_version) FROM {table} WHERE key_version IS NOT NULL UNION ALL \
           SELECT (SELECT min(key_version) FROM {table} WHERE key_version IS NOT NULL AND key_version > found.key) \
           FROM found WHERE found.key IS NOT NULL) \
         SELECT found.key AS version FROM found WHERE found.key IS NOT NULL"
    );
    let rows: Vec<Version> = directory.rows(&sql, &[]).await?;
    Ok(rows.into_iter().filter_map(|row| row.version).collect())
}

/// How many of an organisation's rows are sealed with it.
pub(crate) async fn count(
    directory: &Directory,
    table: &str,
    organisation: OrganisationId,
    version: u8,
) -> Result<u64, Problem> {
    let sql = format!(
        "SELECT count(*) AS count FROM {table} WHERE key_version IS NOT NULL AND key_version = ?1 AND organisation = ?2"
    );
    let values = [number(version.into()), text(Some(organisation.to_string()))];
    let row: Option<Count> = directory.row(&sql, &values).await?;
    Ok(row.map_or(0, |row| row.count))
}

/// How far tenants were asked to seal anew.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Round {
    /// The master key that was active when the clock looked last.
    #[serde(rename = "key_version")]
    pub(crate) active: u8,
    /// Since when.
    pub(crate) since: Millis,
    behind_at: u64,
    behind_id: String,
}

/// A tenant that may hold something that another master key sealed.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Holder {
    pub(crate) tenant: TenantId,
    pub(crate) organisation: OrganisationId,
    /// When it was made.
    #[serde(default)]
    pub(crate) at: Millis,
}

impl Round {
    /// Tenants that were made later never held what another key sealed: by then no object of a release before is left.
    const fn until(&self) -> Millis {
        self.since.plus(ROLLOUT_MS)
    }
}

/// Where the clock stands; none: it never looked.
pub(crate) async fn round(directory: &Directory) -> Result<Option<Round>, Problem> {
    let sql = "SELECT key_version, since, behind_at, behind_id FROM resealing WHERE one = 1";
    directory.row(sql, &[]).await
}

/// Another master key is active: all are to be asked, from the first.
pub(crate) async fn begin(directory: &Directory, active: u8, now: Millis) -> Result<Round, Problem> {
    let sql = "INSERT INTO resealing (one, key_version, since, behind_at, behind_id) VALUES (1, ?1, ?2, 0, '') \
               ON CONFLICT (one) DO UPDATE SET key_version = excluded.key_version, since = excluded.since, \
               behind_at = 0, behind_id = '' WHERE key_version <> excluded.key_version";
    directory
        .change(sql, &[number(active.into()), number(now.0)])
        .await?;
    round(directory)
        .await?
        .ok_or_else(|| Problem::internal("a row that was just written"))
}

/// The next tenants that are to be asked. Those of this moment wait: one that is written later with an earlier time would
/// be passed over.
pub(crate) async fn next(
    directory: &Directory,
    round: &Round,
    now: Millis,
    most: u64,
) -> Result<Vec<Holder>, Problem> {
    let sql = "SELECT id AS tenant, organisation, created_at AS at FROM application \
               WHERE (created_at, id) > (?1, ?2) AND created_at < ?3 ORDER BY created_at, id LIMIT ?4";
    let values = [
        number(round.behind_at),
        text(Some(&round.behind_id)),
        number(round.until().min(now.minus(SETTLE_MS)).0),
        number(most),
    ];
    directory.rows(sql, &values).await
}

/// Those that were asked before and hold something still, behind this one.
pub(crate) async fn holders(
    directory: &Directory,
    behind: TenantId,
    most: u64,
) -> Result<Vec<Holder>, Problem> {
    let sql = "SELECT tenant, organisation FROM tenant_key WHERE tenant > ?1 ORDER BY tenant LIMIT ?2";
    directory
        .rows(sql, &[text(Some(behind.to_string())), number(most)])
        .await
}

/// Writes down what asking found: of each the oldest other key (0: it is not known), none where nothing is left. With it
/// the round moves on behind `last`, unless another key became active meanwhile.
pub(crate) async fn asked(
    directory: &Directory,
    round: &mut Round,
    found: &[(Holder, Option<u8>)],
    last: Option<Holder>,
) -> Result<(), Problem> {
    let held = "INSERT INTO tenant_key (tenant, organisation, key_version) VALUES (?1, ?2, ?3) ON CONFLICT (tenant) \
                DO UPDATE SET key_version = excluded.key_version WHERE key_version <> excluded.key_version";
    let free = "DELETE FROM tenant_key WHERE tenant IN (SELECT value FROM json_each(?1))";
    let on = "UPDATE resealing SET behind_at = ?3, behind_id = ?4 WHERE one = 1 AND key_version = ?1 AND since = ?2 \
              AND (behind_at, behind_id) < (?3, ?4)";
    let mut statements = Vec::new();
    let mut done = Vec::new();
    for (holder, other) in found {
        match other {
            None => done.push(holder.tenant),
            Some(version) => {
                let whose = [holder.tenant.to_string(), holder.organisation.to_string()];
                let [tenant, organisation] = whose.map(|id| text(Some(id)));
                statements.push((held, vec![tenant, organisation, number((*version).into())]));
            }
        }
    }
    let done = serde_json::to_string(&done).map_err(Problem::internal)?;
    statements.push((free, vec![text(Some(done))]));
    if let Some(last) = last {
        round.behind_at = last.at.0;
        round.behind_id = last.tenant.to_string();
        let values = vec![
            number(round.active.into()),
            number(round.since.0),
            number(round.behind_at),
            text(Some(&round.behind_id)),
        ];
        statements.push((on, values));
    }
    directory.all(&statements).await
}

/// An organisation's tenants.
pub(crate) async fn tenants(directory: &Directory, organisation: OrganisationId) -> Result<u64, Problem> {
    let sql = "SELECT count(*) AS count FROM application WHERE organisation = ?1";
    let row: Option<Count> = directory
        .row(sql, &[text(Some(organisation.to_string()))])
        .await?;
    Ok(row.map_or(0, |row| row.count))
}

/// Those of them that were not asked yet.
pub(crate) async fn unasked(
    directory: &Directory,
    organisation: OrganisationId,
    round: &Round,
) -> Result<u64, Problem> {
    let sql = "SELECT count(*) AS count FROM application WHERE organisation = ?1 \
               AND (created_at, id) > (?2, ?3) AND created_at < ?4";
    let values = [
        text(Some(organisation.to_string())),
        number(round.behind_at),
        text(Some(&round.behind_id)),
        number(round.until().0),
    ];
    let row: Option<Count> = directory.row(sql, &values).await?;
    Ok(row.map_or(0, |row| row.count))
}

/// Those that were asked and hold something of this version (0: it is not known of which), but for the hidden ones.
pub(crate) async fn holding(
    directory: &Directory,
    organisation: OrganisationId,
    version: u8,
    hidden: [TenantId; 2],
) -> Result<u64, Problem> {
    let sql = "SELECT count(*) AS count FROM tenant_key WHERE key_version = ?1 AND organisation = ?2 \
               AND tenant NOT IN (?3, ?4)";
    let [one, other] = hidden.map(|id| text(Some(id.to_string())));
    let values = [
        number(version.into()),
        text(Some(organisation.to_string())),
        one,
        other,
    ];
    let row: Option<Count> = directory.row(sql, &values).await?;
    Ok(row.map_or(0, |row| row.count))
}
