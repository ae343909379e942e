use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth::provider::Word;
use crate::oauth::test_provider;

/// An answer.
fn ended(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Ended {
    Ended {
        status: Some(status),
        cause: None,
        content_type: content_type.to_owned(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: body.as_ref().to_vec(),
        cut: false,
    }
}

fn json_answer(status: u16, body: &Value) -> Ended {
    ended(status, "application/json", body.to_string())
}

fn no_answer(cause: Cause) -> Ended {
    Ended {
        status: None,
        cause: Some(cause),
        ..ended(0, "", "")
    }
}

/// What a provider with nothing special makes of it.
fn read_plain(ended: &Ended) -> Result<TokenSet, Refusal> {
    read(&test_provider(), ended)
}

fn read_json(status: u16, body: &Value) -> Result<TokenSet, Refusal> {
    read_plain(&json_answer(status, body))
}

fn with(change: impl FnOnce(&mut OAuth)) -> Provider {
    let mut provider = test_provider();
    change(provider.oauth.as_mut().unwrap());
    provider
}

fn class_of(status: u16, body: &Value) -> (Class, Arrived) {
    let refusal = read_json(status, body).unwrap_err();
    (refusal.class, refusal.arrived)
}

#[test]
fn the_answer_of_rfc_6749_section_5_1_is_a_success() {
    let tokens = read_json(
        200,
        &json!({
            "access_token": "2YotnFZFEjr1zCsicMWpAA",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
            "scope": "read write",
            "example_parameter": {"unknown": ["ignored"]},
        }),
    )
    .unwrap();
    assert_eq!(tokens.access_token.reveal(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(tokens.refresh_token.unwrap().reveal(), "tGzv3JOkF0XG5Qx2TlKWIA");
    assert_eq!(tokens.expires_in, Some(3600));
    assert_eq!(tokens.scopes.unwrap(), ["read", "write"]);
    assert_eq!(tokens.id_token, None);
}

#[test]
fn s19_a_redirect_of_the_token_endpoint_is_a_broken_configuration_and_never_a_success() {
    for status in [301, 302, 303, 307, 308] {
        let answer = json_answer(status, &json!({"access_token": "a", "token_type": "bearer"}));
        let refusal = read_plain(&answer).unwrap_err();
        assert_eq!((refusal.class, refusal.why), (Class::BrokenConfig, Why::Redirect));
    }
}

#[test]
fn s20_an_address_that_is_not_called_is_our_configuration_and_nothing_was_spent() {
    let refusal = read_plain(&no_answer(Cause::AddressRefused)).unwrap_err();
    assert_eq!(
        (refusal.class, refusal.arrived),
        (Class::BrokenConfig, Arrived::No)
    );
}

#[test]
fn s21_a_body_above_its_cap_is_no_success_even_where_what_was_kept_could_be_read() {
    let whole = json!({"access_token": "a", "token_type": "bearer"});
    let cut = Ended {
        cut: true,
        ..json_answer(200, &whole)
    };
    let refusal = read_plain(&cut).unwrap_err();
    assert_eq!(
        (refusal.class, refusal.arrived, refusal.why),
        (Class::Lost, Arrived::Unknown, Why::TooLarge)
    );

    let long = json!({"access_token": "a", "token_type": "bearer", "more": "x".repeat(TOKEN_CAP)});
    assert_eq!(read_json(200, &long).unwrap_err().why, Why::TooLarge);

    let broken_off = Ended {
        cause: Some(Cause::BodyTimeout),
        ..json_answer(200, &whole)
    };
    let refusal = read_plain(&broken_off).unwrap_err();
    assert_eq!((refusal.class, refusal.arrived), (Class::Lost, Arrived::Unknown));
}

#[test]
fn s22_names_that_come_twice_and_deep_nesting_are_refused_and_what_is_unknown_is_not() {
    let read = |body: &str| read_plain(&ended(200, "application/json", body));
    let twice = r#"{"access_token":"a","token_type":"bearer","access_token":"b"}"#;
    assert_eq!(read(twice).unwrap_err().why, Why::Body);
    let deep = |levels: usize| {
        let more = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"access_token":"a","token_type":"bearer","more":{more}}}"#)
    };
    assert!(read(&deep(15)).is_ok());
    assert_eq!(read(&deep(16)).unwrap_err().why, Why::Body);
    assert_eq!(read(r#"["access_token"]"#).unwrap_err().class, Class::Lost);
}

#[test]
fn s22_an_access_token_is_one_byte_to_16_kb_of_printable_ascii_without_blanks() {
    let read = |token: Value| read_json(200, &json!({"access_token": token, "token_type": "bearer"}));
    for good in ["a".to_owned(), "~".repeat(16 * 1024), "a.b-c_d+e/f=".to_owned()] {
        assert_eq!(read(good.clone().into()).unwrap().access_token.reveal(), good);
    }
    for bad in [
        json!(""),
        json!("a b"),
        json!("a\n"),
        json!("ä"),
        json!("a\u{7f}"),
        json!("~".repeat(16 * 1024 + 1)),
        json!(7),
        json!(null),
        json!(["a"]),
    ] {
        let refusal = read(bad.clone()).unwrap_err();
        assert_eq!(
            (refusal.class, refusal.arrived, refusal.why),
            (Class::Lost, Arrived::Unknown, Why::AccessToken),
            "{bad}"
        );
    }
}

#[test]
fn s22_expires_in_is_a_whole_number_or_its_digits_and_anything_else_is_as_if_it_were_not_there() {
    let read = |expires_in: Value| {
        let body = json!({"access_token": "a", "token_type": "bearer", "expires_in": expires_in});
        read_json(200, &body).unwrap().expires_in
    };
    for (told, seconds) in [
        (json!(1), 1),
        (json!("3600"), 3600),
        (json!(315_360_000), 315_360_000),
    ] {
        assert_eq!(read(told), Some(seconds));
    }
    for told in [
        json!(0),
        json!(-1),
        json!(315_360_001),
        json!(3600.5),
        json!(1e300),
        json!("3600s"),
        json!("-1"),
        json!("+1"),
        json!(""),
        json!("99999999999999999999999"),
        json!(null),
        json!([3600]),
    ] {
        assert_eq!(read(told.clone()), None, "{told}");
    }
}

#[test]
fn s23_a_token_that_is_not_spent_as_a_bearer_is_refused() {
    let optional = with(|oauth| oauth.answer.token_type_optional = true);
    let read_as = |provider: &Provider, kind: &Value| {
        let mut body = json!({"access_token": "a"});
        if !kind.is_null() {
            body["token_type"] = kind.clone();
        }
        read(provider, &json_answer(200, &body)).map_err(|refusal| refusal.why)
    };
    for kind in ["bearer", "Bearer", "BEARER"] {
        assert!(read_as(&test_provider(), &json!(kind)).is_ok());
        assert!(read_as(&optional, &json!(kind)).is_ok());
    }
    for kind in [json!(null), json!("bot"), json!("mac"), json!("DPoP"), json!(1)] {
        assert_eq!(read_as(&test_provider(), &kind), Err(Why::TokenType), "{kind}");
    }
    assert!(read_as(&optional, &json!(null)).is_ok());
    assert!(read_as(&optional, &json!("bot")).is_ok());
    for kind in [json!("mac"), json!("DPoP"), json!(1)] {
        assert_eq!(read_as(&optional, &kind), Err(Why::TokenType), "{kind}");
    }
}

#[test]
fn s24_an_error_is_an_error_whatever_the_status_says() {
    // GitHub, "Troubleshooting OAuth app access token request errors".
    let github = json!({
        "error": "bad_verification_code",
        "error_description": "The code passed is incorrect or expired.",
        "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting",
    });
    for status in [200, 201, 400, 403, 500] {
        let refusal = read_json(status, &github).unwrap_err();
        assert_eq!(refusal.class, Class::DeadGrant, "{status}");
        assert_eq!(refusal.error.as_deref(), Some("bad_verification_code"));
        assert_eq!(
            refusal.words.as_deref(),
            Some("The code passed is incorrect or expired.")
        );
    }
    // Slack, `oauth.v2.access`: `ok` tells.
    let slack = with(|oauth| oauth.answer.ok = Some("ok".to_owned()));
    for (body, class) in [
        (
            json!({"ok": false, "error": "invalid_refresh_token"}),
            Class::DeadGrant,
        ),
        (
            json!({"ok": false, "error": "bad_client_secret"}),
            Class::BrokenApp,
        ),
        (json!({"ok": false, "error": "ratelimited"}), Class::Throttled),
        (json!({"ok": false}), Class::BrokenConfig),
        (
            json!({"access_token": "a", "token_type": "bearer"}),
            Class::BrokenConfig,
        ),
        (
            json!({"ok": "true", "access_token": "a", "token_type": "bearer"}),
            Class::BrokenConfig,
        ),
    ] {
        assert_eq!(read(&slack, &json_answer(200, &body)).unwrap_err().class, class);
    }
    // A token beside an error is no success.
    let both = json!({"access_token": "a", "token_type": "bearer", "error": "invalid_grant"});
    assert_eq!(read_json(200, &both).unwrap_err().class, Class::DeadGrant);
    // No error is one that says nothing.
    for nothing in [json!(null), json!(""), json!(false)] {
        let body = json!({"access_token": "a", "token_type": "bearer", "error": nothing});
        assert!(read_json(200, &body).is_ok());
    }
}

#[test]
fn s24_a_token_with_a_status_that_says_failure_is_no_success_and_may_have_been_spent() {
    let body = json!({"access_token": "a", "token_type": "bearer"});
    for status in [400, 401, 404, 500, 502] {
        let refusal = read_json(status, &body).unwrap_err();
        assert_eq!(refusal.arrived, Arrived::Unknown, "{status}");
        assert!(matches!(refusal.class, Class::Lost | Class::Outage), "{status}");
    }
    // Supabase answers 201.
    assert!(read_json(201, &body).is_ok());
}

#[test]
fn s25_forms_and_json_are_told_apart_by_their_type_alone() {
    let form = "access_token=gho_x&scope=repo%2Cgist&token_type=bearer";
    let comma = with(|oauth| oauth.answer.scope_separator = Some(",".to_owned()));
    let tokens = read(&comma, &ended(200, "application/x-www-form-urlencoded", form)).unwrap();
    assert_eq!(tokens.access_token.reveal(), "gho_x");
    assert_eq!(tokens.scopes.unwrap(), ["repo", "gist"]);

    let as_json = r#"{"access_token":"a","token_type":"bearer"}"#;
    for (content_type, body, why) in [
        ("application/json", form, Why::Body),
        ("application/x-www-form-urlencoded", as_json, Why::AccessToken),
        ("text/plain", as_json, Why::ContentType),
        ("", as_json, Why::ContentType),
        (
            "application/x-www-form-urlencoded",
            "access_token=a&token_type=bearer&access_token=b",
            Why::Body,
        ),
    ] {
        let refusal = read_plain(&ended(200, content_type, body)).unwrap_err();
        assert_eq!(
            (refusal.class, refusal.arrived, refusal.why),
            (Class::Lost, Arrived::Unknown, why),
            "{content_type} {body}"
        );
    }
    for content_type in ["application/json", "application/problem+json", "text/json"] {
        assert!(read_plain(&ended(200, content_type, as_json)).is_ok());
    }
    // An error as a form, too.
    let error = "error=bad_refresh_token&error_description=The+refresh+token+is+expired.";
    let refusal = read_plain(&ended(200, "application/x-www-form-urlencoded", error)).unwrap_err();
    assert_eq!(refusal.class, Class::DeadGrant);
}

#[test]
fn s25_a_page_for_people_is_an_outage() {
    for status in [200, 400, 403, 500, 502, 521] {
        let refusal = read_plain(&ended(status, "text/html", "<html>{}</html>")).unwrap_err();
        assert_eq!(
            (refusal.class, refusal.arrived),
            (Class::Outage, Arrived::Unknown),
            "{status}"
        );
    }
    // Unless the status says that nobody is there.
    let refusal = read_plain(&ended(404, "text/html", "<html></html>")).unwrap_err();
    assert_eq!(
        (refusal.class, refusal.arrived),
        (Class::BrokenConfig, Arrived::Refused)
    );
}

#[test]
fn s26_an_answer_without_a_refresh_token_or_with_an_empty_one_gives_none() {
    let read = |token: Value| {
        let body = json!({"access_token": "a", "token_type": "bearer", "refresh_token": token});
        read_json(200, &body).map(|tokens| tokens.refresh_token)
    };
    assert_eq!(read(json!("")), Ok(None));
    assert_eq!(read(json!(null)), Ok(None));
    assert_eq!(read(json!("new")), Ok(Some(Secret("new".to_owned()))));
    // One that cannot be kept: the old one may be spent, so this is no success.
    for bad in [json!(7), json!("a b"), json!({"token": "x"})] {
        let refusal = read(bad).unwrap_err();
        assert_eq!((refusal.class, refusal.arrived), (Class::Lost, Arrived::Unknown));
    }
}

#[test]
fn every_row_of_the_table_has_its_class_and_says_whether_the_token_may_be_spent() {
    use Arrived::{No, Refused, Unknown};
    use Class::{BrokenApp, BrokenConfig, DeadGrant, Outage, PersonNeeded, Throttled};
    let error = |code: &str| json!({"error": code});
    for (status, body, expected) in [
        (400, error("invalid_grant"), (DeadGrant, Refused)),
        (401, error("invalid_grant"), (DeadGrant, Refused)),
        // Atlassian.
        (403, error("invalid_grant"), (DeadGrant, Refused)),
        (200, error("token_revoked"), (DeadGrant, Refused)),
        (200, error("account_inactive"), (DeadGrant, Refused)),
        (400, error("interaction_required"), (PersonNeeded, Refused)),
        (400, error("consent_required"), (PersonNeeded, Refused)),
        (400, error("login_required"), (PersonNeeded, Refused)),
        // Google: the session policy of a Workspace.
        (
            400,
            json!({"error": "invalid_grant", "error_subtype": "invalid_rapt"}),
            (PersonNeeded, Refused),
        ),
        // Microsoft: the number tells, not the code and not the text.
        (
            400,
            json!({"error": "invalid_grant", "error_codes": [50076]}),
            (PersonNeeded, Refused),
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_codes": [65001]}),
            (PersonNeeded, Refused),
        ),
        (
            400,
            json!({"error": "invalid_grant", "error_codes": [700_082]}),
            (DeadGrant, Refused),
        ),
        (
            401,
            json!({"error": "invalid_client", "error_codes": [7_000_215]}),
            (BrokenApp, Refused),
        ),
        (
            400,
            json!({"error": "unauthorized_client", "error_codes": [700_016]}),
            (BrokenApp, Refused),
        ),
        (401, error("invalid_client"), (BrokenApp, Refused)),
        (200, error("incorrect_client_credentials"), (BrokenApp, Refused)),
        (401, json!({}), (BrokenApp, Refused)),
        (400, error("invalid_scope"), (BrokenConfig, Refused)),
        (400, error("unsupported_grant_type"), (BrokenConfig, Refused)),
        (400, error("invalid_request"), (BrokenConfig, Refused)),
        (200, error("redirect_uri_mismatch"), (BrokenConfig, Refused)),
        (400, error("a_code_that_nobody_knows"), (BrokenConfig, Refused)),
        (404, json!({}), (BrokenConfig, Refused)),
        (405, json!({}), (BrokenConfig, Refused)),
        (429, json!({}), (Throttled, No)),
        (429, error("server_error"), (Throttled, No)),
        (
            403,
            json!({"message": "You have exceeded a secondary rate limit"}),
            (Throttled, No),
        ),
        (200, error("ratelimited"), (Throttled, Refused)),
        (400, error("RATELIMITED"), (Throttled, Refused)),
        (
            400,
            json!({"error": "invalid_grant", "error_description": "token request is already being processed"}),
            (Throttled, Refused),
        ),
        (400, error("temporarily_unavailable"), (Outage, Refused)),
        (400, error("server_error"), (Outage, Unknown)),
        (500, json!({}), (Outage, Unknown)),
        (500, error("server_error"), (Outage, Unknown)),
        (502, json!(null), (Outage, Unknown)),
        (503, json!({}), (Outage, Unknown)),
        (504, json!({}), (Outage, Unknown)),
    ] {
        assert_eq!(class_of(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn a_server_that_tells_when_to_come_again_has_done_nothing() {
    let told = Ended {
        retry_after_ms: Some(7_000),
        ..json_answer(503, &json!({}))
    };
    let refusal = read_plain(&told).unwrap_err();
    assert_eq!((refusal.class, refusal.arrived), (Class::Throttled, Arrived::No));
    assert_eq!(refusal.retry_after_ms, Some(7_000));
}

#[test]
fn what_never_left_is_told_from_what_may_have_arrived() {
    for (cause, class, arrived) in [
        (Cause::NameNotFound, Class::Outage, Arrived::No),
        (Cause::NameOrTls, Class::Outage, Arrived::No),
        (Cause::Tls, Class::Outage, Arrived::No),
        (Cause::Timeout, Class::Lost, Arrived::Unknown),
        (Cause::BodyTimeout, Class::Lost, Arrived::Unknown),
        (Cause::ConnectionLost, Class::Lost, Arrived::Unknown),
        (Cause::Egress, Class::Lost, Arrived::Unknown),
        (Cause::Unknown, Class::Lost, Arrived::Unknown),
    ] {
        let refusal = read_plain(&no_answer(cause)).unwrap_err();
        assert_eq!((refusal.class, refusal.arrived), (class, arrived), "{cause:?}");
    }
}

#[test]
fn a_providers_own_words_go_before_all_others() {
    let provider = with(|oauth| {
        oauth.words = vec![
            Word {
                error: "invalid_grant".to_owned(),
                holds: Some("expired authorization code".to_owned()),
                class: Class::Throttled,
            },
            Word {
                error: "unauthorized".to_owned(),
                holds: None,
                class: Class::BrokenApp,
            },
        ];
        // Notion: `{object: "error", code, message}`.
        oauth.answer.error = Some("code".to_owned());
        oauth.answer.error_description = Some("message".to_owned());
    });
    let class = |body: &Value| read(&provider, &json_answer(400, body)).unwrap_err().class;
    let busy = json!({"error": "invalid_grant", "error_description": "Expired Authorization Code"});
    assert_eq!(class(&busy), Class::Throttled);
    assert_eq!(class(&json!({"error": "invalid_grant"})), Class::DeadGrant);
    let notion = json!({"object": "error", "code": "unauthorized", "message": "API token is invalid."});
    assert_eq!(class(&notion), Class::BrokenApp);
}

#[test]
fn a_users_token_inside_of_the_answer_is_found_where_the_entry_says() {
    let slack = with(|oauth| {
        oauth.answer.ok = Some("ok".to_owned());
        oauth.answer.object = Some("/authed_user".to_owned());
        oauth.scope_separator = ",".to_owned();
        oauth.answer.token_type_optional = true;
        oauth
            .answer
            .learn
            .insert("team".to_owned(), "/team/id".to_owned());
    });
    let body = json!({
        "ok": true,
        "access_token": "xoxb-bot",
        "team": {"id": "T1"},
        "authed_user": {"id": "U1", "scope": "chat:write,users:read", "access_token": "xoxp-user", "token_type": "user"},
    });
    let tokens = read(&slack, &json_answer(200, &body)).unwrap();
    assert_eq!(tokens.access_token.reveal(), "xoxp-user");
    assert_eq!(tokens.scopes.unwrap(), ["chat:write", "users:read"]);
    assert_eq!(tokens.learned["team"], "T1");
}

/// `slack_sdk.oauth.token_rotation` in slackapi/python-slack-sdk reads the refreshed user's token at the root.
#[test]
fn a_users_token_that_a_refresh_answers_at_the_root_is_known_by_its_type_and_a_bots_is_not_taken_for_it() {
    let slack = crate::oauth::catalogue::find("slack-user").unwrap();
    let body = |kind: &str| {
        json!({
            "ok": true,
            "access_token": "xoxe.xoxp-1",
            "refresh_token": "xoxe-1",
            "token_type": kind,
            "scope": "chat:write",
            "expires_in": 43_200,
            "authed_user": {"id": "U1"},
        })
    };
    let tokens = read(&slack, &json_answer(200, &body("user"))).unwrap();
    assert_eq!(tokens.access_token.reveal(), "xoxe.xoxp-1");
    assert_eq!(tokens.refresh_token.unwrap().reveal(), "xoxe-1");
    let refusal = read(&slack, &json_answer(200, &body("bot"))).unwrap_err();
    assert_eq!((refusal.class, refusal.why), (Class::Lost, Why::AccessToken));
}

#[test]
fn a_bots_token_of_slack_is_spent_as_a_bearer_though_its_type_says_bot() {
    let slack = crate::oauth::catalogue::find("slack").unwrap();
    let body =
        json!({"ok": true, "access_token": "xoxb-1", "token_type": "bot", "scope": "chat:write,users:read"});
    let tokens = read(&slack, &json_answer(200, &body)).unwrap();
    assert_eq!(tokens.access_token.reveal(), "xoxb-1");
    assert_eq!(tokens.scopes.unwrap(), ["chat:write", "users:read"]);
    assert_eq!((tokens.refresh_token, tokens.expires_in), (None, None));
}

#[test]
fn words_of_a_provider_are_one_short_line_without_secrets() {
    assert_eq!(shown("  a\tb\r\nc\u{202e}d\u{0} "), Some("a b c d".to_owned()));
    assert_eq!(shown("\n"), None);
    assert_eq!(shown(&"long ".repeat(100)).unwrap().chars().count(), 200);
    for secret in [
        "1//0gabcDEF-ghi_JKLmnoPQRstuVWX",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "ghr_1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
        "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f",
    ] {
        let words = shown(&format!("Token '{secret}' is over (code={secret})")).unwrap();
        assert!(!words.contains(&secret[..12]), "{words}");
        assert!(words.starts_with("Token '"), "{words}");
        assert!(words.contains("is over"), "{words}");
    }
    assert_eq!(
        shown("redirect_uri_mismatch: see the configuration").unwrap(),
        "redirect_uri_mismatch: see the configuration"
    );
}

#[test]
fn a_revocation_is_done_when_the_provider_says_so_or_does_not_know_the_token() {
    let google = with(|oauth| {
        oauth.revoke = Some(
            serde_json::from_value(json!({
                "url": "https://oauth2.googleapis.com/revoke",
                "token": "refresh",
                "gone": ["invalid_token", "404"],
            }))
            .unwrap(),
        );
    });
    let result = |ended: &Ended| read_revoke(&google, ended);
    assert_eq!(result(&json_answer(200, &json!({}))), RevokeResult::Revoked);
    assert_eq!(result(&ended(200, "", "")), RevokeResult::Revoked);
    assert_eq!(result(&ended(204, "", "")), RevokeResult::Revoked);
    assert_eq!(
        result(&json_answer(400, &json!({"error": "invalid_token"}))),
        RevokeResult::AlreadyGone
    );
    assert_eq!(result(&json_answer(404, &json!({}))), RevokeResult::AlreadyGone);
    for failed in [
        json_answer(400, &json!({"error": "invalid_client"})),
        json_answer(200, &json!({"error": "invalid_client"})),
        json_answer(302, &json!({})),
        json_answer(503, &json!({})),
        ended(500, "text/html", "<html>"),
        no_answer(Cause::Timeout),
        ended(200, "text/html", "<html>log in</html>"),
    ] {
        assert_eq!(result(&failed), RevokeResult::Failed, "{failed:?}");
    }
}

#[test]
fn a_call_tells_a_refused_token_from_a_limit_and_from_a_failure() {
    let call = |ok: Option<&str>, ended: &Ended| {
        read_call(ok, &["token_expired".to_owned()], ended).map_err(|refusal| refusal.class)
    };
    assert_eq!(
        call(None, &json_answer(200, &json!({"id": 1}))),
        Ok(json!({"id": 1}))
    );
    assert_eq!(call(None, &ended(204, "", "")), Ok(Value::Null));
    assert_eq!(call(None, &json_answer(401, &json!({}))), Err(Class::DeadGrant));
    let slack = json!({"ok": false, "error": "token_expired"});
    assert_eq!(call(Some("ok"), &json_answer(200, &slack)), Err(Class::DeadGrant));
    let slack = json!({"ok": false, "error": "ratelimited"});
    assert_eq!(call(Some("ok"), &json_answer(200, &slack)), Err(Class::Throttled));
    assert_eq!(
        call(Some("ok"), &json_answer(200, &json!({}))),
        Err(Class::BrokenConfig)
    );
    assert_eq!(call(None, &json_answer(429, &json!({}))), Err(Class::Throttled));
    assert_eq!(
        call(None, &json_answer(403, &json!({}))),
        Err(Class::BrokenConfig)
    );
    assert_eq!(call(None, &json_answer(500, &json!({}))), Err(Class::Outage));
    assert_eq!(call(None, &ended(200, "text/html", "<html>")), Err(Class::Outage));
    assert_eq!(call(None, &no_answer(Cause::Timeout)), Err(Class::Lost));
    assert_eq!(call(None, &no_answer(Cause::NameNotFound)), Err(Class::Outage));
    // Google's limit comes as 403 with an object for an error.
    let google = json!({"error": {"code": 403, "status": "RESOURCE_EXHAUSTED", "message": "Quota"}});
    assert_eq!(call(None, &json_answer(403, &google)), Err(Class::Throttled));
}

fn any_ended() -> impl Strategy<Value = Ended> {
    let body = prop_oneof![
        any::<Vec<u8>>(),
        any::<String>().prop_map(String::into_bytes),
        prop::collection::btree_map(
            prop::sample::select(vec![
                "access_token",
                "refresh_token",
                "token_type",
                "expires_in",
                "scope",
                "error",
                "error_description",
                "ok",
            ]),
            prop_oneof![
                Just(json!("bearer")),
                Just(json!(true)),
                Just(json!("invalid_grant")),
                any::<i64>().prop_map(Value::from),
                any::<String>().prop_map(Value::from),
                Just(Value::Null),
            ],
            0..8,
        )
        .prop_map(|map| serde_json::to_vec(&map).unwrap()),
    ];
    let causes = prop::sample::select(vec![
        None,
        Some(Cause::Timeout),
        Some(Cause::BodyTimeout),
        Some(Cause::NameOrTls),
        Some(Cause::NoAnswer),
        Some(Cause::Firewall),
    ]);
    let content_type = prop::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        "text/html",
        "text/plain",
        "",
    ]);
    let status = prop::option::of(prop_oneof![Just(200_u16), Just(400), any::<u16>()]);
    (
        status,
        causes,
        content_type,
        body,
        any::<bool>(),
        any::<Option<u64>>(),
    )
        .prop_map(|(status, cause, content_type, body, cut, retry_after_ms)| Ended {
            status,
            cause,
            content_type: content_type.to_owned(),
            retry_after_ms,
            headers: Vec::new(),
            body,
            cut,
        })
}

proptest! {
    #[test]
    fn only_a_whole_answer_of_200_to_299_is_a_success(ended in any_ended()) {
        let read = read_plain(&ended);
        let _ = read_revoke(&test_provider(), &ended);
        let _ = read_call(None, &[], &ended);
        if let Ok(tokens) = read {
            prop_assert!(matches!(ended.status, Some(200..=299)) && !ended.cut);
            prop_assert!(is_token(tokens.access_token.reveal()));
        }
    }

    /// What was spent may be spent, unless something says that it is not.
    #[test]
    fn a_refusal_that_says_that_nothing_was_spent_had_a_reason_to(ended in any_ended()) {
        if let Err(refusal) = read_plain(&ended) {
            let status = ended.status.unwrap_or_default();
            match refusal.arrived {
                Arrived::No => prop_assert!(ended.status.is_none() || matches!(status, 403 | 429 | 503)),
                Arrived::Refused => prop_assert!(ended.status.is_some() && refusal.class != Class::Lost),
                Arrived::Unknown => {}
            }
        }
    }

    #[test]
    fn words_are_short_and_of_one_line(words: String) {
        if let Some(shown) = shown(&words) {
            prop_assert!(shown.chars().count() <= 200);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_invisible(c)));
        }
    }

    #[test]
    fn no_long_run_of_letters_and_digits_is_ever_shown(token in "[A-Za-z0-9_-]{18,60}[0-9][A-Za-z]", before in "[a-z ]{0,40}") {
        let words = shown(&format!("{before} {token} x"));
        prop_assert!(!words.unwrap_or_default().contains(&token));
    }

    #[test]
    fn a_json_answer_and_the_same_as_a_form_are_read_alike(
        token in "[!-~]{1,40}", refresh in prop::option::of("[!-~]{0,40}"), expires in any::<u32>(),
        scope in prop::option::of("[a-z]{1,5}( [a-z]{1,5}){0,3}"),
    ) {
        let mut members = vec![
            ("access_token".to_owned(), token), ("token_type".to_owned(), "Bearer".to_owned()),
            ("expires_in".to_owned(), expires.to_string()),
        ];
        members.extend(refresh.map(|refresh| ("refresh_token".to_owned(), refresh)));
        members.extend(scope.map(|scope| ("scope".to_owned(), scope)));
        let as_form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&members).finish();
        let as_json: Value = members.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        prop_assert_eq!(
            read_plain(&ended(200, "application/x-www-form-urlencoded", as_form)),
            read_json(200, &as_json)
        );
    }
}
