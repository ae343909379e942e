//! `POST /api/v1/app/{app_id}/connection/import`: tokens that somebody else got, so that no customer has to connect again.

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Kind;
use postern_domain::problem::Problem;
use postern_domain::wire::connection::Import;
use serde_json::Value;

use super::lifecycle;
use super::terms::{self, Choice, Names};
use super::watch::wanted;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field::{self, Wrong};
use crate::api::oauth_app::scopes;
use crate::api::reply::Answer;

/// 201. It is probed before it counts: without an access token it is refreshed at once.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let names = Names::read(&mut form);
    let choice = Choice::read(&mut form, false);
    let access_token = form.optional("accessToken", token);
    let refresh_token = form.optional("refreshToken", token);
    if access_token.is_none() && !form.has("accessToken") && !form.has("refreshToken") {
        form.say(&["refreshToken"], "is missing, and so is accessToken", "missing");
    }
    let wanted = form.optional("scopes", scopes);
    let expires_at = form.optional("expiresAt", field::time);
    let account = form.optional("account", field::name);
    let watches = wanted::read_all(&mut form);
    let (choice, watches) = form.finish(choice.zip(watches))?;
    let chosen = terms::find(&access, &ask, &choice, &[Kind::Oauth2, Kind::Oidc]).await?;
    let call = Import {
        access_token,
        refresh_token,
        scopes: match wanted {
            // What was granted, not what would be asked for.
            Some(granted) => granted,
            None => terms::scopes(&chosen, None)?,
        },
        expires_at,
        account,
        label: names.label,
        uid: names.uid.clone(),
        variables: terms::variables(&ask, &chosen.terms.provider, &names.variables)?,
        watches: wanted::all_terms(watches, &chosen.terms.provider, &access, &ask).await?,
        app: chosen.terms.clone(),
    };
    lifecycle::put(&access, &ask, &chosen, names.uid.as_ref(), None, call).await
}

/// 1 B to 16 KB of visible ASCII. What was wrong with it is said without it.
pub(super) fn token(value: &Value) -> Result<Secret, Vec<Wrong>> {
    let text = field::text(value)?;
    if (1..=16_384).contains(&text.len()) && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Ok(Secret(text));
    }
    Err(vec![Wrong {
        at: Vec::new(),
        msg: "must be 1 to 16384 visible ASCII characters without blanks".to_owned(),
        kind: "value_error",
    }])
}
