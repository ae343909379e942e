//! What a connection's object asks of the directory, and tells it: the app that it was made with, as it is now, and its own
//! row, which lists show. Both stand behind a refresh or a change of state, never on the way of a read.

use postern_connection::{AppRow, RowOut};
use postern_domain::id::OAuthAppId;
use postern_domain::oauth::app::{self, Row};
use postern_domain::oauth::standing::State;
use postern_domain::problem::Problem;
use postern_platform::config::Config;
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

/// The app as it is now.
///
/// # Errors
/// When the directory cannot be asked, or the app's secret cannot be opened.
pub(crate) async fn app_row(env: &Env, id: OAuthAppId) -> Result<AppRow, Problem> {
    let sql = format!("SELECT {} FROM oauth_app WHERE id = ?1", app::COLUMNS);
    let found = async {
        let statement = env.d1("DB")?.prepare(&sql);
        let result = statement
            .bind(&[JsValue::from_str(&id.to_string())])?
            .all()
            .await?;
        result.results::<Row>()
    };
    let config = Config::from_env(env)?;
    if let Some(terms) = app::terms_of_catalogue(id, &config.base_url) {
        return Ok(AppRow::Active(Box::new(terms)));
    }
    let Some(row) = found.await.map_err(|error| broken(&error))?.into_iter().next() else {
        return Ok(AppRow::Gone);
    };
    if row.enabled != 1 {
        return Ok(AppRow::Disabled);
    }
    let terms = row.terms(&config.master_keys, &config.base_url)?;
    Ok(AppRow::Active(Box::new(terms)))
}

/// Writes the connection's row. Of two the newer version stands, whichever comes last.
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
    let written = async { env.d1("DB")?.prepare(WRITE).bind(&values)?.run().await };
    written.await.map(drop).map_err(|error| broken(&error))
}

fn broken(error: &worker::Error) -> Problem {
    Problem::internal(format!("D1: {}", postern_platform::http::message(error)))
}

/// D1 knows doubles only, and what is stored here stays below 2^53, where they are exact.
#[expect(clippy::cast_precision_loss, reason = "times and versions stay below 2^53")]
fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}
