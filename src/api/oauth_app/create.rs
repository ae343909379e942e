//! `POST …/oauth-app`.

use postern_domain::problem::Problem;

use super::draft::{self, Manner};
use super::shape::OAuthAppOut;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;
use crate::store::oauth_app;

/// 201 with the redirect URI to register at the provider.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let owner = super::owner(&access).await?;
    let draft = draft::read(&ask, owner, None, Manner::Whole)?;
    let directory = access.directory()?;
    let key = ask.idempotency(access.organisation, &access.tenant.to_string())?;
    idempotency::once(&directory, key, ask.now, async {
        if oauth_app::insert(&directory, &draft.row).await? {
            Answer::json(201, &OAuthAppOut::new(&draft.row, &ask.base_url()?)?)
        } else {
            Err(super::taken())
        }
    })
    .await
}
