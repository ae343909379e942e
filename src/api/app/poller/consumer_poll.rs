//! `GET /api/v1/app/{app_id}/poller/{sink_id}/consumer/{consumer_id}`: the object keeps account of where it stands.

use postern_domain::problem::Problem;
use postern_domain::wire::follow::Wanted;
use postern_domain::wire::poll::ConsumerPoll;

use super::shape::{self, PollOut};
use super::wait;
use crate::api::access::PollerAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with what the consumer has next. The iterator of the last answer says that its messages are done with; 409 if the
/// consumer stands elsewhere by now.
pub(crate) async fn handle(access: PollerAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = ConsumerPoll {
        sink: ask.param(1).to_owned(),
        consumer: shape::consumer(&ask)?,
        limit: query.limit(),
        iterator: query.iterator(),
    };
    let patience = query.wait();
    query.finish()?;
    let (polled, bodies) =
        wait::until_something(&access, ask.param(1), Wanted::default(), call, patience).await?;
    Answer::ok(&PollOut::new(polled, bodies)?)
}
