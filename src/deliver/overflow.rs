//! Webhooks that their object could not take when they came. The provider has heard 200, so a message is acknowledged
//! only when its object has it, or refuses it for good.

use futures::StreamExt as _;
use futures::stream;
use postern_domain::problem::Problem;
use postern_domain::wire::call::{Accept, Call, Caller, Envelope};
use postern_domain::wire::frame;
use postern_domain::wire::inbound::{Receive, ReceiveLarge};
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use serde_json::json;
use worker::Env;

use super::batch::{self, Message, Verdict};

/// Calls of objects at the same time: they are slow already.
const AT_ONCE: usize = 5;

/// Hands each to its object.
pub(super) async fn drain(messages: &[Message], env: &Env) {
    stream::iter(messages)
        .for_each_concurrent(AT_ONCE, |message| async move {
            let stored = match batch::bytes(message).and_then(|bytes| read(&bytes)) {
                Ok((envelope, kept, bodies)) => {
                    let object = TenantObject::new(env, envelope.tenant, Caller::Ingest);
                    match kept {
                        Kept::One(accept) => object.call(accept, &bodies).await.map(|_| ()),
                        Kept::Several(receive) => object.call(receive, &bodies).await.map(|_| ()),
                        Kept::Large(large) => object.call(large, &bodies).await.map(|_| ()),
                    }
                }
                // Perhaps a later release wrote it: it is kept for that.
                Err(cause) => Err(Problem::internal(cause)),
            };
            let verdict = verdict(&stored, message.attempts());
            if let Err(problem) = stored {
                let refused = verdict == Verdict::Ack;
                let fields = json!({ "refused": refused, "attempts": message.attempts(), "cause": problem.to_string() });
                log::warn("overflow_not_stored", fields);
            }
            batch::settle(message, verdict);
        })
        .await;
}

/// What the queue keeps.
#[derive(Debug, PartialEq)]
enum Kept {
    One(Accept),
    Several(Receive),
    Large(ReceiveLarge),
}

/// An accept, marked as a repeat: the first try may have stood.
fn read(bytes: &[u8]) -> Result<(Envelope, Kept, Vec<Vec<u8>>), String> {
    let (envelope, bodies) = frame::decode::<Envelope>(bytes).map_err(|error| error.to_string())?;
    let kept = match envelope.call.clone() {
        Call::Accept(accept) => Kept::One(Accept {
            repeat: true,
            ..accept
        }),
        Call::Receive(mut receive) => {
            receive.accept.repeat = true;
            Kept::Several(receive)
        }
        Call::ReceiveLarge(mut large) => {
            large.receive.accept.repeat = true;
            Kept::Large(large)
        }
        _ => return Err("not an accept".to_owned()),
    };
    Ok((envelope, kept, bodies))
}

fn verdict(stored: &Result<(), Problem>, attempts: u32) -> Verdict {
    match stored {
        Err(problem) if problem.code.status() >= 500 => batch::backed_off(attempts),
        _ => Verdict::Ack,
    }
}

#[cfg(test)]
mod tests {
    use postern_domain::id::TenantId;
    use postern_domain::problem::Code;
    use postern_domain::time::Millis;
    use postern_domain::wire::VERSION;
    use postern_domain::wire::call::Bodies;

    use super::*;

    fn envelope(call: Call) -> Envelope {
        Envelope {
            v: VERSION,
            tenant: TenantId([1; 20]),
            caller: Caller::Ingest,
            call,
        }
    }

    fn accept() -> Accept {
        Accept {
            nonce: 7,
            sent_at: Millis(1_700_000_000_000),
            repeat: false,
            source: Some(1),
            event_type: "invoice.paid".to_owned(),
            event_id: None,
            channels: None,
            content_type: "application/json".to_owned(),
            headers: std::collections::BTreeMap::new(),
            hop: 0,
            idempotency: None,
            payload_hours: None,
            only_endpoint: None,
            received: None,
        }
    }

    #[test]
    fn what_is_drained_is_a_repeat_with_its_first_nonce_and_its_body() {
        let frame = frame::encode(&envelope(accept().into()), &[b"{}"]).unwrap_or_default();
        let repeat = Accept {
            repeat: true,
            ..accept()
        };
        let read = read(&frame).map(|(_, kept, bodies)| (kept, bodies));
        assert_eq!(read, Ok((Kept::One(repeat), vec![b"{}".to_vec()])));
    }

    #[test]
    fn nothing_but_an_accept_is_taken_from_the_queue() {
        let other = Bodies { messages: Vec::new() };
        let frame = frame::encode::<_, &[u8]>(&envelope(other.into()), &[]).unwrap_or_default();
        assert_eq!(read(&frame).err().as_deref(), Some("not an accept"));
    }

    #[test]
    fn a_webhook_is_given_up_only_when_it_is_stored_or_refused_for_good() {
        let failed = |code| Err(Problem::new(code, ""));
        assert_eq!(verdict(&Ok(()), 1), Verdict::Ack);
        assert_eq!(verdict(&failed(Code::NotFound), 1), Verdict::Ack);
        assert_eq!(
            verdict(&failed(Code::Overloaded), 3),
            Verdict::Retry { delay_seconds: 8 }
        );
        assert_eq!(
            verdict(&failed(Code::LedgerFull), 50),
            Verdict::Retry { delay_seconds: 4096 }
        );
    }
}
