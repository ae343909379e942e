//! The address in what a provider signs.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::Url;

use super::Request;
use super::settings::Settings;
use super::verdict::{Reason, Rejection};

const KEY: &str = "publicUrl";

const MAX: usize = 2048;

/// The address as it was given to the provider, where that is not the one that the request was made to: with a name and
/// password in it, behind a proxy, with another host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PublicUrl(Option<String>);

impl PublicUrl {
    /// Reads `publicUrl`. A query is refused: the request's own is signed.
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let Some(text) = settings.text(KEY) else {
            return Self(None);
        };
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if text.len() > MAX || !text.is_ascii() || !Url::parse(text).is_ok_and(|url| is_web(&url)) {
            settings.fault(KEY, "must be the whole address as the provider has it: https://…");
        } else if text.contains(['?', '#']) {
            settings.fault(
                KEY,
                "must end before the ?: the query of each request is signed as it comes",
            );
        }
        Self(Some(text.to_owned()))
    }

    pub(super) fn write(&self, settings: &mut Map<String, Value>) {
        if let Some(text) = &self.0 {
            settings.insert(KEY.to_owned(), text.clone().into());
        }
    }

    /// What the provider signed as the address: the one that was set, or the request's own, with the request's query.
    pub(super) fn of<'a>(&'a self, request: &Request<'a>) -> Result<Cow<'a, str>, Rejection> {
        let asked = request.url.unwrap_or_default();
        let query = asked.find('?').and_then(|at| asked.get(at..)).unwrap_or_default();
        match &self.0 {
            Some(own) if query.is_empty() => Ok(Cow::Borrowed(own)),
            Some(own) => Ok(Cow::Owned(format!("{own}{query}"))),
            None if asked.is_empty() => {
                let detail =
                    "The address is part of what is signed, and the public URL of this source is not known";
                Err(Rejection::new(Reason::Mismatch, detail))
            }
            None => Ok(Cow::Borrowed(asked)),
        }
    }
}

/// The request's query, decoded. A request whose address is not known has none.
pub(super) fn query<'a>(request: &Request<'a>) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
    let query = request
        .url
        .and_then(|url| url.split_once('?'))
        .map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
}

/// A parameter of the query that stands there once.
pub(super) fn query_value<'a>(request: &Request<'a>, name: &str) -> Option<Cow<'a, str>> {
    let mut values = query(request).filter(|(key, _)| key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}
