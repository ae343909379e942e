//! Connections that watch what a stored event is about are told that there is something to look at, before the provider is
//! answered. One that cannot be reached makes the provider come again: then the event is a duplicate, and its watchers are
//! told once more.

use futures::future::try_join_all;
use postern_domain::id::ConnectionId;
use postern_domain::problem::{Code, Problem};
use postern_domain::watch::gmail;
use postern_domain::wire::connection::Caller;
use postern_domain::wire::watch::WatchPushed;
use postern_platform::connection::ConnectionObject;
use worker::Env;

/// All of them may take so long together: Pub/Sub waits 10 s, and the accept had its part.
const DEADLINE_MS: u64 = 3_000;

/// What an event of this preset is about, where a connection may watch that.
pub(super) fn watched(preset: &str, body: &[u8]) -> Option<String> {
    if preset != "pubsub" {
        return None;
    }
    gmail::read_push(body).map(|(mailbox, _)| mailbox)
}

/// Tells them.
pub(super) async fn tell(env: &Env, watchers: Vec<ConnectionId>, body: &[u8]) -> Result<(), Problem> {
    if watchers.is_empty() {
        return Ok(());
    }
    let Some((mailbox, history)) = gmail::read_push(body) else {
        return Ok(());
    };
    let one = |connection| {
        let object = ConnectionObject::new(env, connection, Caller::System);
        let pushed = WatchPushed::Mailbox {
            mailbox: mailbox.clone(),
            history: Some(history),
        };
        async move {
            match object.call_within(DEADLINE_MS, pushed).await {
                // It is gone, and its wire will be.
                Err(problem) if problem.code == Code::NotFound => Ok(()),
                told => told,
            }
        }
    };
    try_join_all(watchers.into_iter().map(one)).await.map(drop)
}
