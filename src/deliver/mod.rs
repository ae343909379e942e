//! The queues' consumer: signs, sends, and reports to each tenant's object.
//!
//! A message of the queues `postern-deliveries` and `postern-deliveries-slow` is a lane; one of `postern-overflow` is a
//! webhook that its object could not take ([`overflow`]), one of `postern-fetches` a question to a provider's API
//! ([`fetches`]). Lanes are opened one by one ([`lane`]), sent in a fair order
//! ([`turns`]) over the one way out ([`send`]), and reported tenant by tenant ([`results`], [`report`]); [`run`] ties
//! these together.
//!
//! A handler that waits for an endpoint that hangs keeps the next batch waiting too. So after 1 s it hands over: what has
//! begun goes on beside it, and lanes that had no turn go back to the queue, into an invocation with permits of its own.
//!
//! The ledger is the truth and the queue is transport: whatever gets no result by its lease is handed out again. So the
//! consumer may drop anything that it has not begun to send, and never repeats what it has begun.

mod batch;
mod fetches;
mod forwarded;
mod lane;
mod overflow;
mod report;
mod results;
mod run;
mod schedules;
mod send;
mod token;
mod turns;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::channel::oneshot;
use postern_platform::config::Config;
use postern_platform::log;
use serde_json::json;
use worker::Env;

pub(crate) use batch::{Batch, Invocation};
use batch::{Message, Slip};
use run::Run;

/// Consumes a batch. Never throws: each message is acknowledged or asked for again.
pub(crate) async fn consume(batch: Batch, env: Env, invocation: Invocation) {
    let messages = batch::messages(&batch);
    let queue = batch.queue();
    if is_overflow(&queue) {
        overflow::drain(&messages, &env).await;
    } else if is_fetches(&queue) {
        fetches::answer(&messages, &env).await;
    } else {
        deliveries(&messages, env, &invocation, is_slow(&batch.queue())).await;
    }
}

/// Each environment has queues with names of its own; what a queue is for stands in its name.
fn is_overflow(queue: &str) -> bool {
    queue.contains("overflow")
}

fn is_slow(queue: &str) -> bool {
    queue.contains("slow")
}

/// The same.
fn is_fetches(queue: &str) -> bool {
    queue.contains("fetches")
}

/// A message of a delivery queue: its bytes, or why it has none, and its slip.
type Opened = (Result<Vec<u8>, String>, Rc<Slip>);

async fn deliveries(messages: &[Message], env: Env, invocation: &Invocation, are_slow: bool) {
    let opened: Vec<Opened> = messages
        .iter()
        .map(|message| (batch::bytes(message), Rc::new(Slip::new(message.attempts()))))
        .collect();
    let slips: Vec<Rc<Slip>> = opened.iter().map(|(_, slip)| Rc::clone(slip)).collect();
    let (hand_over, handed_over) = oneshot::channel();
    let watched = slips.clone();
    batch::go_on(invocation, async move {
        let work = AssertUnwindSafe(send_all(opened, &env, are_slow, hand_over)).catch_unwind();
        if work.await.is_err() {
            // What was not begun can be tried again; what was begun is the lease's.
            log::error("consumer_panicked", json!({ "messages": watched.len() }));
            for slip in watched {
                slip.fail();
            }
        }
    });
    // Either the word that the rest goes on without us, or nobody is left to give it: all is done.
    let _ = handed_over.await;
    for (message, slip) in messages.iter().zip(&slips) {
        batch::settle(message, slip.verdict());
    }
}

async fn send_all(messages: Vec<Opened>, env: &Env, are_slow: bool, hand_over: oneshot::Sender<()>) {
    let config = match Config::from_env(env) {
        Ok(config) => config,
        Err(problem) => {
            log::error("consumer_not_configured", json!({ "cause": problem.to_string() }));
            for (_, slip) in messages {
                slip.fail();
            }
            return;
        }
    };
    let mut run = Run::new(env, Rc::clone(&config), are_slow);
    for (bytes, slip) in messages {
        match bytes.and_then(|bytes| lane::open_caught(&bytes, &config)) {
            Ok(lane) => run.add(lane, Some(slip)),
            Err(cause) => {
                log::error("lane_not_opened", json!({ "cause": cause }));
                slip.fail();
            }
        }
    }
    run.finish(hand_over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_known_by_its_name_in_every_environment() {
        assert!(is_overflow("postern-overflow"));
        assert!(is_overflow("postern-overflow-staging"));
        assert!(is_overflow("postern-staging-overflow"));
        assert!(!is_overflow("postern-staging-deliveries-slow"));
        assert!(is_slow("postern-staging-deliveries-slow"));
        assert!(!is_slow("postern-staging-deliveries"));
        assert!(is_fetches("postern-staging-fetches") && !is_fetches("postern-deliveries"));
    }
}
