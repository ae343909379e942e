//! Connections, their apps and their providers, as the document describes them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaGenerator;
use serde::Serialize;
use serde_json::{Value, json};

use super::described::{Described, list, of, ok};
use super::inputs::CreateTokenIn;
use crate::api::app::connection::history::ConnectionHistoryOut;
use crate::api::app::connection::session::ConnectionSessionOut;
use crate::api::app::connection::shape::{
    ConnectionLimits, ConnectionOut, ConnectionTestOut, DisconnectedOut,
};
use crate::api::app::connection::token::ConnectionTokenOut;
use crate::api::app::connection::token_reads::TokenReadOut;
use crate::api::app::connection::watch::shape::WatchOut;
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
    /// Of a new one: the id that the doctor gave, so that the redirect URI which was registered stays.
    id: Option<String>,
    /// The id of an entry of the catalogue; never changes.
    provider: Option<String>,
    #[serde(flatten)]
    settings: OAuthAppSettings,
}

/// Changes what is given.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OAuthAppPatch {
    name: Option<String>,
    #[serde(flatten)]
    settings: OAuthAppSettings,
}

/// What both have.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OAuthAppSettings {
    uid: Option<String>,
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
    /// What is watched as soon as it stands.
    watch: Option<Vec<ConnectionWatchIn>>,
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
    /// What is watched as soon as it stands.
    watch: Option<Vec<ConnectionWatchIn>>,
}

/// Watches a mailbox or a calendar.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionWatchIn {
    /// `gmail` or `calendar`.
    kind: String,
    /// Of Gmail: `projects/{project}/topics/{topic}`; without one it is only looked at every hour.
    topic: Option<String>,
    /// Of Gmail: labels that count; all, if none is named.
    label_ids: Option<Vec<String>>,
    /// Of Gmail: the source (preset `pubsub`) that the topic's subscription pushes to.
    source_id: Option<String>,
    /// Of a calendar: `primary`, if none is named.
    calendar_id: Option<String>,
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
    /// An entry of the catalogue.
    provider: Option<String>,
    /// Or an app of such a provider.
    oauth_app_id: Option<String>,
    /// Or the connection that gets the new key.
    connection_id: Option<String>,
    /// The file as the provider gives it: `client_email`, `private_key`, `private_key_id`.
    key: BTreeMap<String, Value>,
    /// On whose behalf.
    subject: Option<String>,
    scopes: Vec<String>,
    label: Option<String>,
    uid: Option<String>,
    /// What is watched as soon as it stands.
    watch: Option<Vec<ConnectionWatchIn>>,
}

/// Changes what is given; null takes label or `uid` away, and gives the provider's limits back.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ConnectionPatch {
    label: Option<String>,
    uid: Option<String>,
    enabled: Option<bool>,
    limits: Option<ConnectionLimits>,
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
            let out = Some(of::<ConnectionOut>(s));
            let answers = vec![(200, out.clone()), (201, out)];
            let body = Some(of::<ConnectionServiceAccountIn>(s));
            made("A connection by a service account", &[], body, answers)
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
        ("GET", "/{connection_id}/watch") => made("Its watches", &[], None, list::<WatchOut>(s)),
        ("POST", "/{connection_id}/watch") => {
            let (body, answers) = (of::<ConnectionWatchIn>(s), created::<WatchOut>(s));
            made("Watches a mailbox or a calendar", &[], Some(body), answers)
        }
        ("GET", "/{connection_id}/watch/{watch_id}") => {
            made("One watch, and how it stands", &[], None, ok::<WatchOut>(s))
        }
        ("DELETE", "/{connection_id}/watch/{watch_id}") => {
            made("Takes a watch away", &[], None, vec![(204, None)])
        }
        _ => None,
    }
}

/// Where the proxy is. It is no operation of the table: its method, bodies and answers are the provider's.
pub(super) const PROXY: &str = "/api/v1/app/{app_id}/connection/{connection_id}/proxy/{path}";

/// The proxy, as far as a document can say it: `path` may hold slashes.
pub(super) fn proxy(error: &Value) -> Value {
    let parameters: Vec<Value> = ["app_id", "connection_id", "path"]
        .iter()
        .map(|name| json!({ "in": "path", "name": name, "required": true, "schema": { "type": "string" } }))
        .collect();
    let refusals = [
        (400, "The path or a header cannot be sent on"),
        (404, "No such connection"),
        (
            409,
            "The connection cannot be spent: its `detail` says what to do",
        ),
        (413, "The body is larger than 100 MB"),
        (
            429,
            "The connection's own limit is used up; `Retry-After` says until when",
        ),
        (502, "The provider's API gave no answer"),
    ];
    let mut methods = serde_json::Map::new();
    for method in ["get", "post", "put", "patch", "delete"] {
        let mut answers = serde_json::Map::new();
        answers.insert(
            "200".to_owned(),
            json!({ "description": "The provider's own answer, whatever its status" }),
        );
        for (status, sentence) in refusals {
            let content = json!({ "application/json": { "schema": error } });
            let answer = json!({ "description": sentence, "content": content });
            answers.insert(status.to_string(), answer);
        }
        let item = json!({
            "summary": "A request to the provider's API, with the connection's token",
            "operationId": format!("{method}_v1_app_one_connection_one_proxy_one"),
            "parameters": parameters,
            "responses": answers,
        });
        methods.insert(method.to_owned(), item);
    }
    Value::Object(methods)
}

/// A body that would be taken.
pub(super) fn example(method: &str, path: &str) -> Option<Value> {
    let path = path.strip_prefix("/api/v1")?;
    let rest = path.strip_prefix("/app/{app_id}").unwrap_or(path);
    Some(match (method, rest) {
        ("POST", "/oauth-app" | "/oauth-app/doctor") => json!({
            "name": "GitHub",
            "provider": "github",
            "clientId": "Iv1.8a61f9b3a7aba766",
            "clientSecret": "the secret that GitHub showed once",
            "scopes": ["repo"],
            "returnUrls": ["https://app.example.com/settings"],
        }),
        ("PUT", "/oauth-app/{oauth_app_id}") => {
            json!({ "name": "GitHub", "clientId": "Iv1.8a61f9b3a7aba766", "scopes": ["repo", "gist"] })
        }
        ("PATCH", "/oauth-app/{oauth_app_id}") => json!({ "clientSecret": "the new secret" }),
        ("POST", "/connection/session") => json!({
            "oauthAppId": "oapp_…",
            "uid": "acme-github",
            "label": "Acme's repositories",
            "returnUrl": "https://app.example.com/settings/connected",
        }),
        ("POST", "/connection/import") => json!({
            "oauthAppId": "oapp_…",
            "refreshToken": "the refresh token that you have",
            "scopes": ["repo"],
            "account": "ann@example.com",
        }),
        ("POST", "/connection/key") => json!({ "provider": "resend", "key": "re_…", "label": "Acme's mail" }),
        ("POST", "/connection/service-account") => json!({
            "provider": "google-service-account",
            "key": {
                "client_email": "postern@acme.iam.gserviceaccount.com",
                "private_key": "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n",
                "private_key_id": "5f3c…",
            },
            "scopes": ["https://www.googleapis.com/auth/pubsub"],
        }),
        ("PATCH", "/connection/{connection_id}") => json!({ "label": "Acme's second account" }),
        ("POST", "/connection/{connection_id}/toggle") => json!({ "enabled": false }),
        ("POST", "/connection/{connection_id}/token") => json!({ "refresh": false }),
        ("POST", "/auth/app/{app_id}/create-connection-token") => {
            json!({ "name": "The nightly import", "expiry": 86_400 })
        }
        _ => return None,
    })
}

const INVALID: (u16, &str) = (422, "What is wrong with the body, each fault with its place");
const NO_APP: (u16, &str) = (404, "No such app, or another's");
const NO_CONNECTION: (u16, &str) = (404, "No such connection, or another's");
const UNANSWERED: (u16, &str) = (
    503,
    "The provider has not answered yet: ask again in some seconds",
);

/// What an operation may refuse beside what all do.
pub(super) fn refusals(method: &str, path: &str) -> &'static [(u16, &'static str)] {
    let Some(path) = path.strip_prefix("/api/v1") else {
        return &[];
    };
    let rest = path.strip_prefix("/app/{app_id}").unwrap_or(path);
    match (method, rest) {
        ("GET", "/connection-provider/{provider_id}") => &[(404, "The catalogue has no such provider")],
        ("POST", "/oauth-app") => &[(409, "The uid is taken"), INVALID],
        ("POST", "/oauth-app/doctor") => &[INVALID],
        ("GET", "/oauth-app/{oauth_app_id}") => &[NO_APP],
        ("PUT" | "PATCH", "/oauth-app/{oauth_app_id}") => &[
            NO_APP,
            (409, "The uid is taken, or the app was changed meanwhile"),
            INVALID,
        ],
        ("DELETE", "/oauth-app/{oauth_app_id}") => &[NO_APP, (409, "Connections live by it")],
        ("POST", "/oauth-app/{oauth_app_id}/doctor") => {
            &[NO_APP, (422, "Its provider has no client to be examined")]
        }
        ("POST", "/connection/session") => &[
            (
                409,
                "The uid is taken, the app is disabled, or BASE_URL is not set",
            ),
            INVALID,
        ],
        ("POST", "/connection/import" | "/connection/key" | "/connection/service-account") => &[
            (409, "The uid is taken, or the provider refuses what was brought"),
            INVALID,
            UNANSWERED,
        ],
        (
            "GET",
            "/connection/{connection_id}"
            | "/connection/{connection_id}/history"
            | "/connection/{connection_id}/token/read",
        ) => &[NO_CONNECTION],
        ("PATCH", "/connection/{connection_id}") => {
            &[NO_CONNECTION, (409, "The uid is taken, or it is over"), INVALID]
        }
        ("POST", "/connection/{connection_id}/toggle") => &[NO_CONNECTION, (409, "It is over"), INVALID],
        ("DELETE", "/connection/{connection_id}") => &[NO_CONNECTION, UNANSWERED],
        ("POST", "/connection/{connection_id}/reset") => &[NO_CONNECTION, (409, "It is over"), UNANSWERED],
        ("POST", "/connection/{connection_id}/test") => {
            &[NO_CONNECTION, (409, "It is over, or never stood"), UNANSWERED]
        }
        ("POST", "/connection/{connection_id}/token") => &[
            NO_CONNECTION,
            (409, "It cannot be spent: `detail` says what to do"),
            (429, "Read 3,000 times in this minute by this reader"),
            (503, "It cannot be refreshed just now, and heals by itself"),
        ],
        _ => &[],
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
