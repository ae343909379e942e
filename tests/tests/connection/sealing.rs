//! Secrets at rest.

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_tests::connection::Desk;
use postern_tests::peer::SECRET;
use postern_tests::tenant::{MASTER_KEYS, code};

const OTHER: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

#[test]
fn no_secret_stands_in_storage() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.pass(5 * 3_600_000);
    let dump = desk.dump();
    assert!(dump.contains("client-1"), "the rows were read");
    for secret in ["access-canary", "refresh-canary", "code-canary", SECRET] {
        assert!(!dump.contains(secret), "{secret} stands in storage");
    }
    let notices = desk.notices();
    let told = format!("{:?} {notices:?}", desk.told);
    assert!(!told.contains("canary"));
}

#[test]
fn tokens_are_sealed_anew_with_a_new_master_key_and_the_old_one_can_go() {
    let mut desk = Desk::connected(Rotation::Strict);
    let token = desk.token();
    desk.keys = format!("{OTHER},{MASTER_KEYS}");
    desk.die();
    desk.ring();
    desk.keys = OTHER.to_owned();
    desk.die();
    assert_eq!(desk.token().token, token.token);
    assert_eq!(desk.token().generation, token.generation);
    desk.pass(3_600_000);
    assert!(desk.peer.has_grant());
}

#[test]
fn a_missing_master_key_blocks_and_heals_when_it_is_put_back() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.keys = OTHER.to_owned();
    desk.die();
    assert_eq!(code(desk.lease()), Code::SealingUnavailable);
    let view = desk.view();
    assert_eq!(
        (
            view.state.as_str(),
            format!("{:?}", view.reason.unwrap()).as_str()
        ),
        ("blocked", "KekMissing")
    );
    desk.pass(2 * 3_600_000);
    assert_eq!(desk.peer.refreshes(), 0, "nothing is sent");
    desk.keys = MASTER_KEYS.to_owned();
    desk.die();
    assert!(desk.lease().is_ok());
    assert_eq!(desk.view().state.as_str(), "active");
    assert_eq!(
        desk.told_types(),
        [
            "connection.created",
            "connection.degraded",
            "connection.recovered"
        ]
    );
}

#[test]
fn a_blob_that_was_swapped_does_not_open_and_is_kept() {
    let mut desk = Desk::connected(Rotation::Strict);
    let sql = desk.storage.native().connection();
    sql.execute("UPDATE credential SET access = refresh, refresh = access", [])
        .unwrap();
    desk.die();
    assert_eq!(code(desk.lease()), Code::Conflict);
    assert_eq!(format!("{:?}", desk.view().reason.unwrap()), "SealBroken");
    let blobs: i64 = desk
        .storage
        .native()
        .connection()
        .query_row(
            "SELECT (access IS NOT NULL) + (refresh IS NOT NULL) FROM credential",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(blobs, 2);
}
