//! `POST /api/v1/app/{app_id}/connection/session`: a link that a browser follows to connect an account.

use postern_domain::id::ConnectionId;
use postern_domain::oauth::link::Link;
use postern_domain::oauth::provider::Kind;
use postern_domain::oauth::return_url;
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::{SessionOpen, SessionOpened};
use postern_platform::config::Config;
use serde::Serialize;

use super::lifecycle;
use super::shape::ConnectionOut;
use super::terms::{self, Choice, Chosen, Names};
use super::watch::wanted;
use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::oauth_app::scopes;
use crate::api::reply::Answer;

/// A session, with its link, which is shown this once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionSessionOut {
    /// Where the browser goes; a secret until it is used.
    url: String,
    expires_at: String,
    connection: ConnectionOut,
}

/// Answers 201. With `connectionId` it is a reconnect of that one. An `Idempotency-Key` changes nothing: a link is kept
/// nowhere, so a second request gives a second one.
pub(crate) async fn handle(access: TenantAccess, ask: Ask) -> Result<Answer, Problem> {
    let mut form = ask.form()?;
    let names = Names::read(&mut form);
    let reconnect = form.optional("connectionId", field::text);
    let choice = if reconnect.is_some() && !form.has("oauthAppId") {
        None
    } else {
        Choice::read(&mut form, false)
    };
    let wanted = form.optional("scopes", scopes);
    let return_url = form.optional("returnUrl", field::url);
    let watches = wanted::read_all(&mut form);
    if reconnect.is_some() {
        terms::uid_stays(&mut form);
    }
    let watches = form.finish(watches)?;
    // The redirect URI is what the deployment says, and never what a request says.
    if Config::from_env(ask.env())?.base_url.is_empty() {
        return Err(Problem::new(
            Code::Conflict,
            "This deployment does not know its own address: set BASE_URL before connecting accounts",
        ));
    }
    let stands = match &reconnect {
        Some(known) => Some(super::of_body(&access, known).await?),
        None => None,
    };
    let choice = match (choice, &stands) {
        (Some(choice), _) => choice,
        (None, Some(row)) => Choice::of_row(row)?,
        (None, None) => return Err(Problem::fault(&["body", "oauthAppId"], "is missing")),
    };
    let chosen = terms::find(&access, &ask, &choice, &[Kind::Oauth2, Kind::Oidc]).await?;
    let call = SessionOpen {
        scopes: terms::scopes(&chosen, wanted)?,
        return_url: return_url.map(|url| admitted(&ask, &chosen, &url)).transpose()?,
        label: names.label,
        variables: terms::variables(&ask, &chosen.terms.provider, &names.variables)?,
        reconnect: stands.is_some(),
        uid: names.uid.clone(),
        watches: wanted::all_terms(watches, &chosen.terms.provider, &access, &ask).await?,
        app: chosen.terms.clone(),
    };
    let (id, opened) = if let Some(row) = stands {
        (row.id, access.connection(row.id).call(call).await?)
    } else {
        let uid = names.uid.as_ref();
        let opened = lifecycle::make(
            &access,
            &chosen,
            uid,
            ask.now,
            |object| async move { object.call(call).await },
            |opened: &SessionOpened| &opened.connection,
        )
        .await?;
        (opened.connection.id, opened)
    };
    Answer::json(201, &out(&ask, id, opened)?)
}

/// Where the browser ends up: only where the app's owner lets it.
fn admitted(ask: &Ask, chosen: &Chosen, url: &str) -> Result<String, Problem> {
    let entries = match &chosen.row {
        Some(row) => row.return_urls()?,
        None => Vec::new(),
    };
    let development = Config::from_env(ask.env())?.base_url.starts_with("http://");
    return_url::admit(url, &entries, development)
        .map_err(|refused| Problem::fault(&["body", "returnUrl"], refused.to_string()))
}

fn out(ask: &Ask, connection: ConnectionId, opened: SessionOpened) -> Result<ConnectionSessionOut, Problem> {
    let mut random = [0; 32];
    hex::decode_to_slice(opened.random.reveal(), &mut random)
        .map_err(|_| Problem::internal("a session's random part is not 32 bytes of hex"))?;
    let base_url = &Config::from_env(ask.env())?.base_url;
    Ok(ConnectionSessionOut {
        url: format!("{base_url}/connect/{}", Link { connection, random }),
        expires_at: opened.expires_at.to_rfc3339(),
        connection: ConnectionOut::new(opened.connection),
    })
}
