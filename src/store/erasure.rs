//! What was erased. A line outlives its tenant, and says of it nothing but the digest of its id.

use postern_domain::digest;
use postern_domain::id::{ConnectionId, OrganisationId, TenantId};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use postern_domain::wire::connection::RevokeResult;
use postern_domain::wire::moving::Erased;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "tenant, told, asked_at, erased_at";

/// A line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Erasure {
    /// [`digest_of`] the tenant's id.
    pub(crate) tenant: String,
    /// JSON, see [`Told`].
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
    /// Its connections, those among them that were over.
    #[serde(default)]
    pub(crate) connection: u64,
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
               (SELECT count(*) FROM connection WHERE application = ?1) AS connection, \
               (SELECT count(*) FROM background_task WHERE application = ?1) AS backgroundTask, \
               (SELECT count(*) FROM idempotency WHERE made = ?1) AS idempotency, \
               (SELECT count(*) FROM route WHERE application = ?1) + \
               (SELECT count(*) FROM connection_route WHERE application = ?1) AS route, \
               (SELECT count(*) FROM oauth_app WHERE application = ?1) AS oauthApp, \
               (SELECT count(*) FROM revocation WHERE application = ?1) AS revocation";
    let row = directory.row(sql, &[text(Some(tenant.to_string()))]).await?;
    Ok(row.unwrap_or_default())
}

/// How one of its connections ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its grant was given back, or not.
    Grant(RevokeResult),
    /// There was nothing to give back: nobody had connected it.
    Unconnected,
    /// It was shredded, and the answer that told what came of it was lost.
    Unknown,
    /// It had ended before.
    Before,
}

impl Ended {
    /// Where [`Connections`] counts it.
    const fn place(self) -> &'static str {
        match self {
            Self::Grant(RevokeResult::Revoked) => "$.connections.revoked",
            Self::Grant(RevokeResult::AlreadyGone) => "$.connections.alreadyGone",
            Self::Grant(RevokeResult::Unsupported) => "$.connections.unsupported",
            Self::Grant(RevokeResult::Failed) => "$.connections.failed",
            Self::Unconnected => "$.connections.unconnected",
            Self::Unknown => "$.connections.unknown",
            Self::Before => "$.connections.before",
        }
    }
}

/// How a tenant's connections ended, counted by [`Ended`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connections {
    pub(crate) revoked: u64,
    pub(crate) already_gone: u64,
    pub(crate) unsupported: u64,
    pub(crate) failed: u64,
    pub(crate) unconnected: u64,
    pub(crate) unknown: u64,
    pub(crate) before: u64,
}

/// What a line keeps of an erasure, from before the first thing goes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// What the object counted before it was wiped; none: not yet, or its answer was lost.
    pub(crate) object: Option<Erased>,
    pub(crate) directory_rows: DirectoryRows,
    /// None: a release erased it that did not count them.
    #[serde(default)]
    pub(crate) connections: Option<Connections>,
}

impl Erasure {
    /// What is kept of it.
    pub(crate) fn told(&self) -> Option<Told> {
        self.told
            .as_deref()
            .and_then(|told| serde_json::from_str(told).ok())
    }
}

/// Counts what the directory holds of a tenant whose erasure is under way and that is hidden already, before any of it
/// goes. Again: the first count stands.
pub(crate) async fn count(
    directory: &Directory,
    organisation: OrganisationId,
    tenant: TenantId,
) -> Result<(), Problem> {
    let line = find(directory, organisation, tenant).await?;
    if line.is_none_or(|line| line.told.is_some() || line.erased_at.is_some()) {
        return Ok(());
    }
    let told = Told {
        object: None,
        directory_rows: rows_of(directory, tenant).await?,
        connections: Some(Connections::default()),
    };
    let told = serde_json::to_string(&told).map_err(Problem::internal)?;
    let sql = "UPDATE erasure SET told = ?2 WHERE tenant = ?1 AND told IS NULL AND erased_at IS NULL";
    let values = [text(Some(digest_of(tenant))), text(Some(told))];
    directory.change(sql, &values).await.map(drop)
}

/// Counts a connection that ended: part of a batch that takes its row away afterwards, so that none counts twice.
pub(super) fn count_connection(
    tenant: TenantId,
    connection: ConnectionId,
    ended: Ended,
) -> (&'static str, Vec<JsValue>) {
    let sql = "UPDATE erasure SET told = json_set(told, ?2, ifnull(json_extract(told, ?2), 0) + 1) \
               WHERE tenant = ?1 AND erased_at IS NULL AND told IS NOT NULL \
               AND EXISTS (SELECT 1 FROM connection WHERE id = ?3)";
    let values = vec![
        text(Some(digest_of(tenant))),
        text(Some(ended.place())),
        text(Some(connection.to_string())),
    ];
    (sql, values)
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
            ("DELETE FROM tenant_key WHERE tenant = ?1", id()),
            ("DELETE FROM route WHERE application = ?1", id()),
            ("DELETE FROM connection_route WHERE application = ?1", id()),
            (
                "DELETE FROM idempotency WHERE made IN (SELECT id FROM oauth_app WHERE application = ?1)",
                id(),
            ),
            ("DELETE FROM oauth_app WHERE application = ?1", id()),
            ("DELETE FROM connection WHERE application = ?1", id()),
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
