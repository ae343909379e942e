//! Does a connection's errands: requests to providers by the one way out, signatures by `WebCrypto`, the directory's rows,
//! messages into the tenant's ledger. Each once; what is lost on the way the machine finds again in its storage.

use postern_connection::{Done, Task};
use postern_domain::oauth::{Ended, Request};
use postern_domain::outcome::Cause;
use postern_domain::problem::Problem;
use postern_domain::provider::Check;
use postern_domain::wire::call;
use postern_platform::config::Config;
use postern_platform::tenant::TenantObject;
use postern_platform::{message, provider, signature};
use worker::Env;

use crate::{app_directory, connection_directory};

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
        Task::App { app, probes } => Done::App(app_directory::app_row(env, app, probes).await),
        Task::AppJudged {
            app,
            generation,
            finding,
        } => Done::Written(app_directory::judged(env, app, generation, finding).await),
        Task::Row(row) => Done::Written(connection_directory::write_row(env, &row).await),
        Task::Tell {
            tenant,
            event_type,
            event_id,
            payload,
        } => Done::Written(message::tell(env, tenant, event_type, event_id, payload).await),
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
