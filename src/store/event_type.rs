//! Event types: an organisation's catalogue.

use postern_domain::id::OrganisationId;
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, flag, number, text};

const COLUMNS: &str =
    "name, description, archived, deprecated, schemas, feature_flag, created_at, updated_at";

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventType {
    pub(crate) name: String,
    pub(crate) description: String,
    /// 0 or 1.
    pub(crate) archived: u8,
    /// 0 or 1.
    pub(crate) deprecated: u8,
    /// JSON, by version.
    pub(crate) schemas: Option<String>,
    pub(crate) feature_flag: Option<String>,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
}

/// The one of this name, archived or not.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    name: &str,
) -> Result<Option<EventType>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM event_type WHERE organisation = ?1 AND name = ?2");
    directory
        .row(&sql, &[text(Some(organisation.to_string())), text(Some(name))])
        .await
}

/// Makes one, or brings an archived one back. False: an unarchived one has the name.
pub(crate) async fn insert(
    directory: &Directory,
    organisation: OrganisationId,
    row: &EventType,
) -> Result<bool, Problem> {
    let sql = "INSERT INTO event_type (organisation, name, description, archived, deprecated, schemas, feature_flag, \
               created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
               ON CONFLICT (organisation, name) DO UPDATE SET description = ?3, archived = ?4, deprecated = ?5, \
               schemas = ?6, feature_flag = ?7, updated_at = ?9 WHERE archived = 1";
    Ok(directory.change(sql, &values(organisation, row)).await? > 0)
}

/// Replaces one. False: it is gone.
pub(crate) async fn update(
    directory: &Directory,
    organisation: OrganisationId,
    row: &EventType,
) -> Result<bool, Problem> {
    let sql = "UPDATE event_type SET description = ?3, archived = ?4, deprecated = ?5, schemas = ?6, \
               feature_flag = ?7, created_at = ?8, updated_at = ?9 WHERE organisation = ?1 AND name = ?2";
    Ok(directory.change(sql, &values(organisation, row)).await? > 0)
}

/// Takes one out for good. False: there was none.
pub(crate) async fn expunge(
    directory: &Directory,
    organisation: OrganisationId,
    name: &str,
) -> Result<bool, Problem> {
    let sql = "DELETE FROM event_type WHERE organisation = ?1 AND name = ?2";
    Ok(directory
        .change(sql, &[text(Some(organisation.to_string())), text(Some(name))])
        .await?
        > 0)
}

/// By name.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    page: PageOf,
    archived_too: bool,
) -> Result<Page<EventType>, Problem> {
    let reading = Reading::<String>::new("event_type", page)?;
    let (past, order) = reading.direction();
    let behind = if reading.behind.is_some() {
        format!("AND name {past} ?4")
    } else {
        "AND ?4 IS NULL".to_owned()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM event_type WHERE organisation = ?1 AND archived <= ?2 {behind} \
         ORDER BY name {order} LIMIT ?3"
    );
    let values = [
        text(Some(organisation.to_string())),
        flag(archived_too),
        number(reading.rows),
        text(reading.behind.as_ref()),
    ];
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &EventType| row.name.clone()))
}

fn values(organisation: OrganisationId, row: &EventType) -> [JsValue; 9] {
    [
        text(Some(organisation.to_string())),
        text(Some(&row.name)),
        text(Some(&row.description)),
        number(row.archived.into()),
        number(row.deprecated.into()),
        text(row.schemas.as_ref()),
        text(row.feature_flag.as_ref()),
        number(row.created_at.0),
        number(row.updated_at.0),
    ]
}
