//! Whose a connection is.

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::oauth::provider::Rotation;
use postern_domain::problem::Code;
use postern_domain::wire::connection::{Caller, ConnectionGet, Disconnect, TokenLease};
use postern_tests::connection::Desk;
use postern_tests::tenant::code;

#[test]
fn another_tenants_connection_is_not_found_whatever_is_asked() {
    let mut desk = Desk::connected(Rotation::Strict);
    let strangers = [
        Caller::Tenant {
            organisation: OrganisationId([1; 20]),
            tenant: TenantId([9; 20]),
        },
        Caller::Tenant {
            organisation: OrganisationId([9; 20]),
            tenant: TenantId([2; 20]),
        },
        Caller::Browser,
    ];
    for stranger in strangers {
        assert_eq!(code(desk.call_as(stranger, ConnectionGet {})), Code::NotFound);
        assert_eq!(
            code(desk.call_as(stranger, TokenLease::default())),
            Code::NotFound
        );
        assert_eq!(code(desk.call_as(stranger, Disconnect {})), Code::NotFound);
    }
    assert!(desk.lease().is_ok());
}

#[test]
fn what_never_was_is_not_found() {
    let mut desk = Desk::new(Rotation::Strict);
    assert_eq!(code(desk.call(ConnectionGet {})), Code::NotFound);
    assert_eq!(code(desk.lease()), Code::NotFound);
    desk.pass(1000);
    assert_eq!(desk.storage.writes(), 0, "nothing was stored for it");
}

#[test]
fn a_connection_that_nobody_authorised_is_over_after_a_day() {
    let mut desk = Desk::connected(Rotation::Strict);
    desk.call(postern_domain::wire::connection::Reset {}).unwrap();
    desk.pass(2 * 86_400_000);
    assert_eq!(desk.view().state.as_str(), "revoked");
}
