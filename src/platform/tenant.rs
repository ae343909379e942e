//! The way to a tenant's object.

use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Caller, Envelope, Reply, TenantCall};
use postern_domain::wire::{VERSION, frame};
use wasm_bindgen::JsValue;
use worker::{Env, Error, Method, Request, RequestInit, Response};

use super::deadline::within;
use super::http;

/// How long any call may take. A publish has less: see [`TenantObject::call_within`].
const DEADLINE_MS: u64 = 20_000;

/// A client of one tenant's object. Says who asks: the object compares the organisation and answers 404 to another's.
pub(crate) struct TenantObject {
    env: Env,
    tenant: TenantId,
    caller: Caller,
}

impl TenantObject {
    /// The object that the tenant's id names. Nothing is sent yet.
    pub(crate) fn new(env: &Env, tenant: TenantId, caller: Caller) -> Self {
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
    pub(crate) async fn call<T: TenantCall>(
        &self,
        call: T,
        bodies: &[Vec<u8>],
    ) -> Reply<(T::Answer, Vec<Vec<u8>>)> {
        self.call_within(DEADLINE_MS, call, bodies).await
    }

    /// The same with a deadline of the caller's own.
    pub(crate) async fn call_within<T: TenantCall>(
        &self,
        ms: u64,
        call: T,
        bodies: &[Vec<u8>],
    ) -> Reply<(T::Answer, Vec<Vec<u8>>)> {
        let envelope = Envelope {
            v: VERSION,
            tenant: self.tenant,
            caller: self.caller,
            call: call.into(),
        };
        let request = frame::encode(&envelope, bodies).map_err(Problem::internal)?;
        let answer = within(ms, self.send(&request))
            .await
            .unwrap_or_else(|| Err(overloaded("no answer within the deadline")))?;
        let (reply, bodies) = frame::decode::<Reply<T::Answer>>(&answer).map_err(Problem::internal)?;
        reply.map(|answer| (answer, bodies))
    }

    /// One request. Never repeated: the runtime has repeated what may be, and an overloaded object must not hear it twice.
    async fn send(&self, frame: &[u8]) -> Result<Vec<u8>, Problem> {
        let response = self.fetch(frame).await.map_err(|error| unanswered(&error))?;
        let bytes = http::whole(&response).await.map_err(|error| unanswered(&error))?;
        match response.status_code() {
            200 => Ok(bytes),
            status => Err(Problem::internal(format!(
                "the tenant's object answered {status}"
            ))),
        }
    }

    async fn fetch(&self, frame: &[u8]) -> worker::Result<Response> {
        let mut init = RequestInit::new();
        init.with_method(Method::Post)
            .with_body(Some(js_sys::Uint8Array::from(frame).into()));
        let request = Request::new_with_init("https://tenant/", &init)?;
        let namespace = self.env.durable_object("TENANT")?;
        let stub = namespace.get_by_name(&self.tenant.to_string())?;
        stub.fetch_with_request(request).await
    }
}

/// Whether the object has too much to do, or something broke: the runtime says which on its error.
fn unanswered(error: &Error) -> Problem {
    let cause = http::message(error);
    let says_so = |original: &JsValue| {
        js_sys::Reflect::get(original, &"overloaded".into()).is_ok_and(|overloaded| overloaded.is_truthy())
    };
    match error {
        Error::UnknownJsError { original, .. } if says_so(original) => overloaded(&cause),
        _ => Problem::internal(cause),
    }
}

fn overloaded(cause: &str) -> Problem {
    let mut problem = Problem::new(
        Code::Overloaded,
        "Too much at once; try again after a moment, with an Idempotency-Key",
    );
    problem.cause = Some(cause.to_owned());
    problem
}
