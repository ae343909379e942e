//! The end: revoked at the provider, then shredded.

use std::collections::BTreeMap;

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::time::Millis;
use postern_domain::wire::connection::{
    Caller, ConnectionErase, ConnectionGet, Disconnect, Reset, RevokeResult, SessionOpen, TokenLease,
};
use postern_tests::connection::{Desk, entry, owner};
use postern_tests::tenant::code;
use serde_json::json;

#[test]
fn a_disconnect_revokes_then_shreds_and_tells() {
    let mut desk = Desk::connected(Rotation::Strict);
    let done = desk.call(Disconnect {}).unwrap();
    assert_eq!(done.revoked, RevokeResult::Revoked);
    assert_eq!(done.connection.state.as_str(), "revoked");
    assert_eq!(desk.peer.revoked, ["refresh-canary-1"]);
    assert_eq!(desk.told_types(), ["connection.created", "connection.revoked"]);
    assert_eq!(desk.told[1].2["data"]["revoked"], "revoked");
    assert_eq!(code(desk.lease()), Code::Conflict);
    let (count, sessions) = rows_with_secrets(&desk);
    assert_eq!((count, sessions), (0, 0), "no blob is left");
    // Asked again it says the same.
    assert_eq!(desk.call(Disconnect {}).unwrap(), done);
}

fn rows_with_secrets(desk: &Desk) -> (i64, i64) {
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        let row = desk
            .storage
            .native()
            .connection()
            .query_row(&sql, [], |row| row.get(0));
        row.unwrap()
    };
    (count("credential"), count("session") + count("attempt"))
}

#[test]
fn what_came_of_revoking_is_told() {
    for (answer, result) in [
        ((200, json!({})), RevokeResult::Revoked),
        (
            (400, json!({ "error": "invalid_token" })),
            RevokeResult::AlreadyGone,
        ),
        ((500, json!({})), RevokeResult::Failed),
    ] {
        let mut desk = Desk::connected(Rotation::Strict);
        desk.peer.revocation = answer;
        assert_eq!(desk.call(Disconnect {}).unwrap().revoked, result);
        assert_eq!(rows_with_secrets(&desk), (0, 0), "shredded all the same");
    }
    let mut desk = Desk::of(Rotation::None, entry(Rotation::None, &json!({ "revoke": null })));
    desk.connect();
    assert_eq!(
        desk.call(Disconnect {}).unwrap().revoked,
        RevokeResult::Unsupported
    );
}

#[test]
fn an_object_that_dies_while_it_ends_goes_on_when_it_wakes() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.slow = true;
    assert!(desk.ask(owner(), Disconnect {}, None).waits);
    desk.die();
    assert_eq!(code(desk.lease()), Code::Conflict, "what is ending is not spent");
    desk.slow = false;
    desk.pass(120_000);
    assert_eq!(desk.view().revoked, Some(RevokeResult::Revoked));
    assert_eq!(rows_with_secrets(&desk), (0, 0));
}

#[test]
fn tokens_that_are_about_to_come_are_revoked_too() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.slow = true;
    desk.now = desk.now.plus(3_600_000);
    assert!(desk.ask(owner(), TokenLease::default(), None).waits);
    desk.step(); // the app: the refresh is in the air
    assert!(desk.ask(owner(), Disconnect {}, None).waits);
    assert!(desk.peer.revoked.is_empty());
    desk.work();
    assert_eq!(desk.peer.revoked, ["refresh-canary-3"], "the newest");
    assert!(!desk.peer.has_grant());
}

#[test]
fn a_reset_leaves_no_secret_and_the_same_id_to_connect_again() {
    let mut desk = Desk::connected(Rotation::Strict);
    let view = desk.call(Reset {}).unwrap();
    assert_eq!(view.state.as_str(), "pending");
    assert_eq!((view.generation, view.account_key), (None, None));
    assert_eq!(rows_with_secrets(&desk), (0, 0));
    assert_eq!(desk.peer.revoked, ["refresh-canary-1"]);
    desk.connect();
    assert!(desk.lease().is_ok());
}

#[test]
fn nothing_is_kept_when_the_tenant_goes() {
    let mut desk = Desk::connected(Rotation::Strict);
    let done = desk.call_as(Caller::System, ConnectionErase {}).unwrap();
    assert_eq!(done.connection.revoked, Some(RevokeResult::Revoked));
    assert_eq!(code(desk.call(ConnectionGet {})), Code::NotFound);
    assert_eq!(desk.storage.native().alarm(), None);
    assert!(!desk.dump().contains("peer"));
    desk.pass(Millis::DAY);
}

#[test]
fn of_what_nobody_connected_an_erasure_has_nothing_to_tell() {
    let mut desk = Desk::new(Rotation::Strict);
    let open = SessionOpen {
        app: desk.terms(),
        scopes: Vec::new(),
        return_url: None,
        label: None,
        uid: None,
        variables: BTreeMap::new(),
        reconnect: false,
        watches: Vec::new(),
    };
    desk.call(open).unwrap();
    let done = desk.call_as(Caller::System, ConnectionErase {}).unwrap();
    assert_eq!(done.connection.revoked, None);
    assert!(desk.peer.revoked.is_empty());
    assert_eq!(code(desk.call(ConnectionGet {})), Code::NotFound);
}

#[test]
fn an_erasure_of_what_was_disconnected_tells_what_came_of_that() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.call(Disconnect {}).unwrap();
    let done = desk.call_as(Caller::System, ConnectionErase {}).unwrap();
    assert_eq!(done.connection.revoked, Some(RevokeResult::Revoked));
    assert_eq!(desk.peer.revoked.len(), 1, "nobody is asked twice");
    assert_eq!(code(desk.call(ConnectionGet {})), Code::NotFound);
}

#[test]
fn what_is_revoked_stays_revoked() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.call(Disconnect {}).unwrap();
    assert_eq!(code(desk.call(Reset {})), Code::Conflict);
    desk.pass(30 * Millis::DAY);
    assert_eq!(desk.view().state.as_str(), "revoked");
    assert_eq!(desk.storage.native().alarm(), None, "it costs nothing any more");
}
