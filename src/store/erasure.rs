//! What was erased. A line outlives its tenant, and says of it nothing but the digest of its id.

use postern_domain::digest;
use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::{Deserialize, Serialize};

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "tenant, told, asked_at, erased_at";

/// A line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Erasure {
    /// [`digest_of`] the tenant's id.
    pub(crate) tenant: String,
    /// JSON: what there was.
    pub(crate) told: Option<String>,
    pub(crate) asked_at: Millis,
    /// None: it is under way.
    pub(crate) erased_at: Option<Millis>,
}

/// Rows of the directory that go with a tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryRows {
    /// The tenant's own.
    pub(crate) application: u64,
    /// Its long jobs.
    pub(crate) background_task: u64,
    /// Answers that were kept for their `Idempotency-Key` and hold it.
    pub(crate) idempotency: u64,
    /// Routing keys of app-level sources that it claimed.
    #[serde(default)]
    pub(crate) route: u64,
    /// `OAuth` apps of its own.
    #[serde(default)]
    pub(crate) oauth_app: u64,
    /// What says who was shown a token of its connections; the connections themselves are ended before.
    #[serde(default)]
    pub(crate) token_read: u64,
    /// What says that tokens of it are not believed any more.
    pub(crate) revocation: u64,
}

/// How a line names its tenant.
pub(crate) fn digest_of(tenant: TenantId) -> String {
    digest::of(tenant.to_string().as_bytes())
}

/// An erasure is asked for. Again: the first line stands.
pub(crate) async fn begin(
    directory: &Directory,
    organisation: OrganisationId,
    tenant: TenantId,
    now: Millis,
) -> Result<(), Problem> {
    let sql =
        "INSERT INTO erasure (tenant, organisation, asked_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let values = [
        text(Some(digest_of(tenant))),
        text(Some(organisation.to_string())),
        number(now.0),
    ];
    directory.change(sql, &values).await.map(drop)
}

/// The line of a tenant, if there is one.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    tenant: TenantId,
) -> Result<Option<Erasure>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE tenant = ?1 AND organisation = ?2");
    let values = [
        text(Some(digest_of(tenant))),
        text(Some(organisation.to_string())),
    ];
    directory.row(&sql, &values).await
}

/// What the directory holds of a tenant.
pub(crate) async fn rows_of(directory: &Directory, tenant: TenantId) -> Result<DirectoryRows, Problem> {
    let sql = "SELECT (SELECT count(*) FROM application WHERE id = ?1) AS application, \
               (SELECT count(*) FROM background_task WHERE application = ?1) AS backgroundTask, \
               (SELECT count(*) FROM idempotency WHERE made = ?1) AS idempotency, \
               (SELECT count(*) FROM route WHERE application = ?1) + \
               (SELECT count(*) FROM connection_route WHERE application = ?1) AS route, \
               (SELECT count(*) FROM oauth_app WHERE application = ?1) AS oauthApp, \
               (SELECT count(*) FROM token_read WHERE application = ?1) AS tokenRead, \
               (SELECT count(*) FROM revocation WHERE application = ?1) AS revocation";
    let row = directory.row(sql, &[text(Some(tenant.to_string()))]).await?;
    Ok(row.unwrap_or_default())
}

/// The object is wiped: the tenant's rows go, and its line is written, all at once.
pub(crate) async fn finish(
    directory: &Directory,
    tenant: TenantId,
    told: &str,
    now: Millis,
) -> Result<(), Problem> {
    let id = || vec![text(Some(tenant.to_string()))];
    let line = vec![text(Some(digest_of(tenant))), text(Some(told)), number(now.0)];
    directory
        .all(&[
            ("DELETE FROM background_task WHERE application = ?1", id()),
            ("DELETE FROM idempotency WHERE made = ?1", id()),
            ("DELETE FROM route WHERE application = ?1", id()),
            ("DELETE FROM connection_route WHERE application = ?1", id()),
            (
                "DELETE FROM idempotency WHERE made IN (SELECT id FROM oauth_app WHERE application = ?1)",
                id(),
            ),
            ("DELETE FROM oauth_app WHERE application = ?1", id()),
            ("DELETE FROM connection WHERE application = ?1", id()),
            ("DELETE FROM token_read WHERE application = ?1", id()),
            ("DELETE FROM revocation WHERE application = ?1", id()),
            (
                "UPDATE erasure SET told = ?2, erased_at = ?3 WHERE tenant = ?1 AND erased_at IS NULL",
                line,
            ),
            (
                "DELETE FROM application WHERE id = ?1 AND state = 'deleting'",
                id(),
            ),
        ])
        .await
}

/// An organisation's lines, in the order they were asked for.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    page: PageOf,
) -> Result<Page<Erasure>, Problem> {
    let reading = Reading::<(u64, String)>::new("erasure", page)?;
    let (past, order) = reading.direction();
    let organisation = text(Some(organisation.to_string()));
    let rows = if let Some((time, tenant)) = &reading.behind {
        let sql = format!(
            "SELECT {COLUMNS} FROM erasure WHERE organisation = ?1 AND (asked_at, tenant) {past} (?2, ?3) \
             ORDER BY asked_at {order}, tenant {order} LIMIT ?4"
        );
        let values = [
            organisation,
            number(*time),
            text(Some(tenant)),
            number(reading.rows),
        ];
        directory.rows(&sql, &values).await?
    } else {
        let sql = format!(
            "SELECT {COLUMNS} FROM erasure WHERE organisation = ?1 ORDER BY asked_at {order}, tenant {order} LIMIT ?2"
        );
        directory
            .rows(&sql, &[organisation, number(reading.rows)])
            .await?
    };
    Ok(reading.page(rows, |row: &Erasure| (row.asked_at.0, row.tenant.clone())))
}
