#![expect(clippy::unwrap_used, reason = "a test may")]

use serde_json::json;

use super::*;
use crate::oauth::catalogue::{all, find};

fn policy() -> Policy {
    Policy::default().https_only(true)
}

fn lay_over(id: &str, given: &Value) -> Result<Provider, Vec<String>> {
    let configured = configured(&find(id).unwrap(), given, &policy(), &["body", "settings"]);
    configured.map_err(|faults| faults.into_iter().map(|fault| fault.loc.join(".")).collect())
}

fn own() -> Value {
    json!({
        "name": "Acme CRM",
        "oauth": {
            "authorizeUrl": "https://crm.example.com/authorize",
            "tokenUrl": "https://crm.example.com/token",
        },
    })
}

/// The places that are refused when `given` is laid over a provider of one's own.
fn refused(given: &Value) -> Vec<String> {
    let mut settings = own();
    lay(&mut settings, given);
    lay_over("oauth2", &settings).unwrap_err()
}

#[test]
fn every_entry_of_the_catalogue_holds_but_the_blanks() {
    for provider in all() {
        let faults = judge(&provider, &policy(), &[]);
        let blank = BLANKS.contains(&provider.id.as_str());
        assert_eq!(faults.is_empty(), !blank, "{}: {faults:?}", provider.id);
    }
}

#[test]
fn a_provider_of_ones_own_needs_two_urls() {
    let provider = lay_over("oauth2", &own()).unwrap();
    assert_eq!(provider.name, "Acme CRM");
    assert_eq!(provider.id, "oauth2");
    assert!(
        provider.verified,
        "the blank is proven, whatever it is filled with"
    );
    assert_eq!(
        lay_over("oauth2", &json!({})).unwrap_err(),
        ["body.settings.oauth.authorizeUrl", "body.settings.oauth.tokenUrl"]
    );
}

#[test]
fn an_api_key_of_ones_own_needs_a_base() {
    let given = json!({"api": {"base": "https://api.example.com/v1", "place": {"header": "x-api-key"}}});
    let provider = lay_over("api-key", &given).unwrap();
    assert_eq!(
        provider.api.unwrap().place,
        TokenPlace::Header("x-api-key".to_owned())
    );
    assert_eq!(
        lay_over("api-key", &json!({})).unwrap_err(),
        ["body.settings.api.base"]
    );
}

#[test]
fn a_changed_entry_is_no_longer_a_proven_one() {
    let changed = lay_over(
        "google",
        &json!({"oauth": {"rotation": {"grace": {"seconds": 60}}}}),
    )
    .unwrap();
    assert!(!changed.verified);
    assert_eq!(changed.oauth.unwrap().rotation, Rotation::Grace { seconds: 60 });
    assert!(lay_over("google", &json!({})).unwrap().verified);
}

#[test]
fn a_setting_of_several_forms_is_replaced_whole() {
    let changed = lay_over(
        "shopify",
        &json!({"oauth": {"rotation": "strict", "pkce": "s256"}}),
    )
    .unwrap();
    let oauth = changed.oauth.unwrap();
    assert_eq!((oauth.rotation, oauth.pkce), (Rotation::Strict, Pkce::S256));
}

#[test]
fn null_takes_a_setting_away() {
    let changed = lay_over("google", &json!({"oauth": {"revoke": null}})).unwrap();
    assert_eq!(changed.oauth.unwrap().revoke, None);
}

#[test]
fn what_is_the_catalogues_stays_so() {
    for name in FIXED {
        let given = json!({name: true});
        assert_eq!(
            lay_over("oauth2", &given).unwrap_err(),
            [format!("body.settings.{name}")]
        );
    }
}

#[test]
fn a_setting_that_is_not_known_is_refused() {
    assert_eq!(
        refused(&json!({"oauth": {"tokenURL": "https://crm.example.com/token"}, "colour": "red"})),
        ["body.settings.colour", "body.settings.oauth.tokenURL"]
    );
    assert_eq!(lay_over("oauth2", &json!([])).unwrap_err(), ["body.settings"]);
    assert_eq!(
        refused(&json!({"oauth": {"rotation": "sometimes"}})),
        ["body.settings"]
    );
}

#[test]
fn no_url_leads_to_where_nothing_may_be_called() {
    for bad in [
        "http://crm.example.com/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/x",
        "https://localhost/x",
        "https://crm.internal/x",
        "https://a@crm.example.com/x",
        "https://crm.example.com/x#y",
        "https://crm.example.com/{unknown}",
        "ftp://crm.example.com",
        "x",
    ] {
        let places = refused(&json!({
            "oauth": {
                "authorizeUrl": bad, "tokenUrl": bad, "refreshUrl": bad, "issuer": bad, "jwksUrl": bad,
                "revoke": {"url": bad, "token": "access"},
            },
            "api": {"base": bad, "bases": {"files": bad}},
            "identity": {"from": {"call": {"url": bad}}, "key": ["/id"]},
            "check": {"url": bad},
        }));
        for place in [
            "oauth.authorizeUrl",
            "oauth.tokenUrl",
            "oauth.refreshUrl",
            "oauth.issuer",
            "oauth.jwksUrl",
            "oauth.revoke.url",
            "api.base",
            "api.bases.files",
            "identity.from.call.url",
            "check.url",
        ] {
            let place = format!("body.settings.{place}");
            assert!(places.contains(&place), "{bad}: {place} is not among {places:?}");
        }
    }
}

#[test]
fn a_variable_stands_where_its_form_can() {
    let with = |form: Value, from: &str, url: &str| {
        let mut settings = own();
        settings["variables"] = json!([{"name": "it", "label": "It", "form": form, "from": from}]);
        settings["oauth"]["tokenUrl"] = json!(url);
        lay_over("oauth2", &settings)
    };
    let word = || json!("word");
    let under = || json!({"origin_under": ["example.com"]});
    assert!(with(word(), "session", "https://{it}.example.com/token").is_ok());
    assert!(with(under(), "app", "{it}/token").is_ok());
    assert!(with(json!("origin"), "app", "{it}/token").is_ok());
    for (form, from, url) in [
        (word(), "session", "{it}/token"),
        (word(), "session", "https://{it}/token"),
        (under(), "app", "https://example.com/{it}"),
        (under(), "answer", "{it}/token"),
        (word(), "callback", "https://{it}.example.com/token"),
    ] {
        let places = with(form, from, url).unwrap_err();
        assert_eq!(places[0], "body.settings.oauth.tokenUrl", "{url}");
    }
    assert_eq!(
        with(json!({"origin_under": ["com"]}), "app", "https://example.com").unwrap_err(),
        ["body.settings.variables.0.form"]
    );
}

#[test]
fn what_the_protocol_sets_cannot_be_set() {
    assert_eq!(
        refused(&json!({"oauth": {
            "authorizeUrl": "https://crm.example.com/authorize?state=1",
            "authorizeParameters": {"redirect_uri": "https://evil.example.com"},
            "reconnectParameters": {"code_challenge_method": "plain"},
            "tokenParameters": {"grant_type": "password"},
            "tokenHeaders": {"Authorization": "Basic x", "Host": "evil.example.com"},
        }})),
        [
            "body.settings.oauth.authorizeUrl",
            "body.settings.oauth.authorizeParameters.redirect_uri",
            "body.settings.oauth.reconnectParameters.code_challenge_method",
            "body.settings.oauth.tokenParameters.grant_type",
            "body.settings.oauth.tokenHeaders.Authorization",
            "body.settings.oauth.tokenHeaders.Host",
        ]
    );
    assert_eq!(
        refused(&json!({"oauth": {"scopeParameter": "perms", "authorizeParameters": {"perms": "all"}}})),
        ["body.settings.oauth.authorizeParameters.perms"]
    );
}

#[test]
fn a_header_cannot_carry_another() {
    assert_eq!(
        refused(&json!({"oauth": {"tokenHeaders": {"X-A": "b\r\nHost: evil.example.com"}}})),
        ["body.settings.oauth.tokenHeaders.X-A"]
    );
}

#[test]
fn pkce_is_switched_off_with_a_reason_alone() {
    let off = |reason: &str| lay_over("google", &json!({"oauth": {"pkce": {"off": {"reason": reason}}}}));
    assert!(off("The server answers 500 to it").is_ok());
    assert_eq!(off("").unwrap_err(), ["body.settings.oauth.pkce.off.reason"]);
    let plain = lay_over("google", &json!({"oauth": {"pkce": "plain"}}));
    assert_eq!(plain.unwrap_err(), ["body.settings"]);
}

#[test]
fn an_id_token_needs_an_issuer_and_its_keys() {
    let places = lay_over("oidc", &own()).unwrap_err();
    assert_eq!(
        places,
        ["body.settings.oauth.issuer", "body.settings.oauth.jwksUrl"]
    );
    let mut settings = own();
    settings["oauth"]["issuer"] = json!("https://crm.example.com");
    settings["oauth"]["jwksUrl"] = json!("https://crm.example.com/keys");
    assert!(lay_over("oidc", &settings).is_ok());
    settings["oauth"]["scopes"] = json!(["profile"]);
    assert_eq!(
        lay_over("oidc", &settings).unwrap_err(),
        ["body.settings.oauth.scopes"]
    );
}

#[test]
fn numbers_are_bounded() {
    assert_eq!(
        refused(&json!({
            "oauth": {"lifetime": {"access": 0}, "rotation": {"grace": {"seconds": 0}}, "answer": {"success": [302]}},
            "api": {"base": "https://crm.example.com", "limits": {"perSecond": 0}},
        })),
        [
            "body.settings.oauth.lifetime.access",
            "body.settings.oauth.rotation.grace.seconds",
            "body.settings.oauth.answer.success",
            "body.settings.api.limits.perSecond",
        ]
    );
    let years = |seconds: u64| json!({"oauth": {"lifetime": {"idle": seconds}, "rotation": {"grace": {"seconds": seconds}}}});
    let twenty = 20 * 365 * 24 * 3600;
    let mut settings = own();
    lay(&mut settings, &years(twenty));
    assert!(lay_over("oauth2", &settings).is_ok());
    assert_eq!(
        refused(&years(twenty + 1)),
        [
            "body.settings.oauth.lifetime.idle",
            "body.settings.oauth.rotation.grace.seconds",
        ]
    );
    let long = refused(&json!({"name": "a".repeat(70_000)}));
    assert_eq!(long, ["body.settings"]);
}

#[test]
fn a_scope_stays_one_scope() {
    let github = find("github").unwrap().oauth.unwrap();
    assert!(is_scope("repo:status", &github));
    assert!(is_scope("https://mail.google.com/", &github));
    for bad in ["", "a b", "a\"b", "a\\b", "ä", "a\n"] {
        assert!(!is_scope(bad, &github), "{bad}");
    }
    let slack = find("slack").unwrap().oauth.unwrap();
    assert!(!is_scope("chat:write,admin", &slack));
    assert!(!is_scope("any", &find("notion").unwrap().oauth.unwrap()));
}
