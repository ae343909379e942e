//! Bodies that are too large for a ledger: in the bucket `BODIES`, below their tenant's id.
//!
//! Nothing is listed here and nothing is public: a body is found by its key, which the ledger keeps.

use futures::StreamExt as _;
use futures::stream::LocalBoxStream;
use postern_domain::digest;
use postern_domain::id::TenantId;
use postern_domain::time::Millis;
use postern_domain::wire::inbound::{BodyAt, body_key};
use worker::Env;

use crate::{http, random};

const BINDING: &str = "BODIES";

/// Puts a body there. When this is `Ok`, it is written durably.
///
/// # Errors
/// What the bucket says, for the log.
pub async fn put(env: &Env, tenant: TenantId, now: Millis, body: &[u8]) -> Result<BodyAt, String> {
    let key = body_key(tenant, now, &random::bytes::<16>());
    let size = u32::try_from(body.len()).map_err(|error| error.to_string())?;
    let digest = digest::of(body);
    let bucket = env.bucket(BINDING).map_err(|error| http::message(&error))?;
    let put = bucket.put(key.clone(), body.to_vec()).execute().await;
    put.map_err(|error| http::message(&error))?;
    Ok(BodyAt { key, size, digest })
}

/// Reads one back; `None`: it is gone.
///
/// # Errors
/// What the bucket says, for the log.
pub async fn get(env: &Env, at: &BodyAt) -> Result<Option<Vec<u8>>, String> {
    let bucket = env.bucket(BINDING).map_err(|error| http::message(&error))?;
    let found = bucket.get(at.key.clone()).execute().await;
    let Some(object) = found.map_err(|error| http::message(&error))? else {
        return Ok(None);
    };
    match object.body() {
        Some(body) => body
            .bytes()
            .await
            .map(Some)
            .map_err(|error| http::message(&error)),
        None => Ok(None),
    }
}

/// Reads one back part by part; `None`: it is gone.
///
/// # Errors
/// What the bucket says, for the log.
pub async fn stream(
    env: &Env,
    at: &BodyAt,
) -> Result<Option<LocalBoxStream<'static, worker::Result<Vec<u8>>>>, String> {
    let bucket = env.bucket(BINDING).map_err(|error| http::message(&error))?;
    let found = bucket.get(at.key.clone()).execute().await;
    let Some(object) = found.map_err(|error| http::message(&error))? else {
        return Ok(None);
    };
    match object.body() {
        Some(body) => {
            let parts = body.stream().map_err(|error| http::message(&error))?;
            Ok(Some(parts.boxed_local()))
        }
        None => Ok(None),
    }
}

/// Takes one away that no ledger names. Best effort: what stays goes with its day.
pub async fn delete(env: &Env, at: &BodyAt) -> Result<(), String> {
    let bucket = env.bucket(BINDING).map_err(|error| http::message(&error))?;
    bucket
        .delete(at.key.clone())
        .await
        .map_err(|error| http::message(&error))
}
