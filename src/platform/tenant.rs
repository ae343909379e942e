//! The way to a tenant's object.

use std::future::Future;

use futures::future::{FutureExt, LocalBoxFuture};
use postern_domain::id::TenantId;
use postern_domain::json;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{self, Call, Caller, Envelope, Reply, TenantCall};
use postern_domain::wire::follow::{SEQUENCE_HEADER, WATCH_HEADER, Watch, Watching};
use postern_domain::wire::{OBJECT_HEADER, VERSION, frame};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use wasm_bindgen::JsValue;
use worker::{Env, Error, Headers, Method, Request, RequestInit, Response, Stub};

use crate::deadline::within;
use crate::http;
use crate::watch::News;

/// How long any call may take. A publish has less: see [`TenantObject::call_within`].
const DEADLINE_MS: u64 = 20_000;

/// An answer as it came, with the bodies beside it.
type Untyped = (Box<RawValue>, Vec<Vec<u8>>);

/// A client of one tenant's object. Says who asks: the object compares the organisation and answers 404 to another's.
pub struct TenantObject {
    env: Env,
    tenant: TenantId,
    caller: Caller,
}

impl TenantObject {
    /// The object that the tenant's id names. Nothing is sent yet.
    #[must_use]
    pub fn new(env: &Env, tenant: TenantId, caller: Caller) -> Self {
        Self {
            env: env.clone(),
            tenant,
            caller,
        }
    }

    /// Asks, with the bodies that stand beside the call, and gives back those that stand beside the answer.
    ///
    /// # Errors
    /// What the object said. When it said nothing, it is not known whether the call was done: [`Code::Overloaded`] if it
    /// has too much to do or took too long, [`Code::Internal`] for anything else.
    pub fn call<'a, T: TenantCall>(
        &'a self,
        call: T,
        bodies: &'a [Vec<u8>],
    ) -> impl Future<Output = Reply<(T::Answer, Vec<Vec<u8>>)>> {
        self.call_within(DEADLINE_MS, call, bodies)
    }

    /// The same with a deadline of the caller's own. No future of its own for each kind of call: of `ask` only
    /// what comes out is read by kind.
    pub fn call_within<'a, T: TenantCall>(
        &'a self,
        ms: u64,
        call: T,
        bodies: &'a [Vec<u8>],
    ) -> impl Future<Output = Reply<(T::Answer, Vec<Vec<u8>>)>> {
        self.ask(ms, call.into(), bodies).map(typed::<T::Answer>)
    }

    /// The answer as it came. In a box, and without a type of its own, so that its code stands in the Worker once and not
    /// once for every call.
    fn ask<'a>(&'a self, ms: u64, call: Call, bodies: &'a [Vec<u8>]) -> LocalBoxFuture<'a, Reply<Untyped>> {
        Box::pin(async move {
            let known = call::FIRST.contains(&call.name());
            let envelope = Envelope {
                v: VERSION,
                tenant: self.tenant,
                caller: self.caller,
                call,
            };
            let request = frame::encode(&envelope, bodies).map_err(Problem::internal)?;
            let (answer, says_itself) = within(ms, self.send(&request))
                .await
                .unwrap_or_else(|| Err(overloaded("no answer within the deadline")))?;
            let (reply, bodies) =
                frame::decode::<Reply<Box<RawValue>>>(&answer).map_err(Problem::internal)?;
            match reply {
                Ok(answer) => Ok((answer, bodies)),
                // An object of the first release answers a call that it does not know as if something had broken inside.
                Err(problem) if problem.code == Code::Internal && !says_itself && !known => {
                    Err(call::not_known())
                }
                Err(problem) => Err(problem),
            }
        })
    }

    /// Opens a socket over which the object says that something came.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn watch(&self, watch: Watch) -> Reply<News> {
        let envelope = Envelope {
            v: VERSION,
            tenant: self.tenant,
            caller: self.caller,
            call: Call::Watch(watch),
        };
        let frame = frame::encode(&envelope, &[] as &[&[u8]]).map_err(Problem::internal)?;
        let ask = async {
            let headers = Headers::new();
            headers.set("upgrade", "websocket")?;
            headers.set(WATCH_HEADER, &frame::to_header(&frame))?;
            let mut init = RequestInit::new();
            init.with_headers(headers);
            stub(&self.env, self.tenant)?
                .fetch_with_request(Request::new_with_init("https://tenant/", &init)?)
                .await
        };
        let answer = within(DEADLINE_MS, ask)
            .await
            .unwrap_or_else(|| Err("no answer within the deadline".into()));
        let mut answer = answer.map_err(|error| unanswered(&error))?;
        if answer.status_code() != 101 {
            let bytes = answer.bytes().await.map_err(|error| unanswered(&error))?;
            let (reply, _) = frame::decode::<Reply<Watching>>(&bytes).map_err(Problem::internal)?;
            return Err(reply.err().unwrap_or_else(|| Problem::internal("no socket came")));
        }
        let begin = answer.headers().get(SEQUENCE_HEADER).ok().flatten();
        let begin = begin.and_then(|begin| begin.parse().ok());
        match (answer.websocket(), begin) {
            (Some(socket), Some(begin)) => {
                News::over(socket, begin).map_err(|error| Problem::internal(http::message(&error)))
            }
            _ => Err(Problem::internal("a socket without a beginning")),
        }
    }

    /// One request. Never repeated: the runtime has repeated what may be, and an overloaded object must not hear it twice.
    async fn send(&self, frame: &[u8]) -> Result<(Vec<u8>, bool), Problem> {
        let response = post(&self.env, self.tenant, frame).await;
        let response = response.map_err(|error| unanswered(&error))?;
        let bytes = http::whole(&response).await.map_err(|error| unanswered(&error))?;
        match response.status_code() {
            200 => Ok((bytes, response.headers().has(OBJECT_HEADER).unwrap_or(true))),
            status => Err(Problem::internal(format!(
                "the tenant's object answered {status}"
            ))),
        }
    }
}

/// Brings a frame that is written already to the object that the tenant's id names. What it answers, and how long that
/// may take, is the caller's: [`TenantObject::call`] is for whoever makes the call here and now.
///
/// # Errors
/// What the runtime says when the object cannot be reached.
pub async fn post(env: &Env, tenant: TenantId, frame: &[u8]) -> worker::Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(js_sys::Uint8Array::from(frame).into()));
    let request = Request::new_with_init("https://tenant/", &init)?;
    stub(env, tenant)?.fetch_with_request(request).await
}

fn stub(env: &Env, tenant: TenantId) -> worker::Result<Stub> {
    env.durable_object("TENANT")?.get_by_name(&tenant.to_string())
}

fn typed<A: DeserializeOwned>(answer: Reply<Untyped>) -> Reply<(A, Vec<Vec<u8>>)> {
    let (answer, bodies) = answer?;
    let answer = json::read(answer.get()).map_err(Problem::internal)?;
    Ok((answer, bodies))
}

/// Whether the object has too much to do, or something broke: the runtime says which on its error.
pub(crate) fn unanswered(error: &Error) -> Problem {
    let cause = http::message(error);
    let says_so = |original: &JsValue| {
        js_sys::Reflect::get(original, &"overloaded".into()).is_ok_and(|overloaded| overloaded.is_truthy())
    };
    match error {
        Error::UnknownJsError { original, .. } if says_so(original) => overloaded(&cause),
        _ => Problem::internal(cause),
    }
}

pub(crate) fn overloaded(cause: &str) -> Problem {
    let mut problem = Problem::new(
        Code::Overloaded,
        "Too much at once; try again after a moment, with an Idempotency-Key",
    );
    problem.cause = Some(cause.to_owned());
    problem
}
