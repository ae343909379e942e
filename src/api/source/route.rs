//! `/api/v1/source/{source_id}/route`: which applications claim which routing key. Several may claim one: each gets a
//! message of its own.

use postern_domain::problem::Problem;
use serde::Serialize;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::{Answer, page};
use crate::store::Directory;
use crate::store::application::{self, Key, State};
use crate::store::route::{self, Route};

/// One claim.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteOut {
    /// The provider's name of an account.
    key: String,
    app_id: String,
    /// `hand`, or the connection that claims it.
    origin: String,
    created_at: String,
}

/// Who claims one key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClaimsOut {
    key: String,
    /// By hand and by connections, of 32 applications at the most; none: its events are kept as unrouted.
    claims: Vec<RouteOut>,
}

impl RouteOut {
    fn new(route: Route) -> Self {
        Self {
            key: route.key,
            app_id: route.application.to_string(),
            origin: route.origin,
            created_at: route.created_at.to_rfc3339(),
        }
    }
}

/// A page of claims, by key.
pub(crate) async fn list(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let asked = query.page();
    query.finish()?;
    let place = super::place(&access, &ask).await?;
    let routes = route::list(&access.directory()?, place, asked).await?;
    Answer::ok(&page(routes, RouteOut::new))
}

/// Who claims one key.
pub(crate) async fn get(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = super::key(&ask)?;
    let place = super::place(&access, &ask).await?;
    let claims = route::of_key(&access.directory()?, place, &key).await?;
    Answer::ok(&ClaimsOut {
        key,
        claims: claims.into_iter().map(RouteOut::new).collect(),
    })
}

/// Claims the key for `appId` by hand, beside whoever claims it already. 200, also for what stood.
pub(crate) async fn put(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = super::key(&ask)?;
    let mut form = ask.form()?;
    let named = form.required("appId", field::text);
    let named = form.finish(named)?;
    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    let tenant = of_body(&directory, &access, &named).await?;
    let claimed = route::claim(&directory, place, &key, tenant, ask.now).await?;
    super::changed(&access, &ask, key).await?;
    Answer::ok(&RouteOut::new(claimed))
}

/// Gives up what was claimed by hand: for the application that `app_id` names, or for all. 204. What a connection claims
/// goes with the connection.
pub(crate) async fn delete(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let key = super::key(&ask)?;
    let query = ask.query();
    let named = query.text("app_id");
    query.finish()?;
    let place = super::place(&access, &ask).await?;
    let directory = access.directory()?;
    let tenant = match named {
        Some(named) => Some(
            find(&directory, &access, &named)
                .await?
                .ok_or_else(Problem::not_found)?,
        ),
        None => None,
    };
    if route::release(&directory, place, &key, tenant).await? == 0 {
        return Err(Problem::not_found());
    }
    super::changed(&access, &ask, key).await?;
    Ok(Answer::empty())
}

/// The application that a body's `appId` names.
pub(in crate::api) async fn of_body(
    directory: &Directory,
    access: &TenantAccess,
    named: &str,
) -> Result<postern_domain::id::TenantId, Problem> {
    let missing = || Problem::fault(&["body", "appId"], "names no application");
    find(directory, access, named).await?.ok_or_else(missing)
}

/// The organisation's active application of this id or `uid`.
pub(super) async fn find(
    directory: &Directory,
    access: &TenantAccess,
    named: &str,
) -> Result<Option<postern_domain::id::TenantId>, Problem> {
    let Some(key) = Key::read(named) else {
        return Ok(None);
    };
    let row = application::find(directory, access.organisation, &key).await?;
    Ok(row.filter(|row| row.state == State::Active).map(|row| row.id))
}
