//! Connections, their apps and their providers, as the document describes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde::Serialize;
use serde_json::Value;

use super::described::{Described, list, of, ok};
use super::inputs::CreateTokenIn;
use crate::api::app::connection::history::ConnectionHistoryOut;
use crate::api::app::connection::session::ConnectionSessionOut;
use crate::api::app::connection::shape::{ConnectionOut, ConnectionTestOut, DisconnectedOut};
use crate::api::app::connection::token::ConnectionTokenOut;
use crate::api::app::connection::token_reads::TokenReadOut;
use crate::api::auth::create_message_token::ApiTokenOut;
use crate::api::connection_provider::{ConnectionProviderOut, ConnectionProviderWholeOut};
use crate::api::master_key::MasterKeysOut;
use crate::api::oauth_app::doctor::AppFindingOut;
use crate::api::oauth_app::shape::OAuthAppOut;

const PAGE: &[&str] = &["limit", "iterator", "order"];
const APPS: &[&str] = &["limit", "iterator", "order", "owner"];
const CONNECTIONS: &[&str] = &[
    "limit",
    "iterator",
    "order",
    "connection_state",
    "provider",
    "oauth_app_id",
];

/// Makes or replaces an app.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OAuthAppIn {
    name: String,
    uid: Option<String>,
    /// Of a new one: the id that the doctor gave, so that the redirect URI which was registered stays.
    id: Option<String>,
    /// The id of an entry of the catalogue; never changes.
    provider: Option<String>,
    /// Laid over the entry: members replace, null takes away. `oidc`, `oauth2` and `api-key` are blanks to be filled in.
    provider_config: Option<BTreeMap<String, Value>>,
    /// For `oidc`: the entry comes from this issuer's own document.
    issuer: Option<String>,
    variables: Option<BTreeMap<String, String>>,
    /// Asked for unless a session says otherwise.
    scopes: Option<Vec<String>>,
    /// Refuses a grant without all of the scopes asked for.
    all_scopes: Option<bool>,
    /// Up to 20: exact origin, path and what is below it.
    return_urls: Option<Vec<String>>,
    client_id: Option<String>,
    /// Never shown again; left out: the one that is there; null: a public client.
    client_secret: Option<String>,
    enabled: Option<bool>,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OAuthAppPatch {
    name: Option<String>,
    uid: Option<String>,
    provider_config: Option<BTreeMap<String, Value>>,
    issuer: Option<String>,
    variables: Option<BTreeMap<String, String>>,
    scopes: Option<Vec<String>>,
    all_scopes: Option<bool>,
    return_urls: Option<Vec<String>>,
    client_id: Option<String>,
    client_secret: Option<String>,
    enabled: Option<bool>,
}

/// Makes a link that a browser follows to connect an account.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionSessionIn {
    /// Id or `uid` of an app, the application's own or the operator's; may be left out of a reconnect.
    oauth_app_id: Option<String>,
    /// Connects this one again.
    connection_id: Option<String>,
    scopes: Option<Vec<String>>,
    /// Where the browser ends up; on the app's list.
    return_url: Option<String>,
    label: Option<String>,
    uid: Option<String>,
    variables: Option<BTreeMap<String, String>>,
}

/// Brings tokens that somebody else got.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionImportIn {
    oauth_app_id: String,
    access_token: Option<String>,
    refresh_token: Option<String>,
    /// Granted.
    scopes: Option<Vec<String>>,
    expires_at: Option<String>,
    account: Option<String>,
    label: Option<String>,
    uid: Option<String>,
    variables: Option<BTreeMap<String, String>>,
}

/// Makes a connection of an API key, or gives one a new key.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionKeyIn {
    /// An entry of the catalogue.
    provider: Option<String>,
    /// Or an app of such a provider.
    oauth_app_id: Option<String>,
    /// Or the connection that gets the new key.
    connection_id: Option<String>,
    key: String,
    /// The user name that goes with it.
    user: Option<String>,
    label: Option<String>,
    uid: Option<String>,
    variables: Option<BTreeMap<String, String>>,
}

/// Makes a connection of a service account's key.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionServiceAccountIn {
    provider: Option<String>,
    oauth_app_id: Option<String>,
    /// The file as the provider gives it: `client_email`, `private_key`, `private_key_id`.
    key: BTreeMap<String, Value>,
    /// On whose behalf.
    subject: Option<String>,
    scopes: Vec<String>,
    label: Option<String>,
    uid: Option<String>,
}

/// Changes what is given; null takes the label away.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionPatch {
    label: Option<String>,
    uid: Option<String>,
    enabled: Option<bool>,
}

/// On or off.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionToggleIn {
    enabled: bool,
}

/// What kind of read.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionTokenIn {
    /// Refresh even a token that is good.
    refresh: Option<bool>,
}

/// Of a path behind `/api/v1`.
pub(super) fn describe(method: &str, path: &str, s: &mut SchemaGenerator) -> Option<Described> {
    if method == "POST" && path == "/auth/app/{app_id}/create-connection-token" {
        let (body, answers) = (of::<CreateTokenIn>(s), ok::<ApiTokenOut>(s));
        return made(
            "A token that reads the tokens of an application's connections",
            &[],
            Some(body),
            answers,
        );
    }
    if path == "/master-key" {
        return made(
            "Which master keys are still needed: an old one may go when nothing is sealed with it",
            &[],
            None,
            ok::<MasterKeysOut>(s),
        );
    }
    if let Some(rest) = path.strip_prefix("/connection-provider") {
        return match rest {
            "" => made(
                "Lists the providers of connections",
                PAGE,
                None,
                list::<ConnectionProviderOut>(s),
            ),
            _ => made(
                "One provider, with its whole entry",
                &[],
                None,
                ok::<ConnectionProviderWholeOut>(s),
            ),
        };
    }
    let of_application = path.strip_prefix("/app/{app_id}");
    if let Some(rest) = of_application.unwrap_or(path).strip_prefix("/oauth-app") {
        return app(method, rest, s);
    }
    connection(method, of_application?.strip_prefix("/connection")?, s)
}

fn app(method: &str, rest: &str, s: &mut SchemaGenerator) -> Option<Described> {
    match (method, rest) {
        ("GET", "") => made("Lists OAuth apps", APPS, None, list::<OAuthAppOut>(s)),
        ("POST", "") => {
            let (body, answers) = (of::<OAuthAppIn>(s), created::<OAuthAppOut>(s));
            made("Makes an OAuth app", &[], Some(body), answers)
        }
        ("GET", "/{oauth_app_id}") => made("One OAuth app", &[], None, ok::<OAuthAppOut>(s)),
        ("PUT", "/{oauth_app_id}") => {
            let (body, answers) = (of::<OAuthAppIn>(s), ok::<OAuthAppOut>(s));
            made("Replaces an OAuth app", &[], Some(body), answers)
        }
        ("PATCH", "/{oauth_app_id}") => {
            let (body, answers) = (of::<OAuthAppPatch>(s), ok::<OAuthAppOut>(s));
            made("Changes an OAuth app", &[], Some(body), answers)
        }
        ("DELETE", "/{oauth_app_id}") => made(
            "Takes an OAuth app away that no connection lives by",
            &[],
            None,
            vec![(204, None)],
        ),
        ("POST", "/doctor") => {
            let (body, answers) = (of::<OAuthAppIn>(s), ok::<AppFindingOut>(s));
            made(
                "Whether a provider takes an app that is not saved yet",
                &[],
                Some(body),
                answers,
            )
        }
        ("POST", "/{oauth_app_id}/doctor") => made(
            "Whether the provider takes this app",
            &[],
            None,
            ok::<AppFindingOut>(s),
        ),
        _ => None,
    }
}

fn connection(method: &str, rest: &str, s: &mut SchemaGenerator) -> Option<Described> {
    match (method, rest) {
        ("GET", "") => made("Lists connections", CONNECTIONS, None, list::<ConnectionOut>(s)),
        ("POST", "/session") => {
            let (body, answers) = (of::<ConnectionSessionIn>(s), created::<ConnectionSessionOut>(s));
            made(
                "A link that a browser follows to connect an account",
                &[],
                Some(body),
                answers,
            )
        }
        ("POST", "/import") => {
            let (body, answers) = (of::<ConnectionImportIn>(s), created::<ConnectionOut>(s));
            made(
                "A connection of tokens that somebody else got",
                &[],
                Some(body),
                answers,
            )
        }
        ("POST", "/key") => {
            let out = Some(of::<ConnectionOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            made(
                "A connection by an API key",
                &[],
                Some(of::<ConnectionKeyIn>(s)),
                answers,
            )
        }
        ("POST", "/service-account") => {
            let (body, answers) = (of::<ConnectionServiceAccountIn>(s), created::<ConnectionOut>(s));
            made("A connection by a service account", &[], Some(body), answers)
        }
        ("GET", "/{connection_id}") => made("How a connection stands", &[], None, ok::<ConnectionOut>(s)),
        ("PATCH", "/{connection_id}") => {
            let (body, answers) = (of::<ConnectionPatch>(s), ok::<ConnectionOut>(s));
            made("Changes a connection", &[], Some(body), answers)
        }
        ("DELETE", "/{connection_id}") => made(
            "Revokes the grant at the provider and shreds it here",
            &[],
            None,
            ok::<DisconnectedOut>(s),
        ),
        ("POST", "/{connection_id}/test") => made(
            "Asks the provider whether the token or key is good",
            &[],
            None,
            ok::<ConnectionTestOut>(s),
        ),
        ("POST", "/{connection_id}/reset") => made(
            "Forgets every secret and begins anew",
            &[],
            None,
            ok::<ConnectionOut>(s),
        ),
        ("POST", "/{connection_id}/toggle") => {
            let (body, answers) = (of::<ConnectionToggleIn>(s), ok::<ConnectionOut>(s));
            made("Switches a connection on or off", &[], Some(body), answers)
        }
        ("POST", "/{connection_id}/token") => {
            let (body, answers) = (of::<ConnectionTokenIn>(s), ok::<ConnectionTokenOut>(s));
            made(
                "The token itself; each read is on record",
                &[],
                Some(body),
                answers,
            )
        }
        ("GET", "/{connection_id}/token/read") => {
            made("Who was shown its token", PAGE, None, list::<TokenReadOut>(s))
        }
        ("GET", "/{connection_id}/history") => made(
            "What happened with it, newest first",
            &["limit", "iterator"],
            None,
            list::<ConnectionHistoryOut>(s),
        ),
        _ => None,
    }
}

fn created<T: JsonSchema>(s: &mut SchemaGenerator) -> Vec<(u16, Option<Value>)> {
    vec![(201, Some(of::<T>(s)))]
}

#[expect(clippy::unnecessary_wraps, reason = "an arm of a table")]
fn made(
    summary: &'static str,
    query: &'static [&'static str],
    body: Option<Value>,
    answers: Vec<(u16, Option<Value>)>,
) -> Option<Described> {
    Some(Described {
        summary,
        query,
        body,
        answers,
    })
}
