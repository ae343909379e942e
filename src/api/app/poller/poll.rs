//! `GET /api/v1/app/{app_id}/poller/{sink_id}`: whoever polls keeps account of where it stands.

use postern_domain::problem::Problem;
use postern_domain::wire::follow::Wanted;
use postern_domain::wire::poll::Poll;

use super::shape::PollOut;
use super::wait;
use crate::api::access::PollerAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// 200 with what comes behind the iterator; with none, from the endpoint's beginning.
pub(crate) async fn handle(access: PollerAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let call = Poll {
        sink: ask.param(1).to_owned(),
        limit: query.limit(),
        iterator: query.iterator(),
        event_type: query.event_type("event_type"),
        channel: query.channel("channel"),
        after: query.time("after"),
    };
    let patience = query.wait();
    query.finish()?;
    let list = |word: &Option<String>| word.clone().map(|word| vec![word]);
    let wanted = Wanted {
        event_types: list(&call.event_type),
        channels: list(&call.channel),
    };
    let (polled, bodies) = wait::until_something(&access, ask.param(1), wanted, call, patience).await?;
    Answer::ok(&PollOut::new(polled, bodies)?)
}
