//! Does a connection's errands: requests to providers by the one way out, signatures by `WebCrypto`, the directory's rows,
//! messages into the tenant's ledger. Each once; what is lost on the way the machine finds again in its storage.

use std::collections::BTreeMap;

use postern_connection::{Done, Task};
use postern_domain::id::TenantId;
use postern_domain::oauth::{Ended, Request};
use postern_domain::outcome::Cause;
use postern_domain::problem::{Code, Problem};
use postern_domain::provider::Check;
use postern_domain::wire::call::{self, Accept};
use postern_platform::config::Config;
use postern_platform::tenant::TenantObject;
use postern_platform::{clock, provider, random, signature};
use worker::Env;

use crate::connection_directory;

/// Does one.
pub(crate) async fn run(env: &Env, task: Task) -> Done {
    match task {
        Task::Http {
            request,
            deadline_ms,
            cap,
        } => Done::Http(ask(env, &request, deadline_ms, cap).await),
        Task::Verify(check) => Done::Verified(verify(check).await),
        Task::Sign { key, data } => Done::Signed(signature::sign_rs256(key.reveal(), &data).await),
        Task::App(app) => Done::App(connection_directory::app_row(env, app).await),
        Task::Row(row) => Done::Written(connection_directory::write_row(env, &row).await),
        Task::Tell {
            tenant,
            event_type,
            event_id,
            payload,
        } => Done::Written(tell(env, tenant, event_type, event_id, payload).await),
        Task::Wire { ledger, call } => {
            let object = TenantObject::new(env, ledger, call::Caller::System);
            Done::Written(object.call(call, &[]).await.map(drop))
        }
    }
}

/// One request to a provider. Never fails in another way than by its cause.
async fn ask(env: &Env, request: &Request, deadline_ms: u64, cap: usize) -> Ended {
    match Config::from_env(env) {
        Ok(config) => provider::ask(&config, request, deadline_ms, cap).await,
        Err(_) => provider::refused(Cause::Unknown),
    }
}

async fn verify(check: Check) -> Result<bool, Problem> {
    let held = signature::hold(&[check]).await;
    held.first()
        .copied()
        .ok_or_else(|| Problem::internal("no signature was looked at"))
}

/// A message of ours in the tenant's ledger. Told twice, it is one: the event id is its own.
async fn tell(
    env: &Env,
    tenant: TenantId,
    event_type: String,
    event_id: String,
    payload: String,
) -> Result<(), Problem> {
    let object = TenantObject::new(env, tenant, call::Caller::System);
    let accept = Accept {
        nonce: u64::from_be_bytes(random::bytes()) >> 11, // 53 bits: it is stored as a number
        sent_at: clock::now(),
        repeat: false,
        source: None,
        event_type,
        event_id: Some(event_id),
        channels: None,
        content_type: "application/json".to_owned(),
        headers: BTreeMap::new(),
        hop: 0,
        idempotency: None,
        payload_hours: None,
        only_endpoint: None,
        received: None,
    };
    match object.call(accept, &[payload.into_bytes()]).await {
        // Under this id it stands already.
        Err(problem) if problem.code == Code::Conflict => Ok(()),
        told => told.map(drop),
    }
}
