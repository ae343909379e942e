//! `GET /api/v1/app/{app_id}/stream`: server-sent events, or over a WebSocket where one is asked for.

use postern_domain::problem::Problem;
use postern_domain::wire::follow::Wanted;

use super::feed::Feed;
use super::{events, socket};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The filters of a stream together, in characters: they travel in a header.
const MOST_FILTERS: usize = 4096;

/// 200 or 101. Begins with what comes from now on, or behind the message that `Last-Event-ID` or `after` names: where
/// both are there, the header is the newer.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let wanted = Wanted {
        event_types: query.patterns("event_types"),
        channels: query.channels("channels"),
    };
    let after = query.message("after");
    query.finish()?;
    let lists = wanted.event_types.iter().chain(&wanted.channels).flatten();
    if lists.map(String::len).sum::<usize>() > MOST_FILTERS {
        return Err(Problem::fault(
            &["query", "event_types"],
            format!("filters of a stream have {MOST_FILTERS} characters at the most"),
        ));
    }
    let last = ask.last_event_id()?;
    let feed = Feed::open(access.object(), wanted, last.or(after), ask.stream_ms()?).await?;
    if ask.wants_socket() {
        socket::answer(feed, ask.offers_protocol())
    } else {
        events::answer(feed)
    }
}
