//! The bare Worker: stores one row in one object, and with `/deliver` sends one request besides. It verifies, derives,
//! signs and records nothing: what it manages is the ceiling on this machine.

use js_sys::Uint8Array;
use worker::{
    Context, DurableObject, Env, Fetch, Method, Request, RequestInit, Response, Result, SqlStorage,
    SqlStorageValue, State, durable_object, event,
};

#[event(fetch)]
async fn fetch(mut request: Request, env: Env, context: Context) -> Result<Response> {
    let body = request.bytes().await?;
    let object = env.durable_object("ROWS")?.get_by_name("one")?;
    let stored = object.fetch_with_request(post("http://object/", &body)?).await?;
    if request.path() == "/deliver" {
        let target = post(&env.var("TARGET")?.to_string(), &body)?;
        target.headers().set(
            "webhook-id",
            &request.headers().get("webhook-id")?.unwrap_or_default(),
        )?;
        context.wait_until(async move {
            // Whoever counts what arrives sees what failed.
            let _ = Fetch::Request(target).send().await;
        });
    }
    Ok(stored)
}

fn post(url: &str, body: &[u8]) -> Result<Request> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_body(Some(Uint8Array::from(body).into()));
    Request::new_with_init(url, &init)
}

/// An object whose one operation is an INSERT.
#[durable_object]
pub struct Rows {
    sql: SqlStorage,
}

impl std::panic::UnwindSafe for Rows {}
impl std::panic::RefUnwindSafe for Rows {}

impl DurableObject for Rows {
    fn new(state: State, _env: Env) -> Self {
        let sql = state.storage().sql();
        // One that fails shows with the first INSERT.
        let _ = sql.exec(
            "CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, body BLOB)",
            None,
        );
        Self { sql }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let body = request.bytes().await?;
        self.sql.exec(
            "INSERT INTO row (body) VALUES (?)",
            vec![SqlStorageValue::Blob(body)],
        )?;
        Response::ok("")
    }
}
