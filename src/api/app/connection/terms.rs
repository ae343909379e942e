//! What a new connection is made with: an app, or an entry of the catalogue that needs none, and what goes with it.

use std::collections::BTreeMap;

use postern_domain::id::Uid;
use postern_domain::oauth::app::{self, Row};
use postern_domain::oauth::provider::{Kind, Provider, VariableFrom};
use postern_domain::oauth::{authorize, catalogue, template, validate};
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::connection::AppTerms;
use postern_platform::config::Config;

use crate::api::access::TenantAccess;
use crate::api::ask::Ask;
use crate::api::field;
use crate::api::form::Form;
use crate::store::connection;
use crate::store::oauth_app::{self, Key, Owner};

/// What every new connection may say of itself.
pub(super) struct Names {
    pub(super) label: Option<String>,
    pub(super) uid: Option<Uid>,
    pub(super) variables: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn read(form: &mut Form<'_>) -> Self {
        Self {
            label: form.optional("label", field::name),
            uid: form.optional("uid", field::uid),
            variables: form.optional("variables", field::metadata).unwrap_or_default(),
        }
    }
}

/// A name is given where it is known that nobody else has it: not on the way of making a connection that stands anew.
pub(super) fn uid_stays(form: &mut Form<'_>) {
    if form.has("uid") {
        let msg = "is changed by PATCH …/connection/{connection_id}";
        form.say(&["uid"], msg, "value_error");
    }
}

/// What a key is put for: a new connection, or the one that `connectionId` names.
pub(super) struct Put {
    named: Option<String>,
    choice: Option<Choice>,
}

impl Put {
    pub(super) fn read(form: &mut Form<'_>) -> Self {
        let named = form.optional("connectionId", field::text);
        let choice = if named.is_some() {
            uid_stays(form);
            None
        } else {
            Choice::read(form, true)
        };
        Self { named, choice }
    }

    /// The connection that stands, if one is named, and what the key is put with.
    pub(super) async fn of(
        self,
        access: &TenantAccess,
        ask: &Ask,
        kind: Kind,
    ) -> Result<(Option<connection::Row>, Chosen), Problem> {
        let stands = match &self.named {
            Some(named) => Some(super::of_body(access, named).await?),
            None => None,
        };
        let choice = match (self.choice, &stands) {
            (Some(choice), _) => choice,
            (None, Some(row)) => Choice::of_row(row)?,
            (None, None) => return Err(Problem::fault(&["body", "provider"], "is missing")),
        };
        let chosen = find(access, ask, &choice, &[kind]).await?;
        Ok((stands, chosen))
    }
}

/// What a connection is made with, and which member of the body said so: `oauthAppId`, `provider` where no app is needed, or
/// the `connectionId` of one that stands.
pub(super) struct Choice {
    with: With,
    place: &'static str,
}

enum With {
    App(Key),
    Catalogue(String),
}

impl Choice {
    /// What this one was made with.
    pub(super) fn of_row(row: &connection::Row) -> Result<Self, Problem> {
        let view = row.view()?;
        let of_catalogue = view.filter(|view| app::of_catalogue(&view.provider) == row.app);
        let with = match of_catalogue {
            Some(view) => With::Catalogue(view.provider),
            None => With::App(Key::Id(row.app)),
        };
        Ok(Self {
            with,
            place: "connectionId",
        })
    }

    /// Reads it; `None`: the form knows why.
    pub(super) fn read(form: &mut Form<'_>, without_app: bool) -> Option<Self> {
        if without_app && form.has("provider") && !form.has("oauthAppId") {
            let with = form.required("provider", field::text).map(With::Catalogue)?;
            return Some(Self {
                with,
                place: "provider",
            });
        }
        let named = form.required("oauthAppId", field::text)?;
        let key = Key::read(&named);
        if key.is_none() {
            form.say(&["oauthAppId"], "names no app", "value_error");
        }
        Some(Self {
            with: With::App(key?),
            place: "oauthAppId",
        })
    }
}

/// An app with everything that a connection needs of it.
pub(super) struct Chosen {
    pub(super) terms: AppTerms,
    /// Its row; none: an entry of the catalogue.
    pub(super) row: Option<Row>,
}

/// Finds it: the tenant's own, then the operator's. One that is disabled makes no connections.
pub(super) async fn find(
    access: &TenantAccess,
    ask: &Ask,
    choice: &Choice,
    kinds: &[Kind],
) -> Result<Chosen, Problem> {
    let config = Config::from_env(ask.env())?;
    let chosen = match &choice.with {
        With::Catalogue(provider) => {
            let terms = catalogue::find(provider)
                .and_then(|_| app::terms_of_catalogue(app::of_catalogue(provider), &config.base_url));
            let msg = "names no provider that needs no app; see GET /api/v1/connection-provider";
            Chosen {
                terms: terms.ok_or_else(|| Problem::fault(&["body", choice.place], msg))?,
                row: None,
            }
        }
        With::App(key) => {
            let Some(row) = app_row(access, key).await? else {
                return Err(super::unnamed(access, choice.place, "names no app").await);
            };
            if row.enabled != 1 {
                return Err(Problem::new(
                    Code::Conflict,
                    "The app is disabled: enable it before connecting with it",
                ));
            }
            Chosen {
                terms: row.terms(&config.master_keys, &config.base_url)?,
                row: Some(row),
            }
        }
    };
    if kinds.contains(&chosen.terms.provider.kind) {
        return Ok(chosen);
    }
    let msg = match chosen.terms.provider.kind {
        Kind::Oauth2 | Kind::Oidc => "is authorised in a browser: POST …/connection/session",
        Kind::ApiKey => "takes API keys: POST …/connection/key",
        Kind::ServiceAccount => "takes service accounts: POST …/connection/service-account",
    };
    Err(Problem::fault(&["body", choice.place], msg))
}

async fn app_row(access: &TenantAccess, key: &Key) -> Result<Option<Row>, Problem> {
    let directory = access.directory()?;
    let mut owner = Owner {
        organisation: access.organisation,
        application: Some(access.tenant),
    };
    if let Some(row) = oauth_app::find(&directory, owner, key).await? {
        return Ok(Some(row));
    }
    owner.application = None;
    oauth_app::find(&directory, owner, key).await
}

/// Variables that come with a session or a key, judged.
pub(super) fn variables(
    ask: &Ask,
    provider: &Provider,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Problem> {
    let policy = &Config::from_env(ask.env())?.provider_policy;
    template::admit(provider, VariableFrom::Session, given, policy)
        .map_err(|refused| Problem::fault(&["body", "variables", &refused.name], refused.sentence))
}

/// Scopes as they will be asked for: the entry's own, and those given or the app's.
pub(super) fn scopes(chosen: &Chosen, given: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let wanted = match (given, &chosen.row) {
        (Some(given), _) => given,
        (None, Some(row)) => row.scopes()?,
        (None, None) => Vec::new(),
    };
    let Some(oauth) = &chosen.terms.provider.oauth else {
        return Ok(wanted);
    };
    if oauth.scope_separator.is_empty() && !wanted.is_empty() {
        let msg = "this provider takes no scopes: what is granted is set in its app";
        return Err(Problem::fault(&["body", "scopes"], msg));
    }
    if !wanted.iter().all(|scope| validate::is_scope(scope, oauth)) {
        let msg = "holds what this provider takes for no scope, or for several";
        return Err(Problem::fault(&["body", "scopes"], msg));
    }
    Ok(authorize::scopes(oauth, &wanted))
}
