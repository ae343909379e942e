//! Answers of token endpoints, against the crate `oauth2`.

use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::http::Response;
use oauth2::{
    AuthorizationCode, ClientId, HttpRequest, HttpResponse, RequestTokenError, TokenResponse as _, TokenUrl,
};
use postern_domain::oauth::outcome::{self, Refusal};
use postern_domain::oauth::{Ended, TokenSet};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::provider;

/// What a token answer says, in the form in which both can be compared.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    access: String,
    refresh: Option<String>,
    seconds: Option<u64>,
    scopes: Option<Vec<String>>,
}

/// The error's code and sentence, as far as there are any.
type Failed = Option<(String, Option<String>)>;

fn theirs(status: u16, content_type: Option<&str>, body: &str) -> Result<Told, Failed> {
    let client = BasicClient::new(ClientId::new("client".to_owned()))
        .set_token_uri(TokenUrl::new("https://as.example/token".to_owned()).unwrap());
    let answer = |_: HttpRequest| -> Result<HttpResponse, std::io::Error> {
        let mut response = Response::builder().status(status);
        if let Some(content_type) = content_type {
            response = response.header("content-type", content_type);
        }
        Ok(response.body(body.as_bytes().to_vec()).unwrap())
    };
    let read: Result<BasicTokenResponse, _> = client
        .exchange_code(AuthorizationCode::new("code".to_owned()))
        .request(&answer);
    match read {
        Ok(tokens) => Ok(Told {
            access: tokens.access_token().secret().clone(),
            refresh: tokens.refresh_token().map(|token| token.secret().clone()),
            seconds: tokens.expires_in().map(|duration| duration.as_secs()),
            scopes: tokens
                .scopes()
                .map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect()),
        }),
        Err(RequestTokenError::ServerResponse(error)) => Err(Some((
            error.error().to_string(),
            error.error_description().cloned(),
        ))),
        Err(_) => Err(None),
    }
}

fn ours_whole(status: u16, content_type: Option<&str>, body: &str) -> Result<TokenSet, Refusal> {
    let ended = Ended {
        status: Some(status),
        cause: None,
        content_type: content_type.unwrap_or_default().to_owned(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        cut: false,
    };
    outcome::read(&provider(|_| {}), &ended)
}

fn ours(status: u16, content_type: Option<&str>, body: &str) -> Result<Told, Failed> {
    match ours_whole(status, content_type, body) {
        Ok(tokens) => Ok(Told {
            access: tokens.access_token.reveal().to_owned(),
            refresh: tokens.refresh_token.map(|token| token.reveal().to_owned()),
            seconds: tokens.expires_in,
            scopes: tokens.scopes,
        }),
        Err(refusal) => Err(refusal.error.map(|error| (error, refusal.words))),
    }
}

const JSON: Option<&str> = Some("application/json");

proptest! {
    #[test]
    fn a_well_formed_success_is_read_as_oauth2_reads_it(
        access in "[!-~]{1,60}", kind in "[bB][eE][aA][rR][eE][rR]", refresh in prop::option::of("[!-~]{1,60}"),
        seconds in prop::option::of(1_u64..300_000_000),
        scopes in prop::option::of(prop::collection::btree_set("[a-zA-Z:/._-]{1,12}", 1..5)),
        more in prop::collection::btree_map("x_[a-z]{1,8}", "\\PC{0,10}", 0..4),
    ) {
        let mut body = json!({"access_token": access, "token_type": kind});
        for (name, value) in [
            ("refresh_token", refresh.map(Value::from)),
            ("expires_in", seconds.map(Value::from)),
            ("scope", scopes.map(|scopes| scopes.into_iter().collect::<Vec<_>>().join(" ").into())),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        for (name, value) in more {
            body[name] = value.into();
        }
        let body = body.to_string();
        let ours = ours(200, JSON, &body);
        prop_assert!(ours.is_ok());
        prop_assert_eq!(ours, theirs(200, JSON, &body));
    }

    #[test]
    fn a_well_formed_error_is_read_as_oauth2_reads_it(
        status in 400_u16..500, code in "[a-z_]{3,30}", words in prop::option::of("[a-z]{1,8}( [a-z]{1,8}){0,6}"),
    ) {
        let mut body = json!({"error": code});
        if let Some(words) = words {
            body["error_description"] = words.into();
        }
        let body = body.to_string();
        let ours = ours(status, JSON, &body);
        prop_assert!(ours.is_err());
        prop_assert_eq!(ours, theirs(status, JSON, &body));
    }

    /// Whatever comes: where we see a success, they see the same one, but for the differences below.
    #[test]
    fn we_never_see_a_success_where_oauth2_sees_none_but_for_what_is_listed(
        status in prop_oneof![Just(200_u16), Just(201), Just(400)], body in any_answer(),
    ) {
        let text = body.to_string();
        if let Ok(told) = ours(status, JSON, &text) {
            if let Ok(theirs) = theirs(status, JSON, &text) {
                prop_assert_eq!(&told.access, &theirs.access);
                // An empty one is none, and a second is the least.
                prop_assert_eq!(told.refresh, theirs.refresh.filter(|token| !token.is_empty()));
                prop_assert_eq!(told.seconds, theirs.seconds.filter(|seconds| (1..=315_360_000).contains(seconds)));
            } else {
                let seconds_unread = body.get("expires_in").is_some_and(|told| !told.is_null() && !told.is_u64());
                let scope_unread = body.get("scope").is_some_and(|told| !told.is_null() && !told.is_string());
                prop_assert!(status == 201 || seconds_unread || scope_unread, "{} {}", status, text);
            }
        }
    }
}

fn any_answer() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!("bearer")),
        Just(json!("a b")),
        Just(json!("3600")),
        Just(json!(["a"])),
        any::<u32>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[!-~]{1,12}".prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "access_token",
        "token_type",
        "refresh_token",
        "expires_in",
        "scope",
        "error",
        "more",
    ]);
    (prop::collection::btree_map(name, value, 0..5), any::<bool>()).prop_map(|(members, plain)| {
        let mut body = if plain {
            json!({"access_token": "a", "token_type": "bearer"})
        } else {
            json!({})
        };
        for (name, value) in members {
            body[name] = value;
        }
        body
    })
}

/// What one of the two takes and the other does not, or takes otherwise. The reason is why ours is as it is.
#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn the_differences_are_these_and_each_has_its_reason() {
    let plain = r#"{"access_token":"a","token_type":"bearer"}"#;
    let success = |refresh: Option<&str>, seconds, scopes: Option<&[&str]>| {
        Ok(Told {
            access: "a".to_owned(),
            refresh: refresh.map(str::to_owned),
            seconds,
            scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        })
    };
    let error = |code: &str| Err(Some((code.to_owned(), None)));
    for (reason, status, content_type, body, their, own) in [
        (
            "Supabase answers 201",
            201,
            JSON,
            plain,
            Err(None),
            success(None, None, None),
        ),
        (
            "GitHub answers with a form to whoever does not ask for JSON",
            200,
            Some("application/x-www-form-urlencoded"),
            "access_token=a&token_type=bearer",
            Err(None),
            success(None, None, None),
        ),
        (
            "what has no type is not guessed at",
            200,
            None,
            plain,
            success(None, None, None),
            Err(None),
        ),
        (
            "nor what merely begins as the type does",
            200,
            Some("application/jsonp"),
            plain,
            success(None, None, None),
            Err(None),
        ),
        (
            "GitHub's errors come with 200, and are no mistakes of its JSON",
            200,
            JSON,
            r#"{"error":"bad_verification_code"}"#,
            Err(None),
            error("bad_verification_code"),
        ),
        (
            "an error is one though a token stands beside it",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","error":"invalid_grant"}"#,
            success(None, None, None),
            error("invalid_grant"),
        ),
        (
            "a number in quotes is one",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","expires_in":"60"}"#,
            Err(None),
            success(None, Some(60), None),
        ),
        (
            "a life that is nonsense is not told; the token is not thrown away for it",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","expires_in":-1}"#,
            Err(None),
            success(None, None, None),
        ),
        (
            "a token that has ended when it comes would be refreshed at every read",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","expires_in":0}"#,
            success(None, Some(0), None),
            success(None, None, None),
        ),
        (
            "an empty refresh token must not take the place of the old one",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","refresh_token":""}"#,
            success(Some(""), None, None),
            success(None, None, None),
        ),
        (
            "an empty token is none",
            200,
            JSON,
            r#"{"access_token":"","token_type":"bearer"}"#,
            Ok(Told {
                access: String::new(),
                refresh: None,
                seconds: None,
                scopes: None,
            }),
            Err(None),
        ),
        (
            "a token of another type cannot be spent by showing it",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"mac"}"#,
            success(None, None, None),
            Err(None),
        ),
        (
            "a name twice leaves a choice to the reader",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","x":1,"x":2}"#,
            success(None, None, None),
            Err(None),
        ),
        (
            "scopes in a list are scopes",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","scope":["b","c"]}"#,
            Err(None),
            success(None, None, Some(&["b", "c"])),
        ),
        (
            "no scope is none, and not one without a name",
            200,
            JSON,
            r#"{"access_token":"a","token_type":"bearer","scope":""}"#,
            success(None, None, Some(&[""])),
            success(None, None, Some(&[])),
        ),
    ] {
        assert_eq!(theirs(status, content_type, body), their, "oauth2: {reason}");
        assert_eq!(ours(status, content_type, body), own, "Postern: {reason}");
    }
}

/// The crate's own error repeats the body, tokens and all, in its `Debug`.
#[test]
fn a_refusal_of_ours_shows_no_token() {
    let body = r#"{"access_token":"SECRET-TOKEN-1","token_type":"mac","refresh_token":"SECRET-TOKEN-2"}"#;
    let refusal = ours_whole(200, JSON, body).unwrap_err();
    let shown = format!("{refusal:?} {}", serde_json::to_string(&refusal).unwrap());
    assert!(!shown.contains("SECRET"), "{shown}");
}
