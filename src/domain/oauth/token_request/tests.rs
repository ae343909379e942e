use proptest::prelude::*;

use super::*;
use crate::oauth::test_provider;

fn client() -> Client {
    Client {
        id: "the client".to_owned(),
        secret: Some(Secret("s:e/c+r e&t".to_owned())),
    }
}

fn with(change: impl FnOnce(&mut OAuth)) -> Provider {
    let mut provider = test_provider();
    change(provider.oauth.as_mut().unwrap());
    provider
}

fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

fn exchange_of(provider: &Provider, client: &Client) -> Request {
    let verifier = secret("verifier");
    let variables = BTreeMap::new();
    exchange(
        provider,
        client,
        &secret("co+de"),
        Some(&verifier),
        "https://p.example/oauth/callback/oapp_1",
        &variables,
    )
    .unwrap()
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut all = request
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let found = all.next();
    assert!(all.next().is_none(), "{name} stands once");
    found.map(|(_, value)| value.as_str())
}

fn form(request: &Request) -> BTreeMap<String, String> {
    let pairs: Vec<_> = form_urlencoded::parse(&request.body).into_owned().collect();
    let map: BTreeMap<String, String> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "each field stands once");
    map
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn a_code_is_exchanged_with_the_secret_in_the_body_where_the_entry_says_so() {
    let request = exchange_of(&with(|oauth| oauth.client_auth = ClientAuth::Post), &client());
    assert_eq!(
        (request.method, request.url.as_str()),
        ("POST", "https://as.example/token")
    );
    assert_eq!(header(&request, "accept"), Some("application/json"));
    assert_eq!(
        header(&request, "content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(header(&request, "authorization"), None);
    assert_eq!(
        form(&request),
        texts(&[
            ("grant_type", "authorization_code"),
            ("code", "co+de"),
            ("redirect_uri", "https://p.example/oauth/callback/oapp_1"),
            ("code_verifier", "verifier"),
            ("client_id", "the client"),
            ("client_secret", "s:e/c+r e&t"),
        ])
    );
}

#[test]
fn basic_form_encodes_id_and_secret_and_leaves_both_out_of_the_body() {
    let request = exchange_of(&with(|oauth| oauth.client_auth = ClientAuth::Basic), &client());
    let value = header(&request, "authorization")
        .unwrap()
        .strip_prefix("Basic ")
        .unwrap();
    let pair = String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap();
    assert_eq!(pair, "the+client:s%3Ae%2Fc%2Br+e%26t");
    let fields = form(&request);
    assert!(!fields.contains_key("client_id") && !fields.contains_key("client_secret"));
}

#[test]
fn a_public_client_shows_its_id_alone_whatever_the_entry_says() {
    let public = Client {
        secret: None,
        ..client()
    };
    for way in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None] {
        let request = exchange_of(&with(|oauth| oauth.client_auth = way), &public);
        assert_eq!(header(&request, "authorization"), None);
        assert_eq!(form(&request)["client_id"], "the client");
        assert!(!form(&request).contains_key("client_secret"));
    }
    // And a secret that the entry does not want is not sent.
    let request = exchange_of(&with(|oauth| oauth.client_auth = ClientAuth::None), &client());
    assert!(!form(&request).contains_key("client_secret"));
}

#[test]
fn notion_gets_json_and_basic_with_its_header() {
    let notion = with(|oauth| {
        oauth.client_auth = ClientAuth::Basic;
        oauth.body = BodyForm::Json;
        oauth.token_headers = texts(&[
            ("Notion-Version", "2022-06-28"),
            ("accept", "application/vnd.x+json"),
        ]);
    });
    let request = exchange_of(&notion, &client());
    assert_eq!(header(&request, "content-type"), Some("application/json"));
    assert_eq!(header(&request, "notion-version"), Some("2022-06-28"));
    assert_eq!(header(&request, "accept"), Some("application/vnd.x+json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["grant_type"], "authorization_code");
    assert_eq!(body["code"], "co+de");
}

#[test]
fn an_entry_cannot_replace_the_protocols_fields_or_the_clients_credentials() {
    let entry = with(|oauth| {
        oauth.client_auth = ClientAuth::Basic;
        oauth.token_parameters = texts(&[("grant_type", "password"), ("expiring", "1")]);
        oauth.token_headers = texts(&[("Authorization", "Basic x"), ("Content-Type", "text/plain")]);
    });
    let request = exchange_of(&entry, &client());
    assert_eq!(form(&request)["grant_type"], "authorization_code");
    assert_eq!(form(&request)["expiring"], "1");
    assert_ne!(header(&request, "authorization"), Some("Basic x"));
    assert_ne!(header(&request, "content-type"), Some("text/plain"));
}

#[test]
fn a_refresh_goes_to_its_own_url_where_there_is_one_and_asks_for_what_was_granted() {
    let entry = with(|oauth| oauth.refresh_url = Some("https://{shop}.example/refresh".to_owned()));
    let request = refresh(&entry, &client(), &secret("rt"), &texts(&[("shop", "s1")])).unwrap();
    assert_eq!(request.url, "https://s1.example/refresh");
    assert_eq!(form(&request)["refresh_token"], "rt");
    assert_eq!(form(&request)["grant_type"], "refresh_token");
    assert!(!form(&request).contains_key("scope"));
    assert_eq!(
        refresh(&entry, &client(), &secret("rt"), &BTreeMap::new()),
        Err(Unmade::Variable(Unfilled::Missing("shop".to_owned())))
    );
}

/// The ways of table A.
#[test]
fn a_grant_is_revoked_in_each_providers_way() {
    let make = |revoke: Value, access: Option<&str>, refresh: Option<&str>| {
        let entry = with(|oauth| oauth.revoke = Some(serde_json::from_value(revoke).unwrap()));
        let (access, refresh) = (access.map(secret), refresh.map(secret));
        super::revoke(
            &entry,
            &client(),
            access.as_ref(),
            refresh.as_ref(),
            Some("acct_1"),
            &BTreeMap::new(),
        )
    };
    // Google: a form with the token alone.
    let google = json!({"url": "https://as.example/revoke", "token": "refresh"});
    let request = make(google.clone(), Some("at"), Some("rt")).unwrap();
    assert_eq!(form(&request), texts(&[("token", "rt")]));
    assert_eq!(header(&request, "authorization"), None);
    // Without a refresh token the access token ends the grant.
    assert_eq!(
        form(&make(google.clone(), Some("at"), None).unwrap())["token"],
        "at"
    );
    assert_eq!(make(google, None, None), Err(Unmade::NoRevoke));
    // GitHub: DELETE with the client's id in the path, Basic, JSON.
    let github = json!({
        "method": "DELETE", "url": "https://api.example/applications/{client_id}/grant", "token": "access",
        "clientAuth": "basic", "body": "json", "tokenField": "access_token",
    });
    let request = make(github, Some("at"), None).unwrap();
    assert_eq!(request.method, "DELETE");
    assert!(request.url.ends_with("/grant") && !request.url.contains('{'));
    assert_eq!(request.body, br#"{"access_token":"at"}"#);
    assert!(header(&request, "authorization").unwrap().starts_with("Basic "));
    // Dropbox: the access token as a Bearer, no body.
    let dropbox = json!({"url": "https://as.example/revoke", "token": "access", "bearer": true});
    let request = make(dropbox, Some("at"), Some("rt")).unwrap();
    assert_eq!(header(&request, "authorization"), Some("Bearer at"));
    assert!(request.body.is_empty());
    // Stripe: whose grant it is, with the client's own credentials.
    let stripe = json!({
        "url": "https://as.example/deauthorize", "token": "none", "clientAuth": "post",
        "fields": {"stripe_user_id": "{account}"},
    });
    let fields = form(&make(stripe, None, None).unwrap());
    assert_eq!(fields["stripe_user_id"], "acct_1");
    assert_eq!(fields["client_id"], "the client");
    // Supabase: id, secret and refresh token as JSON.
    let supabase = json!({
        "url": "https://as.example/revoke", "token": "refresh", "clientAuth": "post", "body": "json",
        "tokenField": "refresh_token",
    });
    let body: Value = serde_json::from_slice(&make(supabase, Some("at"), Some("rt")).unwrap().body).unwrap();
    assert_eq!(body["refresh_token"], "rt");
    assert_eq!(body["client_secret"], "s:e/c+r e&t");
    // None known.
    let none = super::revoke(
        &test_provider(),
        &client(),
        None,
        Some(&secret("rt")),
        None,
        &BTreeMap::new(),
    );
    assert_eq!(none, Err(Unmade::NoRevoke));
}

#[test]
fn a_service_account_asserts_who_it_is_for_an_hour() {
    let scopes = ["a".to_owned(), "b".to_owned()];
    let assertion = Assertion {
        issuer: "robot@project.example",
        subject: Some("ann@example.com"),
        key_id: Some("k1"),
        scopes: &scopes,
        now: Millis(1_700_000_000_999),
    };
    let signed = jwt_bearer_claims(&test_provider(), &assertion, &BTreeMap::new()).unwrap();
    let part = |at: usize| -> Value {
        let text = signed.split('.').nth(at).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    assert_eq!(
        part(1),
        json!({
            "iss": "robot@project.example", "sub": "ann@example.com", "aud": "https://as.example/token",
            "scope": "a b", "iat": 1_700_000_000, "exp": 1_700_003_600,
        })
    );
    let request = jwt_bearer(&test_provider(), &signed, &[1, 2, 3], &BTreeMap::new()).unwrap();
    assert_eq!(
        form(&request),
        texts(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &format!("{signed}.AQID")),
        ])
    );
    assert_eq!(header(&request, "authorization"), None);
}

proptest! {
    #[test]
    fn whatever_the_secrets_are_they_come_back_out_of_the_form_and_never_stand_in_the_url(
        code: String, verifier: String, secret_text: String, id: String,
    ) {
        let entry = with(|oauth| oauth.client_auth = ClientAuth::Post);
        let client = Client { id: id.clone(), secret: Some(Secret(secret_text.clone())) };
        let request = exchange(&entry, &client, &Secret(code.clone()), Some(&Secret(verifier.clone())), "r", &BTreeMap::new()).unwrap();
        let fields = form(&request);
        prop_assert_eq!(&fields["code"], &code);
        prop_assert_eq!(&fields["code_verifier"], &verifier);
        prop_assert_eq!(&fields["client_secret"], &secret_text);
        prop_assert_eq!(&fields["client_id"], &id);
        prop_assert_eq!(request.url, "https://as.example/token");
    }

    #[test]
    fn basic_is_read_back_as_rfc_6749_section_2_3_1_writes_it(id: String, secret_text: String) {
        let entry = with(|oauth| oauth.client_auth = ClientAuth::Basic);
        let client = Client { id: id.clone(), secret: Some(Secret(secret_text.clone())) };
        let request = refresh(&entry, &client, &secret("rt"), &BTreeMap::new()).unwrap();
        let value = header(&request, "authorization").unwrap().strip_prefix("Basic ").unwrap().to_owned();
        let pair = String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap();
        let (one, other) = pair.split_once(':').unwrap();
        let decode = |text: &str| {
            let all = form_urlencoded::parse(text.as_bytes()).into_owned().next();
            all.map(|(name, _)| name).unwrap_or_default()
        };
        prop_assert_eq!(decode(one), id);
        prop_assert_eq!(decode(other), secret_text);
    }
}
