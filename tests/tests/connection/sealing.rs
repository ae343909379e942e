//! Secrets at rest.

use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{Caller, Disconnect, Reseal};
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
fn asked_by_the_clock_an_idle_connection_is_sealed_anew_and_the_directory_learns_its_key() {
    let mut desk = Desk::connected(Rotation::Strict);
    let key = |desk: &Desk| desk.rows.last().unwrap().view.key_version;
    assert_eq!(key(&desk), Some(1));
    let token = desk.token();
    desk.keys = format!("{OTHER},{MASTER_KEYS}");
    desk.die();
    desk.call_as(Caller::System, Reseal {}).unwrap();
    assert_eq!(key(&desk), Some(2));
    let told = desk.rows.len();
    desk.call_as(Caller::System, Reseal {}).unwrap();
    assert!(
        desk.rows.len() > told,
        "asked again, it says it again: the row was lost"
    );
    assert_eq!(desk.told_types(), ["connection.created"]);
    desk.keys = OTHER.to_owned();
    desk.die();
    assert_eq!(desk.token().token, token.token);
}

#[test]
fn a_refresh_under_a_new_master_key_leaves_nothing_under_the_old_one() {
    let mut desk = Desk::connected(Rotation::ReissueOldOk);
    desk.keys = format!("{OTHER},{MASTER_KEYS}");
    desk.die();
    desk.pass(5 * 3_600_000);
    assert!(desk.peer.refreshes() > 0);
    desk.keys = OTHER.to_owned();
    desk.die();
    assert!(desk.lease().is_ok());
    assert_eq!(desk.view().key_version, Some(2));
}

#[test]
fn what_cannot_be_sealed_anew_keeps_its_bytes_and_is_counted_under_its_old_key() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.keys = OTHER.to_owned();
    desk.die();
    desk.call_as(Caller::System, Reseal {}).unwrap();
    assert_eq!(desk.rows.last().unwrap().view.key_version, Some(1));
    desk.keys = MASTER_KEYS.to_owned();
    desk.die();
    assert!(desk.lease().is_ok());
}

#[test]
fn a_disconnected_connection_needs_no_master_key() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.call(Disconnect {}).unwrap();
    assert_eq!(desk.rows.last().unwrap().view.key_version, None);
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
