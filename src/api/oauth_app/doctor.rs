//! `POST …/oauth-app/doctor` and `POST …/oauth-app/{oauth_app_id}/doctor`: whether a provider takes an app, before anybody
//! is sent there. A token is asked for with a code that nobody was given; what the provider complains about first tells
//! whether it took id and secret.

use postern_domain::oauth::app::Row;
use postern_domain::oauth::doctor::{self, Verdict};
use postern_domain::oauth::provider::Kind;
use postern_domain::problem::Problem;
use postern_platform::config::Config;
use postern_platform::{provider, random};
use serde::Serialize;

use super::draft::{self, Manner};
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::reply::Answer;

/// The provider may take so long.
const DEADLINE_MS: u64 = 20_000;

/// Bytes of its answer that are read.
const CAP: usize = 64 * 1024;

/// What the doctor found.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppFindingOut {
    /// The app's id. Of one that is not saved yet: say it as `id` when it is, so that its redirect URI stays.
    id: String,
    /// To be registered at the provider, to the letter.
    redirect_uri: String,
    /// `good`, `probably_good`, `wrong_secret`, `expired_secret`, `no_such_app`, `redirect_not_registered` or `cannot_tell`.
    #[cfg_attr(test, schemars(with = "String"))]
    verdict: Verdict,
    /// What it means, and what to do.
    sentence: String,
    /// The provider's code for it.
    error: Option<String>,
    /// The provider's own words, at most 200 characters.
    words: Option<String>,
}

/// 200, whatever was found. Nothing is saved.
pub(crate) async fn before_saving(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let owner = super::owner(&access).await?;
    let draft = draft::read(&ask, owner, None, Manner::Whole).await?;
    examine(&ask, &draft.row).await
}

/// The same for an app that stands.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let row = super::named(&access, &ask).await?;
    examine(&ask, &row).await
}

async fn examine(ask: &Ask, row: &Row) -> Result<Answer, Problem> {
    let config = Config::from_env(ask.env())?;
    let terms = row.terms(&config.master_keys, &ask.base_url()?)?;
    let Some(client) = terms
        .client
        .filter(|_| matches!(terms.provider.kind, Kind::Oauth2 | Kind::Oidc))
    else {
        let msg = "has no client to be examined: its connections are tested one by one";
        return Err(Problem::fault(&["body", "provider"], msg));
    };
    let variables = row.variables()?;
    let request = doctor::request(
        &terms.provider,
        &client,
        &terms.redirect_uri,
        &variables,
        &random::bytes(),
    );
    let out = match request {
        Ok(request) => {
            let ended = provider::ask(&config, &request, DEADLINE_MS, CAP).await;
            let finding = doctor::judge(&terms.provider, &ended);
            AppFindingOut {
                id: row.id.to_string(),
                redirect_uri: terms.redirect_uri,
                verdict: finding.verdict,
                sentence: finding.sentence,
                error: finding.error,
                words: finding.words,
            }
        }
        // Its address is known only once somebody connects (a shop's).
        Err(unmade) => AppFindingOut {
            id: row.id.to_string(),
            redirect_uri: terms.redirect_uri,
            verdict: Verdict::CannotTell,
            sentence: format!("No request can be made yet: {unmade}"),
            error: None,
            words: None,
        },
    };
    Answer::ok(&out)
}
