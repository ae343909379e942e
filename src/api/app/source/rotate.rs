//! What both rotations have in common: done once per `Idempotency-Key`, and answered with the source as it is now. The
//! answer itself is not kept, since the address in it is a secret.

use postern_domain::problem::Problem;
use postern_domain::wire::SourceView;
use postern_domain::wire::call::TenantCall;

use super::shape::{self, SourceOut};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// Makes the call, or shows what an earlier one of the same key has made.
pub(super) async fn rotate<T>(access: &TenantAccess, ask: &Ask, call: T) -> Result<Answer, Problem>
where
    T: TenantCall<Answer = SourceView>,
{
    let object = access.object();
    let base_url = ask.base_url()?;
    let Some(key) = ask.idempotency(access.organisation, &access.tenant.to_string())? else {
        let (source, _) = object.call(call, &[]).await?;
        return Answer::ok(&SourceOut::new(source, &base_url));
    };
    let directory = access.directory()?;
    if idempotency::begin(&directory, &key, ask.now).await?.is_some() {
        let (source, _) = object.call(shape::named(ask.param(1)), &[]).await?;
        return Ok(Answer::ok(&SourceOut::new(source, &base_url))?.replayed_if(true));
    }
    let done = object.call(call, &[]).await;
    idempotency::end(&directory, &key, done.is_ok().then_some((200, ""))).await?;
    let (source, _) = done?;
    Answer::ok(&SourceOut::new(source, &base_url))
}
