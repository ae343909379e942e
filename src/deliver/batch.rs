//! A batch of a queue as the runtime hands it over, and what becomes of each of its messages.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use postern_platform::log;
use wasm_bindgen::prelude::*;

/// How often a message that could not be opened, or whose consumer failed before sending, is asked for again. Its lease
/// covers it afterwards.
const MAX_ATTEMPTS: u32 = 3;

#[wasm_bindgen]
extern "C" {
    /// What the runtime calls a `MessageBatch`.
    pub type Batch;

    /// The queue's name.
    #[wasm_bindgen(method, getter)]
    pub(super) fn queue(this: &Batch) -> String;

    #[wasm_bindgen(method, getter, js_name = messages)]
    fn message_array(this: &Batch) -> js_sys::Array;

    /// What the runtime calls an `ExecutionContext`.
    pub type Invocation;

    #[wasm_bindgen(method, js_name = waitUntil, catch)]
    fn extend(this: &Invocation, promise: &js_sys::Promise) -> Result<(), JsValue>;

    /// One message of it. The library's own type does not know `attempts`.
    pub(super) type Message;

    #[wasm_bindgen(method, getter)]
    fn body(this: &Message) -> JsValue;

    /// How often it has been handed to a consumer, this time included.
    #[wasm_bindgen(method, getter)]
    pub(super) fn attempts(this: &Message) -> u32;

    #[wasm_bindgen(method, catch)]
    fn ack(this: &Message) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn retry(this: &Message, options: &JsValue) -> Result<(), JsValue>;
}

/// Keeps the invocation alive for `work` after its handler has ended. The work is begun in any case.
pub(super) fn go_on(invocation: &Invocation, work: impl Future<Output = ()> + 'static) {
    let promise = js_sys::futures::future_to_promise(AssertUnwindSafe(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    }));
    if invocation.extend(&promise).is_err() {
        log::error("invocation_not_extended", serde_json::json!({}));
    }
}

/// The batch's messages.
pub(super) fn messages(batch: &Batch) -> Vec<Message> {
    let array = batch.message_array();
    array.iter().map(JsCast::unchecked_into).collect()
}

/// A message's bytes, as its producer sent them.
pub(super) fn bytes(message: &Message) -> Result<Vec<u8>, String> {
    let body = message.body();
    if let Some(bytes) = body.dyn_ref::<js_sys::Uint8Array>() {
        return Ok(bytes.to_vec());
    }
    if body.is_instance_of::<js_sys::ArrayBuffer>() {
        return Ok(js_sys::Uint8Array::new(&body).to_vec());
    }
    Err("the message is not bytes".to_owned())
}

/// What becomes of a message when its handler has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Done with.
    Ack,
    /// Once more, after so many seconds.
    Retry {
        /// Before it is handed to a consumer again.
        delay_seconds: u32,
    },
}

/// Tells the queue.
pub(super) fn settle(message: &Message, verdict: Verdict) {
    let told = match verdict {
        Verdict::Ack => message.ack(),
        Verdict::Retry { delay_seconds } => {
            let options = js_sys::Object::new();
            let delay = JsValue::from(delay_seconds);
            js_sys::Reflect::set(&options, &"delaySeconds".into(), &delay)
                .and_then(|_| message.retry(options.as_ref()))
        }
    };
    if told.is_err() {
        // Without a word from us the queue acknowledges when the handler ends: the lease covers it.
        log::error(
            "message_not_settled",
            serde_json::json!({ "attempts": message.attempts() }),
        );
    }
}

/// Once more, later each time.
pub(super) fn backed_off(attempts: u32) -> Verdict {
    Verdict::Retry {
        delay_seconds: 2_u32.saturating_pow(attempts.min(12)),
    }
}

/// How far a message of a delivery queue has come. Kept outside of what may panic.
pub(super) struct Slip {
    attempts: u32,
    stage: Cell<Stage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it was sent.
    Waiting,
    /// A send of it has begun.
    Begun,
    /// It could not be worked on.
    Failed,
    /// This invocation leaves it to another one.
    Released,
}

impl Slip {
    /// Of a message that has been handed to a consumer so many times.
    pub(super) fn new(attempts: u32) -> Self {
        Self {
            attempts,
            stage: Cell::new(Stage::Waiting),
        }
    }

    /// A send of it begins: from here on it is never handed to a consumer again.
    pub(super) fn begin(&self) {
        self.stage.set(Stage::Begun);
    }

    /// It could not be worked on.
    pub(super) fn fail(&self) {
        if self.stage.get() != Stage::Begun {
            self.stage.set(Stage::Failed);
        }
    }

    /// Leaves it to another invocation, if nothing of it was sent and the queue would hand it out once more. True: it is
    /// left, and nothing of it may be sent here.
    pub(super) fn release(&self) -> bool {
        let may = self.stage.get() == Stage::Waiting && self.attempts <= MAX_ATTEMPTS;
        if may {
            self.stage.set(Stage::Released);
        }
        may
    }

    /// What becomes of the message.
    pub(super) fn verdict(&self) -> Verdict {
        match self.stage.get() {
            Stage::Released => Verdict::Retry { delay_seconds: 0 },
            Stage::Failed if self.attempts <= MAX_ATTEMPTS => backed_off(self.attempts),
            Stage::Waiting | Stage::Begun | Stage::Failed => Verdict::Ack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_whose_leases_were_too_short_is_acknowledged() {
        assert_eq!(Slip::new(1).verdict(), Verdict::Ack);
    }

    #[test]
    fn a_message_that_failed_before_any_send_is_asked_for_again_three_times() {
        let verdict = |attempts| {
            let slip = Slip::new(attempts);
            slip.fail();
            slip.verdict()
        };
        assert_eq!(verdict(1), Verdict::Retry { delay_seconds: 2 });
        assert_eq!(verdict(3), Verdict::Retry { delay_seconds: 8 });
        assert_eq!(verdict(4), Verdict::Ack);
    }

    #[test]
    fn once_a_send_has_begun_a_message_is_never_asked_for_again() {
        let slip = Slip::new(1);
        slip.begin();
        slip.fail();
        assert!(!slip.release());
        assert_eq!(slip.verdict(), Verdict::Ack);
    }

    #[test]
    fn a_message_that_had_no_turn_is_left_to_another_invocation_at_once() {
        let slip = Slip::new(3);
        assert!(slip.release());
        assert_eq!(slip.verdict(), Verdict::Retry { delay_seconds: 0 });
    }

    #[test]
    fn a_message_on_its_last_attempt_is_kept_and_sent_here() {
        assert!(!Slip::new(4).release());
    }

    #[test]
    fn the_wait_before_another_attempt_doubles_up_to_little_more_than_an_hour() {
        assert_eq!(backed_off(1), Verdict::Retry { delay_seconds: 2 });
        assert_eq!(backed_off(99), Verdict::Retry { delay_seconds: 4096 });
    }
}
