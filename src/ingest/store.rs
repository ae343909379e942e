//! Writing an accepted webhook down: in the tenant's object, else in the queue `overflow`.
//!
//! Both know the same nonce, so a webhook that reached the object although the answer got lost is not stored twice when
//! the overflow is drained.

use postern_domain::id::IngestToken;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Accept, Caller, Envelope};
use postern_domain::wire::{VERSION, frame};
use worker::{Env, QueueContentType, RawMessageBuilder};

use super::unavailable;
use crate::platform::deadline::within;
use crate::platform::log;
use crate::platform::tenant::TenantObject;

/// For the object's answer, a repeat included: providers give us 3 s at the least.
const DEADLINE_MS: u64 = 1500;

/// Bytes of a message in the queue at the most; the platform's limit is 128,000 with what it adds.
const MAX_OVERFLOW: usize = 120_000;

/// Stores, or says why not. When this is `Ok`, the webhook is written down durably.
pub(super) async fn store(
    env: &Env,
    token: &IngestToken,
    accept: Accept,
    body: Vec<u8>,
) -> Result<(), Problem> {
    let object = TenantObject::new(env, token.tenant, Caller::Ingest);
    let repeat = Accept {
        repeat: true,
        ..accept.clone()
    };
    let bodies = [body];
    let tries = async {
        match object.call(accept, &bodies).await {
            Err(problem) if next_step(&problem) == NextStep::Repeat => {
                object.call(repeat.clone(), &bodies).await
            }
            done => done,
        }
    };
    let cause = match within(DEADLINE_MS, tries).await {
        Some(Ok(_)) => return Ok(()),
        Some(Err(problem)) if next_step(&problem) == NextStep::Refuse => return Err(problem),
        Some(Err(problem)) => problem.to_string(),
        None => format!("no answer within {DEADLINE_MS} ms"),
    };
    let fields = serde_json::json!({ "tenant": token.tenant, "source": token.source, "cause": cause });
    log::warn("accept_overflows", fields);
    overflow(env, token, repeat, &bodies).await
}

/// What is to be done after the object said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextStep {
    /// It may not have heard us, or its answer may have been lost: ask once more with the same nonce.
    Repeat,
    /// It has too much to do: another call would make it worse.
    Overflow,
    /// It decided.
    Refuse,
}

fn next_step(problem: &Problem) -> NextStep {
    match problem.code {
        Code::Internal => NextStep::Repeat,
        Code::Overloaded => NextStep::Overflow,
        _ => NextStep::Refuse,
    }
}

async fn overflow(env: &Env, token: &IngestToken, accept: Accept, bodies: &[Vec<u8>]) -> Result<(), Problem> {
    let envelope = Envelope {
        v: VERSION,
        tenant: token.tenant,
        caller: Caller::Ingest,
        call: accept.into(),
    };
    let frame = frame::encode(&envelope, bodies).map_err(|error| unavailable("overflow_failed", error))?;
    if frame.len() > MAX_OVERFLOW {
        return Err(unavailable(
            "overflow_failed",
            "larger than a message of the queue",
        ));
    }
    let bytes = js_sys::Uint8Array::from(frame.as_slice());
    let message = RawMessageBuilder::new(bytes.into()).build_with_content_type(QueueContentType::V8);
    let sent = match env.queue("OVERFLOW") {
        Ok(queue) => queue.send_raw(message).await,
        Err(error) => Err(error),
    };
    sent.map_err(|error| unavailable("overflow_failed", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_that_may_be_a_lost_answer_is_asked_again() {
        let step = |code| next_step(&Problem::new(code, ""));
        assert_eq!(step(Code::Internal), NextStep::Repeat);
        assert_eq!(step(Code::Overloaded), NextStep::Overflow);
        assert_eq!(step(Code::LedgerFull), NextStep::Refuse);
        assert_eq!(step(Code::NotFound), NextStep::Refuse);
    }
}
