//! Tells an app's connections that it was changed: the first ones at once, the others by the clock; and whoever owns it that
//! a provider refuses it, where that could not be told at once. What is not told yet stands in the app's row, so that
//! nothing is forgotten.

use futures::future::join_all;
use postern_domain::id::{ConnectionId, OAuthAppId};
use postern_domain::json;
use postern_domain::oauth::app::Row;
use postern_domain::oauth::app_alert::Alert;
use postern_domain::problem::{Code, Problem};
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
    if let Err(problem) = slice(env, directory, &app).await {
        let fields = json!({ "app": id, "code": problem.code, "cause": problem.cause });
        log::error("app_change_not_told", fields);
    }
}

/// Goes on with what waits, and seals anew what is sealed with an older master key.
pub(crate) async fn tidy(env: &Env) -> Result<(), Problem> {
    let directory = Directory::new(env)?;
    for mut app in oauth_app::changed(&directory).await? {
        for _ in 0..SLICES {
            match slice(env, &directory, &app).await? {
                Some(last) => app.told = last.to_string(),
                None => break,
            }
        }
    }
    for row in oauth_app::untold(&directory).await? {
        let Some(text) = &row.alert else { continue };
        let alert: Alert = json::read(text).map_err(Problem::internal)?;
        match app_alert::tell(env, &row, &alert).await {
            Ok(()) => oauth_app::alerted(&directory, row.id, text).await?,
            // The next minute; the others are not kept waiting.
            Err(problem) => {
                let fields = json!({ "app": row.id, "code": problem.code, "cause": problem.cause });
                log::warn("app_alert_not_told", fields);
            }
        }
    }
    let keys = &Config::from_env(env)?.master_keys;
    for mut row in oauth_app::sealed_otherwise(&directory, keys.active_version()).await? {
        let Some(before) = row.secret.clone() else {
            continue;
        };
        match reseal(&mut row, keys) {
            Ok(()) => oauth_app::reseal(&directory, &row, &before).await?,
            // Its key is missing, or it is broken: its bytes stay as they are, and the others are not kept waiting.
            Err(problem) => {
                let fields = json!({ "app": row.id, "code": problem.code, "cause": problem.cause });
                log::error("app_secret_not_resealed", fields);
            }
        }
    }
    Ok(())
}

fn reseal(row: &mut Row, keys: &postern_domain::seal::MasterKeys) -> Result<(), Problem> {
    match row.open(keys)? {
        Some(secret) => row.seal(keys, random::bytes(), &secret),
        None => Ok(()),
    }
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
