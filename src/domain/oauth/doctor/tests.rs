#![expect(clippy::unwrap_used, reason = "a test may")]

use super::*;
use crate::oauth::catalogue::find;

fn ended(status: u16, kind: &str, body: &str) -> Ended {
    Ended {
        status: Some(status),
        cause: None,
        content_type: kind.to_owned(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        cut: false,
    }
}

fn says(provider: &str, status: u16, body: &str) -> Verdict {
    judge(&find(provider).unwrap(), &ended(status, "application/json", body)).verdict
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_proven_providers_words_are_understood() {
    use Verdict::{
        CannotTell, ExpiredSecret, Good, NoSuchApp, ProbablyGood, RedirectNotRegistered, WrongSecret,
    };
    for (provider, status, body, wanted) in [
        (
            "google",
            400,
            r#"{"error":"invalid_grant","error_description":"Malformed auth code."}"#,
            Good,
        ),
        (
            "google",
            401,
            r#"{"error":"invalid_client","error_description":"Unauthorized"}"#,
            WrongSecret,
        ),
        (
            "google",
            400,
            r#"{"error":"redirect_uri_mismatch","error_description":"Bad Request"}"#,
            RedirectNotRegistered,
        ),
        ("github", 200, r#"{"error":"bad_verification_code"}"#, Good),
        (
            "github",
            200,
            r#"{"error":"incorrect_client_credentials"}"#,
            WrongSecret,
        ),
        (
            "github",
            200,
            r#"{"error":"redirect_uri_mismatch"}"#,
            RedirectNotRegistered,
        ),
        (
            "slack",
            200,
            r#"{"ok":false,"error":"invalid_code"}"#,
            ProbablyGood,
        ),
        (
            "slack",
            200,
            r#"{"ok":false,"error":"bad_client_secret"}"#,
            WrongSecret,
        ),
        (
            "slack",
            200,
            r#"{"ok":false,"error":"invalid_client_id"}"#,
            NoSuchApp,
        ),
        (
            "slack",
            200,
            r#"{"ok":false,"error":"bad_redirect_uri"}"#,
            RedirectNotRegistered,
        ),
        ("notion", 400, r#"{"error":"invalid_grant"}"#, ProbablyGood),
        ("notion", 401, r#"{"error":"invalid_client"}"#, WrongSecret),
        (
            "microsoft",
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}"#,
            WrongSecret,
        ),
        (
            "microsoft",
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys are expired.","error_codes":[7000222]}"#,
            ExpiredSecret,
        ),
        (
            "microsoft",
            400,
            r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application not found.","error_codes":[700016]}"#,
            NoSuchApp,
        ),
        (
            "microsoft",
            400,
            r#"{"error":"invalid_request","error_description":"AADSTS9002313: Invalid request. Request is malformed or invalid.","error_codes":[9002313]}"#,
            CannotTell,
        ),
        (
            "oidc",
            400,
            r#"{"error":"invalid_grant","error_description":"grant request is invalid"}"#,
            Good,
        ),
        (
            "oidc",
            401,
            r#"{"error":"invalid_client","error_description":"client authentication failed"}"#,
            WrongSecret,
        ),
        ("oauth2", 400, r#"{"error":"invalid_grant"}"#, ProbablyGood),
    ] {
        assert_eq!(says(provider, status, body), wanted, "{provider}: {body}");
    }
}

#[test]
fn an_answer_about_something_else_tells_nothing() {
    let google = find("google").unwrap();
    let mut gone = ended(200, "", "");
    gone.status = None;
    for ended in [
        ended(500, "application/json", "{}"),
        ended(429, "application/json", "{}"),
        ended(200, "text/html", "<html>"),
        ended(302, "", ""),
        ended(404, "text/plain", "no"),
        gone,
    ] {
        assert_eq!(judge(&google, &ended).verdict, Verdict::CannotTell, "{ended:?}");
    }
}

#[test]
fn tokens_for_a_made_up_code_are_no_good_sign() {
    let body = r#"{"access_token":"abc","token_type":"Bearer"}"#;
    let finding = judge(&find("google").unwrap(), &ended(200, "application/json", body));
    assert_eq!(finding.verdict, Verdict::CannotTell);
    assert!(!format!("{finding:?}").contains("abc"));
}

#[test]
fn the_request_is_an_exchange_with_the_redirect_uri_and_a_verifier_where_pkce_is_on() {
    let client = Client {
        id: "id".to_owned(),
        secret: Some(Secret("the secret".to_owned())),
    };
    let ask = |id: &str| {
        let uri = "https://postern.example/oauth/callback/oapp_1";
        let request = request(&find(id).unwrap(), &client, uri, &BTreeMap::new(), &[7; 32]).unwrap();
        String::from_utf8(request.body).unwrap()
    };
    let google = ask("google");
    assert!(google.contains("grant_type=authorization_code"), "{google}");
    assert!(
        google.contains("redirect_uri=https%3A%2F%2Fpostern.example%2Foauth%2Fcallback%2Foapp_1"),
        "{google}"
    );
    assert!(google.contains("code_verifier="), "{google}");
    assert!(!ask("slack").contains("code_verifier="));
}
