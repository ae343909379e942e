//! `GET …/oauth-app/{oauth_app_id}`.

use postern_domain::problem::Problem;

use super::shape::OAuthAppOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// One app.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let row = super::named(&access, &ask).await?;
    Answer::ok(&OAuthAppOut::new(&row, &ask.base_url()?)?)
}
