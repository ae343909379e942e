//! Variables of a provider's URLs: which values they may have, and how a value gets into a text.
//!
//! Guaranteed: no value can lead a URL to another host than its entry says. A value that is an origin stands at the
//! beginning and was judged as one; any other is escaped, so that it stays inside of the part of the URL that it stands in.

use std::collections::BTreeMap;

use url::Url;

use super::provider::{Provider, Variable, VariableForm, VariableFrom};
use crate::address::Policy;

/// The longest value of a variable, in bytes.
const MAX_VALUE: usize = 256;

/// A text whose variables cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfilled {
    /// There is no value for it.
    #[error("there is no value for `{0}`")]
    Missing(String),
    /// What stands at the beginning of a URL is no origin.
    #[error("`{0}` must be an origin, such as https://example.com")]
    NoOrigin(String),
    /// What is to stand inside of a URL would be read as a step in its path, or is nothing.
    #[error("`{0}` must be neither empty nor of dots alone")]
    NoPart(String),
}

/// A value that a variable does not take. The sentence never holds the value: one may have been mistaken for another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    /// Which variable; of a name that is none, that name.
    pub name: String,
    /// What is wrong and what would be right.
    pub sentence: String,
}

/// A URL with its variables filled in. A value at its very beginning is an origin and stands as it is; anywhere else all
/// but letters, digits and `-._~` is escaped.
///
/// # Errors
/// When a variable has no value, or the one at the beginning is no origin.
pub fn fill(url: &str, variables: &BTreeMap<String, String>) -> Result<String, Unfilled> {
    with(url, |name, at| {
        let value = variables
            .get(name)
            .ok_or_else(|| Unfilled::Missing(name.to_owned()))?;
        if at > 0 && value.bytes().all(|c| c == b'.') {
            return Err(Unfilled::NoPart(name.to_owned()));
        }
        if at > 0 {
            return Ok(Some(escaped(value)));
        }
        let is_origin = Url::parse(value).is_ok_and(|parsed| {
            matches!(parsed.scheme(), "http" | "https") && parsed.origin().ascii_serialization() == *value
        });
        if is_origin {
            Ok(Some(value.clone()))
        } else {
            Err(Unfilled::NoOrigin(name.to_owned()))
        }
    })
}

/// A parameter's or field's value with its variables filled in as they are: whoever writes the request escapes it.
///
/// # Errors
/// When a variable has no value.
pub fn fill_value(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Unfilled> {
    with(text, |name, _| {
        let value = variables.get(name);
        value
            .map(|value| Some(value.clone()))
            .ok_or_else(|| Unfilled::Missing(name.to_owned()))
    })
}

/// The names of the variables in a text, in their order.
#[must_use]
pub fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let read = with::<()>(text, |name, _| {
        found.push(name.to_owned());
        Ok(None)
    });
    debug_assert!(read.is_ok(), "nothing here fails");
    found
}

/// The entry with the app's own variables filled into every URL. Those of sessions, answers and callbacks stay.
///
/// # Errors
/// When one of them has a value that is no origin where one must be.
pub fn with_app(provider: &Provider, variables: &BTreeMap<String, String>) -> Result<Provider, Unfilled> {
    let of_app: BTreeMap<String, String> = variables
        .iter()
        .filter(|(name, _)| {
            provider
                .variables
                .iter()
                .any(|known| known.from == VariableFrom::App && known.name == **name)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut filled = provider.clone();
    for url in urls(&mut filled) {
        *url = with(url, |name, at| {
            if !of_app.contains_key(name) {
                return Ok(None);
            }
            // The text before it decides, so the variable is filled where it stands.
            let lead = if at == 0 { "" } else { "-" };
            let value = fill(&format!("{lead}{{{name}}}"), &of_app)?;
            Ok(Some(value[lead.len()..].to_owned()))
        })?;
    }
    filled
        .variables
        .retain(|variable| variable.from != VariableFrom::App);
    Ok(filled)
}

/// All URLs of an entry, to be looked at or changed.
pub(super) fn urls(provider: &mut Provider) -> Vec<&mut String> {
    let mut urls = Vec::new();
    if let Some(oauth) = &mut provider.oauth {
        urls.push(&mut oauth.authorize_url);
        urls.push(&mut oauth.token_url);
        urls.extend(&mut oauth.refresh_url);
        urls.extend(oauth.revoke.as_mut().map(|revoke| &mut revoke.url));
        urls.extend(&mut oauth.issuer);
        urls.extend(&mut oauth.issuer_also);
        urls.extend(&mut oauth.jwks_url);
    }
    if let Some(api) = &mut provider.api {
        urls.push(&mut api.base);
        urls.extend(api.bases.values_mut());
    }
    if let Some(super::provider::IdentityFrom::Call(call)) =
        provider.identity.as_mut().map(|identity| &mut identity.from)
    {
        urls.push(&mut call.url);
    }
    urls.extend(provider.check.as_mut().map(|check| &mut check.url));
    urls
}

/// Values that a person gave with an app or a session: each must be a variable of the entry from there, have its form,
/// and none may be missing. Defaults are put in; origins come back as they are written in URLs.
///
/// # Errors
/// The first value that is refused, unknown or missing.
pub fn admit(
    provider: &Provider,
    from: VariableFrom,
    given: &BTreeMap<String, String>,
    policy: &Policy,
) -> Result<BTreeMap<String, String>, Refused> {
    let known: Vec<&Variable> = provider
        .variables
        .iter()
        .filter(|variable| variable.from == from)
        .collect();
    for name in given.keys() {
        if !known.iter().any(|variable| variable.name == *name) {
            return Err(Refused {
                name: name.clone(),
                sentence: format!("{} knows no such variable here", provider.name),
            });
        }
    }
    let mut admitted = BTreeMap::new();
    for variable in known {
        let value = given
            .get(&variable.name)
            .or(variable.default.as_ref())
            .ok_or_else(|| Refused {
                name: variable.name.clone(),
                sentence: format!("{} is missing", variable.label),
            })?;
        admitted.insert(variable.name.clone(), admit_value(variable, value, policy)?);
    }
    Ok(admitted)
}

/// Values that came with an answer or a callback: what is a variable of the entry from there must have its form; all else
/// passes as it came, since it gets into no URL.
///
/// # Errors
/// The first variable whose value is refused, or that is missing.
pub fn admit_learned(
    provider: &Provider,
    from: VariableFrom,
    learned: &BTreeMap<String, String>,
    policy: &Policy,
) -> Result<BTreeMap<String, String>, Refused> {
    let variables: BTreeMap<String, String> = learned
        .iter()
        .filter(|(name, _)| {
            provider
                .variables
                .iter()
                .any(|known| known.from == from && known.name == **name)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut admitted = learned.clone();
    // A name that is a variable from elsewhere must not come in through this door.
    admitted.retain(|name, _| provider.variables.iter().all(|known| known.name != *name));
    admitted.extend(admit(provider, from, &variables, policy)?);
    Ok(admitted)
}

/// One value of one variable, judged by its form.
///
/// # Errors
/// When it has not that form.
pub fn admit_value(variable: &Variable, value: &str, policy: &Policy) -> Result<String, Refused> {
    let refused = |wanted: String| Refused {
        name: variable.name.clone(),
        sentence: format!("{} must be {wanted}", variable.label),
    };
    if value.is_empty() || value.len() > MAX_VALUE {
        return Err(refused(format!("1 to {MAX_VALUE} characters long")));
    }
    match &variable.form {
        VariableForm::Word => {
            let form = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
            let holds = value.len() <= 64
                && value.bytes().all(form)
                && !value.starts_with('-')
                && !value.ends_with('-');
            holds
                .then(|| value.to_owned())
                .ok_or_else(|| refused("of letters, digits, `-` and `_`, at most 64".to_owned()))
        }
        VariableForm::Label => {
            let form = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            let holds = value.len() <= 63 && value.bytes().all(form) && !value.starts_with('-');
            holds
                .then(|| value.to_owned())
                .ok_or_else(|| refused("of lower-case letters, digits and `-`, at most 63".to_owned()))
        }
        VariableForm::Digits => (value.len() <= 32 && value.bytes().all(|c| c.is_ascii_digit()))
            .then(|| value.to_owned())
            .ok_or_else(|| refused("of digits, at most 32".to_owned())),
        VariableForm::OriginUnder(parents) => origin(value, policy)
            .filter(|url| url.scheme() == "https")
            .filter(|url| {
                let host = url.host_str().unwrap_or_default();
                parents.iter().any(|parent| {
                    host.strip_suffix(parent.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
                })
            })
            .map(|url| url.origin().ascii_serialization())
            .ok_or_else(|| refused(format!("an https origin under {}", parents.join(" or ")))),
        VariableForm::Origin => origin(value, policy)
            .map(|url| url.origin().ascii_serialization())
            .ok_or_else(|| {
                refused("an origin that can be reached from here, such as https://example.com".to_owned())
            }),
    }
}

/// A URL that is nothing but an origin, and may be called.
fn origin(value: &str, policy: &Policy) -> Option<Url> {
    let target = policy.judge(value).ok()?;
    let url = Url::parse(target.as_str()).ok()?;
    let bare = url.path() == "/" && url.query().is_none() && !value.contains('#');
    bare.then_some(url)
}

/// Goes through a text and asks at each `{name}` what stands for it; `None` leaves it. The second argument is where the
/// variable begins. Braces around anything but a name are text.
fn with<E>(text: &str, mut value: impl FnMut(&str, usize) -> Result<Option<String>, E>) -> Result<String, E> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        filled.push_str(before);
        let at = text.len() - from_brace.len();
        let inside = &from_brace[1..];
        let name = inside.split('}').next().unwrap_or_default();
        if name.len() < inside.len() && is_name(name) {
            match value(name, at)? {
                Some(value) => filled.push_str(&value),
                None => filled.push_str(&from_brace[..name.len() + 2]),
            }
            rest = &inside[name.len() + 1..];
        } else {
            filled.push('{');
            rest = inside;
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// Whether a text can be a variable's name.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Percent-encoding of all but RFC 3986's unreserved characters: read alike in paths, hosts, queries and forms.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests;
