//! Which master keys the directory's rows still need. An object of a connection tells its own to its row.

use postern_domain::id::OrganisationId;
use postern_domain::problem::Problem;
use serde::Deserialize;

use super::{Directory, number, text};

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
