//! A stream as server-sent events. A step is made when the client has taken the one before it.

use futures::stream::{self, StreamExt as _};
use postern_domain::problem::Problem;
use postern_domain::wire::follow::LogPage;
use postern_platform::{http, log};
use worker::Response;

use super::feed::{Feed, Step};
use crate::api::app::poller::shape::PolledMessageOut;
use crate::api::reply::Answer;

/// A client comes again after so many milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// 200, and a body that ends with the feed.
pub(super) fn answer(feed: Feed) -> Result<Answer, Problem> {
    let steps = stream::unfold(Some(feed), |feed| async move {
        let mut feed = feed?;
        let (chunk, goes_on) = match next(&mut feed).await {
            Ok(Some(chunk)) => (chunk, true),
            Ok(None) => (RETRY.to_owned(), false),
            Err(problem) => {
                let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
                log::error("stream_failed", fields);
                (RETRY.to_owned(), false) // it goes on from the last message that came
            }
        };
        Some((chunk, goes_on.then_some(feed)))
    });
    let begin = stream::once(async { RETRY.to_owned() });
    let chunks = begin
        .chain(steps)
        .map(|chunk| Ok::<_, worker::Error>(chunk.into_bytes()));
    let response = Response::from_stream(chunks).map_err(|error| Problem::internal(http::message(&error)))?;
    Ok(Answer::live(response).with("content-type", "text/event-stream; charset=utf-8"))
}

/// The next chunk; none: it is over.
async fn next(feed: &mut Feed) -> Result<Option<String>, Problem> {
    match feed.next().await? {
        Step::Messages(page, bodies) => chunk(page, bodies).map(Some),
        Step::Heartbeat => Ok(Some(": \n\n".to_owned())),
        Step::End => Ok(None),
    }
}

fn chunk(page: LogPage, bodies: Vec<Vec<u8>>) -> Result<String, Problem> {
    let mut chunk = String::new();
    if let Some(gap) = page.gap {
        let data = serde_json::to_string(&gap).map_err(Problem::internal)?;
        event(&mut chunk, None, "gap", &data);
    }
    for (message, body) in page.messages.into_iter().zip(bodies) {
        let id = message.view.id.to_string();
        let out = PolledMessageOut::new(message, body)?;
        let data = serde_json::to_string(&out).map_err(Problem::internal)?;
        event(&mut chunk, Some(&id), "message", &data);
    }
    Ok(chunk)
}

/// One event. A payload that came with line ends in it is spread over as many lines: outside of its strings, which hold
/// none, they mean nothing.
fn event(chunk: &mut String, id: Option<&str>, name: &str, data: &str) {
    if let Some(id) = id {
        chunk.push_str("id: ");
        chunk.push_str(id);
        chunk.push('\n');
    }
    chunk.push_str("event: ");
    chunk.push_str(name);
    chunk.push('\n');
    for line in data.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        chunk.push_str("data: ");
        chunk.push_str(line);
        chunk.push('\n');
    }
    chunk.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_with_line_ends_of_every_kind_stays_one_event() {
        let mut chunk = String::new();
        event(
            &mut chunk,
            Some("msg_1"),
            "message",
            "{\r\n \"a\":\r1,\n\n\"b\":2}",
        );
        assert_eq!(
            chunk,
            "id: msg_1\nevent: message\ndata: {\ndata:  \"a\":\ndata: 1,\ndata: \"b\":2}\n\n"
        );
    }
}
