//! Writing an accepted webhook down: in the tenant's object, else in the queue `overflow`. A body that is too large for
//! either is put into the bucket first.
//!
//! Both know the same nonce, so a webhook that reached the object although the answer got lost is not stored twice when
//! the overflow is drained.

use postern_domain::id::{ConnectionId, IngestToken};
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Accept, Call, Caller, Envelope};
use postern_domain::wire::inbound::{
    BodyAt, MAX_INLINE_BODY, Receive, ReceiveDone, ReceiveLarge, ReceivedEvent,
};
use postern_domain::wire::{VERSION, frame};
use postern_platform::deadline::within;
use postern_platform::later::later;
use postern_platform::tenant::TenantObject;
use postern_platform::{bodies, log};
use worker::{Env, QueueContentType, RawMessageBuilder};

use super::unavailable;

/// For the object's answer, a repeat included: providers give us 3 s at the least.
const DEADLINE_MS: u64 = 1500;

/// For the bucket, before that: only bodies above 1 MiB go there, and their senders wait longer.
const BUCKET_MS: u64 = 10_000;

/// Bytes of a message in the queue at the most; the platform's limit is 128,000 with what it adds.
const MAX_OVERFLOW: usize = 120_000;

/// One event of a request.
#[expect(clippy::struct_field_names, reason = "as the API says them")]
pub(super) struct Event {
    pub(super) event_type: String,
    pub(super) event_id: Option<String>,
    /// Of an app-level source: the header that says whose it is.
    pub(super) route: Option<(String, String)>,
    /// Its part of the body; none: all of it.
    pub(super) body: Option<Vec<u8>>,
}

/// Whether a body has no room in the ledger.
pub(super) fn is_large(body: &[u8]) -> bool {
    u32::try_from(body.len()).is_ok_and(|size| size > MAX_INLINE_BODY) || u32::try_from(body.len()).is_err()
}

/// Stores, or says why not. When this is `Ok`, the webhook is written down durably.
pub(super) async fn store(
    env: &Env,
    token: &IngestToken,
    mut accept: Accept,
    mut events: Vec<Event>,
    body: &[u8],
) -> Result<Vec<ConnectionId>, Problem> {
    // One event that is all of the body is an accept, which every release knows.
    let single = events.len() == 1 && events.iter().all(|event| event.body.is_none());
    if single && let Some(event) = events.pop() {
        (accept.event_type, accept.event_id) = (event.event_type, event.event_id);
        accept.headers.extend(event.route);
        let at = if is_large(body) {
            Some(put(env, token, &accept, body).await?)
        } else {
            None
        };
        if let Some(received) = accept.received.as_mut() {
            received.body_at.clone_from(&at);
        }
        let beside = vec![at.as_ref().map_or_else(|| body.to_vec(), |_| Vec::new())];
        let stored = send(env, token, Single(accept), beside).await?;
        if let Some(at) = at.filter(|_| stored.duplicate) {
            discard(env, at);
        }
        return Ok(stored.watchers);
    }
    // The whole request stands beside its parts, unless it is too large for that: the parts say what it said.
    let whole = if is_large(body) { Vec::new() } else { body.to_vec() };
    let mut beside = vec![whole];
    let mut parts = Vec::with_capacity(events.len());
    let mut large = Vec::new();
    for event in events {
        let part = event.body.unwrap_or_else(|| body.to_vec());
        let at = if is_large(&part) {
            Some(put(env, token, &accept, &part).await?)
        } else {
            None
        };
        beside.push(if at.is_some() { Vec::new() } else { part });
        large.extend(at.clone());
        parts.push(ReceivedEvent {
            event_type: event.event_type,
            event_id: event.event_id,
            headers: event.route.into_iter().collect(),
            body_at: at,
        });
    }
    let call = Receive {
        accept,
        events: parts,
    };
    if large.is_empty() {
        send(env, token, Several(call), beside).await?;
        return Ok(Vec::new());
    }
    let duplicate = send(env, token, Large(call), beside).await?.duplicate;
    // Of one that was there in part, what nobody names goes with its day.
    for at in large.into_iter().filter(|_| duplicate) {
        discard(env, at);
    }
    Ok(Vec::new())
}

/// What came of storing.
#[derive(Default)]
struct Stored {
    /// All of it was there already.
    duplicate: bool,
    /// Who is to be told of it.
    watchers: Vec<ConnectionId>,
}

/// A call that stores.
trait Storing {
    async fn ask(&self, object: &TenantObject, repeat: bool, bodies: &[Vec<u8>]) -> Result<Stored, Problem>;

    /// As a repeat, for the queue.
    fn repeat(self) -> Call;
}

struct Single(Accept);

struct Several(Receive);

/// The same with parts in the bucket.
struct Large(Receive);

impl Storing for Single {
    async fn ask(&self, object: &TenantObject, repeat: bool, bodies: &[Vec<u8>]) -> Result<Stored, Problem> {
        let call = Accept {
            repeat,
            ..self.0.clone()
        };
        object.call(call, bodies).await.map(|(done, _)| Stored {
            duplicate: done.duplicate,
            watchers: done.watchers,
        })
    }

    fn repeat(self) -> Call {
        Accept {
            repeat: true,
            ..self.0
        }
        .into()
    }
}

impl Storing for Large {
    async fn ask(&self, object: &TenantObject, repeat: bool, bodies: &[Vec<u8>]) -> Result<Stored, Problem> {
        let mut receive = self.0.clone();
        receive.accept.repeat = repeat;
        let done = object.call(ReceiveLarge { receive }, bodies).await;
        done.map(|(done, _)| several_stored(done))
    }

    fn repeat(self) -> Call {
        let mut receive = self.0;
        receive.accept.repeat = true;
        ReceiveLarge { receive }.into()
    }
}

/// No provider whose notifications are watched sends several at once.
const fn several_stored(done: ReceiveDone) -> Stored {
    Stored {
        duplicate: done.stored == 0,
        watchers: Vec::new(),
    }
}

impl Storing for Several {
    async fn ask(&self, object: &TenantObject, repeat: bool, bodies: &[Vec<u8>]) -> Result<Stored, Problem> {
        let mut call = self.0.clone();
        call.accept.repeat = repeat;
        object
            .call(call, bodies)
            .await
            .map(|(done, _)| several_stored(done))
    }

    fn repeat(mut self) -> Call {
        self.0.accept.repeat = true;
        self.0.into()
    }
}

async fn send(
    env: &Env,
    token: &IngestToken,
    call: impl Storing,
    bodies: Vec<Vec<u8>>,
) -> Result<Stored, Problem> {
    let object = TenantObject::new(env, token.tenant, Caller::Ingest);
    let tries = async {
        match call.ask(&object, false, &bodies).await {
            Err(problem) if next_step(&problem) == NextStep::Repeat => call.ask(&object, true, &bodies).await,
            done => done,
        }
    };
    let cause = match within(DEADLINE_MS, tries).await {
        Some(Ok(stored)) => return Ok(stored),
        Some(Err(problem)) if next_step(&problem) == NextStep::Refuse => return Err(problem),
        Some(Err(problem)) => problem.to_string(),
        None => format!("no answer within {DEADLINE_MS} ms"),
    };
    let fields = serde_json::json!({ "tenant": token.tenant, "source": token.source, "cause": cause });
    log::warn("accept_overflows", fields);
    // Who watches is not known: they look by themselves when nobody notifies.
    overflow(env, token, call.repeat(), &bodies)
        .await
        .map(|()| Stored::default())
}

async fn put(env: &Env, token: &IngestToken, accept: &Accept, body: &[u8]) -> Result<BodyAt, Problem> {
    let put = within(BUCKET_MS, bodies::put(env, token.tenant, accept.sent_at, body)).await;
    put.unwrap_or_else(|| Err("no answer within the deadline".to_owned()))
        .map_err(|cause| unavailable("body_not_put", cause))
}

/// A body that no message names.
fn discard(env: &Env, at: BodyAt) {
    let env = env.clone();
    later(async move {
        if let Err(cause) = bodies::delete(&env, &at).await {
            log::warn("body_not_deleted", serde_json::json!({ "cause": cause }));
        }
    });
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
        // An object of the release before does not know requests of several events: the queue keeps them until it does.
        Code::Overloaded | Code::NotImplemented => NextStep::Overflow,
        _ => NextStep::Refuse,
    }
}

async fn overflow(env: &Env, token: &IngestToken, call: Call, bodies: &[Vec<u8>]) -> Result<(), Problem> {
    let envelope = Envelope {
        v: VERSION,
        tenant: token.tenant,
        caller: Caller::Ingest,
        call,
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
        assert_eq!(step(Code::NotImplemented), NextStep::Overflow);
        assert_eq!(step(Code::LedgerFull), NextStep::Refuse);
        assert_eq!(step(Code::RateLimited), NextStep::Refuse);
        assert_eq!(step(Code::NotFound), NextStep::Refuse);
    }

    #[test]
    fn a_mebibyte_has_room_in_the_ledger_and_a_byte_more_has_not() {
        assert!(!is_large(&vec![0; 1 << 20]));
        assert!(is_large(&vec![0; (1 << 20) + 1]));
    }
}
