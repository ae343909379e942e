#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;

use url::Url;

use super::*;
use crate::oauth::catalogue::find;

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

struct Given {
    state: Secret,
    verifier: Option<Secret>,
    nonce: Option<Secret>,
    scopes: Vec<String>,
    account: Option<String>,
    variables: BTreeMap<String, String>,
}

fn given() -> Given {
    Given {
        state: Secret("the state".to_owned()),
        verifier: Some(Secret(VERIFIER.to_owned())),
        nonce: Some(Secret("the nonce".to_owned())),
        scopes: Vec::new(),
        account: None,
        variables: BTreeMap::new(),
    }
}

impl Given {
    fn ask(&self) -> Ask<'_> {
        Ask {
            client_id: "client & id",
            redirect_uri: "https://postern.example/oauth/callback/oapp_1",
            state: &self.state,
            scopes: &self.scopes,
            verifier: self.verifier.as_ref(),
            nonce: self.nonce.as_ref(),
            reconnect_account: self.account.as_deref(),
            variables: &self.variables,
        }
    }
}

/// The parameters of a URL; each must be there once.
fn parameters(url: &str) -> BTreeMap<String, String> {
    let url = Url::parse(url).unwrap();
    let mut found = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        let before = found.insert(name.to_string(), value.to_string());
        assert_eq!(before, None, "{name} stands twice");
    }
    found
}

fn has(found: &BTreeMap<String, String>, name: &str) -> String {
    found.get(name).cloned().unwrap_or_default()
}

#[test]
fn what_the_protocol_wants_stands_in_the_url() {
    let given = given();
    let found = url(&find("google").unwrap(), &given.ask()).unwrap();
    assert!(found.starts_with("https://accounts.google.com/o/oauth2/v2/auth?response_type=code&"));
    let found = parameters(&found);
    assert_eq!(has(&found, "client_id"), "client & id");
    assert_eq!(
        has(&found, "redirect_uri"),
        "https://postern.example/oauth/callback/oapp_1"
    );
    assert_eq!(has(&found, "state"), "the state");
    assert_eq!(has(&found, "nonce"), "the nonce");
    assert_eq!(has(&found, "code_challenge"), CHALLENGE);
    assert_eq!(has(&found, "code_challenge_method"), "S256");
    assert_eq!(has(&found, "access_type"), "offline");
    assert_eq!(has(&found, "prompt"), "consent");
    assert!(!found.contains_key("login_hint"), "nobody is reconnected");
    assert!(
        !found.values().any(|value| value == VERIFIER),
        "the verifier stays here"
    );
}

#[test]
fn the_entrys_own_scopes_come_first_and_none_twice() {
    let mut given = given();
    given.scopes = vec![
        "https://www.googleapis.com/auth/gmail.readonly".to_owned(),
        "openid".to_owned(),
    ];
    let found = parameters(&url(&find("google").unwrap(), &given.ask()).unwrap());
    assert_eq!(
        has(&found, "scope"),
        "openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/gmail.readonly"
    );
}

#[test]
fn a_blank_in_a_scope_list_is_escaped_so_that_no_reader_takes_it_for_a_plus() {
    let given = given();
    let found = url(&find("google").unwrap(), &given.ask()).unwrap();
    assert!(found.contains("scope=openid%20https%3A%2F%2F"));
    assert!(!found.contains('+'));
}

#[test]
fn slack_gets_commas_and_no_pkce() {
    let mut given = given();
    given.scopes = vec!["chat:write".to_owned(), "channels:read".to_owned()];
    let found = parameters(&url(&find("slack").unwrap(), &given.ask()).unwrap());
    assert_eq!(has(&found, "scope"), "chat:write,channels:read");
    assert!(!found.contains_key("code_challenge"));
    assert!(!found.contains_key("nonce"), "Slack's way here has no id token");

    let found = parameters(&url(&find("slack-user").unwrap(), &given.ask()).unwrap());
    assert_eq!(has(&found, "user_scope"), "chat:write,channels:read");
    assert!(!found.contains_key("scope"));
}

#[test]
fn on_reconnect_the_account_is_hinted() {
    let mut given = given();
    given.account = Some("ann@example.com".to_owned());
    let found = parameters(&url(&find("google").unwrap(), &given.ask()).unwrap());
    assert_eq!(has(&found, "login_hint"), "ann@example.com");
    let found = parameters(&url(&find("github").unwrap(), &given.ask()).unwrap());
    assert_eq!(has(&found, "login"), "ann@example.com");
}

#[test]
fn a_provider_without_scopes_is_asked_for_none_and_refuses_any() {
    let mut given = given();
    let found = parameters(&url(&find("notion").unwrap(), &given.ask()).unwrap());
    assert!(!found.contains_key("scope"));
    assert_eq!(has(&found, "owner"), "user");
    given.scopes = vec!["read".to_owned()];
    assert_eq!(
        url(&find("notion").unwrap(), &given.ask()),
        Err(Unasked::TakesNoScopes)
    );
}

#[test]
fn variables_fill_the_endpoint_and_a_missing_one_stops_it() {
    let mut given = given();
    let shopify = find("shopify").unwrap();
    assert_eq!(
        url(&shopify, &given.ask()),
        Err(Unasked::Unfilled(Unfilled::Missing("shop".to_owned())))
    );
    given.variables.insert("shop".to_owned(), "acme".to_owned());
    let found = url(&shopify, &given.ask()).unwrap();
    assert!(found.starts_with("https://acme.myshopify.com/admin/oauth/authorize?"));
}

#[test]
fn without_a_verifier_or_nonce_nothing_is_asked() {
    let google = find("google").unwrap();
    let mut no_verifier = given();
    no_verifier.verifier = None;
    assert_eq!(url(&google, &no_verifier.ask()), Err(Unasked::NoVerifier));
    no_verifier.verifier = Some(Secret("short".to_owned()));
    assert_eq!(url(&google, &no_verifier.ask()), Err(Unasked::NoVerifier));
    let mut no_nonce = given();
    no_nonce.nonce = None;
    assert_eq!(url(&google, &no_nonce.ask()), Err(Unasked::NoNonce));
}

#[test]
fn no_entry_sets_what_is_the_attempts() {
    for name in RESERVED {
        let mut provider = find("github").unwrap();
        let oauth = provider.oauth.as_mut().unwrap();
        oauth.authorize_parameters.insert(name.to_owned(), "x".to_owned());
        let given = given();
        assert_eq!(
            url(&provider, &given.ask()),
            Err(Unasked::Reserved(name.to_owned()))
        );

        let mut provider = find("github").unwrap();
        let oauth = provider.oauth.as_mut().unwrap();
        oauth.authorize_url = format!("https://github.com/login/oauth/authorize?{name}=x");
        assert_eq!(
            url(&provider, &given.ask()),
            Err(Unasked::Reserved(name.to_owned()))
        );
    }
}

#[test]
fn an_endpoint_with_a_query_of_its_own_keeps_it() {
    let mut provider = find("github").unwrap();
    provider.oauth.as_mut().unwrap().authorize_url = "https://login.example.com/authorize?realm=a".to_owned();
    let found = url(&provider, &given().ask()).unwrap();
    assert!(found.starts_with("https://login.example.com/authorize?realm=a&response_type=code&"));
    assert_eq!(has(&parameters(&found), "realm"), "a");
}

#[test]
fn more_than_browsers_take_is_refused_before_anybody_is_sent_there() {
    let mut given = given();
    given.scopes = (0..2000).map(|number| format!("scope{number}")).collect();
    assert_eq!(url(&find("github").unwrap(), &given.ask()), Err(Unasked::TooLong));
}

#[test]
fn an_api_key_is_not_asked_for_in_a_browser() {
    assert_eq!(
        url(&find("openai").unwrap(), &given().ask()),
        Err(Unasked::NoOAuth)
    );
    let account = find("google-service-account").unwrap();
    assert_eq!(url(&account, &given().ask()), Err(Unasked::NoOAuth));
}

#[test]
fn every_entry_for_browsers_gives_a_url() {
    let mut given = given();
    for (name, value) in [
        ("shop", "acme"),
        ("tenant", "common"),
        ("login", "https://login.salesforce.com"),
    ] {
        given.variables.insert(name.to_owned(), value.to_owned());
    }
    let mut seen = 0;
    for provider in crate::oauth::catalogue::all() {
        let blank = matches!(provider.id.as_str(), "oidc" | "oauth2");
        if blank || !matches!(provider.kind, Kind::Oauth2 | Kind::Oidc) {
            continue;
        }
        let found = parameters(&url(&provider, &given.ask()).unwrap());
        let pkce = provider.oauth.unwrap().pkce == Pkce::S256;
        assert_eq!(found.contains_key("code_challenge"), pkce, "{}", provider.id);
        seen += 1;
    }
    assert!(seen >= 19, "{seen}");
}

#[test]
fn what_is_asked_is_said_in_words_and_machinery_is_not() {
    let google = find("google").unwrap().oauth.unwrap();
    let asked = [
        "https://www.googleapis.com/auth/gmail.readonly".to_owned(),
        "https://www.googleapis.com/auth/something".to_owned(),
    ];
    assert_eq!(
        in_words(&google, &asked),
        [
            "See your e-mail address",
            "Read your e-mail and its settings",
            "https://www.googleapis.com/auth/something",
        ]
    );
}
