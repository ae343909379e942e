//! `GET /api/v1/master-key`: which master keys are still needed, so that an old one is taken away only when nothing is sealed
//! with it any more. And the clock's part: it sees to it that connections are sealed anew.

use std::collections::BTreeSet;

use futures::future::join_all;
use postern_domain::id::ConnectionId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{Caller, Reseal};
use postern_platform::config::Config;
use postern_platform::connection::ConnectionObject;
use postern_platform::{log, random};
use serde::Serialize;
use serde_json::json;
use worker::Env;

use super::access::OrganisationAccess;
use super::ask::Ask;
use super::reply::Answer;
use crate::store::{Directory, connection, master_key};

/// Connections that are asked at a time.
const AT_ONCE: u64 = 50;

/// Times that, in one run of the clock.
const SLICES: u32 = 8;

/// The master keys of the deployment, without the keys.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MasterKeysOut {
    /// The version that seals.
    active: u8,
    /// All versions that this deployment has, or that something is sealed with.
    keys: Vec<MasterKeyOut>,
}

/// One version, and what of this organisation's connections and apps is sealed with it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct MasterKeyOut {
    version: u8,
    /// The deployment has it: what is sealed with it opens.
    configured: bool,
    /// Connections with a secret that is sealed with it.
    connections: u64,
    /// Apps whose client secret is sealed with it.
    oauth_apps: u64,
}

/// 200. Counts what the directory knows: links that are open, for half an hour at the most, are not among it.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let keys = &Config::from_env(ask.env())?.master_keys;
    let directory = access.directory()?;
    let configured: BTreeSet<u8> = keys.versions().collect();
    let mut versions = configured.clone();
    for table in ["connection", "oauth_app"] {
        versions.extend(master_key::versions(&directory, table).await?);
    }
    let mut list = Vec::new();
    for version in versions {
        list.push(MasterKeyOut {
            version,
            configured: configured.contains(&version),
            connections: master_key::count(&directory, "connection", access.organisation, version).await?,
            oauth_apps: master_key::count(&directory, "oauth_app", access.organisation, version).await?,
        });
    }
    Answer::ok(&MasterKeysOut {
        active: keys.active_version(),
        keys: list,
    })
}

/// Asks connections that are sealed with another master key to seal anew. Those that cannot stay, and are asked again: they
/// are told of by their state.
pub(crate) async fn tidy(env: &Env) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let active = Config::from_env(env)?.master_keys.active_version();
    // From anywhere: a slice that does not get further keeps no other waiting.
    let mut behind = ConnectionId(random::bytes());
    for _ in 0..SLICES {
        let ids = connection::sealed_otherwise(&directory, active, behind, AT_ONCE).await?;
        let (Some(last), found) = (ids.last().copied(), ids.len() as u64) else {
            break;
        };
        let asked = ids.into_iter().map(|id| async move {
            let object = ConnectionObject::new(env, id, Caller::System);
            match object.call(Reseal {}).await {
                Ok(()) => {}
                // Its row is compared by the clock, and goes.
                Err(problem) if problem.code == Code::NotFound => {}
                Err(problem) => {
                    let fields = json!({ "connection": id, "code": problem.code, "cause": problem.cause });
                    log::error("connection_not_resealed", fields);
                }
            }
        });
        join_all(asked).await;
        if found < AT_ONCE {
            break;
        }
        behind = last;
    }
    Ok(())
}
