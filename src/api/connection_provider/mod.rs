//! `/api/v1/connection-provider`: the catalogue of connections, as it stands in this release.

use postern_domain::json;
use postern_domain::oauth::catalogue;
use postern_domain::oauth::provider::{Kind, Pkce, Provider, VariableFrom};
use postern_domain::problem::{Code, Problem};
use postern_domain::wire::call::{Page, PageOf};
use serde::Serialize;
use serde_json::Value;

use super::access::Caller;
use super::ask::Ask;
use super::reply::Answer;

/// A provider in a list.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionProviderOut {
    id: String,
    name: String,
    /// `oauth2`, `oidc`, `api_key` or `service_account`.
    kind: &'static str,
    /// Proven against a stand-in with its documented quirks; any other is the catalogue's best knowledge.
    verified: bool,
    /// Facts that no primary source confirms.
    unsure: Vec<String>,
    docs: Vec<String>,
    /// Values that an app, a session or an API key has to bring.
    variables: Vec<ConnectionVariableOut>,
    /// Scopes that every connection has.
    scopes: Vec<String>,
    /// Why PKCE is off, if it is.
    pkce_off: Option<String>,
    /// What an API key is called at the provider.
    key_label: Option<String>,
    /// What the user name beside an API key is called; null: there is none.
    key_user: Option<String>,
    api_base: Option<String>,
}

/// A variable of a provider's URLs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ConnectionVariableOut {
    name: String,
    label: String,
    /// `app` or `session`.
    from: &'static str,
    default: Option<String>,
}

/// One provider, with its whole entry.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionProviderWholeOut {
    #[serde(flatten)]
    provider: ConnectionProviderOut,
    /// The entry as `providerConfig` of an app lies over it.
    entry: Value,
}

impl ConnectionProviderOut {
    fn new(provider: &Provider) -> Self {
        let variables = provider.variables.iter().filter_map(|variable| {
            let from = match variable.from {
                VariableFrom::App => "app",
                VariableFrom::Session => "session",
                VariableFrom::Answer | VariableFrom::Callback => return None,
            };
            Some(ConnectionVariableOut {
                name: variable.name.clone(),
                label: variable.label.clone(),
                from,
                default: variable.default.clone(),
            })
        });
        let oauth = provider.oauth.as_ref();
        let key = provider.key.as_ref();
        Self {
            id: provider.id.clone(),
            name: provider.name.clone(),
            kind: match provider.kind {
                Kind::Oauth2 => "oauth2",
                Kind::Oidc => "oidc",
                Kind::ApiKey => "api_key",
                Kind::ServiceAccount => "service_account",
            },
            verified: provider.verified,
            unsure: provider.unsure.clone(),
            docs: provider.docs.clone(),
            variables: variables.collect(),
            scopes: oauth.map(|oauth| oauth.scopes.clone()).unwrap_or_default(),
            pkce_off: oauth.and_then(|oauth| match &oauth.pkce {
                Pkce::S256 => None,
                Pkce::Off { reason } => Some(reason.clone()),
            }),
            key_label: key.map(|key| key.label.clone()),
            key_user: key.and_then(|key| key.user.clone()),
            api_base: provider
                .api
                .as_ref()
                .map(|api| api.base.clone())
                .filter(|base| !base.is_empty()),
        }
    }
}

/// A page, in the catalogue's order.
pub(crate) async fn list(_caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let mut query = ask.query();
    let of = query.page();
    query.finish()?;
    Answer::ok(&page(catalogue::all(), &of)?)
}

/// An iterator is the id of the provider behind which a page begins; with `-`, before which it ends.
fn page(mut all: Vec<Provider>, of: &PageOf) -> Result<Page<ConnectionProviderOut>, Problem> {
    if !of.ascending {
        all.reverse();
    }
    let limit = usize::from(of.limit);
    let place = |id: &str| {
        all.iter().position(|provider| provider.id == id).ok_or_else(|| {
            Problem::new(
                Code::InvalidIterator,
                "The iterator is not one that this list gave",
            )
        })
    };
    let (range, done) = match of.iterator.as_deref() {
        Some(text) if text.starts_with('-') => {
            let end = place(text.trim_start_matches('-'))?;
            let begin = end.saturating_sub(limit);
            (begin..end, begin == 0)
        }
        iterator => {
            let begin = iterator.map(place).transpose()?.map_or(0, |at| at + 1);
            let end = (begin + limit).min(all.len());
            (begin..end, end == all.len())
        }
    };
    let shown = &all[range];
    Ok(Page {
        data: shown.iter().map(ConnectionProviderOut::new).collect(),
        iterator: shown.last().map(|provider| provider.id.clone()),
        prev_iterator: shown.first().map(|provider| format!("-{}", provider.id)),
        done,
    })
}

/// One.
pub(crate) async fn get(_caller: Caller, ask: Ask) -> Result<Answer, Problem> {
    let provider = catalogue::find(ask.param(0)).ok_or_else(Problem::not_found)?;
    Answer::ok(&ConnectionProviderWholeOut {
        provider: ConnectionProviderOut::new(&provider),
        entry: json::tree(&provider).map_err(Problem::internal)?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn pages(ascending: bool) -> Vec<String> {
        let (mut ids, mut iterator) = (Vec::new(), None);
        loop {
            let of = PageOf {
                limit: 4,
                iterator,
                ascending,
            };
            let page = page(catalogue::all(), &of).unwrap();
            assert!(page.data.len() <= 4);
            ids.extend(page.data.into_iter().map(|provider| provider.id));
            if page.done {
                return ids;
            }
            iterator = page.iterator;
        }
    }

    #[test]
    fn pages_hold_each_provider_once_in_either_order() {
        let mut all: Vec<String> = catalogue::all().into_iter().map(|provider| provider.id).collect();
        assert_eq!(pages(true), all);
        all.reverse();
        assert_eq!(pages(false), all);
    }

    #[test]
    fn a_page_leads_back_to_the_one_before_and_nothing_else_leads_anywhere() {
        let at = |iterator: Option<String>| {
            let of = PageOf {
                limit: 3,
                iterator,
                ascending: true,
            };
            page(catalogue::all(), &of)
        };
        let first = at(None).unwrap();
        let second = at(first.iterator).unwrap();
        let again = at(second.prev_iterator).unwrap();
        let ids = |page: &Page<ConnectionProviderOut>| -> Vec<String> {
            page.data.iter().map(|provider| provider.id.clone()).collect()
        };
        assert_eq!((ids(&again), again.done), (ids(&at(None).unwrap()), true));
        let refused = at(Some("nonsense".to_owned())).err().unwrap();
        assert_eq!(refused.code, Code::InvalidIterator);
    }
}
