//! Whose is what: everything that is another's, or was never there, is the same 404.

use postern_domain::id::{OrganisationId, TenantId};
use postern_domain::problem::Code;
use postern_domain::wire::call::{
    AttemptFilter, AttemptsOfMessage, Caller, EndpointGet, EndpointList, Inspect, MessageFilter, MessageGet,
    MessageList, PageOf, Report, SetUp, SourceList, TenantSettings, Wipe,
};
use postern_tests::tenant::{Answer, Tenant, code};

fn page() -> PageOf {
    PageOf {
        limit: 10,
        iterator: None,
        ascending: false,
    }
}

#[test]
fn an_object_that_was_never_set_up_answers_404_and_writes_nothing() {
    let mut tenant = Tenant::never_set_up(postern_ledger::Settings::default());
    let call = tenant.publish_call("invoice.paid");
    assert_eq!(code(tenant.accept(call, b"1")), Code::NotFound);
    assert_eq!(code(tenant.call(EndpointList { page: page() })), Code::NotFound);
    assert_eq!(
        code(tenant.call_as(Caller::System, Report { lanes: Vec::new() }, &[])),
        Code::NotFound
    );
    assert_eq!(
        code(tenant.call_as(Caller::System, Inspect {}, &[])),
        Code::NotFound
    );
    assert_eq!(tenant.call_as(Caller::System, Wipe {}, &[]), Ok(((), Vec::new())));
    tenant.ring();
    assert_eq!(tenant.storage.native().alarm(), None);
    assert_eq!(tenant.count("sqlite_master"), 0);
    assert_eq!(tenant.storage.writes(), 0);
}

#[test]
fn an_id_with_one_character_changed_is_404() {
    let mut tenant = Tenant::new();
    let endpoint = tenant.endpoint();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.report(&out, Answer::Ok);
    let changed = |id: &str| {
        (id.find('_').unwrap() + 1..id.len())
            .map(move |at| {
                let mut id = id.as_bytes().to_vec();
                id[at] = if id[at] == b'1' { b'2' } else { b'1' };
                String::from_utf8(id).unwrap()
            })
            .collect::<Vec<_>>()
    };
    for id in changed(&message.to_string()) {
        assert_eq!(
            code(tenant.call(MessageGet { message: id.clone() })),
            Code::NotFound,
            "{id}"
        );
        let call = AttemptsOfMessage {
            message: id.clone(),
            page: page(),
            filter: AttemptFilter::default(),
        };
        assert_eq!(code(tenant.call(call)), Code::NotFound, "{id}");
    }
    let endpoint = tenant.endpoint_id(endpoint);
    for id in changed(&endpoint) {
        assert_eq!(
            code(tenant.call(EndpointGet { endpoint: id.clone() })),
            Code::NotFound,
            "{id}"
        );
    }
    assert_eq!(tenant.message(message).unwrap().id, message);
    assert!(tenant.call(EndpointGet { endpoint }).is_ok());
}

#[test]
fn another_organisation_sees_nothing() {
    let mut tenant = Tenant::new();
    let message = tenant.publish();
    let other = Caller::Organisation(OrganisationId([4; 20]));
    let get = MessageGet {
        message: message.to_string(),
    };
    let list = MessageList {
        page: page(),
        filter: MessageFilter::default(),
        with_content: false,
    };
    let accept = tenant.publish_call("invoice.paid");
    assert_eq!(code(tenant.call_as(other, get, &[])), Code::NotFound);
    assert_eq!(code(tenant.call_as(other, list, &[])), Code::NotFound);
    assert_eq!(
        code(tenant.call_as(other, SourceList { page: page() }, &[])),
        Code::NotFound
    );
    assert_eq!(
        code(tenant.call_as(other, accept, &[b"1".to_vec()])),
        Code::NotFound
    );
    assert_eq!(code(tenant.call_as(other, Wipe {}, &[])), Code::NotFound);
    assert_eq!(tenant.count("message_1"), 1);
}

#[test]
fn an_object_that_is_called_by_another_name_answers_404() {
    let mut tenant = Tenant::new();
    tenant.id = TenantId([8; 20]);
    assert_eq!(code(tenant.call(EndpointList { page: page() })), Code::NotFound);
}

#[test]
fn an_ingest_token_and_the_queue_may_only_do_what_they_need() {
    let mut tenant = Tenant::new();
    let message = tenant.publish().to_string();
    for caller in [Caller::Ingest, Caller::System] {
        assert_eq!(
            code(tenant.call_as(
                caller,
                MessageGet {
                    message: message.clone()
                },
                &[]
            )),
            Code::NotFound
        );
        assert_eq!(
            code(tenant.call_as(caller, EndpointList { page: page() }, &[])),
            Code::NotFound
        );
    }
    assert_eq!(
        code(tenant.call_as(Caller::Ingest, Report { lanes: Vec::new() }, &[])),
        Code::NotFound
    );
    assert_eq!(code(tenant.call_as(Caller::Ingest, Wipe {}, &[])), Code::NotFound);
}

#[test]
fn setting_up_again_changes_nothing_and_another_organisation_cannot() {
    let mut tenant = Tenant::new();
    let message = tenant.publish();
    let organisation = tenant.organisation;
    tenant
        .call(SetUp {
            organisation,
            settings: TenantSettings::default(),
        })
        .unwrap();
    let other = SetUp {
        organisation: OrganisationId([4; 20]),
        settings: TenantSettings::default(),
    };
    assert_eq!(code(tenant.call(other)), Code::Conflict);
    assert!(tenant.message(message).is_ok());
}

#[test]
fn a_wiped_object_keeps_one_row_and_refuses_everything_for_ever() {
    let mut tenant = Tenant::new();
    tenant.endpoint();
    tenant.source();
    let message = tenant.publish();
    let out = tenant.out();
    tenant.publish();
    tenant.call(Wipe {}).unwrap();
    for evicted in [false, true] {
        if evicted {
            tenant.evict();
        }
        assert_eq!(code(tenant.message(message)), Code::NotFound);
        let call = tenant.publish_call("invoice.paid");
        assert_eq!(code(tenant.accept(call, b"1")), Code::NotFound);
        assert_eq!(code(tenant.try_report(&[(&out, Answer::Ok)])), Code::NotFound);
        let organisation = tenant.organisation;
        let set_up = SetUp {
            organisation,
            settings: TenantSettings::default(),
        };
        assert_eq!(code(tenant.call(set_up)), Code::Conflict);
        tenant.ring();
        assert!(tenant.ledger.take_lanes().unwrap_or_default().is_empty());
        assert_eq!(tenant.storage.native().alarm(), None);
    }
    assert_eq!(
        (
            tenant.count("meta"),
            tenant.count("sqlite_master WHERE type = 'table'")
        ),
        (1, 1)
    );
    tenant.call_as(Caller::System, Wipe {}, &[]).unwrap();
}

#[test]
fn a_wipe_that_fails_wipes_nothing() {
    for at in 0..40 {
        let mut tenant = Tenant::new();
        let message = tenant.publish();
        tenant.storage.fail_in(Some(at));
        let done = tenant.call(Wipe {});
        let planted = !tenant.storage.will_fail();
        tenant.storage.fail_in(None);
        if planted && done.is_err() {
            assert!(tenant.message(message).is_ok(), "at {at}");
            tenant.call(Wipe {}).unwrap();
        }
        assert_eq!(code(tenant.message(message)), Code::NotFound);
    }
}
