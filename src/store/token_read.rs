//! Who was shown a token: a row for each reader and minute, written before the token is shown.

use postern_domain::id::{ConnectionId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;

use super::page::Reading;
use super::{Directory, number, text};

/// Reads of one connection's token by one reader in a minute at the most.
pub(crate) const MOST: u64 = 3000;

/// How long the rows are kept.
const KEPT_MINUTES: u64 = 90 * 24 * 60;

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TokenRead {
    /// Since 1970.
    pub(crate) minute: u64,
    pub(crate) reader: String,
    pub(crate) reads: u64,
}

/// Writes a read down, in one statement. False: there were too many in this minute.
pub(crate) async fn note(
    directory: &Directory,
    connection: ConnectionId,
    application: TenantId,
    reader: &str,
    now: Millis,
) -> Result<bool, Problem> {
    let sql = "INSERT INTO token_read (connection, minute, reader, application, reads) VALUES (?1, ?2, ?3, ?4, 1) \
               ON CONFLICT (connection, minute, reader) DO UPDATE SET reads = reads + 1 WHERE reads < ?5";
    let values = [
        text(Some(connection.to_string())),
        number(now.seconds() / 60),
        text(Some(reader)),
        text(Some(application.to_string())),
        number(MOST),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

/// Reads of a connection's tokens, by minute.
pub(crate) async fn list(
    directory: &Directory,
    connection: ConnectionId,
    page: PageOf,
) -> Result<Page<TokenRead>, Problem> {
    let reading = Reading::<(u64, String)>::new("token_read", page)?;
    let (past, order) = reading.direction();
    let mut values = vec![text(Some(connection.to_string())), number(reading.rows)];
    let behind = if let Some((minute, reader)) = &reading.behind {
        values.extend([number(*minute), text(Some(reader))]);
        format!("AND (minute, reader) {past} (?3, ?4)")
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT minute, reader, reads FROM token_read WHERE connection = ?1 {behind} \
         ORDER BY minute {order}, reader {order} LIMIT ?2"
    );
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &TokenRead| (row.minute, row.reader.clone())))
}

/// Drops what is old, in slices.
pub(crate) async fn prune(directory: &Directory, now: Millis) -> Result<(), Problem> {
    let sql = "DELETE FROM token_read WHERE (connection, minute, reader) IN \
               (SELECT connection, minute, reader FROM token_read WHERE minute < ?1 LIMIT 1000)";
    let before = (now.seconds() / 60).saturating_sub(KEPT_MINUTES);
    directory.change(sql, &[number(before)]).await.map(drop)
}
