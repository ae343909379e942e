//! Work that outlives the answer.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    #[wasm_bindgen(js_name = waitUntil, catch)]
    fn wait_until(promise: &js_sys::Promise) -> Result<(), JsValue>;
}

/// Does `work` without making the answer wait for it. It is best effort: nothing that is owed may depend on it.
pub fn later(work: impl Future<Output = ()> + 'static) {
    let promise = js_sys::futures::future_to_promise(AssertUnwindSafe(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    }));
    // Outside of a request nothing can be extended: the work has been started all the same.
    let _ = wait_until(&promise);
}
