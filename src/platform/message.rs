//! Messages of ours into a tenant's ledger, from where its endpoints get them.

use std::collections::BTreeMap;

use postern_domain::id::TenantId;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{self, Accept};
use worker::Env;

use crate::tenant::TenantObject;
use crate::{clock, random};

/// A message of ours in the tenant's ledger. Told twice, it is one: the event id is its own.
///
/// # Errors
/// When the ledger does not take it: to be told again. A tenant that is gone is told nothing: [`Code::NotFound`].
pub async fn tell(
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
