//! `OAuth` apps: the operator's, which all tenants may use, and the tenants' own. The row's form, and its sealed secret,
//! are the domain's ([`postern_domain::oauth::app`]), since connections' objects read it too.

use postern_domain::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId, Uid};
use postern_domain::oauth::app::{COLUMNS, Row};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::page::Reading;
use super::{Directory, number, text};

/// Whose apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) organisation: OrganisationId,
    /// None: the operator.
    pub(crate) application: Option<TenantId>,
}

impl Owner {
    /// As the indexes have it.
    fn application(&self) -> JsValue {
        text(Some(
            self.application.map_or_else(String::new, |id| id.to_string()),
        ))
    }

    fn organisation(&self) -> JsValue {
        text(Some(self.organisation.to_string()))
    }
}

/// How a path or a body names an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Id(OAuthAppId),
    Uid(Uid),
}

impl Key {
    /// What a text names; `None`: nothing that could exist.
    pub(crate) fn read(text: &str) -> Option<Self> {
        text.parse()
            .map(Self::Id)
            .or_else(|_| text.parse().map(Self::Uid))
            .ok()
    }
}

/// The owner's app of this name.
pub(crate) async fn find(directory: &Directory, owner: Owner, key: &Key) -> Result<Option<Row>, Problem> {
    let (column, value) = match key {
        Key::Id(id) => ("id", id.to_string()),
        Key::Uid(uid) => ("uid", uid.to_string()),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM oauth_app WHERE organisation = ?1 AND ifnull(application, '') = ?2 AND {column} = ?3"
    );
    let values = [owner.organisation(), owner.application(), text(Some(value))];
    directory.row(&sql, &values).await
}

/// Writes a new row. False: the `uid` is taken, or the tenant is gone.
pub(crate) async fn insert(directory: &Directory, row: &Row) -> Result<bool, Problem> {
    let sql = "INSERT INTO oauth_app (id, organisation, application, uid, name, provider, entry, variables, scopes, \
               all_scopes, return_urls, client_id, secret, key_version, generation, enabled, created_at, updated_at) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?17 \
               WHERE ?3 IS NULL OR EXISTS \
               (SELECT 1 FROM application WHERE id = ?3 AND organisation = ?2 AND state = 'active') \
               ON CONFLICT DO NOTHING";
    let mut values = vec![
        text(Some(row.id.to_string())),
        text(Some(row.organisation.to_string())),
        text(row.application.map(|id| id.to_string())),
    ];
    values.extend(written(row));
    values.push(number(row.created_at.0));
    Ok(directory.change(sql, &values).await? > 0)
}

/// Writes a changed row over one of generation `before`. False: the `uid` is another's, or the row was changed meanwhile.
/// `tell`: its connections are to look again.
pub(crate) async fn update(
    directory: &Directory,
    row: &Row,
    before: u64,
    tell: bool,
) -> Result<bool, Problem> {
    let sql = "UPDATE OR IGNORE oauth_app SET uid = ?3, name = ?4, provider = ?5, entry = ?6, variables = ?7, scopes = ?8, \
               all_scopes = ?9, return_urls = ?10, client_id = ?11, secret = ?12, key_version = ?13, generation = ?14, \
               enabled = ?15, updated_at = ?16, changed = iif(?17, '', changed), probe_at = iif(?17, NULL, probe_at) WHERE id = ?1 AND generation = ?2";
    let mut values = vec![text(Some(row.id.to_string())), number(before)];
    values.extend(written(row));
    values.extend([number(row.updated_at.0), super::flag(tell)]);
    Ok(directory.change(sql, &values).await? > 0)
}

/// `uid` to `enabled`, in the order of both statements.
fn written(row: &Row) -> Vec<JsValue> {
    vec![
        text(row.uid.as_ref().map(Uid::as_str)),
        text(Some(&row.name)),
        text(Some(&row.provider)),
        text(row.entry.as_ref()),
        text(Some(&row.variables)),
        text(Some(&row.scopes)),
        number(row.all_scopes.into()),
        text(Some(&row.return_urls)),
        text(row.client_id.as_ref()),
        text(row.secret.as_ref()),
        row.sealed_with()
            .map_or(JsValue::NULL, |version| number(version.into())),
        number(row.generation),
        number(row.enabled.into()),
    ]
}

/// Takes an app away that no connection lives by. False: one does.
pub(crate) async fn delete(directory: &Directory, id: OAuthAppId) -> Result<bool, Problem> {
    let sql = "DELETE FROM oauth_app WHERE id = ?1 AND NOT EXISTS \
               (SELECT 1 FROM connection WHERE app = ?1 AND state <> 'revoked')";
    let gone = directory.change(sql, &[text(Some(id.to_string()))]).await? > 0;
    if gone {
        super::route::feeds_no_more(directory, id).await?;
    }
    Ok(gone)
}

/// The owner's apps, in the order they were made.
pub(crate) async fn list(directory: &Directory, owner: Owner, page: PageOf) -> Result<Page<Row>, Problem> {
    let reading = Reading::<(u64, String)>::new("oauth_app", page)?;
    let (past, order) = reading.direction();
    let mut values = vec![owner.organisation(), owner.application(), number(reading.rows)];
    let behind = if let Some((time, id)) = &reading.behind {
        values.extend([number(*time), text(Some(id))]);
        format!("AND (created_at, id) {past} (?4, ?5)")
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM oauth_app WHERE organisation = ?1 AND ifnull(application, '') = ?2 {behind} \
         ORDER BY created_at {order}, id {order} LIMIT ?3"
    );
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &Row| (row.created_at.0, row.id.to_string())))
}

/// Rows whose secret is sealed with another master key than this one.
pub(crate) async fn sealed_otherwise(directory: &Directory, version: u8) -> Result<Vec<Row>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM oauth_app WHERE key_version IS NOT NULL AND (key_version < ?1 OR key_version > ?1) LIMIT 50"
    );
    directory.rows(&sql, &[number(version.into())]).await
}

/// The same secret, sealed anew; only over the one that was read.
pub(crate) async fn reseal(directory: &Directory, row: &Row, before: &str) -> Result<(), Problem> {
    let sql = "UPDATE oauth_app SET secret = ?3, key_version = ?4 WHERE id = ?1 AND secret = ?2";
    let values = [
        text(Some(row.id.to_string())),
        text(Some(before)),
        text(row.secret.as_ref()),
        row.sealed_with()
            .map_or(JsValue::NULL, |version| number(version.into())),
    ];
    directory.change(sql, &values).await.map(drop)
}

/// Those of which something is yet to be told.
pub(crate) async fn untold(directory: &Directory) -> Result<Vec<Row>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM oauth_app WHERE alert IS NOT NULL LIMIT 50");
    directory.rows(&sql, &[]).await
}

/// It was told. One that came meanwhile stays.
pub(crate) async fn alerted(directory: &Directory, id: OAuthAppId, alert: &str) -> Result<(), Problem> {
    let sql = "UPDATE oauth_app SET alert = NULL WHERE id = ?1 AND alert = ?2";
    let values = [text(Some(id.to_string())), text(Some(alert))];
    directory.change(sql, &values).await.map(drop)
}

/// An app whose connections do not all know yet that it was changed.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Changed {
    pub(crate) id: OAuthAppId,
    /// The last connection that was told; empty: none.
    #[serde(rename = "changed")]
    pub(crate) told: String,
    pub(crate) updated_at: Millis,
}

/// Those that wait, the longest first.
pub(crate) async fn changed(directory: &Directory) -> Result<Vec<Changed>, Problem> {
    let sql = "SELECT id, changed, updated_at FROM oauth_app WHERE changed IS NOT NULL ORDER BY updated_at LIMIT 10";
    directory.rows(sql, &[]).await
}

/// Connections were told, up to this one; none: all were. A change that came meanwhile begins anew.
pub(crate) async fn told(
    directory: &Directory,
    app: &Changed,
    up_to: Option<ConnectionId>,
) -> Result<(), Problem> {
    let sql = "UPDATE oauth_app SET changed = ?3 WHERE id = ?1 AND updated_at = ?2 AND changed IS NOT NULL";
    let values = [
        text(Some(app.id.to_string())),
        number(app.updated_at.0),
        text(up_to.map(|id| id.to_string())),
    ];
    directory.change(sql, &values).await.map(drop)
}
