//! A stream over a WebSocket: each message is one text, the JSON of the message.
//!
//! A socket does not say how much of what was sent to it has left. So no more than 4 MiB go out that the client has not
//! acknowledged, by any text of its own; then the socket is closed, and the client resumes behind the last message that
//! it has.

use std::pin::pin;

use futures::future::{Either, select};
use postern_domain::problem::Problem;
use postern_platform::deadline::within;
use postern_platform::watch::Ear;
use postern_platform::{http, log};
use wasm_bindgen_futures::spawn_local;
use worker::{Response, WebSocketPair};

use super::feed::{Feed, Step};
use crate::api::app::poller::shape::PolledMessageOut;
use crate::api::reply::Answer;

/// Bytes that are on their way at the most, without a word of the client; the last step may pass them.
const MOST_UNHEARD: usize = 4 << 20;

/// So long the client has for a word when as many are on their way.
const PATIENCE_MS: u64 = 10_000;

/// Codes of the WebSocket protocol.
const GOING_AWAY: u16 = 1001;
const INTERNAL: u16 = 1011;
const TRY_AGAIN: u16 = 1013;

/// 101, and a socket that ends with the feed or with its client.
pub(super) fn answer(feed: Feed, protocol: Option<&'static str>) -> Result<Answer, Problem> {
    let internal = |error: worker::Error| Problem::internal(http::message(&error));
    let pair = WebSocketPair::new().map_err(internal)?;
    let client = Ear::to(pair.server).map_err(internal)?;
    spawn_local(async move {
        let (code, reason) = match run(feed, &client).await {
            Ok(end) => end,
            Err(problem) => {
                let fields = serde_json::json!({ "code": problem.code, "cause": problem.cause });
                log::error("stream_failed", fields);
                (INTERNAL, "resume with after")
            }
        };
        // The client may be gone already.
        let _ = client.socket().close(Some(code), Some(reason));
    });
    let response = Response::from_websocket(pair.client).map_err(internal)?;
    let answer = Answer::live(response);
    Ok(match protocol {
        Some(protocol) => answer.with("sec-websocket-protocol", protocol),
        None => answer,
    })
}

async fn run(mut feed: Feed, client: &Ear) -> Result<(u16, &'static str), Problem> {
    let (mut unheard, mut words) = (0, 0);
    loop {
        let step = match select(pin!(feed.next()), pin!(client.until(|_| false))).await {
            Either::Left((step, _)) => step?,
            Either::Right(((), _)) => return Ok((GOING_AWAY, "closed")),
        };
        let (page, bodies) = match step {
            Step::Messages(page, bodies) => (page, bodies),
            Step::Heartbeat => continue,
            Step::End => return Ok((GOING_AWAY, "resume with after")),
        };
        if unheard >= MOST_UNHEARD {
            let word = client.until(|client| client.count() > words);
            if within(PATIENCE_MS, word).await.is_none() {
                return Ok((TRY_AGAIN, "acknowledge, or resume with after"));
            }
        }
        if client.count() > words {
            (unheard, words) = (0, client.count());
        }
        let mut texts = Vec::new();
        if let Some(gap) = page.gap {
            texts.push(serde_json::json!({ "gap": gap }).to_string());
        }
        for (message, body) in page.messages.into_iter().zip(bodies) {
            let out = PolledMessageOut::new(message, body)?;
            texts.push(serde_json::to_string(&out).map_err(Problem::internal)?);
        }
        for text in texts {
            unheard += text.len();
            if client.socket().send_with_str(&text).is_err() {
                return Ok((GOING_AWAY, "closed"));
            }
        }
    }
}
