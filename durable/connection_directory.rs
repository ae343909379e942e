//! What a connection's object tells the directory: its own row, which lists show. It stands behind a change of state, never
//! on the way of a read.

use std::collections::BTreeSet;

use postern_connection::RowOut;
use postern_domain::app_level::{MAX_CLAIMS, ledger_of};
use postern_domain::id::OrganisationId;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;
use postern_domain::wire::call::Caller;
use postern_domain::wire::route::RouteChanged;
use postern_platform::log;
use postern_platform::tenant::TenantObject;
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::JsValue;
use worker::Env;

/// The row of a connection that its object knows better. One that is gone stays gone: its tenant is deleted. A `uid` is
/// free again when the connection is over.
const WRITE: &str = "UPDATE connection SET app = ?2, provider = ?3, state = ?4, version = ?5, view = ?6, \
     updated_at = ?7, look_at = ?8, key_version = ?9, uid = iif(?4 = 'revoked', NULL, uid) \
     WHERE id = ?1 AND version < ?5";

/// A connection that nobody has authorised is given up by its object after 24 h: an hour later its row is compared.
const PENDING_MS: u64 = 25 * 3600 * 1000;

/// The row of one that is over is kept so long.
const REVOKED_MS: u64 = 90 * 24 * 3600 * 1000;

/// A ledger may take so long to forget what it knew.
const LEDGER_MS: u64 = 3000;

/// Claims of routing keys that the connection held and holds no more, unless a newer row stands.
const WITHDRAW: &str = "DELETE FROM connection_route WHERE connection = ?1 \
     AND NOT (app = ?2 AND key IN (SELECT value FROM json_each(?3))) \
     AND EXISTS (SELECT 1 FROM connection WHERE id = ?1 AND version = ?4) RETURNING app, key";

/// Claims that it did not hold yet: of the operator's apps alone, since who has an app of its own says who its accounts
/// are; and no more of one key than are routed.
const CLAIM: &str = "INSERT INTO connection_route (app, key, application, connection, created_at) \
     SELECT ?2, wanted.value, ?5, ?1, ?6 FROM json_each(?3) AS wanted \
     WHERE EXISTS (SELECT 1 FROM connection WHERE id = ?1 AND version = ?4) \
     AND EXISTS (SELECT 1 FROM oauth_app WHERE id = ?2 AND application IS NULL) \
     AND (SELECT count(DISTINCT application) FROM connection_route AS other \
     WHERE other.app = ?2 AND other.key = wanted.value AND other.application <> ?5) < ?7 \
     ON CONFLICT DO NOTHING RETURNING app, key";

/// The sources that an app feeds.
const FED: &str = "SELECT organisation, source FROM route_feed WHERE app = ?1";

/// Writes the connection's row, and with it which routing keys are its tenant's by it. Of two rows the newer version stands,
/// whichever comes last.
///
/// # Errors
/// When the directory does not take it: to be told again.
pub(crate) async fn write_row(env: &Env, row: &RowOut) -> Result<(), Problem> {
    let view = &row.view;
    let text = serde_json::to_string(view).map_err(Problem::internal)?;
    let look_at = match view.state {
        State::Pending => number(view.updated_at.plus(PENDING_MS).0),
        State::Revoked => number(view.updated_at.plus(REVOKED_MS).0),
        _ => JsValue::NULL,
    };
    let values = [
        JsValue::from_str(&view.id.to_string()),
        JsValue::from_str(&view.app.to_string()),
        JsValue::from_str(&view.provider),
        JsValue::from_str(view.state.as_str()),
        number(row.version),
        JsValue::from_str(&text),
        number(view.updated_at.0),
        look_at,
        view.key_version
            .map_or(JsValue::NULL, |version| number(version.into())),
    ];
    let holds = !matches!(view.state, State::Pending | State::Revoked);
    let keys: &[String] = if holds { &view.routing } else { &[] };
    let keys = serde_json::to_string(keys).map_err(Problem::internal)?;
    let mut claims = vec![
        JsValue::from_str(&view.id.to_string()),
        JsValue::from_str(&view.app.to_string()),
        JsValue::from_str(&keys),
        number(row.version),
    ];
    let written = async {
        let directory = env.d1("DB")?;
        let withdraw = directory.prepare(WITHDRAW).bind(&claims)?;
        claims.extend([
            JsValue::from_str(&view.tenant.to_string()),
            number(view.updated_at.0),
            number(MAX_CLAIMS as u64),
        ]);
        let claim = directory.prepare(CLAIM).bind(&claims)?;
        let row = directory.prepare(WRITE).bind(&values)?;
        let results = directory.batch(vec![row, withdraw, claim]).await?;
        let mut changed = BTreeSet::new();
        for result in &results {
            if let Some(error) = result.error() {
                return Err(worker::Error::RustError(error));
            }
        }
        for result in results.iter().skip(1) {
            changed.extend(result.results::<Claimed>()?);
        }
        Ok(changed)
    };
    let changed: BTreeSet<Claimed> = written.await.map_err(|error| broken(&error))?;
    for claim in changed {
        if let Err(problem) = tell_ledgers(env, &claim).await {
            // They ask the directory again within a minute.
            let fields = json!({ "code": problem.code, "cause": problem.cause });
            log::warn("routes_untold", fields);
        }
    }
    Ok(())
}

/// A claim that was made or withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Claimed {
    app: String,
    key: String,
}

/// A source that an app feeds.
#[derive(Debug, Clone, Deserialize)]
struct Fed {
    organisation: OrganisationId,
    source: String,
}

/// Lets the ledgers of sources that the app feeds ask the directory again: the claim counts from the next event on.
async fn tell_ledgers(env: &Env, claim: &Claimed) -> Result<(), Problem> {
    let found = async {
        let statement = env
            .d1("DB")?
            .prepare(FED)
            .bind(&[JsValue::from_str(&claim.app)])?;
        statement.all().await?.results::<Fed>()
    };
    for Fed { organisation, source } in found.await.map_err(|error| broken(&error))? {
        let ledger = TenantObject::new(env, ledger_of(organisation), Caller::Organisation(organisation));
        let changed = RouteChanged {
            source,
            key: claim.key.clone(),
            all: false,
        };
        ledger.call_within(LEDGER_MS, changed, &[]).await?;
    }
    Ok(())
}

pub(crate) fn broken(error: &worker::Error) -> Problem {
    Problem::internal(format!("D1: {}", postern_platform::http::message(error)))
}

/// D1 knows doubles only, and what is stored here stays below 2^53, where they are exact.
#[expect(clippy::cast_precision_loss, reason = "times and versions stay below 2^53")]
pub(crate) fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}
