//! Requests, against the crate `oauth2`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use oauth2::basic::BasicClient;
use oauth2::http::Response;
use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, HttpRequest, HttpResponse, PkceCodeVerifier,
    RedirectUrl, RefreshToken, TokenUrl,
};
use postern_domain::oauth::provider::ClientAuth;
use postern_domain::oauth::{Client, Request, Secret, token_request};
use proptest::prelude::*;

use crate::provider;

const REDIRECT: &str = "https://postern.example/oauth/callback/oapp_1";

/// What of a request has a meaning: the order of fields and of headers has none.
type Meaning = (
    String,
    String,
    BTreeMap<String, String>,
    BTreeSet<(String, String)>,
);

fn pairs(body: &[u8]) -> BTreeSet<(String, String)> {
    // The crate depends on it too; what a form means is not what is compared here.
    oauth2::url::form_urlencoded::parse(body).into_owned().collect()
}

fn theirs(request: &HttpRequest) -> Meaning {
    let headers = request.headers().iter().map(|(name, value)| {
        (
            name.as_str().to_ascii_lowercase(),
            value.to_str().unwrap().to_owned(),
        )
    });
    (
        request.method().to_string(),
        request.uri().to_string(),
        headers.collect(),
        pairs(request.body()),
    )
}

fn ours(request: &Request) -> Meaning {
    let headers = request.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    (
        request.method.to_owned(),
        request.url.clone(),
        headers.collect(),
        pairs(&request.body),
    )
}

/// Notes what it is asked, and answers anything.
fn noting(
    seen: &RefCell<Option<HttpRequest>>,
) -> impl Fn(HttpRequest) -> Result<HttpResponse, std::io::Error> {
    |request| {
        seen.replace(Some(request));
        Ok(Response::builder().status(500).body(Vec::new()).unwrap())
    }
}

proptest! {
    #[test]
    fn an_exchange_and_a_refresh_are_the_requests_that_oauth2_makes(
        id in "\\PC{1,20}", secret in prop::option::of("\\PC{1,20}"), code in "\\PC{1,40}", verifier in "[A-Za-z0-9._~-]{43}",
        basic: bool,
    ) {
        let mut client = BasicClient::new(ClientId::new(id.clone()))
            .set_token_uri(TokenUrl::new("https://as.example/token".to_owned()).unwrap())
            .set_redirect_uri(RedirectUrl::new(REDIRECT.to_owned()).unwrap())
            .set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        if let Some(secret) = &secret {
            client = client.set_client_secret(ClientSecret::new(secret.clone()));
        }
        let entry = provider(|oauth| {
            oauth.client_auth = if basic { ClientAuth::Basic } else { ClientAuth::Post };
        });
        let own = Client { id, secret: secret.map(Secret) };
        let seen = RefCell::new(None);
        let none = BTreeMap::new();

        let answer = client
            .exchange_code(AuthorizationCode::new(code.clone()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.clone()))
            .request(&noting(&seen));
        prop_assert!(answer.is_err());
        let request = token_request::exchange(
            &entry, &own, &Secret(code.clone()), Some(&Secret(verifier)), REDIRECT, &none,
        ).unwrap();
        prop_assert_eq!(ours(&request), theirs(&seen.take().unwrap()));

        let answer = client.exchange_refresh_token(&RefreshToken::new(code.clone())).request(&noting(&seen));
        prop_assert!(answer.is_err());
        let request = token_request::refresh(&entry, &own, &Secret(code), &none).unwrap();
        prop_assert_eq!(ours(&request), theirs(&seen.take().unwrap()));
    }
}
