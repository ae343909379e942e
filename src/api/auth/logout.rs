//! `POST /api/v1/auth/logout`: the tenant's token that asks is not believed any more.

use postern_domain::access::Authority;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;

use crate::api::access::Caller;
use crate::api::ask::Ask;
use crate::api::reply::Answer;
use crate::store::revocation::{self, What, When};

/// 204; other isolates may believe it for 30 s more. 403 with a token of the organisation, as Svix does.
pub(crate) async fn handle(caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let token = caller.token();
    let Authority::Tenant { tenant, .. } = token.authority else {
        return Err(Problem::new(
            Code::Forbidden,
            "Only a token of one application can be logged out",
        ));
    };
    let when = When {
        issued_until: ask.now.max(token.issued_at),
        effective_at: ask.now,
        expires_at: token.expires_at.map(|at| at.plus(Millis::DAY)),
    };
    let directory = caller.directory()?;
    revocation::revoke(&directory, tenant, What::Token(&token.name), when, ask.now).await?;
    Ok(Answer::empty())
}
