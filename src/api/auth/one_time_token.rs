//! `POST /api/v1/auth/one-time-token`: what a portal's link carries becomes a token, once. It is its own authority.

use postern_domain::access::{Authority, Grant};
use postern_domain::problem::Problem;
use postern_platform::config::Config;
use serde::Serialize;

use crate::api::access::refused;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::reply::Answer;
use crate::store::{Directory, revocation};

/// A portal's token and what it may do.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct OneTimeTokenOut {
    /// Holds as long as the link would have.
    token: String,
    capabilities: Vec<&'static str>,
}

/// 200; 401 for one that does not hold, or was used before.
pub(crate) async fn handle(ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let text = form.required("oneTimeToken", field::text);
    let text = form.finish(text)?;
    let keys = &Config::from_env(ask.env())?.jwt;
    let token = keys.verify(&text, ask.now).map_err(|_| refused())?;
    let (Authority::Tenant { organisation, tenant }, Grant::OneTime(portal)) =
        (token.authority, token.grant.clone())
    else {
        return Err(refused());
    };
    let directory = Directory::new(ask.env())?;
    let revoked = revocation::is_revoked_now(&directory, tenant, &token, ask.now).await?;
    if revoked || !revocation::use_once(&directory, tenant, &token).await? {
        return Err(refused());
    }
    let ttl_ms = token.expires_at.map_or(0, |end| end.since(ask.now));
    let capabilities = portal.capabilities.iter().map(|one| one.as_str()).collect();
    let (of, session) = ((organisation, tenant), token.session.as_deref());
    let grant = Grant::Portal(portal);
    let (_, token) = super::issue(keys, of, &grant, session, ask.now, ttl_ms / 1000)?;
    Answer::ok(&OneTimeTokenOut { token, capabilities })
}
