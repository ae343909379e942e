//! `POST /api/v1/app/{app_id}/connection/{connection_id}/token`: the token itself, for whoever calls the provider on their
//! own. Every read is written down before the token is shown.

use postern_domain::access::{Authority, Grant, Token};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_domain::wire::connection::TokenLease;
use serde::Serialize;

use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;

/// A token to spend.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionTokenOut {
    /// The access token or the API key.
    token: String,
    /// The user name that goes with an API key.
    user: Option<String>,
    generation: u64,
    expires_at: Option<String>,
    scopes: Vec<String>,
    provider: String,
    /// Where the provider's API is, with all variables filled in.
    api_base: Option<String>,
}

/// 200, never stored by anybody on its way. `refresh` refreshes even a token that is good.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form_or_empty()?;
    let refresh = form.optional("refresh", field::flag).unwrap_or_default();
    form.finish(Some(()))?;
    let reader = reader(caller.token());
    let access = caller.tenant(ask.param(0), ask.now).await?;
    let object = super::object(&access, &ask).await?;
    let token = object
        .call(TokenLease {
            reader: Some(reader),
            refresh,
            used: 0, // as the reader says
        })
        .await?;
    Answer::ok(&ConnectionTokenOut {
        token: token.token.reveal().to_owned(),
        user: token.user,
        generation: token.generation,
        expires_at: token.expires_at.map(Millis::to_rfc3339),
        scopes: token.scopes,
        provider: token.provider,
        api_base: token.api.map(|api| api.base),
    })
}

/// Whose token of ours it was, and which: the beginning of the name under which it would be revoked.
fn reader(token: &Token) -> String {
    let whose = match (token.authority, &token.grant) {
        (Authority::Organisation(_), _) => "organisation",
        (Authority::Tenant { .. }, Grant::Scoped(_)) => "scoped",
        (Authority::Tenant { .. }, _) => "application",
    };
    let name: String = token.name.chars().take(16).collect();
    format!("{whose}:{name}")
}
