//! `GET /api/v1/master-key`: which master keys are still needed, so that an old one is taken away only when nothing is sealed
//! with it any more. And the clock's part: it sees to it that connections and tenants' objects seal anew.

use std::collections::BTreeSet;

use futures::future::join_all;
use postern_domain::app_level::ledger_of;
use postern_domain::id::{ConnectionId, OrganisationId, TenantId};
use postern_domain::operational::tenant_of;
use postern_domain::problem::{Code, Problem};
use postern_domain::time::Millis;
use postern_domain::wire::connection::{Caller, Reseal};
use postern_domain::wire::{call, reseal};
use postern_platform::config::Config;
use postern_platform::connection::ConnectionObject;
use postern_platform::tenant::TenantObject;
use postern_platform::{log, random};
use serde::Serialize;
use serde_json::json;
use worker::Env;

use super::access::OrganisationAccess;
use super::ask::Ask;
use super::reply::Answer;
use crate::store::master_key::{Holder, Round};
use crate::store::{Directory, connection, master_key};

/// Connections that are asked at a time, and tenants.
const AT_ONCE: u64 = 50;

/// Times that, in one run of the clock.
const SLICES: u32 = 8;

/// The same of tenants: with each come their organisation's own ledgers.
const TENANT_SLICES: u32 = 4;

/// Turns that an object is asked for in one run of the clock. One with more is asked again in the next.
const TURNS: u32 = 8;

/// A version that no master key has: it is not known which one is needed.
const UNKNOWN: u8 = 0;

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

/// One version, and what of this organisation is sealed with it.
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
    /// Of the active one: the tenants. Of another: those with a secret of an endpoint or a source, a header or a token that
    /// is sealed with it or may be, because they have not been asked yet; the organisation's own endpoints and its
    /// app-level sources count as one tenant each.
    tenants: u64,
}

/// Answers 200. Counts what the directory knows: links that are open, for half an hour at the most, are not among it. The
/// organisation's own ledgers stand in no list, and are asked.
pub(crate) async fn handle(access: OrganisationAccess, ask: Ask) -> Result<Answer, Problem> {
    let keys = &Config::from_env(ask.env())?.master_keys;
    let active = keys.active_version();
    let directory = access.directory()?;
    let organisation = access.organisation;
    let configured: BTreeSet<u8> = keys.versions().collect();
    let mut versions = configured.clone();
    for table in ["connection", "oauth_app", "tenant_key"] {
        versions.extend(master_key::versions(&directory, table).await?);
    }
    let hidden = hidden_of(organisation);
    let own = join_all(hidden.map(|tenant| still_held(ask.env(), tenant, active))).await;
    versions.extend(own.iter().flatten());
    versions.remove(&UNKNOWN);
    let tenants = master_key::tenants(&directory, organisation).await?;
    let unasked = match master_key::round(&directory).await? {
        Some(round) if round.active == active => {
            master_key::unasked(&directory, organisation, &round).await?
        }
        // The clock has not seen it yet.
        _ => tenants,
    };
    let mut list = Vec::new();
    for version in versions {
        let mut holding = 0;
        for version in [version, UNKNOWN] {
            holding += master_key::holding(&directory, organisation, version, hidden).await?;
            holding += own.iter().filter(|held| **held == Some(version)).count() as u64;
        }
        list.push(MasterKeyOut {
            version,
            configured: configured.contains(&version),
            connections: master_key::count(&directory, "connection", organisation, version).await?,
            oauth_apps: master_key::count(&directory, "oauth_app", organisation, version).await?,
            tenants: if version == active {
                tenants
            } else {
                holding + unasked
            },
        });
    }
    Answer::ok(&MasterKeysOut { active, keys: list })
}

/// Ledgers of an organisation that stand in no list.
fn hidden_of(organisation: OrganisationId) -> [TenantId; 2] {
    [tenant_of(organisation), ledger_of(organisation)]
}

/// Asks tenants to seal anew, each once after the master key changed, and those again that could not.
///
/// Without another key that could open what is old nobody is asked, and one row is read.
pub(crate) async fn tidy_tenants(env: &Env, now: Millis) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    let keys = &Config::from_env(env)?.master_keys;
    let active = keys.active_version();
    let mut round = match master_key::round(&directory).await? {
        Some(round) if round.active == active => round,
        _ => master_key::begin(&directory, active, now).await?,
    };
    if keys.versions().count() < 2 {
        return Ok(());
    }
    // From anywhere: those that never can keep no other waiting.
    let behind = TenantId(random::bytes());
    let mut again = master_key::holders(&directory, behind, AT_ONCE).await?;
    if again.is_empty() {
        again = master_key::holders(&directory, TenantId([0; 20]), AT_ONCE).await?;
    }
    if !again.is_empty() {
        seal_anew(env, &directory, &mut round, again, None).await?;
    }
    let mut organisations = BTreeSet::new();
    for _ in 0..TENANT_SLICES {
        let mut slice = master_key::next(&directory, &round, now, AT_ONCE).await?;
        let Some(last) = slice.last().copied() else {
            break;
        };
        let full = slice.len() as u64 == AT_ONCE;
        for tenant in slice.clone() {
            if organisations.insert(tenant.organisation) {
                let hidden = hidden_of(tenant.organisation);
                slice.extend(hidden.map(|hidden| Holder {
                    tenant: hidden,
                    ..tenant
                }));
            }
        }
        seal_anew(env, &directory, &mut round, slice, Some(last)).await?;
        if !full {
            break;
        }
    }
    Ok(())
}

async fn seal_anew(
    env: &Env,
    directory: &Directory,
    round: &mut Round,
    tenants: Vec<Holder>,
    last: Option<Holder>,
) -> Result<(), Problem> {
    let active = round.active;
    let asked = tenants
        .into_iter()
        .map(|holder| async move { (holder, still_held(env, holder.tenant, active).await) });
    let found = join_all(asked).await;
    master_key::asked(directory, round, &found, last).await
}

/// Asks an object to seal anew: the oldest key that it still needs beside the active one ([`UNKNOWN`]: nobody knows); none:
/// it needs no other.
async fn still_held(env: &Env, tenant: TenantId, active: u8) -> Option<u8> {
    let object = TenantObject::new(env, tenant, call::Caller::System);
    for _ in 0..TURNS {
        match object.call(reseal::Reseal {}, &[]).await {
            // It runs in a deployment of before, or of after.
            Ok((resealed, _)) if resealed.active != active => return Some(UNKNOWN),
            Ok((resealed, _)) if resealed.more => {}
            Ok((resealed, _)) => return resealed.other,
            // It was never set up, or is gone.
            Err(problem) if problem.code == Code::NotFound => return None,
            Err(problem) => {
                let fields = json!({ "tenant": tenant, "code": problem.code, "cause": problem.cause });
                log::error("tenant_not_resealed", fields);
                return Some(UNKNOWN);
            }
        }
    }
    Some(UNKNOWN)
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
