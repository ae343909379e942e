//! What of a callback or an answer keeps a browser from being connected.

use postern_domain::oauth::Secret;
use postern_domain::oauth::standing::{Reason, State};
use postern_domain::wire::connection::{Caller, Outcome, SessionOpen};
use serde_json::{Value, json};

use crate::browser::{TENANT, World, answer, open_of, provider};

/// Connects, with one thing of the way changed; how it ended.
fn outcome_with(change: impl FnOnce(&mut World)) -> (World, Outcome, Option<String>) {
    let mut world = World::new();
    let link = world.open();
    change(&mut world);
    let arrival = world.connect(&link);
    let words = world.result(&arrival).words;
    (world, arrival.outcome, words)
}

#[test]
fn s11_an_answer_from_another_issuer_burns_nothing() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let code = world.consent(&browser);
    for iss in [None, Some("https://evil.example"), Some("https://as.example/")] {
        let mut call = World::callback_of(&browser, &code);
        call.iss = iss.map(str::to_owned);
        let arrival = world.ask(Caller::Browser, &call).unwrap();
        assert_eq!((arrival.outcome, arrival.result), (Outcome::ProviderError, None));
    }
    let mut call = World::callback_of(&browser, &code);
    call.app = postern_domain::id::OAuthAppId([8; 20]);
    let arrival = world.ask(Caller::Browser, &call).unwrap();
    assert_eq!(arrival.outcome, Outcome::ProviderError);
    assert!(world.server.exchanges().is_empty());
    assert_eq!(world.back(&browser, &code).outcome, Outcome::Connected);
}

#[test]
fn s11_where_the_issuer_does_not_say_that_it_names_itself_it_may_be_silent() {
    let mut world = World::new();
    let link = world.open_with(&open_of(provider(|entry| {
        entry["oauth"]["issRequired"] = false.into();
    })));
    let browser = world.go(&link);
    let code = world.consent(&browser);
    let mut call = World::callback_of(&browser, &code);
    call.iss = None;
    assert_eq!(
        world.ask(Caller::Browser, &call).unwrap().outcome,
        Outcome::Connected
    );
}

#[test]
fn s16_an_authorization_error_has_our_words_and_shows_the_providers_beside_them() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let mut call = World::callback_of(&browser, "");
    call.code = None;
    call.error = Some("server_error".to_owned());
    call.error_description = Some("<b>down</b>".to_owned());
    let arrival = world.ask(Caller::Browser, &call).unwrap();
    assert_eq!(arrival.outcome, Outcome::ProviderError);
    assert_eq!(
        world.result(&arrival).words.as_deref(),
        Some("server_error: <b>down</b>")
    );
    assert_eq!(world.view().reason, Some(Reason::ExchangeFailed));
    assert!(world.told.is_empty());
}

#[test]
fn s16_who_says_no_leaves_the_connection_pending() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let mut call = World::callback_of(&browser, "");
    call.code = None;
    call.error = Some("access_denied".to_owned());
    assert_eq!(
        world.ask(Caller::Browser, &call).unwrap().outcome,
        Outcome::Denied
    );
    let view = world.view();
    assert_eq!((view.state, view.reason), (State::Pending, Some(Reason::Denied)));
    assert!(world.told.is_empty());
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
}

fn quickbooks() -> SessionOpen {
    open_of(provider(|entry| {
        entry["variables"] = json!([
            {"name": "realmId", "label": "Company", "form": "digits", "from": "callback"}
        ]);
    }))
}

#[test]
fn s18_a_company_is_digits_and_must_be_told() {
    let mut world = World::new();
    let link = world.open_with(&quickbooks());
    let browser = world.go(&link);
    let code = world.consent(&browser);
    for realm in [None, Some("12x"), Some("../1"), Some("")] {
        let mut call = World::callback_of(&browser, &code);
        if let Some(realm) = realm {
            call.others.insert("realmId".to_owned(), realm.to_owned());
        }
        assert_eq!(
            world.ask(Caller::Browser, &call).unwrap().outcome,
            Outcome::ProviderError
        );
    }
    assert!(world.server.exchanges().is_empty());
    let mut call = World::callback_of(&browser, &code);
    call.others.insert("realmId".to_owned(), "123".to_owned());
    assert_eq!(
        world.ask(Caller::Browser, &call).unwrap().outcome,
        Outcome::Connected
    );
}

#[test]
fn s18_a_shop_signs_its_callback() {
    let mut world = World::new();
    let mut call = open_of(provider(|entry| {
        entry["variables"] = json!([{"name": "shop", "label": "Shop", "form": "word", "from": "session"}]);
        entry["oauth"]["callback"] = "shopify".into();
    }));
    call.variables.insert("shop".to_owned(), "some-shop".to_owned());
    let link = world.open_with(&call);
    let browser = world.go(&link);
    let code = world.consent(&browser);
    let mut call = World::callback_of(&browser, &code);
    call.others
        .insert("shop".to_owned(), "some-shop.myshopify.com".to_owned());
    call.others.insert("hmac".to_owned(), "00".repeat(32));
    let arrival = world.ask(Caller::Browser, &call).unwrap();
    assert_eq!(arrival.outcome, Outcome::ProviderError);
    assert!(world.server.exchanges().is_empty());
}

#[test]
fn s27_a_token_by_another_key_or_algorithm_connects_nothing_and_its_grant_is_revoked() {
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "k1" }),
        json!({ "alg": "ES256", "kid": "k2" }),
    ] {
        let (mut world, outcome, words) = outcome_with(|world| world.server.header.clone_from(&header));
        assert_eq!(outcome, Outcome::ExchangeFailed, "{header}");
        assert!(words.is_some_and(|words| words.contains("id token") || words.contains("key set")));
        assert_eq!(world.view().state, State::Pending);
        assert_eq!(world.server.count("/revoke"), 1, "{header}");
        assert!(world.told.is_empty());
    }
}

#[test]
fn s27_keys_are_fetched_again_once_in_five_minutes() {
    let mut world = World::new();
    let link = world.open();
    world.server.header = json!({ "alg": "ES256", "kid": "k2" });
    world.connect(&link);
    world.connect(&link);
    assert_eq!(world.server.count("/keys"), 1);
    // The issuer has a new key: after five minutes it is found.
    world.server.key_id = "k2".to_owned();
    world.connect(&link);
    assert_eq!(world.server.count("/keys"), 1);
    world.pass(300_000);
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    assert_eq!(world.server.count("/keys"), 2);
}

#[test]
fn s28_a_token_for_somebody_else_connects_nothing() {
    let changes: [fn(&mut Value); 6] = [
        |claims| claims["iss"] = "https://evil.example".into(),
        |claims| claims["aud"] = "client-2".into(),
        |claims| claims["nonce"] = "another".into(),
        |claims| claims["exp"] = 1.into(),
        |claims| claims["azp"] = "client-2".into(),
        |claims| claims["at_hash"] = "AAAA".into(),
    ];
    for change in changes {
        let (mut world, outcome, _) = outcome_with(|world| world.server.claims = change);
        assert_eq!(outcome, Outcome::ExchangeFailed);
        assert_eq!(world.view().generation, None);
    }
}

#[test]
fn s29_another_account_on_reconnect_is_refused_and_its_grant_revoked() {
    let mut world = World::new();
    let link = world.open();
    world.connect(&link);
    let before = world.view();
    let link = world.open_with(&SessionOpen {
        reconnect: true,
        ..open_of(provider(|_| {}))
    });
    assert_eq!(
        world.show(&link).unwrap().account.as_deref(),
        Some("ann@example.com")
    );
    world.server.account = ("sub-bob".to_owned(), "bob@example.com".to_owned());
    let arrival = world.connect(&link);
    assert_eq!(arrival.outcome, Outcome::OtherAccount);
    let page = world.result(&arrival);
    assert_eq!(page.account.as_deref(), Some("ann@example.com"));
    assert_eq!(page.other_account.as_deref(), Some("bob@example.com"));
    let after = world.view();
    assert_eq!(
        (after.generation, after.account_key),
        (before.generation, before.account_key)
    );
    let revoked: Vec<_> = world
        .server
        .asked
        .iter()
        .filter(|(url, _)| url.ends_with("/revoke"))
        .collect();
    assert_eq!(revoked.len(), 1);

    // The right account goes on where it was.
    world.server.account = ("sub-ann".to_owned(), "ann@new.example".to_owned());
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    let view = world.view();
    assert_eq!(
        (view.generation, view.account.as_deref()),
        (Some(2), Some("ann@new.example"))
    );
    assert_eq!(world.told_types(), ["connection.created"]);
}

/// Google gives one with the first consent alone, unless it is asked for it.
#[test]
fn s26_a_reconnect_without_a_refresh_token_keeps_the_one_that_never_changes() {
    for (rotation, kept) in [("none", true), ("strict", false)] {
        let mut world = World::new();
        let entry = || provider(|entry| entry["oauth"]["rotation"] = rotation.into());
        let link = world.open_with(&open_of(entry()));
        world.connect(&link);
        let link = world.open_with(&SessionOpen {
            reconnect: true,
            ..open_of(entry())
        });
        world.server.without_refresh_token = true;
        assert_eq!(world.connect(&link).outcome, Outcome::Connected);
        let view = world.view();
        assert_eq!((view.generation, view.refreshable), (Some(2), kept), "{rotation}");
    }
}

#[test]
fn s29_userinfo_about_another_subject_connects_nothing() {
    let mut world = World::new();
    let mut entry = provider(|entry| {
        entry["identity"] = json!({
            "from": {"call": {"url": "https://api.example/me"}}, "key": ["/sub"], "label": ["/name"],
        });
    });
    entry.verified = true;
    let link = world.open_with(&open_of(entry));
    world.server.whoami = Some(json!({ "sub": "sub-bob", "name": "Bob" }));
    assert_eq!(world.connect(&link).outcome, Outcome::ExchangeFailed);
    world.server.whoami = Some(json!({ "sub": "sub-ann", "name": "Ann" }));
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    assert_eq!(world.view().account.as_deref(), Some("Ann"));
}

#[test]
fn s30_what_was_left_out_is_shown_or_refused_as_the_app_says() {
    let mut world = World::new();
    let link = world.open();
    world.server.scope = Some("openid mail".to_owned());
    let arrival = world.connect(&link);
    assert_eq!(arrival.outcome, Outcome::MissingScopes);
    assert_eq!(world.result(&arrival).missing, ["See your files"]);
    let view = world.view();
    assert_eq!(
        (view.state, view.missing_scopes),
        (State::Active, vec!["files".to_owned()])
    );

    let mut world = World::new();
    let mut call = open_of(provider(|_| {}));
    call.app.all_scopes = true;
    let link = world.open_with(&call);
    world.server.scope = Some("openid mail".to_owned());
    let arrival = world.connect(&link);
    assert_eq!(arrival.outcome, Outcome::RefusedScopes);
    assert_eq!(world.view().state, State::Pending);
    assert_eq!(world.server.count("/revoke"), 1);
    world.server.scope = None; // as asked (RFC 6749 section 5.1)
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    assert_eq!(world.view().scopes, ["openid", "mail", "files"]);
}

#[test]
fn a_grant_that_an_app_refuses_on_reconnect_does_not_end_the_one_that_stands() {
    let mut world = World::new();
    let link = world.open();
    world.connect(&link);
    let mut call = open_of(provider(|_| {}));
    call.app.all_scopes = true;
    call.reconnect = true;
    let link = world.open_with(&call);
    world.server.scope = Some("openid mail".to_owned());
    assert_eq!(world.connect(&link).outcome, Outcome::RefusedScopes);
    assert_eq!(world.server.count("/revoke"), 0);
    assert_eq!(world.view().state, State::Active);
}

#[test]
fn a_provider_that_refuses_the_code_says_why_on_the_page_and_in_the_history() {
    let (mut world, outcome, words) = outcome_with(|world| {
        let body = json!({ "error": "invalid_client", "error_description": "wrong secret" });
        world.server.instead = Some(answer(401, &body));
    });
    assert_eq!(outcome, Outcome::ExchangeFailed);
    assert_eq!(words.as_deref(), Some("invalid_client: wrong secret"));
    let history = world.history();
    assert_eq!(history[0].what, "connect");
    assert_eq!(
        history[0].class,
        Some(postern_domain::oauth::provider::Class::BrokenApp)
    );
}

#[test]
fn a_session_that_no_attempt_could_begin_is_not_made() {
    let mut world = World::new();
    let mut call = open_of(provider(|_| {}));
    call.scopes = vec!["x".repeat(9000)];
    let refused = world.ask(TENANT, &call).unwrap_err();
    assert_eq!(refused.code, postern_domain::problem::Code::Validation);
    let call = open_of(provider(|entry| {
        entry["oauth"]["authorizeUrl"] = "https://as.example/authorize?state=1".into();
    }));
    assert_eq!(
        world.ask(TENANT, &call).unwrap_err().code,
        postern_domain::problem::Code::Conflict
    );
    let unknown = Secret("11".repeat(32));
    assert_eq!(
        world.show(&unknown).unwrap_err().code,
        postern_domain::problem::Code::NotFound
    );
}
