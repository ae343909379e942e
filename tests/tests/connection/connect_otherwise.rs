//! Connections without a browser: tokens that were brought, and service accounts.

use std::collections::BTreeMap;

use postern_domain::oauth::Secret;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{Import, ServiceAccountPut};
use serde_json::json;

use crate::browser::{TENANT, World, answer, provider, terms};

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
