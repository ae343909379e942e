//! Tenants, as the directory lists them.

use postern_domain::id::{OrganisationId, TenantId, Uid};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "id, organisation, uid, name, metadata, throttle_rate, retry_schedule, alert_email, \
     retention_days, state, created_at, updated_at";

/// Whether object and row agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The object may not be set up yet.
    Creating,
    /// Both stand.
    Active,
    /// The object may not be wiped yet.
    Deleting,
}

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Application {
    pub(crate) id: TenantId,
    pub(crate) organisation: OrganisationId,
    pub(crate) uid: Option<Uid>,
    pub(crate) name: String,
    /// A JSON object.
    pub(crate) metadata: String,
    /// A copy: the object owns it.
    pub(crate) throttle_rate: Option<u16>,
    /// A copy, JSON: the object owns it.
    pub(crate) retry_schedule: Option<String>,
    /// Whom to tell when an endpoint fails.
    pub(crate) alert_email: Option<String>,
    /// A copy: the object owns it.
    pub(crate) retention_days: Option<u16>,
    pub(crate) state: State,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
}

/// How a path names a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Id(TenantId),
    Uid(Uid),
}

impl Key {
    /// What a path segment names; `None`: nothing that could exist.
    pub(crate) fn read(segment: &str) -> Option<Self> {
        segment
            .parse()
            .map(Self::Id)
            .or_else(|_| segment.parse().map(Self::Uid))
            .ok()
    }
}

/// The organisation's tenant, in whatever state.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    key: &Key,
) -> Result<Option<Application>, Problem> {
    let (column, value) = match key {
        Key::Id(id) => ("id", id.to_string()),
        Key::Uid(uid) => ("uid", uid.to_string()),
    };
    let sql = format!("SELECT {COLUMNS} FROM application WHERE organisation = ?1 AND {column} = ?2");
    directory
        .row(&sql, &[text(Some(organisation.to_string())), text(Some(value))])
        .await
}

/// Writes a new row, in state `creating`. False: the `uid` is taken.
pub(crate) async fn insert(directory: &Directory, row: &Application) -> Result<bool, Problem> {
    let sql = format!(
        "INSERT INTO application ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'creating', ?10, ?10) ON CONFLICT DO NOTHING"
    );
    let values = [
        text(Some(row.id.to_string())),
        text(Some(row.organisation.to_string())),
        text(row.uid.as_ref().map(Uid::as_str)),
        text(Some(&row.name)),
        text(Some(&row.metadata)),
        small(row.throttle_rate),
        text(row.retry_schedule.as_ref()),
        text(row.alert_email.as_ref()),
        small(row.retention_days),
        number(row.created_at.0),
    ];
    Ok(directory.change(&sql, &values).await? > 0)
}

/// Writes what may change of an active row. False: the `uid` is another's, or the row is gone.
pub(crate) async fn update(directory: &Directory, row: &Application) -> Result<bool, Problem> {
    let sql = "UPDATE OR IGNORE application SET uid = ?2, name = ?3, metadata = ?4, throttle_rate = ?5, \
               retry_schedule = ?6, alert_email = ?7, retention_days = ?8, updated_at = ?9 WHERE id = ?1 AND state = 'active'";
    let values = [
        text(Some(row.id.to_string())),
        text(row.uid.as_ref().map(Uid::as_str)),
        text(Some(&row.name)),
        text(Some(&row.metadata)),
        small(row.throttle_rate),
        text(row.retry_schedule.as_ref()),
        text(row.alert_email.as_ref()),
        small(row.retention_days),
        number(row.updated_at.0),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

fn small(value: Option<u16>) -> JsValue {
    value.map_or(JsValue::NULL, |value| number(value.into()))
}

/// The object stands: the tenant can be seen from now on.
pub(crate) async fn activate(directory: &Directory, id: TenantId) -> Result<(), Problem> {
    let sql = "UPDATE application SET state = 'active' WHERE id = ?1 AND state = 'creating'";
    directory
        .change(sql, &[text(Some(id.to_string()))])
        .await
        .map(drop)
}

/// Hides the tenant and frees its `uid`. False: there is nothing to hide.
pub(crate) async fn begin_delete(directory: &Directory, id: TenantId, now: Millis) -> Result<bool, Problem> {
    let sql = "UPDATE application SET state = 'deleting', uid = NULL, updated_at = ?2 WHERE id = ?1";
    Ok(directory
        .change(sql, &[text(Some(id.to_string())), number(now.0)])
        .await?
        > 0)
}

/// The object is wiped: the row goes too.
pub(crate) async fn end_delete(directory: &Directory, id: TenantId) -> Result<(), Problem> {
    let id = || vec![text(Some(id.to_string()))];
    directory
        .all(&[
            ("DELETE FROM tenant_key WHERE tenant = ?1", id()),
            ("DELETE FROM route WHERE application = ?1", id()),
            ("DELETE FROM connection_route WHERE application = ?1", id()),
            ("DELETE FROM oauth_app WHERE application = ?1", id()),
            ("DELETE FROM connection WHERE application = ?1", id()),
            (
                "DELETE FROM application WHERE id = ?1 AND state = 'deleting'",
                id(),
            ),
        ])
        .await
}

/// Rows whose object was not set up or wiped, and that nobody is at work on: last touched before `before`.
pub(crate) async fn halves(directory: &Directory, before: Millis) -> Result<Vec<Application>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM application WHERE state <> 'active' AND updated_at < ?1 ORDER BY updated_at LIMIT 50"
    );
    directory.rows(&sql, &[number(before.0)]).await
}

/// Active tenants in the order they were made.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    page: PageOf,
) -> Result<Page<Application>, Problem> {
    let reading = Reading::<(u64, String)>::new("application", page)?;
    let (past, order) = reading.direction();
    let organisation = text(Some(organisation.to_string()));
    let rows = if let Some((time, id)) = &reading.behind {
        let sql = format!(
            "SELECT {COLUMNS} FROM application WHERE organisation = ?1 AND (created_at, id) {past} (?2, ?3) \
             AND state = 'active' ORDER BY created_at {order}, id {order} LIMIT ?4"
        );
        let values = [organisation, number(*time), text(Some(id)), number(reading.rows)];
        directory.rows(&sql, &values).await?
    } else {
        let sql = format!(
            "SELECT {COLUMNS} FROM application WHERE organisation = ?1 AND state = 'active' \
             ORDER BY created_at {order}, id {order} LIMIT ?2"
        );
        directory
            .rows(&sql, &[organisation, number(reading.rows)])
            .await?
    };
    Ok(reading.page(rows, |row: &Application| (row.created_at.0, row.id.to_string())))
}

/// Active tenants of these ids and of these `uid`s, in no order.
pub(crate) async fn named(
    directory: &Directory,
    organisation: OrganisationId,
    keys: &[Key],
) -> Result<Vec<Application>, Problem> {
    let (mut ids, mut uids) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            Key::Id(id) => ids.push(id.to_string()),
            Key::Uid(uid) => uids.push(uid.to_string()),
        }
    }
    let rows_of_ids = format!(
        "SELECT {COLUMNS} FROM application WHERE id IN (SELECT value FROM json_each(?2)) \
         AND +organisation = ?1 AND state = 'active'"
    );
    let rows_called = format!(
        "SELECT {COLUMNS} FROM application INDEXED BY application_uid WHERE organisation = ?1 \
         AND uid IN (SELECT value FROM json_each(?2)) AND state = 'active'"
    );
    let mut rows = Vec::new();
    for (sql, names) in [(rows_of_ids, ids), (rows_called, uids)] {
        if !names.is_empty() {
            let names = serde_json::to_string(&names).map_err(Problem::internal)?;
            let values = [text(Some(organisation.to_string())), text(Some(names))];
            rows.extend(directory.rows::<Application>(&sql, &values).await?);
        }
    }
    Ok(rows)
}

/// The first active tenants, in the order they were made.
pub(crate) async fn first(
    directory: &Directory,
    organisation: OrganisationId,
    most: u64,
) -> Result<Vec<Application>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM application WHERE organisation = ?1 AND state = 'active' \
         ORDER BY created_at, id LIMIT ?2"
    );
    let values = [text(Some(organisation.to_string())), number(most)];
    directory.rows(&sql, &values).await
}
