//! Routes: which tenants claim which routing key of an app-level source. Several may claim one: by hand, and by each of
//! their connections that an app made which feeds the source. What a connection claims, its object writes with its row.

use std::collections::BTreeSet;

use postern_domain::app_level::{MAX_CLAIMS, MAX_FEEDS};
use postern_domain::id::{OAuthAppId, OrganisationId, SourceId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "key, application, origin, created_at";

/// The origin of what a person claimed.
const BY_HAND: &str = "hand";

/// Claims of one key that are read: a tenant may have many connections to one account.
const MOST_OF_KEY: u64 = 1000;

/// A claim.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) application: TenantId,
    /// `hand`, or a connection's id.
    pub(crate) origin: String,
    pub(crate) created_at: Millis,
}

/// Which source of which organisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) organisation: OrganisationId,
    pub(crate) source: SourceId,
}

/// Claims a key for a tenant by hand. Again, or beside a connection's claim: nothing is lost when that one ends.
///
/// # Errors
/// [`Code::Conflict`] when as many claim it as may.
pub(crate) async fn claim(
    directory: &Directory,
    place: Place,
    key: &str,
    tenant: TenantId,
    now: Millis,
) -> Result<Route, Problem> {
    let by_hand = |route: &Route| route.application == tenant && route.origin == BY_HAND;
    let claims = of_key(directory, place, key).await?;
    if let Some(stands) = claims.iter().find(|route| by_hand(route)) {
        return Ok(stands.clone());
    }
    if claimants(&claims).len() >= MAX_CLAIMS && !claims.iter().any(|route| route.application == tenant) {
        let detail = format!("{MAX_CLAIMS} applications claim this key already");
        return Err(Problem::new(Code::Conflict, detail));
    }
    // One that is being deleted meanwhile claims nothing.
    let sql = "INSERT INTO route (organisation, source, key, application, origin, created_at) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS \
               (SELECT 1 FROM application WHERE id = ?4 AND organisation = ?1 AND state = 'active') \
               ON CONFLICT DO NOTHING";
    let values = [
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        text(Some(key)),
        text(Some(tenant.to_string())),
        text(Some(BY_HAND)),
        number(now.0),
    ];
    directory.change(sql, &values).await?;
    let claims = of_key(directory, place, key).await?;
    claims.into_iter().find(by_hand).ok_or_else(Problem::not_found)
}

/// The tenants that hold these claims, each once.
pub(crate) fn claimants(claims: &[Route]) -> BTreeSet<TenantId> {
    claims.iter().map(|route| route.application).collect()
}

/// Who claims a key: by hand, and by connections of the apps that feed the source.
pub(crate) async fn of_key(directory: &Directory, place: Place, key: &str) -> Result<Vec<Route>, Problem> {
    let sql = "SELECT route.key, route.application, route.origin, route.created_at FROM route \
         CROSS JOIN application ON application.id = route.application AND application.state = 'active' \
         WHERE route.organisation = ?1 AND route.source = ?2 AND route.key = ?3 \
         UNION ALL SELECT held.key, held.application, held.connection, held.created_at FROM route_feed AS feed \
         CROSS JOIN connection_route AS held ON held.app = feed.app AND held.key = ?3 \
         CROSS JOIN application ON application.id = held.application AND application.organisation = ?1 \
         AND application.state = 'active' WHERE feed.organisation = ?1 AND feed.source = ?2 \
         ORDER BY 2, 3 LIMIT ?4";
    let values = [
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        text(Some(key)),
        number(MOST_OF_KEY),
    ];
    directory.rows(sql, &values).await
}

/// Gives up what was claimed by hand: for one tenant, or for all. How many claims went.
pub(crate) async fn release(
    directory: &Directory,
    place: Place,
    key: &str,
    tenant: Option<TenantId>,
) -> Result<usize, Problem> {
    let mut sql = "DELETE FROM route WHERE organisation = ?1 AND source = ?2 AND key = ?3".to_owned();
    let mut values = vec![
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        text(Some(key)),
    ];
    if let Some(tenant) = tenant {
        sql.push_str(" AND application = ?4");
        values.push(text(Some(tenant.to_string())));
    }
    directory.change(&sql, &values).await
}

/// The source is gone, and its routes with it.
pub(crate) async fn release_all(directory: &Directory, place: Place) -> Result<(), Problem> {
    let values = || {
        vec![
            text(Some(place.organisation.to_string())),
            text(Some(place.source.to_string())),
        ]
    };
    directory
        .all(&[
            (
                "DELETE FROM route WHERE organisation = ?1 AND source = ?2",
                values(),
            ),
            (
                "DELETE FROM route_feed WHERE organisation = ?1 AND source = ?2",
                values(),
            ),
        ])
        .await
}

#[derive(Deserialize)]
struct Feed {
    app: OAuthAppId,
}

/// The apps whose connections claim keys of a source.
pub(crate) async fn feeds(directory: &Directory, place: Place) -> Result<Vec<OAuthAppId>, Problem> {
    let sql = "SELECT app FROM route_feed WHERE organisation = ?1 AND source = ?2 ORDER BY app LIMIT ?3";
    let values = [
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        number(MAX_FEEDS as u64),
    ];
    let rows: Vec<Feed> = directory.rows(sql, &values).await?;
    Ok(rows.into_iter().map(|row| row.app).collect())
}

/// These apps feed the source from now on, and no other: all claims of their connections count at once. One that was
/// deleted meanwhile feeds nothing.
pub(crate) async fn feed(directory: &Directory, place: Place, apps: &[OAuthAppId]) -> Result<(), Problem> {
    let apps: Vec<String> = apps.iter().map(OAuthAppId::to_string).collect();
    let values = || {
        let (organisation, source) = (place.organisation.to_string(), place.source.to_string());
        vec![text(Some(organisation)), text(Some(source))]
    };
    let mut written = values();
    written.push(text(Some(
        serde_json::to_string(&apps).map_err(Problem::internal)?,
    )));
    let insert = "INSERT INTO route_feed (organisation, source, app) SELECT ?1, ?2, oauth_app.id \
         FROM json_each(?3) AS wanted CROSS JOIN oauth_app ON oauth_app.id = wanted.value \
         AND oauth_app.organisation = ?1 AND oauth_app.application IS NULL";
    directory
        .all(&[
            (
                "DELETE FROM route_feed WHERE organisation = ?1 AND source = ?2",
                values(),
            ),
            (insert, written),
        ])
        .await
}

/// The app is gone.
pub(crate) async fn feeds_no_more(directory: &Directory, app: OAuthAppId) -> Result<(), Problem> {
    let app = || vec![text(Some(app.to_string()))];
    directory
        .all(&[
            ("DELETE FROM route_feed WHERE app = ?1", app()),
            ("DELETE FROM connection_route WHERE app = ?1", app()),
        ])
        .await
}

/// The claims of a source, by key: by hand, and by connections.
pub(crate) async fn list(directory: &Directory, place: Place, page: PageOf) -> Result<Page<Route>, Problem> {
    let reading = Reading::<(String, String, String)>::new("route", page)?;
    let (past, order) = reading.direction();
    let mut values = vec![
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        number(reading.rows),
    ];
    let (mut by_hand, mut by_app) = (String::new(), String::new());
    if let Some((key, application, origin)) = &reading.behind {
        values.extend([text(Some(key)), text(Some(application)), text(Some(origin))]);
        by_hand = format!("AND (key, application, origin) {past} (?4, ?5, ?6)");
        by_app = format!("AND (key, application, connection) {past} (?4, ?5, ?6)");
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM route WHERE organisation = ?1 AND source = ?2 {by_hand} \
         ORDER BY key {order}, application {order} LIMIT ?3"
    );
    let mut rows: Vec<Route> = directory.rows(&sql, &values).await?;
    for app in feeds(directory, place).await? {
        let sql = format!(
            "SELECT key, application, connection AS origin, created_at FROM connection_route \
             WHERE app = ?2 {by_app} \
             ORDER BY key {order}, application {order}, connection {order} LIMIT ?3"
        );
        if let Some(app_of) = values.get_mut(1) {
            *app_of = text(Some(app.to_string()));
        }
        let of_app: Vec<Route> = directory.rows(&sql, &values).await?;
        rows.extend(of_app);
    }
    let cursor = |row: &Route| (row.key.clone(), row.application.to_string(), row.origin.clone());
    rows.sort_by_cached_key(cursor);
    if order == "DESC" {
        rows.reverse();
    }
    Ok(reading.page(rows, cursor))
}
