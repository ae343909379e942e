//! `GET /api/v1/app/{app_id}/jwks.json`: the public keys that this tenant's `v1a` signatures are checked with, for anybody.
//! By the application's id only: a `uid` is the organisation's own affair.

use postern_domain::id::TenantId;
use postern_domain::problem::Problem;
use postern_domain::wire::call::Caller;
use postern_domain::wire::signing::PublicKeys;
use postern_platform::tenant::TenantObject;

use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200, a JSON Web Key Set that may be kept for five minutes.
pub(crate) async fn handle(ask: Ask) -> Result<Answer, Problem> {
    let tenant: TenantId = ask.param(0).parse().map_err(|_| Problem::not_found())?;
    let object = TenantObject::new(ask.env(), tenant, Caller::System);
    let (keys, _) = object.call(PublicKeys {}, &[]).await?;
    Ok(Answer::ok(&keys)?
        .with("cache-control", "public, max-age=300")
        .with("access-control-allow-origin", "*"))
}
