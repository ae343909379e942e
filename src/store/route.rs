//! Routes: which tenants claim which routing key of an app-level source. Several may claim one. By hand for now; whoever
//! else claims keys for tenants does it through [`claim`], under its own origin.

use postern_domain::app_level::MAX_CLAIMS;
use postern_domain::id::{OrganisationId, SourceId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Page, PageOf};
use serde::Deserialize;

use super::page::Reading;
use super::{Directory, number, text};

const COLUMNS: &str = "key, application, origin, created_at";

/// The origin of what a person claimed.
pub(crate) const BY_HAND: &str = "hand";

/// A row.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Route {
    pub(crate) key: String,
    pub(crate) application: TenantId,
    pub(crate) origin: String,
    pub(crate) created_at: Millis,
}

/// Which source of which organisation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) organisation: OrganisationId,
    pub(crate) source: SourceId,
}

/// Claims a key for a tenant. Again: nothing changes.
///
/// # Errors
/// [`Code::Conflict`] when as many claim it as may.
pub(crate) async fn claim(
    directory: &Directory,
    place: Place,
    key: &str,
    tenant: TenantId,
    origin: &str,
    now: Millis,
) -> Result<Route, Problem> {
    let claims = of_key(directory, place, key).await?;
    if let Some(stands) = claims.iter().find(|route| route.application == tenant) {
        return Ok(stands.clone());
    }
    if claims.len() >= MAX_CLAIMS {
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
        text(Some(origin)),
        number(now.0),
    ];
    directory.change(sql, &values).await?;
    let claims = of_key(directory, place, key).await?;
    let stands = claims.into_iter().find(|route| route.application == tenant);
    stands.ok_or_else(Problem::not_found)
}

/// Who claims a key, at most [`MAX_CLAIMS`].
pub(crate) async fn of_key(directory: &Directory, place: Place, key: &str) -> Result<Vec<Route>, Problem> {
    let sql = format!(
        "SELECT {COLUMNS} FROM route WHERE organisation = ?1 AND source = ?2 AND key = ?3 \
         AND application IN (SELECT id FROM application WHERE id = route.application AND state = 'active') \
         ORDER BY application LIMIT ?4"
    );
    let values = [
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        text(Some(key)),
        number(MAX_CLAIMS as u64),
    ];
    directory.rows(&sql, &values).await
}

/// Gives a key up: for one tenant, or for all. How many claims went.
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
    let sql = "DELETE FROM route WHERE organisation = ?1 AND source = ?2";
    let values = [
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
    ];
    directory.change(sql, &values).await.map(drop)
}

/// The routes of a source, by key.
pub(crate) async fn list(directory: &Directory, place: Place, page: PageOf) -> Result<Page<Route>, Problem> {
    let reading = Reading::<(String, String)>::new("route", page)?;
    let (past, order) = reading.direction();
    let mut values = vec![
        text(Some(place.organisation.to_string())),
        text(Some(place.source.to_string())),
        number(reading.rows),
    ];
    let behind = if let Some((key, application)) = &reading.behind {
        values.extend([text(Some(key)), text(Some(application))]);
        format!("AND (key, application) {past} (?4, ?5)")
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM route WHERE organisation = ?1 AND source = ?2 {behind} \
         ORDER BY key {order}, application {order} LIMIT ?3"
    );
    let rows = directory.rows(&sql, &values).await?;
    Ok(reading.page(rows, |row: &Route| (row.key.clone(), row.application.to_string())))
}
