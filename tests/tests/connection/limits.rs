//! How fast a connection's API may be asked, and where its token may go.

use postern_domain::oauth::provider::Rotation;
use postern_domain::oauth::standing::State;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{ConnectionPatch, Spent, TokenSpend, TokenThrottled};
use postern_domain::wire::connection_api::{ApiGet, ApiView};
use postern_tests::connection::{Desk, entry};
use serde_json::{Value, json};

fn limited(limits: &Value) -> Desk {
    at(&json!({"base": "https://api.peer.example/v1", "limits": limits}))
}

fn at(api: &Value) -> Desk {
    let mut provider = entry(Rotation::None, &json!({}));
    provider.api = serde_json::from_value(api.clone()).unwrap();
    let mut desk = Desk::of(Rotation::None, provider);
    desk.connect();
    assert_eq!(desk.state(), State::Active);
    desk
}

fn spend(desk: &mut Desk) -> Spent {
    desk.call(TokenSpend {}).unwrap()
}

#[test]
fn a_day_lets_its_number_through_and_says_when_there_is_room_again() {
    let mut desk = limited(&json!({"perDay": 3}));
    assert!(desk.token().limited);
    for _ in 0..3 {
        assert_eq!(spend(&mut desk).limit, None);
    }
    let refused = spend(&mut desk);
    assert_eq!(refused.limit.as_deref(), Some("requests per day"));
    assert_eq!(refused.wait_ms, Millis::DAY / 3);
}

#[test]
fn what_the_day_let_through_outlives_the_objects_memory_to_a_hundredth_or_a_minute() {
    let mut desk = limited(&json!({"perDay": 50}));
    for _ in 0..20 {
        assert_eq!(spend(&mut desk).limit, None);
        desk.die();
    }
    for _ in 0..30 {
        assert_eq!(spend(&mut desk).limit, None);
    }
    assert_eq!(spend(&mut desk).limit.as_deref(), Some("requests per day"));
    desk.die();
    assert_eq!(spend(&mut desk).limit.as_deref(), Some("requests per day"));

    let mut desk = limited(&json!({"perDay": 100_000}));
    let writes = desk.storage.writes();
    for _ in 0..900 {
        spend(&mut desk);
    }
    assert!(
        desk.storage.writes() <= writes + 2,
        "a write a minute at the most"
    );
}

#[test]
fn a_limit_by_the_second_alone_writes_nothing() {
    let mut desk = limited(&json!({"perSecond": 2}));
    let writes = desk.storage.writes();
    assert_eq!(spend(&mut desk).limit, None);
    assert_eq!(spend(&mut desk).limit, None);
    assert_eq!(spend(&mut desk).limit.as_deref(), Some("requests per second"));
    assert_eq!(desk.storage.writes(), writes);
}

#[test]
fn a_provider_that_asks_to_be_left_alone_is_left_alone_by_everybody() {
    let mut desk = limited(&json!({}));
    assert!(!desk.token().limited);
    desk.call(TokenThrottled { ms: 30_000 }).unwrap();
    assert!(desk.token().limited, "whoever leases it now asks first");
    let refused = spend(&mut desk);
    assert_eq!(refused.limit.as_deref(), Some("the provider's own limit"));
    assert_eq!(refused.wait_ms, 30_000);
    desk.now = desk.now.plus(30_000);
    assert_eq!(spend(&mut desk), Spent::default());
}

#[test]
fn it_says_where_its_token_may_go_and_spends_nothing_for_that() {
    let mut desk = limited(&json!({}));
    let used = desk.view().used_24h;
    let view = desk.call(ApiGet {}).unwrap();
    assert_eq!(
        view,
        ApiView {
            state: State::Active,
            bases: vec!["https://api.peer.example/v1".to_owned()],
        }
    );
    assert_eq!(desk.view().used_24h, used);
}

#[test]
fn an_api_whose_address_is_learned_by_connecting_is_not_known_before() {
    let mut desk = at(&json!({"base": "{instance}/v1"}));
    assert_eq!(desk.call(ApiGet {}).unwrap().bases, Vec::<String>::new());
}

#[test]
fn its_owner_sets_limits_in_place_of_the_entrys_and_gives_those_back() {
    let mut desk = limited(&json!({"perSecond": 100, "perDay": 2}));
    let set = |limits: &Value| ConnectionPatch {
        limits: Some(serde_json::from_value(limits.clone()).unwrap()),
        ..ConnectionPatch::default()
    };
    let view = desk.call(set(&json!({"perDay": 3}))).unwrap();
    assert_eq!((view.limits.per_second, view.limits.per_day), (None, Some(3)));
    desk.die();
    for _ in 0..3 {
        assert_eq!(spend(&mut desk).limit, None);
    }
    assert_eq!(spend(&mut desk).limit.as_deref(), Some("requests per day"));

    let label = ConnectionPatch {
        label: Some("a label".to_owned()),
        ..ConnectionPatch::default()
    };
    assert_eq!(
        desk.call(label).unwrap().limits.per_day,
        Some(3),
        "not named: it stays"
    );
    let without = ConnectionPatch {
        without_limits: true,
        ..ConnectionPatch::default()
    };
    let view = desk.call(without).unwrap();
    assert_eq!(
        (view.limits.per_second, view.limits.per_day),
        (Some(100), Some(2))
    );

    assert!(desk.token().limited, "every request asks");
    desk.call(set(&json!({}))).unwrap();
    assert!(!desk.token().limited, "none asks: there is no limit");
}
