#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::json;

use super::*;
use crate::oauth::validate;

const ISSUER: &str = "https://login.example.com/realms/a";

fn policy() -> Policy {
    Policy::default().https_only(true)
}

fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/realms/a/auth",
        "token_endpoint": "https://login.example.com/realms/a/token",
        "jwks_uri": "https://login.example.com/realms/a/certs",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut document = document();
    document[name] = value;
    document
}

fn ended(body: &[u8]) -> Ended {
    Ended {
        status: Some(200),
        cause: None,
        content_type: "application/json".to_owned(),
        retry_after_ms: None,
        headers: Vec::new(),
        body: body.to_vec(),
        cut: false,
    }
}

fn read(document: &Value) -> Result<Provider, Undiscovered> {
    provider(ISSUER, &ended(document.to_string().as_bytes()), &policy())
}

#[test]
fn the_document_lies_below_the_issuer() {
    let wanted = "https://login.example.com/realms/a/.well-known/openid-configuration";
    assert_eq!(url(ISSUER, &policy()).unwrap(), wanted);
    assert_eq!(url(&format!("{ISSUER}/"), &policy()).unwrap(), wanted);
    assert_eq!(
        url("https://login.example.com?a=b", &policy()),
        Err(Undiscovered::IssuerForm)
    );
    for bad in [
        "http://login.example.com",
        "https://10.0.0.1",
        "https://localhost",
        "login",
    ] {
        assert!(
            matches!(url(bad, &policy()), Err(Undiscovered::Issuer(_))),
            "{bad}"
        );
    }
}

#[test]
fn the_least_document_makes_a_provider_that_can_be_used() {
    let provider = read(&document()).unwrap();
    assert_eq!(validate::judge(&provider, &policy(), &[]), []);
    let oauth = provider.oauth.unwrap();
    assert_eq!(oauth.issuer.as_deref(), Some(ISSUER));
    assert_eq!(
        oauth.client_auth,
        ClientAuth::Basic,
        "what is so where nothing is said"
    );
    assert_eq!(oauth.pkce, Pkce::S256, "silence does not switch it off");
    assert_eq!(oauth.rotation, crate::oauth::provider::Rotation::Unknown);
    assert_eq!(oauth.scopes, ["openid"]);
    assert_eq!(oauth.revoke, None);
    assert!(!oauth.iss_required);
}

#[test]
fn what_the_document_says_is_kept() {
    let mut document = document();
    document["token_endpoint_auth_methods_supported"] = json!(["private_key_jwt", "client_secret_post"]);
    document["revocation_endpoint"] = json!("https://login.example.com/revoke");
    document["userinfo_endpoint"] = json!("https://login.example.com/me");
    document["scopes_supported"] = json!(["openid", "offline_access"]);
    document["authorization_response_iss_parameter_supported"] = json!(true);
    let provider = read(&document).unwrap();
    assert_eq!(validate::judge(&provider, &policy(), &[]), []);
    assert_eq!(provider.check.unwrap().url, "https://login.example.com/me");
    let oauth = provider.oauth.unwrap();
    assert_eq!(oauth.client_auth, ClientAuth::Post);
    assert_eq!(oauth.revoke.unwrap().url, "https://login.example.com/revoke");
    assert_eq!(oauth.scopes, ["openid", "offline_access"]);
    assert_eq!(
        oauth.authorize_parameters.get("prompt").map(String::as_str),
        Some("consent")
    );
    assert!(oauth.iss_required);
}

#[test]
fn another_issuers_document_is_refused() {
    for other in [
        "https://evil.example.com",
        "https://login.example.com/realms/a/",
        "",
    ] {
        assert_eq!(
            read(&with("issuer", json!(other))),
            Err(Undiscovered::OtherIssuer),
            "{other}"
        );
    }
    assert_eq!(read(&with("issuer", Value::Null)), Err(Undiscovered::OtherIssuer));
}

#[test]
fn a_url_that_may_not_be_called_is_refused_wherever_it_stands() {
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "revocation_endpoint",
        "userinfo_endpoint",
    ] {
        for bad in [
            "http://login.example.com",
            "https://169.254.169.254/",
            "https://db.internal/",
        ] {
            assert!(
                matches!(read(&with(name, json!(bad))), Err(Undiscovered::Url { member, .. }) if member == name),
                "{name} {bad}"
            );
        }
        assert_eq!(read(&with(name, json!(7))), Err(Undiscovered::Missing(name)));
        let braces = json!("https://login.example.com/{shop}");
        assert_eq!(read(&with(name, braces)), Err(Undiscovered::Missing(name)));
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        assert_eq!(read(&with(name, Value::Null)), Err(Undiscovered::Missing(name)));
    }
}

#[test]
fn a_provider_that_could_never_be_used_is_refused_at_once() {
    for (name, value) in [
        ("response_types_supported", json!(["id_token"])),
        ("id_token_signing_alg_values_supported", json!(["HS256", "none"])),
        (
            "token_endpoint_auth_methods_supported",
            json!(["private_key_jwt"]),
        ),
    ] {
        assert!(
            matches!(read(&with(name, value)), Err(Undiscovered::Unsupported(_))),
            "{name}"
        );
    }
}

#[test]
fn pkce_is_off_only_where_other_methods_are_named_without_s256() {
    let plain = read(&with("code_challenge_methods_supported", json!(["plain"]))).unwrap();
    assert!(matches!(plain.oauth.unwrap().pkce, Pkce::Off { .. }));
    let both = read(&with(
        "code_challenge_methods_supported",
        json!(["plain", "S256"]),
    ))
    .unwrap();
    assert_eq!(both.oauth.unwrap().pkce, Pkce::S256);
}

#[test]
fn what_is_no_document_is_none() {
    let good = document().to_string();
    let mut page = ended(good.as_bytes());
    page.content_type = "text/html".to_owned();
    let mut moved = ended(good.as_bytes());
    moved.status = Some(302);
    for ended in [page, moved] {
        assert_eq!(provider(ISSUER, &ended, &policy()), Err(Undiscovered::NoDocument));
    }
    let doubled = format!("{{\"issuer\":\"{ISSUER}\",{}", &good[1..]);
    let mut cut = ended(good.as_bytes());
    cut.cut = true;
    for ended in [
        ended(doubled.as_bytes()),
        ended(b"[]"),
        ended(b"\xff"),
        cut,
        ended(&vec![b' '; CAP + 1]),
    ] {
        assert_eq!(provider(ISSUER, &ended, &policy()), Err(Undiscovered::Unreadable));
    }
}
