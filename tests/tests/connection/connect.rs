//! A browser connects: the session, the attempt, the callback, the exchange.

use postern_domain::oauth::Secret;
use postern_domain::oauth::standing::State;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{
    Caller, ConnectionGet, Outcome, ResultAgain, ResultShow, SessionOpen, SessionState,
};

use crate::browser::{BACK, CLIENT_SECRET, TENANT, World, open_of, provider};

#[test]
fn a_person_who_says_yes_is_connected() {
    let mut world = World::new();
    let link = world.open();
    assert_eq!(world.view().state, State::Pending);
    let page = world.show(&link).unwrap();
    assert_eq!(
        (page.state, page.provider.as_str()),
        (SessionState::Open, "Example")
    );
    assert_eq!(page.asked, ["Read your mail", "See your files"]);

    let arrival = world.connect(&link);
    assert_eq!(arrival.outcome, Outcome::Connected);
    let view = world.view();
    assert_eq!((view.state, view.reason), (State::Active, None));
    assert_eq!(view.account.as_deref(), Some("ann@example.com"));
    assert_eq!(view.account_key.as_deref(), Some("sub-ann"));
    assert_eq!((view.generation, view.refreshable), (Some(1), true));
    assert_eq!(view.expires_at, Some(world.now.plus(3_600_000)));
    assert_eq!(world.told_types(), ["connection.created"]);
    let result = world.result(&arrival);
    assert_eq!(result.account.as_deref(), Some("ann@example.com"));
    assert!(!result.again);
}

#[test]
fn s1_a_link_works_for_30_minutes_and_then_says_that_it_expired() {
    let mut world = World::new();
    let link = world.open();
    world.pass(30 * 60_000 - 1);
    assert_eq!(world.show(&link).unwrap().state, SessionState::Open);
    world.pass(1);
    assert_eq!(world.show(&link).unwrap().state, SessionState::Expired);
    assert_eq!(world.depart(&link).unwrap().url, None);
}

#[test]
fn s1_storage_holds_no_link_state_cookie_code_verifier_or_secret() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let code = world.consent(&browser);
    let cookie = browser.cookies.values().next().unwrap().reveal().to_owned();
    let during = world.dump();
    world.back(&browser, &code);
    let verifier = world.server.exchanges()[0]["code_verifier"].clone();
    let nonce = browser.query["nonce"].clone();
    for (when, dump) in [("during", during), ("after", world.dump())] {
        assert!(dump.contains("as.example"), "the dump holds something");
        for secret in [
            link.reveal(),
            &hex::encode(browser.state.random),
            &cookie,
            &code,
            &verifier,
            &nonce,
            "canary",
            CLIENT_SECRET,
        ] {
            assert!(!dump.contains(secret), "{secret} {when}");
        }
    }
}

#[test]
fn s2_a_connection_keeps_the_tenant_and_the_app_of_its_first_session() {
    let mut world = World::new();
    world.open();
    let mut call = open_of(provider(|_| {}));
    call.app.id = postern_domain::id::OAuthAppId([8; 20]);
    assert_eq!(world.ask(TENANT, &call).unwrap_err().code, Code::Conflict);
    let other = Caller::Tenant {
        organisation: postern_domain::id::OrganisationId([1; 20]),
        tenant: postern_domain::id::TenantId([3; 20]),
    };
    let call = open_of(provider(|_| {}));
    assert_eq!(world.ask(other, &call).unwrap_err().code, Code::NotFound);
}

#[test]
fn s3_a_link_that_connected_begins_nothing_any_more() {
    let mut world = World::new();
    let link = world.open();
    let early = world.go(&link);
    world.connect(&link);
    assert_eq!(world.show(&link).unwrap().state, SessionState::Connected);
    assert_eq!(world.depart(&link).unwrap().url, None);

    // An attempt that was under way when another one connected exchanges nothing.
    let code = world.consent(&early);
    assert_eq!(world.back(&early, &code).outcome, Outcome::AlreadyConnected);
    assert_eq!(world.server.exchanges().len(), 1);
}

#[test]
fn s4_looking_writes_nothing_and_a_scanner_costs_an_attempt_and_never_the_link() {
    let mut world = World::new();
    let link = world.open();
    let written = world.written();
    for _ in 0..10 {
        world.show(&link).unwrap();
    }
    assert_eq!(world.written(), written);

    let person = world.go(&link);
    for _ in 0..4 {
        world.go(&link);
    }
    let code = world.consent(&person);
    assert_eq!(world.back(&person, &code).outcome, Outcome::Connected);
}

#[test]
fn s4_a_sixth_attempt_ends_the_oldest_one() {
    let mut world = World::new();
    let link = world.open();
    let browsers: Vec<_> = (0..6).map(|_| world.go(&link)).collect();
    let code = world.consent(&browsers[0]);
    let arrival = world.back(&browsers[0], &code);
    assert_eq!(arrival.outcome, Outcome::Expired);
    let code = world.consent(&browsers[5]);
    assert_eq!(world.back(&browsers[5], &code).outcome, Outcome::Connected);
    assert_eq!(world.server.exchanges().len(), 1);
}

#[test]
fn s4_a_link_that_is_followed_without_end_is_refused() {
    let mut world = World::new();
    let link = world.open();
    for _ in 0..50 {
        world.go(&link);
    }
    assert_eq!(world.depart(&link).unwrap_err().code, Code::RateLimited);
}

#[test]
fn s6_what_changes_of_the_app_after_the_link_was_made_changes_nothing_of_it() {
    let mut world = World::new();
    let link = world.open();
    // Another session of the same connection, of an app that was changed since.
    let changed = open_of(provider(|entry| {
        entry["oauth"]["tokenUrl"] = "https://elsewhere.example/token".into();
        entry["oauth"]["authorizeUrl"] = "https://elsewhere.example/authorize".into();
    }));
    world.open_with(&SessionOpen {
        scopes: Vec::new(),
        ..changed
    });
    let browser = world.go(&link);
    assert!(browser.url.starts_with("https://as.example/authorize?"));
    let code = world.consent(&browser);
    assert_eq!(world.back(&browser, &code).outcome, Outcome::Connected);
    let sent = world.server.exchanges()[0].clone();
    assert_eq!(sent["client_secret"], CLIENT_SECRET);
    // S7: the same bytes at both ends.
    assert_eq!(
        (
            sent["redirect_uri"].as_str(),
            browser.query["redirect_uri"].as_str()
        ),
        (BACK, BACK)
    );
}

#[test]
fn s5_every_attempt_has_a_verifier_of_its_own() {
    let mut world = World::new();
    let link = world.open();
    let (one, other) = (world.go(&link), world.go(&link));
    assert_ne!(one.query["code_challenge"], other.query["code_challenge"]);
    assert_ne!(one.query["state"], other.query["state"]);
    assert_ne!(one.query["nonce"], other.query["nonce"]);
    assert_ne!(one.cookies, other.cookies);
    assert_eq!(one.query["code_challenge_method"], "S256");
    let code = world.consent(&one);
    world.back(&one, &code);
    assert_eq!(world.server.exchanges()[0]["code_verifier"].len(), 43);
}

#[test]
fn s9_of_fifty_callbacks_at_once_one_is_exchanged_and_all_hear_the_same() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let code = world.consent(&browser);
    let call = World::callback_of(&browser, &code);
    let waiting: Vec<_> = (0..50)
        .map(|_| world.ask_once(Caller::Browser, &call, None))
        .collect();
    assert!(waiting.iter().all(|replied| replied.waits));
    let briefly = waiting.iter().filter(|replied| replied.briefly);
    assert_eq!(
        briefly.count(),
        49,
        "whoever comes second does not wait for all of it"
    );
    world.settle();
    for replied in waiting {
        let again = world.ask_once(Caller::Browser, &call, Some(replied.turn));
        assert!(!again.waits);
        let arrival = World::read::<postern_domain::wire::connection::Callback>(&again).unwrap();
        assert_eq!(arrival.outcome, Outcome::Connected);
    }
    assert_eq!(world.server.exchanges().len(), 1);
    assert_eq!(world.told_types(), ["connection.created"]);
}

#[test]
fn s9_unknown_used_and_expired_states_say_the_same() {
    let mut world = World::new();
    let link = world.open();
    let used = world.go(&link);
    let expired = world.go(&link);
    let mut unknown = used.clone();
    unknown.state.random = [5; 32];
    let code = world.consent(&used);
    world.back(&used, &code);
    let mut without_cookie = used;
    without_cookie.cookies.clear();
    world.pass(600_000);
    let all = [unknown, without_cookie, expired].map(|browser| world.back(&browser, "x"));
    assert_eq!(all[0].outcome, Outcome::Expired);
    assert_eq!(all[0].result, None);
    assert!(all.iter().all(|arrival| *arrival == all[0]));
    assert_eq!(world.server.exchanges().len(), 1);
}

#[test]
fn s10_another_browser_gets_nothing_and_takes_nothing() {
    let mut world = World::new();
    let link = world.open();
    let victim = world.go(&link);
    let attacker = world.go(&link);
    let code = world.consent(&victim);
    for cookies in [std::collections::BTreeMap::new(), attacker.cookies.clone(), {
        let name = victim.cookies.keys().next().unwrap().clone();
        std::collections::BTreeMap::from([(name, attacker.cookies.values().next().unwrap().clone())])
    }] {
        let mut browser = victim.clone();
        browser.cookies = cookies;
        assert_eq!(world.back(&browser, &code).outcome, Outcome::OtherBrowser);
    }
    assert!(world.server.exchanges().is_empty());
    assert_eq!(world.back(&victim, &code).outcome, Outcome::Connected);
}

#[test]
fn s12_a_code_is_not_sent_again_after_a_crash() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let code = world.consent(&browser);
    let call = World::callback_of(&browser, &code);
    assert!(world.ask_once(Caller::Browser, &call, None).waits);
    world.crash();
    let arrival = world.back(&browser, &code);
    assert_eq!(arrival.outcome, Outcome::Lost);
    assert!(world.server.exchanges().is_empty());
    assert_eq!(world.view().state, State::Pending);
    assert!(world.result(&arrival).again);
    // The link is good for another try.
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
}

#[test]
fn s12_an_answer_that_was_lost_is_not_asked_for_again() {
    let mut world = World::new();
    let link = world.open();
    world.server.instead = Some(crate::browser::lost());
    let browser = world.go(&link);
    let code = world.consent(&browser);
    assert_eq!(world.back(&browser, &code).outcome, Outcome::Lost);
    assert_eq!(world.back(&browser, &code).outcome, Outcome::Lost);
    assert_eq!(world.server.exchanges().len(), 1);
}

#[test]
fn s12_the_alarm_finds_an_exchange_that_died_with_its_object() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let code = world.consent(&browser);
    world.ask_once(Caller::Browser, &World::callback_of(&browser, &code), None);
    world.crash();
    world.pass(91_000);
    let due = world.storage.native().alarm().unwrap();
    assert!(due <= world.now, "the alarm is set for it");
    world.alarm();
    let history = world.history();
    assert!(history[0].decision.contains("lost"), "{}", history[0].decision);
    assert!(world.server.exchanges().is_empty());
}

#[test]
fn s13_a_return_url_is_given_for_what_the_product_can_go_on_with() {
    let mut world = World::new();
    let to = "https://product.example/done".to_owned();
    let link = world.open_with(&SessionOpen {
        return_url: Some(to.clone()),
        ..open_of(provider(|_| {}))
    });
    let browser = world.go(&link);
    let mut denied = World::callback_of(&browser, "");
    denied.code = None;
    denied.error = Some("access_denied".to_owned());
    let arrival = world.ask(Caller::Browser, &denied).unwrap();
    assert_eq!(
        (arrival.outcome, arrival.return_url),
        (Outcome::Denied, Some(to.clone()))
    );
    world.server.instead = Some(crate::browser::answer(
        400,
        &serde_json::json!({ "error": "invalid_client" }),
    ));
    let arrival = world.connect(&link);
    assert_eq!(
        (arrival.outcome, arrival.return_url.as_deref()),
        (Outcome::ExchangeFailed, None)
    );
    assert_eq!(world.result(&arrival).return_url.as_deref(), Some(to.as_str()));
    let arrival = world.connect(&link);
    assert_eq!(
        (arrival.outcome, arrival.return_url),
        (Outcome::Connected, Some(to))
    );
}

#[test]
fn looking_at_a_result_does_nothing_however_often() {
    let mut world = World::new();
    let link = world.open();
    let arrival = world.connect(&link);
    let written = world.written();
    for _ in 0..5 {
        assert_eq!(world.result(&arrival).outcome, Outcome::Connected);
    }
    assert_eq!(world.written(), written);
    let unknown = ResultShow {
        result: "0".repeat(32),
    };
    assert_eq!(
        world.ask(Caller::Browser, &unknown).unwrap_err().code,
        Code::NotFound
    );
}

#[test]
fn who_was_refused_begins_again_in_the_same_browser_only() {
    let mut world = World::new();
    let link = world.open();
    let browser = world.go(&link);
    let mut denied = World::callback_of(&browser, "");
    denied.code = None;
    denied.error = Some("access_denied".to_owned());
    let arrival = world.ask(Caller::Browser, &denied).unwrap();
    assert_eq!((arrival.outcome, &arrival.cookie_name), (Outcome::Denied, &None));
    let mut again = ResultAgain {
        result: arrival.result.unwrap(),
        cookies: std::collections::BTreeMap::new(),
    };
    assert_eq!(world.ask(Caller::Browser, &again).unwrap().url, None);
    again.cookies = browser.cookies;
    let departure = world.ask(Caller::Browser, &again).unwrap();
    let browser = World::browser_of(&departure);
    let code = world.consent(&browser);
    assert_eq!(world.back(&browser, &code).outcome, Outcome::Connected);
}

#[test]
fn s17_a_browser_can_ask_nothing_but_its_way() {
    let mut world = World::new();
    let link = world.open();
    let refused = world.ask(Caller::Browser, &ConnectionGet {}).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    let call = open_of(provider(|_| {}));
    assert_eq!(
        world.ask(Caller::Browser, &call).unwrap_err().code,
        Code::NotFound
    );
    let unknown = Secret("00".repeat(32));
    assert_eq!(world.show(&unknown).unwrap_err().code, Code::NotFound);
    assert_eq!(world.show(&link).unwrap().state, SessionState::Open);
}
