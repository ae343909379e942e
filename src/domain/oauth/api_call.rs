//! A call to a provider's API with a token or a key: to see whether it is good, and whose it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::provider::{Api, Check, Provider, TokenPlace};
use super::template::{self, Unfilled};
use super::{Request, Secret};

/// The request of a check.
///
/// # Errors
/// When a variable of its URL has no value.
pub fn request(
    provider: &Provider,
    check: &Check,
    token: &Secret,
    user: Option<&str>,
    variables: &BTreeMap<String, String>,
) -> Result<Request, Unfilled> {
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    let api = provider.api.as_ref();
    headers.push(place(api.map(|api| &api.place), token, user));
    let more = api.into_iter().flat_map(|api| &api.headers);
    headers.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    if check.body.is_some() {
        let content_type = check.content_type.as_deref().unwrap_or("application/json");
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
    }
    Ok(Request {
        method: if check.method.eq_ignore_ascii_case("POST") {
            "POST"
        } else {
            "GET"
        },
        url: template::fill(&check.url, variables)?,
        headers,
        body: check.body.clone().unwrap_or_default().into_bytes(),
    })
}

/// The header in which the token stands. By default `Authorization: Bearer` (RFC 6750 section 2.1).
#[must_use]
pub fn place(place: Option<&TokenPlace>, token: &Secret, user: Option<&str>) -> (String, String) {
    let authorization = |value| ("Authorization".to_owned(), value);
    match place {
        None | Some(TokenPlace::Bearer) => authorization(format!("Bearer {}", token.reveal())),
        Some(TokenPlace::Basic) => {
            let pair = match user {
                Some(user) => format!("{user}:{}", token.reveal()),
                None => format!("{}:", token.reveal()),
            };
            authorization(format!("Basic {}", BASE64_STANDARD.encode(pair)))
        }
        Some(TokenPlace::Header(name)) => (name.clone(), token.reveal().to_owned()),
    }
}

/// The API with all variables filled in.
///
/// # Errors
/// When a variable of a base has no value.
pub fn filled(api: &Api, variables: &BTreeMap<String, String>) -> Result<Api, Unfilled> {
    let mut filled = api.clone();
    filled.base = template::fill(&api.base, variables)?;
    for base in filled.bases.values_mut() {
        *base = template::fill(base, variables)?;
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_where_the_provider_wants_it() {
        let key = Secret("sk_1".to_owned());
        let of = |form: TokenPlace, user| place(Some(&form), &key, user).1;
        assert_eq!(of(TokenPlace::Bearer, None), "Bearer sk_1");
        // RFC 7617 section 2
        assert_eq!(of(TokenPlace::Basic, Some("AC1")), "Basic QUMxOnNrXzE=");
        assert_eq!(of(TokenPlace::Basic, None), "Basic c2tfMTo=");
        let named = TokenPlace::Header("x-api-key".to_owned());
        assert_eq!(
            place(Some(&named), &key, None),
            ("x-api-key".to_owned(), "sk_1".to_owned())
        );
    }
}
