//! Postern's edge: stateless. What comes in by HTTP, by queue and by the clock, each handed on at once.

mod connect;
mod deliver;
mod ingest;

mod api;

mod store;

// The objects' classes reach the bundle only if something links them; without this the linker drops them, silently.
use postern_durable as _;

use std::panic::AssertUnwindSafe;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, Request, Response, ScheduleContext, ScheduledEvent, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    let path = request.path();
    if let Some(token) = path.strip_prefix("/in/") {
        return ingest::receive(request, &env, token).await;
    }
    if connect::is_here(&path) {
        return connect::answer(&request, &env).await;
    }
    api::answer(request, env).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    api::tidy(&env).await;
}

/// The queues' consumer. Exported by hand: the library's own glue panics when a handler errs, and that resets the
/// isolate. The runtime calls it by this name.
#[wasm_bindgen]
pub fn queue(batch: deliver::Batch, env: Env, invocation: deliver::Invocation) -> js_sys::Promise {
    js_sys::futures::future_to_promise(AssertUnwindSafe(async move {
        deliver::consume(batch, env, invocation).await;
        Ok(JsValue::UNDEFINED)
    }))
}
