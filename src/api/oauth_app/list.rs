//! `GET …/oauth-app`.

use postern_domain::problem::Problem;

use super::shape::OAuthAppOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::{Answer, try_page};
use crate::store::oauth_app::{self, Owner};

/// A page of apps, in the order they were made: the owner's own, or with `owner=operator` those that every application may
/// use.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    let operators = query.read("owner", "must be application or operator", |text| match text {
        "application" => Some(false),
        "operator" => Some(true),
        _ => None,
    });
    query.finish()?;
    let mut owner: Owner = super::owner(&access).await?;
    if operators == Some(true) {
        owner.application = None;
    }
    let rows = oauth_app::list(&access.directory()?, owner, of).await?;
    let base_url = ask.base_url()?;
    Answer::ok(&try_page(rows, |row| OAuthAppOut::new(&row, &base_url))?)
}
