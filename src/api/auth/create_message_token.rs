//! `POST /api/v1/auth/app/{app_id}/create-message-token`: a token that publishes to one tenant and does nothing else.
//! `…/create-connection-token`: one that reads the tokens of its connections, and does nothing else.

use postern_domain::access::{Grant, Scope};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_platform::config::Config;
use serde::Serialize;

use crate::api::access::OrganisationAccess;
use crate::api::app::lifecycle;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::application::Key;

/// How long it holds if nobody says.
const TTL_SECONDS: u64 = 86_400;

/// A token, shown this once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiTokenOut {
    token: String,
    id: String,
    name: String,
    created_at: String,
    expires_at: String,
    /// `message:create` or `connection:token`.
    scopes: Vec<&'static str>,
}

/// 200. An `Idempotency-Key` changes nothing: asked twice, it gives two tokens.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    make(access, ask, Scope::MessageCreate).await
}

/// The same for one that reads the tokens of connections.
pub(crate) async fn reader(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    make(access, ask, Scope::ConnectionToken).await
}

async fn make(access: OrganisationAccess, ask: Ask, scope: Scope) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let name = form.required("name", field::name);
    let ttl_seconds = form
        .optional("expiry", field::token_expiry)
        .unwrap_or(TTL_SECONDS);
    let name = form.finish(name)?;
    let key = Key::read(ask.param(0)).ok_or_else(Problem::not_found)?;
    let row = lifecycle::find(&access, &key)
        .await?
        .ok_or_else(Problem::not_found)?;
    let keys = &Config::from_env(ask.env())?.jwt;
    let grant = Grant::Scoped([scope].into());
    let of = (access.organisation, row.id);
    let (id, token) = super::issue(keys, of, &grant, None, ask.now, ttl_seconds)?;
    Answer::ok(&ApiTokenOut {
        token,
        id,
        name,
        created_at: ask.now.to_rfc3339(),
        expires_at: Millis((ask.now.seconds() + ttl_seconds) * Millis::SECOND).to_rfc3339(),
        scopes: vec![scope.as_str()],
    })
}
