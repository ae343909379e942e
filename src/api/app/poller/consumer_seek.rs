//! `POST /api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}/seek`: puts a consumer somewhere else.

use postern_domain::problem::Problem;
use postern_domain::wire::poll::ConsumerSeek;

use super::shape::{self, SeekOut};
use crate::api::access::PollerAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::idempotency;
use crate::api::reply::Answer;

/// 200 with the iterator of the place: the consumer goes on with what is later than `after`.
pub(crate) async fn handle(access: PollerAccess, ask: Ask) -> Result<Answer, Problem> {
    let consumer = shape::consumer(&ask)?;
    let mut form = ask.form()?;
    let after = form.required("after", field::time);
    let call = ConsumerSeek {
        sink: ask.param(1).to_owned(),
        consumer,
        after: form.finish(after)?,
    };
    let object = access.object();
    let work = async move {
        let (sought, _) = object.call(call, &[]).await?;
        Answer::ok(&SeekOut::new(sought))
    };
    match ask.idempotency(access.organisation, &access.tenant.to_string())? {
        // Sought twice, it would lose what it has read in between.
        Some(key) => idempotency::once(&access.directory()?, Some(key), ask.now, work).await,
        None => work.await,
    }
}
