//! What the provider's webhooks call the account of a connection: its tenant's, as long as the connection stands.

use postern_domain::oauth::standing::State;
use postern_domain::wire::connection::{Disconnect, Outcome, Reset};

use crate::browser::{TENANT, World, open_of, provider};

fn connected() -> World {
    let mut world = World::new();
    let entry = provider(|entry| entry["identity"]["routing"] = serde_json::json!(["/team", "/email"]));
    let link = world.open_with(&open_of(entry));
    world.server.claims = |claims| {
        claims["team"] = "T1".into();
        claims["email_verified"] = true.into();
    };
    assert_eq!(world.view().routing, Vec::<String>::new(), "nobody has said yes");
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    world
}

#[test]
fn an_accounts_keys_are_told_with_the_connection_and_survive_its_object() {
    let mut world = connected();
    assert_eq!(world.view().routing, ["T1", "ann@example.com"]);
    world.crash();
    assert_eq!(world.view().routing, ["T1", "ann@example.com"]);
}

#[test]
fn a_disconnect_and_a_reset_give_them_up() {
    let mut world = connected();
    let view = world.ask(TENANT, &Reset {}).unwrap();
    assert_eq!((view.state, view.routing), (State::Pending, Vec::new()));
    let mut world = connected();
    let done = world.ask(TENANT, &Disconnect {}).unwrap();
    assert_eq!(
        (done.connection.state, done.connection.routing),
        (State::Revoked, Vec::new())
    );
}

#[test]
fn connecting_again_tells_them_as_they_are_now() {
    let mut world = connected();
    let entry = provider(|entry| entry["identity"]["routing"] = serde_json::json!(["/team"]));
    let mut again = open_of(entry);
    again.reconnect = true;
    let link = world.open_with(&again);
    world.server.claims = |claims| claims["team"] = "T2".into();
    assert_eq!(world.connect(&link).outcome, Outcome::Connected);
    assert_eq!(world.view().routing, ["T2"]);
}
