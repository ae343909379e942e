//! The queue `overflow`: verified webhooks that their tenant's object could not take in time. Nonce and dedupe key make
//! it safe to bring one twice.

use postern_domain::wire::call::{Call, Envelope};
use postern_domain::wire::frame;
use serde_json::json;

use super::batch::QueueMessage;
use crate::platform::log;
use crate::platform::tenant::TenantObject;

/// Brings one to its object. What the object refuses for good is logged and gone; everything else comes again.
pub(super) async fn drain(message: &QueueMessage, env: &worker::Env) {
    let read = message.bytes().map(|bytes| frame::decode::<Envelope>(&bytes));
    let Some(Ok((envelope, bodies))) = read else {
        log::error("overflow_unreadable", json!({}));
        return message.ack();
    };
    let Call::Accept(mut accept) = envelope.call else {
        log::error("overflow_unreadable", json!({ "tenant": envelope.tenant }));
        return message.ack();
    };
    accept.repeat = true;
    match TenantObject::new(env, envelope.tenant, envelope.caller)
        .call(accept, &bodies)
        .await
    {
        Ok(_) => message.ack(),
        Err(problem) if problem.code.status() < 500 => {
            let fields = json!({ "tenant": envelope.tenant, "code": problem.code, "detail": problem.detail });
            log::error("overflow_refused", fields);
            message.ack();
        }
        Err(problem) => {
            log::warn(
                "overflow_waits",
                json!({ "tenant": envelope.tenant, "cause": problem.to_string() }),
            );
            message.again(2_u32.pow(message.attempts().min(8)));
        }
    }
}
