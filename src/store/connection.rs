//! Connections, as the directory lists them. What a row shows, the connection's object brings; a `uid` is given and taken
//! here, where no two of a tenant may have one.

use postern_domain::id::{ConnectionId, OAuthAppId, OrganisationId, TenantId, Uid};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use postern_domain::wire::connection::ConnectionView;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::erasure::{self, Ended};
use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "id, app, uid, state, view, created_at";

/// A row that says nothing yet is compared with its object after this.
const HALF_MS: u64 = 5 * 60 * Millis::SECOND;

/// One that nobody has authorised is given up by its object after a day: an hour later its row is compared.
const PENDING_MS: u64 = 25 * 3600 * Millis::SECOND;

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: ConnectionId,
    pub(crate) app: OAuthAppId,
    pub(crate) uid: Option<Uid>,
    pub(crate) state: String,
    /// JSON; none: the object may not be there.
    pub(crate) view: Option<String>,
    pub(crate) created_at: Millis,
}

impl Row {
    /// What it shows; `None`: its object may not be there.
    pub(crate) fn view(&self) -> Result<Option<ConnectionView>, Problem> {
        let Some(view) = &self.view else {
            return Ok(None);
        };
        let mut view: ConnectionView = postern_domain::json::read(view).map_err(Problem::internal)?;
        view.uid.clone_from(&self.uid);
        Ok(Some(view))
    }
}

/// How a path names a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    Id(ConnectionId),
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

/// A connection that is to be made.
pub(crate) struct New<'a> {
    pub(crate) id: ConnectionId,
    pub(crate) organisation: OrganisationId,
    pub(crate) application: TenantId,
    pub(crate) app: OAuthAppId,
    pub(crate) provider: &'a str,
    pub(crate) uid: Option<&'a Uid>,
    pub(crate) now: Millis,
}

/// Writes the row before there is an object. False: the `uid` is taken, or the tenant is gone.
pub(crate) async fn insert(directory: &Directory, new: &New<'_>) -> Result<bool, Problem> {
    let sql = "INSERT INTO connection \
               (id, organisation, application, app, provider, uid, state, version, created_at, updated_at, look_at) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, 'pending', 0, ?7, ?7, ?8 WHERE EXISTS \
               (SELECT 1 FROM application WHERE id = ?3 AND organisation = ?2 AND state = 'active') \
               ON CONFLICT DO NOTHING";
    let values = [
        text(Some(new.id.to_string())),
        text(Some(new.organisation.to_string())),
        text(Some(new.application.to_string())),
        text(Some(new.app.to_string())),
        text(Some(new.provider)),
        text(new.uid.map(Uid::as_str)),
        number(new.now.0),
        number(new.now.plus(HALF_MS).0),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

/// The object stands: what it says is shown, unless it has brought something newer itself. False: it has, or there is no
/// such row any more.
pub(crate) async fn show(directory: &Directory, view: &ConnectionView) -> Result<bool, Problem> {
    let sql = "UPDATE connection SET view = ?2, state = ?3, updated_at = ?4, look_at = ?5, key_version = ?6 \
               WHERE id = ?1 AND version = 0";
    let pending = view.state == postern_domain::oauth::standing::State::Pending;
    let values = [
        text(Some(view.id.to_string())),
        text(Some(serde_json::to_string(view).map_err(Problem::internal)?)),
        text(Some(view.state.as_str())),
        number(view.updated_at.0),
        if pending {
            number(view.updated_at.plus(PENDING_MS).0)
        } else {
            JsValue::NULL
        },
        view.key_version
            .map_or(JsValue::NULL, |version| number(version.into())),
    ];
    Ok(directory.change(sql, &values).await? > 0)
}

/// There is no such object: it refused to be made, or is erased.
pub(crate) async fn remove(directory: &Directory, id: ConnectionId) -> Result<(), Problem> {
    directory.all(&removal(id)).await
}

/// The same for a connection whose tenant goes. An erasure that is under way counts what came of it, once: with the row.
pub(crate) async fn remove_counted(
    directory: &Directory,
    id: ConnectionId,
    application: TenantId,
    ended: Ended,
) -> Result<(), Problem> {
    let mut statements = vec![erasure::count_connection(application, id, ended)];
    statements.extend(removal(id));
    directory.all(&statements).await
}

fn removal(id: ConnectionId) -> [(&'static str, Vec<JsValue>); 3] {
    let id = || vec![text(Some(id.to_string()))];
    [
        ("DELETE FROM connection WHERE id = ?1", id()),
        ("DELETE FROM connection_route WHERE connection = ?1", id()),
        ("DELETE FROM idempotency WHERE made = ?1", id()),
    ]
}

/// The tenant's connection of this name.
pub(crate) async fn find(
    directory: &Directory,
    organisation: OrganisationId,
    application: TenantId,
    key: &Key,
) -> Result<Option<Row>, Problem> {
    let (column, value) = match key {
        Key::Id(id) => ("id", id.to_string()),
        Key::Uid(uid) => ("uid", uid.to_string()),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM connection WHERE application = ?1 AND organisation = ?2 AND {column} = ?3"
    );
    let values = [
        text(Some(application.to_string())),
        text(Some(organisation.to_string())),
        text(Some(value)),
    ];
    directory.row(&sql, &values).await
}

/// Gives a connection another `uid`, or none. False: it is another's.
pub(crate) async fn rename(
    directory: &Directory,
    id: ConnectionId,
    uid: Option<&Uid>,
) -> Result<bool, Problem> {
    let sql = "UPDATE OR IGNORE connection SET uid = ?2 WHERE id = ?1";
    let values = [text(Some(id.to_string())), text(uid.map(Uid::as_str))];
    Ok(directory.change(sql, &values).await? > 0)
}

/// What a list is narrowed by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// None: all but those that are over.
    pub(crate) state: Option<&'static str>,
    pub(crate) provider: Option<String>,
    pub(crate) app: Option<OAuthAppId>,
}

/// The tenant's connections, in the order they were made.
pub(crate) async fn list(
    directory: &Directory,
    organisation: OrganisationId,
    application: TenantId,
    filter: &Filter,
    page: PageOf,
) -> Result<Page<Row>, Problem> {
    let reading = Reading::<(u64, String)>::new("connection", page)?;
    let (past, order) = reading.direction();
    let mut values = vec![
        text(Some(application.to_string())),
        text(Some(organisation.to_string())),
        number(reading.rows),
        text(filter.state),
        text(filter.provider.as_ref()),
        text(filter.app.map(|id| id.to_string())),
    ];
    let behind = if let Some((time, id)) = &reading.behind {
        values.extend([number(*time), text(Some(id))]);
        format!("AND (created_at, id) {past} (?7, ?8)")
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM connection WHERE application = ?1 AND organisation = ?2 {behind} AND view IS NOT NULL \
         AND iif(?4 IS NULL, state <> 'revoked', state = ?4) AND ifnull(provider = ?5, 1) AND ifnull(app = ?6, 1) \
         ORDER BY created_at {order}, id {order} LIMIT ?3"
    );
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &Row| (row.created_at.0, row.id.to_string())))
}

/// So many of a tenant's connections behind this one, whatever became of them: they are to be erased.
pub(crate) async fn some_of(
    directory: &Directory,
    application: TenantId,
    behind: Option<&Row>,
    most: u64,
) -> Result<Vec<Row>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM connection WHERE application = ?1 AND (created_at, id) > (?2, ?3) \
         ORDER BY created_at, id LIMIT ?4"
    );
    let values = [
        text(Some(application.to_string())),
        number(behind.map_or(0, |row| row.created_at.0)),
        text(Some(behind.map_or_else(String::new, |row| row.id.to_string()))),
        number(most),
    ];
    directory.rows(&sql, &values).await
}

#[derive(Deserialize)]
struct Named {
    id: ConnectionId,
}

/// So many connections that live by an app, behind one of them.
pub(crate) async fn of_app(
    directory: &Directory,
    app: OAuthAppId,
    behind: &str,
    most: u64,
) -> Result<Vec<ConnectionId>, Problem> {
    let sql =
        "SELECT id FROM connection WHERE app = ?1 AND id > ?2 AND state <> 'revoked' ORDER BY id LIMIT ?3";
    let values = [text(Some(app.to_string())), text(Some(behind)), number(most)];
    let rows: Vec<Named> = directory.rows(sql, &values).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Connections whose secrets are sealed with another master key than this one: so many of one such key, behind an id, the
/// first ones if none is behind it. Whoever takes any id gets to all of them, though some of them cannot be sealed anew.
pub(crate) async fn sealed_otherwise(
    directory: &Directory,
    version: u8,
    behind: ConnectionId,
    most: u64,
) -> Result<Vec<ConnectionId>, Problem> {
    let Some(other) = super::master_key::other(directory, "connection", version).await? else {
        return Ok(Vec::new());
    };
    let sql = "SELECT id FROM connection WHERE key_version = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    for behind in [behind.to_string(), String::new()] {
        let values = [number(other.into()), text(Some(behind)), number(most)];
        let rows: Vec<Named> = directory.rows(sql, &values).await?;
        if !rows.is_empty() {
            return Ok(rows.into_iter().map(|row| row.id).collect());
        }
    }
    Ok(Vec::new())
}

/// Rows that are to be compared with their objects.
pub(crate) async fn to_look_at(directory: &Directory, now: Millis) -> Result<Vec<Row>, Problem> {
    let sql = format!("SELECT {COLUMNS} FROM connection WHERE look_at <= ?1 ORDER BY look_at LIMIT 50");
    directory.rows(&sql, &[number(now.0)]).await
}

/// It was compared, and stands: again at this time.
pub(crate) async fn look_again(directory: &Directory, id: ConnectionId, at: Millis) -> Result<(), Problem> {
    let sql = "UPDATE connection SET look_at = ?2 WHERE id = ?1";
    let values = [text(Some(id.to_string())), number(at.0)];
    directory.change(sql, &values).await.map(drop)
}
