//! Tells an app's connections that it was changed: the first ones at once, the others by the clock; and whoever owns it that
//! a provider refuses it, where that could not be told at once. What is not told yet stands in the app's row, so that
//! nothing is forgotten.

use futures::future::join_all;
use postern_domain::id::{ConnectionId, OAuthAppId};
use postern_domain::json;
use postern_domain::oauth::app::Row;
use postern_domain::oauth::app_alert::Alert;
use postern_domain::problem::{Code, Problem};
use postern_domain::seal::MasterKeys;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{AppChanged, Caller};
use postern_platform::config::Config;
use postern_platform::connection::ConnectionObject;
use postern_platform::{app_alert, log, random};
use serde_json::json;
use worker::Env;

use crate::store::oauth_app::{self, Changed};
use crate::store::{Directory, connection};

/// Connections that are told at a time.
const AT_ONCE: u64 = 50;

/// Times that, in one run of the clock.
const SLICES: u32 = 8;

/// Tells the first ones. What fails here is done by the clock: the change itself stands.
pub(super) async fn begin(env: &Env, directory: &Directory, id: OAuthAppId, updated_at: Millis) {
    let app = Changed {
        id,
        told: String::new(),
        updated_at,
    };
    let begun = slice(env, directory, &app).await;
    noted("app_change_not_told", id, begun.map(|_| ()));
}

/// Goes on with what waits, and seals anew what is sealed with an older master key. What fails for one app waits for the
/// next minute, and keeps no other waiting.
pub(crate) async fn tidy(env: &Env) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    for app in oauth_app::changed(&directory).await? {
        let id = app.id;
        noted("app_change_not_told", id, go_on(env, &directory, app).await);
    }
    for row in oauth_app::untold(&directory).await? {
        noted("app_alert_not_told", row.id, alert(env, &directory, &row).await);
    }
    let keys = &Config::from_env(env)?.master_keys;
    for row in oauth_app::sealed_otherwise(&directory, keys.active_version()).await? {
        let id = row.id;
        // Where its key is missing, or it is broken, its bytes stay as they are.
        noted("app_secret_not_resealed", id, reseal(&directory, row, keys).await);
    }
    Ok(())
}

/// Writes down why something is left for later.
fn noted(event: &str, app: OAuthAppId, done: Result<(), Problem>) {
    if let Err(problem) = done {
        let fields = json!({ "app": app, "code": problem.code, "cause": problem.cause });
        log::error(event, fields);
    }
}

/// Tells the next of an app's connections that it was changed.
async fn go_on(env: &Env, directory: &Directory, mut app: Changed) -> Result<(), Problem> {
    for _ in 0..SLICES {
        match slice(env, directory, &app).await? {
            Some(last) => app.told = last.to_string(),
            None => break,
        }
    }
    Ok(())
}

/// Tells whoever owns an app that a provider refuses it, or takes it again.
async fn alert(env: &Env, directory: &Directory, row: &Row) -> Result<(), Problem> {
    let Some(text) = &row.alert else { return Ok(()) };
    let alert: Alert = json::read(text).map_err(Problem::internal)?;
    app_alert::tell(env, row, &alert).await?;
    oauth_app::alerted(directory, row.id, text).await
}

async fn reseal(directory: &Directory, mut row: Row, keys: &MasterKeys) -> Result<(), Problem> {
    let Some(before) = row.secret.clone() else {
        return Ok(());
    };
    if let Some(secret) = row.open(keys)? {
        row.seal(keys, random::bytes(), &secret)?;
    }
    oauth_app::reseal(directory, &row, &before).await
}

/// Tells some; the last of them, if there may be more.
async fn slice(env: &Env, directory: &Directory, app: &Changed) -> Result<Option<ConnectionId>, Problem> {
    let ids = connection::of_app(directory, app.id, &app.told, AT_ONCE).await?;
    let told = ids.iter().map(|id| async {
        let object = ConnectionObject::new(env, *id, Caller::System);
        match object.call(AppChanged {}).await {
            // Its object is gone, or was never made: nobody is left to be told.
            Err(problem) if problem.code == Code::NotFound => Ok(()),
            told => told,
        }
    });
    for told in join_all(told).await {
        told?;
    }
    let last = ids.last().copied().filter(|_| ids.len() as u64 == AT_ONCE);
    oauth_app::told(directory, app, last).await?;
    Ok(last)
}
