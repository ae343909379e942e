//! What the organisation's ledger asks of the directory: who claims a routing key, by hand or by a connection. It runs
//! behind an accept, and never on its way.

use postern_domain::app_level::{MAX_CLAIMS, MAX_FEEDS};
use postern_domain::id::TenantId;
use postern_ledger::LookOut;
use serde::Deserialize;
use wasm_bindgen::JsValue;
use worker::{Env, Error, Result};

/// Tenants that are there, with the keys of one source that they claim.
const CLAIMS: &str = "SELECT route.key, route.application FROM json_each(?3) AS wanted CROSS JOIN route \
    ON route.organisation = ?1 AND route.source = ?2 AND route.key = wanted.value \
    CROSS JOIN application ON application.id = route.application AND application.state = 'active' \
    UNION SELECT held.key, held.application FROM route_feed AS feed CROSS JOIN json_each(?3) AS wanted \
    CROSS JOIN connection_route AS held ON held.app = feed.app AND held.key = wanted.value \
    CROSS JOIN application ON application.id = held.application AND application.organisation = ?1 \
    AND application.state = 'active' WHERE feed.organisation = ?1 AND feed.source = ?2 LIMIT ?4";

#[derive(Deserialize)]
struct Claim {
    key: String,
    application: TenantId,
}

/// Each claim of each key.
pub(crate) async fn claims(env: &Env, look: &LookOut) -> Result<Vec<(String, TenantId)>> {
    let keys = serde_json::to_string(&look.keys).map_err(|error| Error::RustError(error.to_string()))?;
    // As many as there can be, so that no key is left out for another's.
    let most = look.keys.len().saturating_mul(MAX_CLAIMS * (1 + MAX_FEEDS));
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let values = [
        JsValue::from_str(&look.organisation.to_string()),
        JsValue::from_str(&look.source.to_string()),
        JsValue::from_str(&keys),
        JsValue::from(most),
    ];
    let found = env.d1("DB")?.prepare(CLAIMS).bind(&values)?.all().await?;
    let claims: Vec<Claim> = found.results()?;
    Ok(claims
        .into_iter()
        .map(|claim| (claim.key, claim.application))
        .collect())
}
