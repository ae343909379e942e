//! `PUT …/oauth-app/{oauth_app_id}`: replaces.

use postern_domain::problem::Problem;

use super::draft::{self, Manner};
use super::shape::OAuthAppOut;
use super::tell;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::oauth_app::{self, Owner};

/// 200. A secret that is not said stays: it is never shown, so nobody could say it again.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    write(&access, &ask, Manner::Whole).await
}

/// What replacing and changing have in common.
pub(super) async fn write(access: &TenantAccess, ask: &Ask, manner: Manner) -> Result<Answer, Problem> {
    let before = super::named(access, ask).await?;
    let owner = Owner {
        organisation: before.organisation,
        application: before.application,
    };
    let draft = draft::read(ask, owner, Some(&before), manner)?;
    let directory = access.directory()?;
    if !oauth_app::update(&directory, &draft.row, before.generation, draft.tell).await? {
        return Err(super::taken());
    }
    if draft.tell {
        tell::begin(ask.env(), &directory, draft.row.id, draft.row.updated_at).await;
    }
    Answer::ok(&OAuthAppOut::new(&draft.row, &ask.base_url()?)?)
}
