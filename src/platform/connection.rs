//! The way to a connection's object.

use std::future::Future;

use futures::future::{FutureExt, LocalBoxFuture};
use postern_domain::id::ConnectionId;
use postern_domain::json;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::{Call, Caller, ConnectionCall, Envelope, Reply};
use postern_domain::wire::{OBJECT_HEADER, VERSION, frame};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use worker::{Env, Method, Request, RequestInit, Response};

use crate::deadline::within;
use crate::http;
use crate::tenant::{overloaded, unanswered};

/// How long any call may take: one may wait for a provider, which has 20 s.
const DEADLINE_MS: u64 = 30_000;

/// A client of one connection's object. Says who asks: the object compares the tenant and answers 404 to another's.
pub struct ConnectionObject {
    env: Env,
    connection: ConnectionId,
    caller: Caller,
}

impl ConnectionObject {
    /// The object that the connection's id names. Nothing is sent yet.
    #[must_use]
    pub fn new(env: &Env, connection: ConnectionId, caller: Caller) -> Self {
        Self {
            env: env.clone(),
            connection,
            caller,
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// What the object said. When it said nothing, it is not known whether the call was done: [`Code::Overloaded`] if it
    /// has too much to do or took too long, [`Code::Internal`] for anything else.
    pub fn call<T: ConnectionCall>(&self, call: T) -> impl Future<Output = Reply<T::Answer>> {
        self.call_within(DEADLINE_MS, call)
    }

    /// The same with a deadline of the caller's own.
    pub fn call_within<T: ConnectionCall>(&self, ms: u64, call: T) -> impl Future<Output = Reply<T::Answer>> {
        self.ask(ms, call.into()).map(typed::<T::Answer>)
    }

    /// The answer as it came. In a box, and without a type of its own, so that its code stands in the Worker once and not
    /// once for every call.
    fn ask(&self, ms: u64, call: Call) -> LocalBoxFuture<'_, Reply<Box<RawValue>>> {
        Box::pin(async move {
            let envelope = Envelope {
                v: VERSION,
                connection: self.connection,
                caller: self.caller,
                call,
            };
            let request = frame::encode(&envelope, &[] as &[&[u8]]).map_err(Problem::internal)?;
            let answer = within(ms, self.send(&request))
                .await
                .unwrap_or_else(|| Err(overloaded("no answer within the deadline")))?;
            let (reply, _) = frame::decode::<Reply<Box<RawValue>>>(&answer).map_err(Problem::internal)?;
            reply
        })
    }

    /// One request. Never repeated: the runtime has repeated what may be, and an overloaded object must not hear it twice.
    async fn send(&self, frame: &[u8]) -> Result<Vec<u8>, Problem> {
        let response = post(&self.env, self.connection, frame).await;
        let response = response.map_err(|error| unanswered(&error))?;
        let bytes = http::whole(&response).await.map_err(|error| unanswered(&error))?;
        let says_itself = response.headers().has(OBJECT_HEADER).unwrap_or(false);
        match response.status_code() {
            200 if says_itself => Ok(bytes),
            status => Err(Problem::internal(format!(
                "the connection's object answered {status}"
            ))),
        }
    }
}

/// Brings a frame that is written already to the object that the connection's id names. What it answers, and how long that
/// may take, is the caller's: [`ConnectionObject::call`] is for whoever makes the call here and now.
///
/// # Errors
/// What the runtime says when the object cannot be reached.
pub async fn post(env: &Env, connection: ConnectionId, frame: &[u8]) -> worker::Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(js_sys::Uint8Array::from(frame).into()));
    let request = Request::new_with_init("https://connection/", &init)?;
    env.durable_object("CONNECTION")?
        .get_by_name(&connection.to_string())?
        .fetch_with_request(request)
        .await
}

fn typed<A: DeserializeOwned>(answer: Reply<Box<RawValue>>) -> Reply<A> {
    json::read(answer?.get()).map_err(Problem::internal)
}
