//! Connections without a browser: tokens that were brought, and service accounts.

use std::collections::BTreeMap;

use postern_domain::oauth::Secret;
use postern_domain::oauth::provider::Provider;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{Import, Outcome, ServiceAccountPut, SessionOpen};
use serde_json::json;

use crate::browser::{TENANT, World, answer, open_of, provider, terms};

fn import() -> Import {
    Import {
        app: terms(provider(|_| {})),
        access_token: None,
        refresh_token: Some(Secret("canary-rt-brought".to_owned())),
        scopes: vec!["mail".to_owned()],
        expires_at: None,
        account: Some("ann@example.com".to_owned()),
        label: None,
        uid: None,
        variables: BTreeMap::new(),
        watches: Vec::new(),
    }
}

#[test]
fn an_imported_refresh_token_is_refreshed_at_once_and_nobody_connects_again() {
    let mut world = World::new();
    let view = world.ask(TENANT, &import()).unwrap();
    assert_eq!((view.state, view.reason), (State::Active, None));
    assert_eq!(view.account.as_deref(), Some("ann@example.com"));
    assert_eq!(view.expires_at, Some(world.now.plus(3_600_000)));
    assert_eq!(view.generation, Some(2));
    assert_eq!(world.server.count("/token"), 1);
    assert_eq!(world.told_types(), ["connection.created"]);
    assert!(!world.dump().contains("canary"));
}

#[test]
fn an_imported_refresh_token_that_is_dead_says_so() {
    let mut world = World::new();
    world.server.instead = Some(answer(400, &json!({ "error": "invalid_grant" })));
    let view = world.ask(TENANT, &import()).unwrap();
    assert_eq!(view.state, State::NeedsReauth);
}

/// The entry of a provider whose API tells whose account it is.
fn told_by_a_call() -> Provider {
    provider(|entry| {
        entry["kind"] = "oauth2".into();
        let call = json!({ "call": { "url": "https://api.example/me" } });
        entry["identity"] = json!({ "from": call, "key": ["/id"], "label": ["/login"] });
        entry["api"] = json!({ "base": "https://api.example" });
    })
}

/// Somebody comes back from the provider for the connection that stands.
fn reconnected(world: &mut World, entry: Provider) -> Outcome {
    let link = world.open_with(&SessionOpen {
        reconnect: true,
        ..open_of(entry)
    });
    world.connect(&link).outcome
}

#[test]
fn s29_imported_tokens_have_the_account_that_the_refreshs_id_token_names() {
    let mut world = World::new();
    world.server.refreshes_id_token = true;
    let view = world.ask(TENANT, &import()).unwrap();
    assert_eq!(
        (view.account.as_deref(), view.account_key.as_deref()),
        (Some("ann@example.com"), Some("sub-ann"))
    );
    assert_eq!(
        view.routing, [""; 0],
        "whoever brings tokens claims no webhooks by them"
    );
    world.server.account = ("sub-bob".to_owned(), "bob@example.com".to_owned());
    assert_eq!(reconnected(&mut world, provider(|_| {})), Outcome::OtherAccount);
    world.server.account.0 = "sub-ann".to_owned();
    assert_eq!(reconnected(&mut world, provider(|_| {})), Outcome::Connected);
}

#[test]
fn s27_an_id_token_of_a_refresh_by_another_key_names_nobody() {
    let mut world = World::new();
    world.server.refreshes_id_token = true;
    world.server.header = json!({ "alg": "ES256", "kid": "k2" });
    let view = world.ask(TENANT, &import()).unwrap();
    assert_eq!((view.state, view.account_key), (State::Active, None));
}

#[test]
fn s29_imported_tokens_have_the_account_that_the_providers_api_names() {
    let mut world = World::new();
    world.entry = told_by_a_call();
    world.server.whoami = Some(json!({ "id": 7, "login": "ann" }));
    let call = Import {
        app: terms(told_by_a_call()),
        account: None,
        ..import()
    };
    let view = world.ask(TENANT, &call).unwrap();
    assert_eq!(
        (view.account.as_deref(), view.account_key.as_deref()),
        (Some("ann"), Some("7"))
    );
    world.server.whoami = Some(json!({ "id": 8, "login": "bob" }));
    assert_eq!(reconnected(&mut world, told_by_a_call()), Outcome::OtherAccount);
}

#[test]
fn s29_an_account_that_is_not_told_at_once_is_learned_later_and_the_import_stands() {
    let mut world = World::new();
    world.entry = told_by_a_call();
    world.server.whoami = None;
    let call = Import {
        app: terms(told_by_a_call()),
        ..import()
    };
    let view = world.ask(TENANT, &call).unwrap();
    assert_eq!(
        (view.state, view.account.as_deref(), view.account_key),
        (State::Active, Some("ann@example.com"), None)
    );
    assert!(
        world
            .history()
            .iter()
            .any(|line| line.decision.contains("asked again"))
    );
    world.crash();
    world.server.whoami = Some(json!({ "id": 7, "login": "ann" }));
    let at = world.storage.native().alarm().unwrap();
    world.pass(at.since(world.now));
    world.alarm();
    assert_eq!(world.view().account_key.as_deref(), Some("7"));
    assert_eq!(world.server.count("/token"), 1);
    world.server.whoami = Some(json!({ "id": 8, "login": "bob" }));
    assert_eq!(reconnected(&mut world, told_by_a_call()), Outcome::OtherAccount);
}

#[test]
fn an_imported_access_token_alone_tells_its_account_too() {
    let mut world = World::new();
    world.entry = told_by_a_call();
    world.server.whoami = Some(json!({ "id": 7, "login": "ann" }));
    let mut entry = told_by_a_call();
    entry.check = Some(serde_json::from_value(json!({ "url": "https://api.example/me" })).unwrap());
    let call = Import {
        app: terms(entry),
        access_token: Some(Secret("canary-at-brought".to_owned())),
        refresh_token: None,
        account: None,
        ..import()
    };
    let view = world.ask(TENANT, &call).unwrap();
    assert_eq!(
        (view.account.as_deref(), view.account_key.as_deref()),
        (Some("ann"), Some("7"))
    );
    assert_eq!(world.server.count("/token"), 0);
}

#[test]
fn an_import_that_names_another_address_than_the_provider_is_told_so_and_the_providers_counts() {
    let mut world = World::new();
    world.server.refreshes_id_token = true;
    world.server.account = ("sub-bob".to_owned(), "bob@example.com".to_owned());
    let view = world.ask(TENANT, &import()).unwrap();
    assert_eq!(
        (view.account.as_deref(), view.account_key.as_deref()),
        (Some("bob@example.com"), Some("sub-bob"))
    );
    let history = world.history();
    let mut words = history.iter().filter_map(|line| line.words.as_deref());
    assert!(words.any(|words| words == "bob@example.com, and not ann@example.com"));
}

#[test]
fn a_provider_that_tells_no_accounts_apart_leaves_it_empty() {
    let mut world = World::new();
    let entry = || {
        provider(|entry| {
            entry["kind"] = "oauth2".into();
            entry["identity"] = serde_json::Value::Null;
        })
    };
    world.entry = entry();
    let call = Import {
        app: terms(entry()),
        account: None,
        ..import()
    };
    let view = world.ask(TENANT, &call).unwrap();
    assert_eq!(
        (view.state, view.account, view.account_key),
        (State::Active, None, None)
    );
}

#[test]
fn nothing_to_import_is_refused_and_so_is_a_second_import() {
    let mut world = World::new();
    let mut call = import();
    call.refresh_token = None;
    assert_eq!(world.ask(TENANT, &call).unwrap_err().code, Code::Validation);
    world.ask(TENANT, &import()).unwrap();
    assert_eq!(world.ask(TENANT, &import()).unwrap_err().code, Code::Conflict);
}

fn account(key: &str) -> ServiceAccountPut {
    let entry = provider(|entry| {
        entry["kind"] = "service_account".into();
        entry["oauth"]["clientAuth"] = "none".into();
        entry["oauth"]["rotation"] = "none".into();
    });
    ServiceAccountPut {
        app: terms(entry),
        email: "robot@project.example".to_owned(),
        private_key: Secret(key.to_owned()),
        key_id: Some("k".to_owned()),
        subject: None,
        scopes: vec!["mail".to_owned()],
        label: None,
        uid: None,
        replace: false,
        watches: Vec::new(),
    }
}

const KEY: &str = "-----BEGIN PRIVATE KEY-----canary";

fn token() -> postern_domain::oauth::Ended {
    answer(
        200,
        &json!({ "access_token": "canary-at", "token_type": "Bearer", "expires_in": 3600 }),
    )
}

#[test]
fn a_service_accounts_key_is_tried_before_it_is_stored() {
    let mut world = World::new();
    world.server.instead = Some(token());
    let view = world.ask(TENANT, &account(KEY)).unwrap();
    assert_eq!((view.state, view.generation), (State::Active, Some(1)));
    assert_eq!(view.account.as_deref(), Some("robot@project.example"));
    let (_, sent) = &world.server.asked[0];
    assert_eq!(sent["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(sent["assertion"].split('.').count(), 3);
    assert_eq!(world.told_types(), ["connection.created"]);
    assert!(!world.dump().contains("canary"));
}

#[test]
fn a_key_that_gives_no_token_is_not_stored() {
    let mut world = World::new();
    let refused = world.ask(TENANT, &account("no key")).unwrap_err();
    assert_eq!(refused.code, Code::Validation);
    let body = json!({ "error": "invalid_grant", "error_description": "account not found" });
    world.server.instead = Some(answer(400, &body));
    let refused = world.ask(TENANT, &account(KEY)).unwrap_err();
    assert!(refused.faults[0].msg.contains("account not found"));
    world.server.instead = Some(crate::browser::lost());
    let refused = world.ask(TENANT, &account(KEY)).unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    world.server.instead = Some(token());
    world.ask(TENANT, &account(KEY)).unwrap();
}
