//! `/health`: whether the deployment can do its work, and `/api/v1/health`: whether it answers at all.

use std::cell::RefCell;

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::call::{Caller, EndpointGet};
use postern_platform::config::Config;
use postern_platform::tenant::TenantObject;
use serde::Serialize;
use worker::Env;

use super::ask::Ask;
use super::reply::Answer;
use crate::store::Directory;

/// Whoever polls without a token does not make load.
const AGE_MS: u64 = 10 * Millis::SECOND;

thread_local! {
    static LAST: RefCell<Option<(Millis, Health)>> = const { RefCell::new(None) };
}

/// What was touched, and whether it answered.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(clippy::struct_excessive_bools, reason = "one truth for each part")]
pub(crate) struct Health {
    /// All of them.
    ok: bool,
    /// The directory ran a query.
    directory: bool,
    /// A tenant's object answered.
    tenant: bool,
    /// The queues are bound. Touching one more would be a message.
    queues: bool,
    /// The secrets and variables can be read.
    secrets: bool,
}

/// 204: it answers.
pub(crate) async fn alive(_ask: Ask) -> Result<Answer, Problem> {
    Ok(Answer::empty())
}

/// 200 or 503, with each part.
pub(crate) async fn handle(ask: Ask) -> Result<Answer, Problem> {
    let last = LAST.with_borrow(|last| *last);
    let health = match last {
        Some((at, health)) if ask.now.since(at) < AGE_MS => health,
        _ => {
            let health = look(ask.env()).await;
            LAST.with_borrow_mut(|last| *last = Some((ask.now, health)));
            health
        }
    };
    Answer::json(if health.ok { 200 } else { 503 }, &health)
}

async fn look(env: &Env) -> Health {
    let (directory, tenant) = futures::join!(directory(env), tenant(env));
    let queues = ["DELIVERIES", "DELIVERIES_SLOW", "OVERFLOW"]
        .iter()
        .all(|name| env.queue(name).is_ok());
    let secrets = Config::from_env(env).is_ok();
    Health {
        ok: directory && tenant && queues && secrets,
        directory,
        tenant,
        queues,
        secrets,
    }
}

async fn directory(env: &Env) -> bool {
    match Directory::new(env) {
        Ok(directory) => directory.touch().await.is_ok(),
        Err(_) => false,
    }
}

/// Asks the object of a tenant that was never set up: that it says 404 (and writes nothing) is the proof.
async fn tenant(env: &Env) -> bool {
    let nobody = Caller::Organisation(OrganisationId([0; 20]));
    let object = TenantObject::new(env, TenantId([0; 20]), nobody);
    let call = EndpointGet {
        endpoint: "health".to_owned(),
    };
    let answer = object.call_within(5_000, call, &[]).await;
    matches!(answer, Err(problem) if problem.code == Code::NotFound)
}
