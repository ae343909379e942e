//! A batch of a queue, as the runtime hands it over.

use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A batch of messages of one queue.
    pub type Batch;
    #[wasm_bindgen(method, getter)]
    pub(super) fn queue(this: &Batch) -> String;
    #[wasm_bindgen(method, getter)]
    pub(super) fn messages(this: &Batch) -> Array;

    /// One message.
    #[derive(Clone)]
    pub(super) type QueueMessage;
    #[wasm_bindgen(method, getter)]
    pub(super) fn body(this: &QueueMessage) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn attempts(this: &QueueMessage) -> u32;
    #[wasm_bindgen(method)]
    pub(super) fn ack(this: &QueueMessage);
    #[wasm_bindgen(method)]
    fn retry(this: &QueueMessage, options: &JsValue);

    /// The invocation's context.
    pub type Invocation;
    #[wasm_bindgen(method, js_name = waitUntil)]
    pub(super) fn wait_until(this: &Invocation, work: &Promise);
}

impl QueueMessage {
    /// The bytes; `None`: somebody else's message.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let body = self.body();
        if let Some(array) = body.dyn_ref::<js_sys::Uint8Array>() {
            return Some(array.to_vec());
        }
        body.dyn_ref::<js_sys::ArrayBuffer>()
            .map(|buffer| js_sys::Uint8Array::new(buffer).to_vec())
    }

    /// Gives it back to the queue, to come again after a while.
    pub(super) fn again(&self, delay_seconds: u32) {
        let options = Object::new();
        // Setting a field of a fresh object cannot fail.
        let _ = Reflect::set(&options, &"delaySeconds".into(), &delay_seconds.into());
        self.retry(&options);
    }
}
