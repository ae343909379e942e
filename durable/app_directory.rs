//! What a connection's object asks of the directory about its app before a refresh, and what it tells of it after one. The
//! row says once, for all of the app's connections, that the provider refuses its id or secret: of those one an hour asks
//! the provider again.

use postern_connection::{AppFinding, AppRow};
use postern_domain::id::OAuthAppId;
use postern_domain::oauth::app::{self, Row};
use postern_domain::oauth::app_alert::{Alert, Event};
use postern_domain::problem::Problem;
use postern_domain::time::Millis;
use postern_platform::config::Config;
use postern_platform::{app_alert, clock, log};
use serde_json::json;
use wasm_bindgen::JsValue;
use worker::Env;

use crate::connection_directory::{broken, number};

/// Between two probes of an app that is broken.
const PROBE_MS: u64 = 3600 * Millis::SECOND;

/// Of all connections that ask at that time one is the probe.
const PROBE: &str = "UPDATE oauth_app SET probe_at = ?3 WHERE id = ?1 AND probe_at = ?2 RETURNING id";

/// Of all refreshes that find it out one says it; of credentials that were replaced meanwhile none.
const BREAK: &str = "UPDATE oauth_app SET broken_at = ?3, broken_words = ?4, probe_at = ?5, alert = ?6 \
     WHERE id = ?1 AND generation = ?2 AND probe_at IS NULL RETURNING id";

/// The same for the first refresh that goes well. Connections that wait are told by the clock, unless an edit has told them.
const MEND: &str = "UPDATE oauth_app SET changed = iif(probe_at IS NULL, changed, ''), broken_at = NULL, \
     broken_words = NULL, probe_at = NULL, alert = ?3 \
     WHERE id = ?1 AND generation = ?2 AND broken_at IS NOT NULL RETURNING id";

const ALERTED: &str = "UPDATE oauth_app SET alert = NULL WHERE id = ?1 AND alert = ?2";

/// The app as it is now. `probes`: for a refresh, which a broken app keeps from leaving.
///
/// # Errors
/// When the directory cannot be asked, or the app's secret cannot be opened.
pub(crate) async fn app_row(env: &Env, id: OAuthAppId, probes: bool) -> Result<AppRow, Problem> {
    let config = Config::from_env(env)?;
    if let Some(terms) = app::terms_of_catalogue(id, &config.base_url) {
        return Ok(AppRow::Active(Box::new(terms)));
    }
    let Some(row) = find(env, id).await? else {
        return Ok(AppRow::Gone);
    };
    if row.enabled != 1 {
        return Ok(AppRow::Disabled);
    }
    if let (Some(probe_at), true) = (row.probe_at, probes) {
        let now = clock::now();
        let next = now.plus(PROBE_MS);
        let values = [text(id), number(probe_at.0), number(next.0)];
        if now < probe_at || !change(env, PROBE, &values).await? {
            return Ok(AppRow::Broken {
                words: row.broken_words,
                again_at: probe_at.max(now),
            });
        }
    }
    let terms = row.terms(&config.master_keys, &config.base_url)?;
    Ok(AppRow::Active(Box::new(terms)))
}

/// Writes down what a refresh learned. Who is the first to say it has it told.
///
/// # Errors
/// When the directory does not take it.
pub(crate) async fn judged(
    env: &Env,
    id: OAuthAppId,
    generation: u64,
    finding: AppFinding,
) -> Result<(), Problem> {
    let Some(row) = find(env, id).await? else {
        return Ok(());
    };
    let now = clock::now();
    let (alert, sql) = match finding {
        AppFinding::Broken { words } => {
            let alert = Alert {
                event: Event::Broken,
                at: now,
                since: now,
                words: Some(words),
            };
            (alert, BREAK)
        }
        AppFinding::Works => {
            let Some(since) = row.broken_at else { return Ok(()) };
            let alert = Alert {
                event: Event::Recovered,
                at: now,
                since,
                words: None,
            };
            (alert, MEND)
        }
    };
    let text_of_alert = serde_json::to_string(&alert).map_err(Problem::internal)?;
    let mut values = vec![text(id), number(generation)];
    if alert.event == Event::Broken {
        let words = alert.words.as_deref().map_or(JsValue::NULL, JsValue::from_str);
        values.extend([number(now.0), words, number(now.plus(PROBE_MS).0)]);
    }
    values.push(JsValue::from_str(&text_of_alert));
    if !change(env, sql, &values).await? {
        return Ok(());
    }
    // What fails from here on the clock does.
    let told = match app_alert::tell(env, &row, &alert).await {
        Ok(()) => change(env, ALERTED, &[text(id), JsValue::from_str(&text_of_alert)])
            .await
            .map(drop),
        failed => failed,
    };
    if let Err(problem) = told {
        let fields = json!({ "app": id, "code": problem.code, "cause": problem.cause });
        log::warn("app_alert_not_told", fields);
    }
    Ok(())
}

async fn find(env: &Env, id: OAuthAppId) -> Result<Option<Row>, Problem> {
    let sql = format!("SELECT {} FROM oauth_app WHERE id = ?1", app::COLUMNS);
    let found = async {
        let statement = env.d1("DB")?.prepare(&sql).bind(&[text(id)])?;
        statement.all().await?.results::<Row>()
    };
    let rows = found.await.map_err(|error| broken(&error))?;
    Ok(rows.into_iter().next())
}

/// Whether a statement that names what it changed changed something.
async fn change(env: &Env, sql: &str, values: &[JsValue]) -> Result<bool, Problem> {
    let changed = async {
        let statement = env.d1("DB")?.prepare(sql).bind(values)?;
        statement.all().await?.results::<serde_json::Value>()
    };
    let rows = changed.await.map_err(|error| broken(&error))?;
    Ok(!rows.is_empty())
}

fn text(id: OAuthAppId) -> JsValue {
    JsValue::from_str(&id.to_string())
}
